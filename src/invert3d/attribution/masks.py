"""Extremal perturbation in space: the smooth part of a given size that keeps the score highest (Fong et al. 2019).

    m* = argmax_m F(x * m) - lambda |sort(m) - r_a|^2

where r_a is 1 on a share a of the elements and 0 on the others, so that the mask is driven to that area and to be
black and white. What the mask takes away goes to the center of the cloud, or becomes empty. Only the derivative of F
with respect to its input is needed; the rest is the chain rule through the mask.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.attribution.removal import nothing, score_of
from invert3d.engine.draws import Draws
from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.space import Points, Space
from invert3d.engine.state import State
from invert3d.engine.stepper import Stepper
from invert3d.engine.tree import Tree
from invert3d.ops.points import gather, knn
from invert3d.registry import plain


@plain("attribution", "extremal")
class ExtremalPerturbation(Method):
    """The mean of the best masks of several ``areas`` (shares of the points, or of the filled voxels).

    The weight of the area grows from ``strength`` by ``growth`` a step, as in the authors' code; it is counted in units
    of the score at x, or, where that is more, of what it is above the score of nothing. Masks are smooth over the
    ``neighbors`` nearest points, or on a grid ``coarse`` times coarser than that of the input.
    """

    areas: tuple[float, ...] = (0.1, 0.2, 0.4)
    steps: int = 60
    rate: float = 0.1
    strength: float = 1.0
    growth: float = 1.08
    neighbors: int = 16
    coarse: int = 2

    def __post_init__(self) -> None:
        if not self.areas or not all(0 < area < 1 for area in self.areas):
            raise ValueError(f"areas must be shares between 0 and 1, not {self.areas}")

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        self.check(model.space)
        model.space.validate(x)
        x = x.to(model.device, model.dtype)
        whole, least = (score_of(model, score, each, target) for each in (x, nothing(model.space, x)))
        scale = torch.maximum(whole.abs(), (whole - least).abs()).clamp_min(1e-6)
        on_points = isinstance(model.space, Points)
        spread = OverPoints(x, min(self.neighbors, x.shape[1])) if on_points else OverGrid(x, self.coarse)
        total = torch.zeros_like(x)
        for area in self.areas:
            wanted = Area(spread=spread, area=area, weight=self.strength * scale, growth=self.growth)
            found = optimize(
                model,
                score + wanted,
                Masked(spread=spread, x=x, away=nothing(model.space, x)),
                target=target,
                batch=len(x),
                steps=self.steps,
                stepper=Stepper(rate=self.rate),
                theta={"mask": x.new_zeros(spread.shape)},
            )
            total += spread(found.theta["mask"].to(x))
        filled, shared = (1, x.shape[-1]) if on_points else ((x != 0).to(x), x.shape[1])
        values = (total / len(self.areas) * filled / shared).detach()
        return Attribution(values, {"evaluations": self.steps * len(self.areas) + 2})


@dataclass(frozen=True, kw_only=True, eq=False)
class Masked(Parameterization):
    """A fixed input x, of which a mask takes parts ``away``: theta is the mask."""

    spread: "Spread"
    x: Tensor
    away: Tensor

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        return self.away + self.spread(theta["mask"]) * (self.x - self.away)


@dataclass(frozen=True, kw_only=True, eq=False)
class Area(Objective):
    """How far the mask is from an area, weighted (B,), ever more so."""

    spread: "Spread"
    area: float
    weight: Tensor
    growth: float

    def __call__(self, state: State) -> Tensor:
        off = self.spread.off(self.spread(state.theta["mask"]), self.area)
        return self.weight * self.growth**state.step * off


class Spread:
    """From numbers of a ``shape`` to masks over x, smooth and in [0, 1]."""

    shape: tuple[int, ...]
    filled: Tensor

    def __call__(self, theta: Tensor) -> Tensor:
        raise NotImplementedError

    def off(self, mask: Tensor, area: float) -> Tensor:
        """How far the mask is from covering a share of the points, or of what is filled, (B,)."""
        rows = []
        for values, filled in zip(mask.reshape(self.filled.shape), self.filled, strict=True):
            ordered = values[filled].sort().values
            step = (torch.arange(len(ordered), device=mask.device) >= (1 - area) * len(ordered)).to(mask)
            rows.append((ordered - step).square().mean() if len(ordered) else values.sum() * 0)
        return torch.stack(rows)


class OverPoints(Spread):
    """Masks over clouds (B, N, C): the mean over the nearest points of a number a point, squashed."""

    def __init__(self, x: Tensor, neighbors: int) -> None:
        self.shape, self.near = (*x.shape[:2], 1), knn(x[..., :3], x[..., :3], neighbors)
        self.filled = torch.ones_like(x[..., 0], dtype=torch.bool)

    def __call__(self, theta: Tensor) -> Tensor:
        return (4 * gather(theta, self.near).mean(2)).sigmoid()


class OverGrid(Spread):
    """Masks over grids (B, 1, D, H, W) and images (B, 3, H, W), interpolated from coarser ones."""

    def __init__(self, x: Tensor, coarse: int) -> None:
        self.shape = (len(x), 1, *(max(2, size // coarse) for size in x.shape[2:]))
        self.filled = (x != 0).any(1) if x.dim() == 5 else torch.ones_like(x[:, 0], dtype=torch.bool)

    def __call__(self, theta: Tensor) -> Tensor:
        size = self.filled.shape[1:]
        mode = "trilinear" if len(size) == 3 else "bilinear"
        return F.interpolate(4 * theta, size=size, mode=mode, align_corners=False).sigmoid()
