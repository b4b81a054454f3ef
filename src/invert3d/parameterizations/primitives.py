"""Clouds drawn from the surfaces of a few solids: boxes, cylinders, ellipsoids, and all between them.

Free points always satisfy a network and never mean anything. A few solids whose surfaces are sampled anew at every
step cannot hide an answer in single coordinates: what satisfies the network is then a shape.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.space import Space
from invert3d.engine.transform import rotation_matrices
from invert3d.ops.points import gather, unit_sphere
from invert3d.registry import plain, unknown

#: roundness in the horizontal plane and against the vertical: 0 is a box, 1 an ellipse
SOLIDS = {"cuboid": (0.0, 0.0), "cylinder": (1.0, 0.0), "ellipsoid": (1.0, 1.0)}
KINDS = (*SOLIDS, "superquadric", "mixed")


@plain("parameterization", "primitives")
class Primitives(Parameterization):
    """``count`` solids, each with a place, three half-sizes, an orientation, a taper and two roundnesses.

    Solids hang together by construction: each holds on to one before it (which one is drawn at the start and stays), a
    point inside the one being a point inside the other, and the first lies across the mirror plane.

    A solid of kind ``superquadric`` learns its roundnesses, the other kinds keep theirs. ``mixed`` deals the kinds out
    at random. With ``mirror`` a solid has a twin on the other side of the plane x = 0 (of y = 0 with "y"). The shares
    ``single``, ``fourfold`` and ``open`` of the solids, drawn at the start, have no twin; have twins behind both planes
    (if they hold on to the first, like the legs of a table); have no lid (like a cup).

    The surface of a solid is that of a box, area by area, drawn in to ``|(x, y)|_p`` and ``|(r, z)|_q`` norm one:
    exact for boxes, near to uniform for the rest. After scaling to the unit sphere, clouds are (B, N, 3).
    """

    count: int = 6
    mirror: Literal["x", "y", "none"] = "x"
    kind: str = "superquadric"
    tilt: bool = True  # solids may also lean, not only turn about the up axis
    taper: bool = True  # the top may be smaller or larger than the bottom
    single: float = 0.0
    fourfold: float = 0.0
    open: float = 0.0
    size: float = 0.25  # half-size at which they start, in the middle
    vary: float = 0.5  # deviation of its logarithm, axis by axis: large for plates and rods among the starts
    least: float = 0.02  # smallest half-size, in units of the shape before scaling

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(unknown("kind of solid", self.kind, KINDS))
        if self.count < 1:
            raise ValueError(f"count must be at least 1, not {self.count}")
        if self.mirror not in ("x", "y", "none"):
            raise ValueError(unknown("mirror plane", self.mirror, ("x", "y", "none")))

    def initialize(self, like: Tensor, space: Space, draws: Draws) -> dict[str, Tensor]:
        k = self.count
        theta = {
            "parent": (draws.uniform(like, 0, 1, k) * torch.arange(k).to(like)).long(),  # one before it
            "holds": draws.uniform(like, -1.5, 1.5, k, 3),  # where on the parent, as atanh of a share of its half-sizes
            "held": draws.uniform(like, -1.5, 1.5, k, 3),  # and where on itself
            "log_size": math.log(self.size) + self.vary * draws.normal(like, k, 3),
            "angles": draws.uniform(like, -0.3, 0.3, k, 3),
            "taper": draws.uniform(like, -0.3, 0.3, k, 1),
            "roundness": draws.uniform(like, -1.0, 1.0, k, 2),
        }
        theta["copies"] = self._copies(theta["parent"], draws.uniform(like, 0, 1, k))
        theta["open"] = draws.uniform(like, 0, 1, k) < self.open
        if self.kind in SOLIDS:
            theta["roundness"] = (12 * like.new_tensor(SOLIDS[self.kind]) - 6).expand_as(theta["roundness"]).clone()
        elif self.kind == "mixed":
            picked = draws.uniform(like, 0, 3, k).long().clamp_max(2)
            theta["roundness"] = 12 * like.new_tensor(list(SOLIDS.values()))[picked] - 6
        return theta

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        points = space.shape[0]
        center, half, turn, taper, roundness = self._solids(theta)
        twins = center.shape[1] // self.count
        lidless = theta["open"].repeat(1, twins)
        u = draws.uniform(center, 0, 1, points, 3)
        faces = face_areas(half)  # (B, K, 3): a pair of opposite faces each
        areas = faces.detach() * theta["copies"][:, :twins].flatten(1)[..., None]
        areas[..., 2] *= torch.where(lidless, 0.5, 1.0)
        chosen = choose_in_proportion(areas.flatten(1), u[..., 0])
        solid, axis = chosen // 3, chosen % 3
        side = draws.uniform(center, -1, 1, points)
        side = torch.where((axis == 2) & lidless.gather(1, solid), -1.0, side)
        on_box = box_surface(axis, u[..., 1:], side)
        local = drawn_in(on_box, gather(roundness, solid))
        narrow = 1 + gather(taper, solid) * local[..., 2:]
        local = torch.cat([local[..., :2] * narrow, local[..., 2:]], -1) * gather(half, solid)
        turned = (gather(turn.flatten(2), solid).unflatten(-1, (3, 3)) * local.unsqueeze(-2)).sum(-1)
        return unit_sphere(turned + gather(center, solid))

    def _solids(self, theta: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Centers (B, K, 3), half-sizes (B, K, 3), rotations (B, K, 3, 3), tapers (B, K, 1), roundnesses (B, K, 2)."""
        half = self.least + theta["log_size"].clamp(-6, 1.5).exp()
        angles = theta["angles"] if self.tilt else theta["angles"] * theta["angles"].new_tensor([0.0, 0.0, 1.0])
        if self.mirror != "none":  # the first solid turns within the mirror plane only
            within = [1.0, 0.0, 0.0] if self.mirror == "x" else [0.0, 1.0, 0.0]
            angles = torch.cat([angles[:, :1] * angles.new_tensor(within), angles[:, 1:]], 1)
        turn = rotation_matrices(angles.flatten(0, 1)).unflatten(0, angles.shape[:2])
        center = hung_together(theta["parent"], theta["holds"].tanh(), theta["held"].tanh(), half, turn)
        taper = theta["taper"].tanh() * (0.9 if self.taper else 0.0)
        roundness = theta["roundness"].sigmoid()
        if self.kind != "superquadric":
            roundness = roundness.detach()
        if self.mirror == "none":
            return center, half, turn, taper, roundness
        planes = ("xy", "yx")[self.mirror == "y"] if self.fourfold else self.mirror
        for plane in planes:
            flip = torch.ones(3, dtype=center.dtype, device=center.device)
            flip["xy".index(plane)] = -1
            center, turn = torch.cat([center, center * flip], 1), torch.cat([turn, flip[:, None] * turn], 1)
        twins = 2 ** len(planes)
        return center, half.repeat(1, twins, 1), turn, taper.repeat(1, twins, 1), roundness.repeat(1, twins, 1)

    def _copies(self, parent: Tensor, u: Tensor) -> Tensor:
        """Whether (B, 4, K) each solid is there as itself, mirrored, mirrored across the other plane, across both."""
        first = torch.arange(self.count, device=parent.device) == 0
        paired = (u >= self.single) | first
        fourfold = (u >= 1 - self.fourfold) & (parent == 0) & ~first
        return torch.stack([torch.ones_like(paired), paired, fourfold, fourfold], 1)


