"""What is asked of the input: functions of the state, one number a sample, with the algebra of the papers.

    ClassScore() + 4e-6 * TotalVariation()

is a loss. Smaller is better. A *prior* is an objective that looks at the input only.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.state import State
from invert3d.ops.slopes import slope_of


class Objective:
    """``State -> (B,)``. Subclasses are frozen keyword-only dataclasses of plain values."""

    #: names of model layers whose outputs this objective reads from ``state.features``
    taps: tuple[str, ...] = ()
    #: names of the spaces it is for, ``points``, ``voxels`` or ``image``; None for any
    spaces: frozenset[str] | None = None

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        raise NotImplementedError

    def check(self, model: Any) -> None:
        """Raise ValueError for a model that this objective cannot be asked of. Called before any work starts."""

    def update(self, state: State) -> None:
        """Called without gradient before the loss: pseudo-targets and annealing go here, into ``state.memory``."""

    def __add__(self, other: "Objective") -> "Objective":
        return WeightedSum(terms=(*as_terms(self), *as_terms(other)))

    def __sub__(self, other: "Objective") -> "Objective":
        return self + -1.0 * other

    def __mul__(self, weight: float) -> "Objective":
        return WeightedSum(terms=tuple((weight * w, term) for w, term in as_terms(self)))

    __rmul__ = __mul__

    def __neg__(self) -> "Objective":
        return -1.0 * self


@dataclass(frozen=True, kw_only=True)
class WeightedSum(Objective):
    """A linear combination of objectives."""

    terms: tuple[tuple[float, Objective], ...]

    @property
    def taps(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(dict.fromkeys(tap for _, term in self.terms for tap in term.taps))

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        weighted = [weight * term(state) for weight, term in self.terms if weight]
        return sum(weighted[1:], start=weighted[0]) if weighted else state.x.flatten(1).sum(1) * 0

    def check(self, model: Any) -> None:
        for _, term in self.terms:
            term.check(model)

    def update(self, state: State) -> None:
        for _, term in self.terms:
            term.update(state)


@dataclass(frozen=True, kw_only=True)
class Balanced(WeightedSum):
    """A linear combination whose weights after the first are shares of the length of the first gradient in x:

        w_0 (df/dx + sum_i w_i |df/dx| / |dg_i/dx| dg_i/dx)

    So they have no unit, and mean the same for every network, layer and size of input. The ratios are of each sample,
    in each step, so no sum of losses could be compared over steps: the value is ``w_0 f``. Terms that read something
    else than x add no gradient.
    """

    def __add__(self, other: Objective) -> "Balanced":
        return Balanced(terms=(*self.terms, *as_terms(other)))

    def __mul__(self, weight: float) -> "Balanced":
        (first, term), *others = self.terms
        return Balanced(terms=((weight * first, term), *others))

    __rmul__ = __mul__

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        losses = [term(state) for _, term in self.terms]
        slope, *others = [slope_of(loss, state.x) for loss in losses]
        length = slope.norm(dim=1, keepdim=True)
        shares = [weight * F.normalize(other, dim=1) for (weight, _), other in zip(self.terms[1:], others, strict=True)]
        whole = slope + length * sum(shares, torch.zeros_like(slope))
        moved = (state.x - state.x.detach()).flatten(1)  # 0, with the gradient of x: no way through the model again
        return self.terms[0][0] * (losses[0].detach() + (whole * moved).sum(1))


def as_terms(objective: Objective) -> tuple[tuple[float, Objective], ...]:
    """The weighted terms of an objective; one of weight 1 for a simple one."""
    return objective.terms if isinstance(objective, WeightedSum) else ((1.0, objective),)
