"""Projections onto sets that x must lie in."""

from dataclasses import dataclass

from torch import Tensor

from invert3d.engine.projection import Projection
from invert3d.engine.state import State
from invert3d.registry import register


@register("projection", "clip")
@dataclass(frozen=True, kw_only=True)
class Clip(Projection):
    """Every value into [low, high]."""

    low: float
    high: float

    def __call__(self, state: State) -> Tensor:
        return state.x.clamp(self.low, self.high)


@register("projection", "near_start")
@dataclass(frozen=True, kw_only=True)
class NearStart(Projection):
    """Every point of a cloud (B, N, 3) stays within ``radius`` of where it was after the first step."""

    radius: float = 0.05

    def __call__(self, state: State) -> Tensor:
        start = state.memory.setdefault("near_start", state.x.clone())
        moved = state.x - start
        length = moved.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return start + moved * (self.radius / length).clamp_max(1)