def hung_together(parent: Tensor, holds: Tensor, held: Tensor, half: Tensor, turn: Tensor) -> Tensor:
    """Centers (B, K, 3) such that the point ``held`` of each solid is the point ``holds`` of its parent.

    Points are shares (B, K, 3) of the half-sizes (B, K, 3) in the solids' own axes, turned by (B, K, 3, 3); ``parent``
    (B, K) is the number of an earlier solid. The first stands at the origin.
    """
    rows = torch.arange(len(parent), device=parent.device)
    own = (turn @ (held * half)[..., None])[..., 0]
    centers = [torch.zeros_like(half[:, 0])]
    for k in range(1, parent.shape[1]):
        j = parent[:, k]
        on_parent = (turn[rows, j] @ (holds[:, k] * half[rows, j])[..., None])[..., 0]
        centers.append(torch.stack(centers, 1)[rows, j] + on_parent - own[:, k])
    return torch.stack(centers, 1)


def choose_in_proportion(weights: Tensor, u: Tensor) -> Tensor:
    """Indices (B, N) of items with weights (B, K) >= 0, chosen by numbers u (B, N) in [0, 1)."""
    edges = weights.cumsum(-1)
    edges = edges / edges[:, -1:].clamp_min(1e-12)
    return torch.searchsorted(edges.contiguous(), u.contiguous()).clamp_max(weights.shape[-1] - 1)


def face_areas(half: Tensor) -> Tensor:
    """Areas (..., 3), up to a factor, of the faces across each axis of boxes with half-sizes (..., 3)."""
    a, b, c = half.unbind(-1)
    return torch.stack([b * c, a * c, a * b], -1)


def box_surface(axis: Tensor, uv: Tensor, side: Tensor) -> Tensor:
    """Points (B, N, 3) on the faces across ``axis`` (B, N) of the box [-1, 1]^3, at uv (B, N, 2) in [0, 1)."""
    flat = torch.cat([torch.where(side > 0, 1.0, -1.0)[..., None].to(uv), 2 * uv - 1], -1)
    return flat.gather(-1, (torch.arange(3, device=axis.device) - axis[..., None]) % 3)  # face value to its axis


def drawn_in(on_box: Tensor, roundness: Tensor) -> Tensor:
    """Points on the box [-1, 1]^3, (..., 3), pulled onto a superquadric of the roundnesses (..., 2) in [0, 1].

    Roundness r is the norm with exponent p = 2 / r, up to 20: 2 (an ellipse) for r = 1, almost the box for r = 0.
    """
    p = 2 / roundness.clamp_min(0.1)
    x, y, z = on_box.abs().clamp_min(1e-4).unbind(-1)
    across = (x ** p[..., 0] + y ** p[..., 0]) ** (1 / p[..., 0])
    norm = (across ** p[..., 1] + z ** p[..., 1]) ** (1 / p[..., 1])
    return on_box / norm.unsqueeze(-1)
