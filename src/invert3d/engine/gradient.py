"""The zero-step twin of the loop: one derivative, at a real input."""

from collections.abc import Callable

import torch
from torch import Tensor

from invert3d.engine.checks import check_inputs, check_outputs
from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.engine.tree import Tree, detached


def derivative(outcome: Tensor, leaf: Tensor) -> Tensor:
    """The derivative of a number with respect to a tensor."""
    return torch.autograd.grad(outcome, leaf)[0]


def input_gradient(
    model: Frozen,
    objective: Objective,
    x: Tensor,
    target: Tree | None = None,
    *,
    differentiate: Callable[[Tensor, Tensor], Tensor] = derivative,
) -> tuple[Tensor, State]:
    """The derivative of the objective with respect to x (B, *space.shape), and the state it was taken in.

    Samples do not mix: row i is the derivative of the i-th sample's objective with respect to the i-th input.
    ``differentiate`` may replace the derivative of the summed objective by another rule. Raises ValueError if x is
    not a legal batch of the model's space, the objective takes another kind of input, or no gradient can reach x.
    """
    model.space.validate(x)
    check_inputs(model.space, objective)
    with model:
        x = x.detach().to(model.device, model.dtype).requires_grad_()
        model.tap(objective.taps)
        outputs, features = model.outputs(x)
        state = State(
            step=0,
            steps=1,
            rows=torch.arange(len(x)),
            theta={"x": x},
            draws=Draws.seeded(0, range(len(x))),
            target=target,
            x=x,
            view=x,
            view_target=target,
            outputs=outputs,
            features=features,
            model=model.model,
            layers={name: model.model.get_submodule(name) for name in objective.taps},
        )
        check_outputs(model, state)
        with torch.no_grad():
            objective.update(state)
        state.loss = objective(state)
        gradient = differentiate(state.loss.sum(), x)
    state.gradient = gradient
    state.loss, state.outputs = state.loss.detach(), detached(outputs)
    return gradient, state
