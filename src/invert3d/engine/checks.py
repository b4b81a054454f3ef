"""What a run is refused for, by name and before it is worth waiting for.

Terms that take other inputs are found before the first step, models that cannot be optimized through at the first.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.flow import followed, gradient_block
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective, as_terms
from invert3d.engine.projection import Projection
from invert3d.engine.space import Space
from invert3d.engine.state import State, are_classes
from invert3d.engine.stepper import learned
from invert3d.engine.transform import Transform
from invert3d.engine.tree import leaves


def check_inputs(
    space: Space, objective: Objective, projections: Sequence[Projection] = (), transforms: Sequence[Transform] = ()
) -> None:
    """Raise ValueError for the first term that does not take what the space holds."""
    terms: Iterable[Any] = (*(term for _, term in as_terms(objective)), *transforms, *projections)
    for term in terms:
        if term.spaces is not None and space.name and space.name not in term.spaces:
            kinds = " or ".join(sorted(term.spaces))
            raise ValueError(f"{type(term).__name__} takes {kinds}, but the model's space is {space}")


def check_outputs(model: Frozen, state: State) -> None:
    """Raise ValueError for outputs (B, ...) at the start through which nothing can be optimized.

    They have NaN, another batch size, no derivative in x (unless gradients are switched off), or no such class as is
    asked for.
    """
    name, count = type(model.model).__name__, len(state.x)
    for leaf in leaves(state.outputs):
        if leaf.dim() == 0 or len(leaf) != count:
            raise ValueError(f"{name} returns {tuple(leaf.shape)} for a batch of {count}: the batch must come first")
        bad = leaf.isnan().flatten(1).any(1)
        if bad.any():
            raise ValueError(f"{name} returns NaN at the start, first for sample {int(bad.nonzero()[0])} of {count}")
    if torch.is_grad_enabled() and not any(leaf.requires_grad for leaf in leaves((state.outputs, state.features))):
        raise ValueError(f"{name} passes no gradient to its input. {_where_it_ends(model, state.view) or ''}".strip())
    if are_classes(state.view_target, state.outputs):
        largest, classes = int(state.view_target.max()), state.outputs.shape[1]
        if largest >= classes or int(state.view_target.min()) < 0:
            raise ValueError(f"class {largest} was asked for, but {name} scores classes 0 to {classes - 1}")


def check_loss(state: State) -> None:
    """Raise ValueError for a loss at the start that is NaN, or not one number a sample, or does not depend on x."""
    if state.loss.shape != (len(state.x),):
        raise ValueError(f"an objective gives one number a sample ({len(state.x)},), not {tuple(state.loss.shape)}")
    bad = state.loss.isnan()
    if bad.any():
        raise ValueError(f"the loss is NaN at the start, first for sample {int(bad.nonzero()[0])} of {len(bad)}")
    if not state.loss.requires_grad:
        raise ValueError("the loss does not depend on the input: nothing can be optimized")


def check_gradient(model: Frozen, state: State) -> None:
    """Raise ValueError if the gradient of the first step was zero because the model passes none."""
    if any(value.grad is not None and value.grad.any() for value in learned(state.theta)):
        return
    sentence = _where_it_ends(model, state.view)
    if sentence is not None:
        raise ValueError(f"{type(model.model).__name__} passes no gradient to its input. {sentence}")


def _where_it_ends(model: Frozen, x: Tensor) -> str | None:
    """The place where the gradient of the largest outputs ends; None if it reaches x."""
    calls, graph, gradient = followed(model, x)
    return None if gradient.any() else gradient_block(calls, graph).sentence()
