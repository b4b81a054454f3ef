"""Projections onto sets that x must lie in."""

import math

import torch
from torch import Tensor

from invert3d.engine.projection import Projection
from invert3d.engine.state import State
from invert3d.registry import plain, unknown

NORMS = ("linf", "l2", "l0")


@plain("projection", "clip")
class Clip(Projection):
    """Every value into [low, high]."""

    low: float
    high: float

    def __call__(self, state: State) -> Tensor:
        return state.x.clamp(self.low, self.high)


@plain("projection", "ball")
class Ball(Projection):
    """The nearest x whose change since the start is within ``radius``: the budget of an attack.

    The norm of the change of a whole sample is its largest value (``linf``), its length (``l2``), or the number of
    values that change (``l0``). ``per`` point, in clouds (B, N, 3): each point stays within that distance of where it
    was (``linf``: along each axis), or so many points move at all (``l0``).
    """

    norm: str = "l2"
    radius: float = 0.05
    per: str = "sample"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(unknown("norm", self.norm, NORMS))
        if self.per not in ("sample", "point"):
            raise ValueError(unknown("per", self.per, ("sample", "point")))
        if not 0 < self.radius < math.inf or (self.norm == "l0" and self.radius != int(self.radius)):
            whole = "a positive whole number" if self.norm == "l0" else "positive and finite"
            raise ValueError(f"the radius of an {self.norm} ball must be {whole}, not {self.radius}")

    @property
    def spaces(self) -> frozenset[str] | None:  # type: ignore[override]
        return frozenset({"points"}) if self.per == "point" else None

    def __call__(self, state: State) -> Tensor:
        x, start = state.x, state.start
        if self.norm == "linf":
            return torch.minimum(torch.maximum(x, start - self.radius), start + self.radius)
        change, point = x - start, self.per == "point"
        if self.norm == "l2":
            axes = -1 if point else tuple(range(1, x.dim()))
            length = torch.linalg.vector_norm(change, dim=axes, keepdim=True)
            return torch.where(length <= self.radius, x, start + change * (self.radius / length))
        sizes = change.norm(dim=-1) if point else change.abs().flatten(1)
        largest = sizes.topk(min(int(self.radius), sizes.shape[1])).indices
        moves = torch.zeros_like(sizes, dtype=torch.bool).scatter(1, largest, True)
        return torch.where(moves[..., None] if point else moves.view_as(x), x, start)


@plain("projection", "scatter")
class Scatter(Projection):
    """Another x, uniform in the ball of ``radius`` around the start: the random start of an attack (Madry et al. 2018).

    In the norm ``linf`` every value is uniform by itself; in ``l2`` the direction and the volume within are.
    """

    norm: str = "linf"
    radius: float = 0.05

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise ValueError(unknown("norm", self.norm, ("linf", "l2")))
        if not 0 < self.radius < math.inf:
            raise ValueError(f"the radius must be positive and finite, not {self.radius}")

    def __call__(self, state: State) -> Tensor:
        start, shape = state.start, state.start.shape[1:]
        if self.norm == "linf":
            return start + state.draws.uniform(start, -self.radius, self.radius, *shape)
        change = state.draws.normal(start, *shape)
        length = torch.linalg.vector_norm(change, dim=tuple(range(1, start.dim())), keepdim=True)
        share = state.draws.uniform(start, 0, 1, *(1 for _ in shape)) ** (1 / shape.numel())
        return start + change / length * self.radius * share
