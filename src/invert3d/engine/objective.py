"""What is asked of the input: functions of the state, one number a sample, with the algebra of the papers.

    ClassScore() + 4e-6 * TotalVariation()

is a loss. Smaller is better. A *prior* is an objective that looks at the input only.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.state import State


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
    """A linear combination whose weights after the first are shares of the length of the first gradient:

        w_0 f + sum_i w_i g_i |df/dx| / |dg_i/dx|

    So they have no unit, and mean the same for every network, layer and size of input. The ratios are of each sample,
    in each step; to the gradient they are constants.
    """

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        terms = [(weight, term) for weight, term in self.terms if weight]
        if len(terms) < 2:
            return super().__call__(state)
        losses = [term(state) for _, term in terms]
        slopes = [torch.autograd.grad(loss.sum(), state.x, retain_graph=True)[0] for loss in losses]
        lengths = [slope.flatten(1).norm(dim=1).clamp_min(1e-12) for slope in slopes]
        shares = [weight * lengths[0] / length for (weight, _), length in zip(terms, lengths, strict=True)]
        moved = (state.x - state.x.detach()).flatten(1)  # 0, with the gradient of x: no way through the model again
        parts = [
            share * (loss.detach() + (slope.flatten(1) * moved).sum(1))
            for share, loss, slope in zip(shares, losses, slopes, strict=True)
        ]
        return torch.stack(parts).sum(0)


def as_terms(objective: Objective) -> tuple[tuple[float, Objective], ...]:
    """The weighted terms of an objective; one of weight 1 for a simple one."""
    return objective.terms if isinstance(objective, WeightedSum) else ((1.0, objective),)
