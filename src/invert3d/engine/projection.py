"""What happens to x after a step: clips, smoothings, attack budgets, and how often."""

from torch import Tensor

from invert3d.engine.state import State
from invert3d.registry import plain


class Projection:
    """``State -> x`` (B, ...): the state's x, moved to where it may be. Applied without gradient, after the step."""

    #: whether it reads ``state.gradient`` (B, ...), the derivative of the loss in the x that was scored
    needs_gradient: bool = False
    #: names of the spaces it is for, ``points``, ``voxels`` or ``image``; None for any
    spaces: frozenset[str] | None = None

    def __call__(self, state: State) -> Tensor:
        raise NotImplementedError


@plain("projection", "every")
class Every(Projection):
    """Apply ``projection`` after every ``period``-th step: ``Every(period=10, projection=KnnSmooth(k=8))``."""

    period: int
    projection: Projection

    def __post_init__(self) -> None:
        if self.period < 1:
            raise ValueError(f"period must be at least 1, not {self.period}")

    @property
    def needs_gradient(self) -> bool:  # type: ignore[override]
        return self.projection.needs_gradient

    @property
    def spaces(self) -> frozenset[str] | None:  # type: ignore[override]
        return self.projection.spaces

    def __call__(self, state: State) -> Tensor:
        return self.projection(state) if (state.step + 1) % self.period == 0 else state.x
