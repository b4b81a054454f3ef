"""Random views of the input before the model sees it (Space ``Points``), which move the target with them.

A shape that the model recognizes from one exact set of coordinates only is an adversarial example; one that it
recognizes turned a little, scaled, shifted, with other points missing is a shape. The same views augment training.
Every transform draws from the ``Draws`` it is handed, so a sample sees the same views whoever shares its batch.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.ops.points import farthest_point_sample, gather, square_distances, unit_sphere
from invert3d.registry import plain


class Transform:
    """``(x, target, draws) -> (view, target)``; a chain is a sequence of them, applied first to last."""

    #: names of the spaces it is for, ``points``, ``voxels`` or ``image``; None for any
    spaces: frozenset[str] | None = None

    def __call__(self, x: Tensor, target: Any, draws: Draws) -> tuple[Tensor, Any]:
        raise NotImplementedError


def chained(transforms: Sequence[Transform], x: Tensor, target: Any, draws: Draws) -> tuple[Tensor, Any]:
    """Apply the transforms one after the other."""
    for transform in transforms:
        x, target = transform(x, target, draws)
    return x, target


class CloudTransform(Transform):
    """A view of clouds, which leaves the target as it is: subclasses say what becomes of x."""

    spaces = frozenset({"points"})

    def view(self, x: Float[Tensor, "b n 3"], draws: Draws) -> Tensor:
        raise NotImplementedError

    def __call__(self, x: Tensor, target: Any, draws: Draws) -> tuple[Tensor, Any]:
        return self.view(x, draws), target


@plain("transform", "rotate")
class Rotate(CloudTransform):
    """Turn each cloud about the up axis by up to ``degrees``, and tilt it by up to ``tilt`` degrees about others."""

    degrees: float = 10.0
    tilt: float = 0.0
    up: str = "z"

    def view(self, x: Float[Tensor, "b n 3"], draws: Draws) -> Tensor:
        up = "xyz".index(self.up)
        limits = torch.full((3,), self.tilt, dtype=x.dtype, device=x.device)
        limits[up] = self.degrees
        angles = draws.uniform(x, -1, 1, 3) * limits * (torch.pi / 180)
        return x @ rotation_matrices(angles)


def rotation_matrices(angles: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Rotations R_x R_y R_z by the angles (radians) about the three axes."""
    c, s = angles.cos(), angles.sin()
    zero, one = torch.zeros_like(c[:, 0]), torch.ones_like(c[:, 0])

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, -1).view(-1, 3, 3)

    x = matrix(one, zero, zero, zero, c[:, 0], -s[:, 0], zero, s[:, 0], c[:, 0])
    y = matrix(c[:, 1], zero, s[:, 1], zero, one, zero, -s[:, 1], zero, c[:, 1])
    z = matrix(c[:, 2], -s[:, 2], zero, s[:, 2], c[:, 2], zero, zero, zero, one)
    return x @ y @ z


@plain("transform", "scale")
class Scale(CloudTransform):
    """Scale each cloud by a factor in [low, high]; ``stretch`` lets each axis vary by that fraction more."""

    low: float = 0.8
    high: float = 1.2
    stretch: float = 0.0

    def view(self, x: Float[Tensor, "b n 3"], draws: Draws) -> Tensor:
        factor = draws.uniform(x, self.low, self.high, 1, 1)
        axes = draws.uniform(x, 1 - self.stretch, 1 + self.stretch, 1, 3)
        return x * factor * axes


@plain("transform", "shift")
class Shift(CloudTransform):
    """Move each cloud by up to ``distance`` along each axis."""

    distance: float = 0.05

    def view(self, x: Float[Tensor, "b n 3"], draws: Draws) -> Tensor:
        return x + draws.uniform(x, -self.distance, self.distance, 1, 3)


@plain("transform", "jitter")
class Jitter(CloudTransform):
    """Move every point by Gaussian noise of a strength drawn up to ``sigma`` for each cloud."""

    sigma: float = 0.01

    def view(self, x: Float[Tensor, "b n 3"], draws: Draws) -> Tensor:
        strength = draws.uniform(x, 0, self.sigma, 1, 1)
        return x + strength * draws.normal(x, *x.shape[1:])


@plain("transform", "drop_points")
class DropPoints(CloudTransform):
    """Replace up to a ``share`` of the points by the cloud's first, as PointNet++ is trained (the count stays)."""

    share: float = 0.5

    def view(self, x: Float[Tensor, "b n 3"], draws: Draws) -> Tensor:
        share = draws.uniform(x, 0, self.share, 1, 1)
        dropped = draws.uniform(x, 0, 1, x.shape[1], 1) < share
        return torch.where(dropped, x[:, :1], x)


@plain("transform", "warp")
class Warp(CloudTransform):
    """Bend each cloud smoothly: a sum of three plane waves of up to ``strength`` along each axis."""

    strength: float = 0.06
    frequency: float = 2.5

    def view(self, x: Float[Tensor, "b n 3"], draws: Draws) -> Tensor:
        waves = draws.normal(x, 3, 3) * self.frequency
        phases = draws.uniform(x, 0, 2 * torch.pi, 1, 3)
        amplitude = draws.uniform(x, -self.strength, self.strength, 3, 3)
        return x + torch.sin(x @ waves + phases) @ amplitude


@plain("transform", "normalize")
class Normalize(CloudTransform):
    """Center on the mean and divide by the largest norm: the unit sphere that public checkpoints are trained in."""

    def view(self, x: Float[Tensor, "b n 3"], draws: Draws) -> Tensor:
        return unit_sphere(x)


@plain("transform", "abstract")
class Abstract(CloudTransform):
    """Redraw a ``share`` of the clouds as ``least`` to ``most`` Gaussian lumps with the mean and spread of their parts.

    A shape is still itself when its parts are: trained so, networks learn the arrangement and not the texture of
    surfaces (for images, Geirhos et al. 2019 call this a shape bias).
    """

    share: float = 0.5
    least: int = 8
    most: int = 40

    def view(self, x: Float[Tensor, "b n 3"], draws: Draws) -> Tensor:
        chosen = draws.uniform(x, 0, 1, 1, 1) < self.share
        most = min(self.most, x.shape[1])
        parts = draws.uniform(x, self.least, self.most + 1, 1, 1).floor()  # how many, cloud by cloud
        seeds = gather(x, farthest_point_sample(x, most))  # the first few of which are as far apart as they can be
        unused = torch.arange(most, device=x.device) >= parts
        part = square_distances(x, seeds).masked_fill(unused, torch.inf).argmin(-1)
        member = torch.nn.functional.one_hot(part, most).to(x.dtype)  # (B, N, most)
        count = member.sum(1).clamp_min(1)[..., None]
        mean = member.transpose(1, 2) @ x / count
        off = x - gather(mean, part)
        spread = torch.einsum("bnk,bni,bnj->bkij", member, off, off) / count[..., None]
        root = torch.linalg.cholesky(spread + 1e-5 * torch.eye(3, dtype=x.dtype, device=x.device))
        noise = draws.normal(x, *x.shape[1:]).clamp(-1.8, 1.8)
        lumps = gather(mean, part) + (gather(root.flatten(2), part).unflatten(-1, (3, 3)) @ noise[..., None])[..., 0]
        return torch.where(chosen, lumps, x)
