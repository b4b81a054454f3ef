"""The contract checks catch what they are for: one broken promise each, named in the message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.objective import Objective
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.projection import Projection
from invert3d.engine.state import State
from invert3d.engine.transform import Transform
from invert3d.parameterizations.direct import Direct
from invert3d.testing import (
    check_model,
    check_objective,
    check_parameterization,
    check_plain,
    check_prior,
    check_projection,
    check_transform,
    class_state,
)


def mean(state: State) -> Tensor:
    return state.x.square().mean((1, 2))


def prior(loss: Callable[[State], Tensor]) -> Objective:
    @dataclass(frozen=True, kw_only=True)
    class Mine(Objective):
        def __call__(self, state: State) -> Tensor:
            return loss(state)

    return Mine()


class Rounded(torch.autograd.Function):
    """A gradient that is not that of the values."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x**2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def test_a_prior_that_keeps_its_promises_passes() -> None:
    check_prior(prior(mean))


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda state: mean(state).mean(), r"gives shape \(\), not one number a sample"),
        (lambda state: state.x.square().mean(1), r"gives shape \(3, 3\)"),
        (lambda state: mean(state) / mean(state).sum(), "depends on the batch"),
        (lambda state: mean(state) * torch.arange(1, len(state.x) + 1), "depends on the batch"),
        (lambda state: mean(state) * torch.rand(()), "something else the second time"),
        (lambda state: mean(state) + torch.nan, "NaN or infinite"),
        (lambda state: mean(state).double(), "makes torch.float64 of torch.float32"),
        (lambda state: mean(state).detach(), "cannot be differentiated"),
        (lambda state: state.x.round().mean((1, 2)), "is zero everywhere"),
        (lambda state: Rounded.apply(state.x).mean((1, 2)), "not that of its values"),
        (lambda state: (state.x.norm(dim=-1) - state.x.norm(dim=-1)).sqrt().sum(1) + mean(state), "no finite gradient"),
        (lambda state: mean(state) + state.x.data.mul_(1.01).sum() * 0, "writes into its input"),
    ],
)
def test_broken_promises_of_a_prior(loss: Callable[[State], Tensor], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_prior(prior(loss))


def test_a_prior_reads_no_outputs() -> None:
    with pytest.raises((AssertionError, RuntimeError, IndexError), match="too many indices for tensor of dimension 1"):
        check_prior(prior(lambda state: state.outputs[:, 0] + mean(state)))
    check_objective(prior(lambda state: state.outputs[:, 0] + mean(state)))


def test_memory_must_have_the_batch_first() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Counting(Objective):
        def update(self, state: State) -> None:
            state.memory["count"] = torch.zeros(())

        def __call__(self, state: State) -> Tensor:
            return mean(state)

    with pytest.raises(AssertionError, match="remembers 'count' without the batch first"):
        check_prior(Counting())


def test_a_rough_objective_is_spared_the_finite_differences() -> None:
    straight_through = prior(lambda state: Rounded.apply(state.x).mean((1, 2)))
    check_objective(straight_through, class_state, smooth=False)


@dataclass
class Loose:
    a: int = 1


@dataclass(frozen=True)
class Positional:
    a: int = 1


@dataclass(frozen=True, kw_only=True)
class Holding:
    a: Any = field(default_factory=lambda: torch.zeros(2))


@dataclass(frozen=True, kw_only=True, repr=False)
class Silent:
    a: int = 1

    def __repr__(self) -> str:
        return "Silent(a=2)"


@dataclass(frozen=True, kw_only=True)
class Good:
    a: float = float("inf")
    b: tuple[Any, ...] = ()
    c: str | None = None


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (object(), "is not a dataclass"),
        (Good, "is not a dataclass"),
        (Loose(), "Loose is not frozen"),
        (Positional(), "takes a by position"),
        (Holding(), "Holding.a is a Tensor, not a plain value"),
        (Holding(a=[1]), "Holding.a is a list, not a plain value"),
        (Holding(a=(1, {"b": 2})), r"Holding.a\[1\] is a dict"),
        (Silent(), "does not make an equal one"),
    ],
)
def test_things_that_are_not_plain(thing: Any, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_plain(thing)


def test_nested_plain_things_pass() -> None:
    check_plain(Good(b=(Good(a=1.5), (1, "x", True)), c="it's"))


@pytest.mark.parametrize(
    ("move", "says"),
    [
        (lambda state: state.x - state.x.mean(0), "depends on the batch"),
        (lambda state: state.x + torch.randn_like(state.x), "something else the second time"),
        (lambda state: state.x[:, :5], r"makes \(3, 5, 3\)"),
        (lambda state: state.x.clamp_(-0.1, 0.1), "writes into its input"),
        (lambda state: state.x.double(), "makes torch.float64 of torch.float32"),
        (lambda state: state.x / 0, "NaN or infinite"),
    ],
)
def test_broken_promises_of_a_projection(move: Callable[[State], Tensor], says: str) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mine(Projection):
        def __call__(self, state: State) -> Tensor:
            return move(state)

    with pytest.raises(AssertionError, match=says):
        check_projection(Mine())


@pytest.mark.parametrize(
    ("see", "says"),
    [
        (lambda x, target, draws: (x + torch.rand(()), target), "something else the second time"),
        (lambda x, target, draws: (x + draws.normal(x, 1, 1)[:1], target), "depends on the batch"),
        (lambda x, target, draws: (x[:, 1:], target), "of an input"),
        (lambda x, target, draws: (x, target[:1]), "loses targets: 1 of 3"),
        (lambda x, target, draws: (x.detach(), target), "cannot be differentiated"),
        (lambda x, target, draws: (x, torch.zeros(len(x))), "a target where there is none"),
        (
            lambda x, target, draws: (x, None if target is None else target[:, None]),
            r"makes targets \(3, 1\) of \(3,\)",
        ),
        (
            lambda x, target, draws: (x, None if target is None else target.roll(1)),
            "the target of Mine depends on the batch",
        ),
    ],
)
def test_broken_promises_of_a_transform(see: Callable, says: str) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mine(Transform):
        def __call__(self, x: Tensor, target: Any, draws: Any) -> tuple[Tensor, Any]:
            return see(x, target, draws)

    with pytest.raises(AssertionError, match=says):
        check_transform(Mine())


def parameterization(**methods: Callable) -> Parameterization:
    kind = type("Mine", (Direct,), dict(methods))
    return dataclass(frozen=True, kw_only=True)(kind)()


@pytest.mark.parametrize(
    ("methods", "says"),
    [
        (
            {
                "initialize": lambda self, like, space, draws: {
                    "x": 0.1 * torch.rand(len(like), *space.shape, dtype=like.dtype)
                }
            },
            "depends on the batch",
        ),
        (
            {"initialize": lambda self, like, space, draws: {"x": space.start("ball", like.float(), draws)}},
            "was asked for torch.float64",
        ),
        (
            {"__call__": lambda self, theta, space, draws: 3 * theta["x"].sign() + theta["x"]},
            "out of|not in the unit sphere",
        ),
        (
            {"__call__": lambda self, theta, space, draws: theta["x"].mean(0, keepdim=True) + 0 * theta["x"]},
            "depends on",
        ),
        ({"__call__": lambda self, theta, space, draws: theta["x"].detach()}, "cannot be differentiated"),
        ({"__call__": lambda self, theta, space, draws: Rounded.apply(theta["x"])}, "not that of its values"),
        ({"__call__": lambda self, theta, space, draws: theta["x"][:, :9]}, r"not a batch of \(64, 3\)"),
        ({"assign": lambda self, theta, x: None}, "does not keep what is assigned"),
    ],
)
def test_broken_promises_of_a_parameterization(methods: dict[str, Callable], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_parameterization(parameterization(**methods))


def test_entries_without_a_gradient_must_be_declared() -> None:
    def initialize(self, like: Tensor, space: Any, draws: Any) -> dict[str, Tensor]:
        return {"x": space.start("ball", like, draws), "idle": draws.normal(like, 2)}

    with pytest.raises(AssertionError, match="no finite gradient in 'idle'"):
        check_parameterization(parameterization(initialize=initialize))
    check_parameterization(parameterization(initialize=initialize), fixed=("idle",))


class Net(nn.Module):
    """A network with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 4)
        self.hidden = torch.rand(4)
        self.register_buffer("calls", torch.zeros(1))
        self.idle = nn.Parameter(torch.zeros(1)) if fault == "idle" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.fault == "writes":
            x.mul_(0.5)
        if self.fault == "counts":
            self.calls += 1
        scores = self.last(self.first(x).tanh().mean(1))
        faults: dict[str, Callable[[], Tensor]] = {
            "shape": lambda: scores[:, None],
            "batch": lambda: scores - scores.mean(0),
            "random": lambda: scores + torch.rand(()),
            "hidden": lambda: scores + self.hidden.to(scores),
            "nan": lambda: scores * torch.nan,
            "detached": lambda: scores + 0 * x.mean(),
            "single": lambda: scores.float(),
        }
        if self.fault == "detached":
            scores = self.last(self.first(x.detach()).tanh().mean(1))
        return faults.get(self.fault, lambda: scores)()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("shape", r"gives \(2, 1, 4\), not class scores"),
        ("batch", "depend on the batch"),
        ("random", "other scores the second time"),
        ("hidden", "state dict of Net does not hold all that matters"),
        ("nan", "NaN or infinite"),
        ("detached", "no finite gradient at its input"),
        ("single", "in float64 gives torch.float32"),
        ("writes", "writes into its input"),
        ("counts", "changes its state in eval mode"),
        ("idle", "no finite gradient for idle"),
    ],
)
def test_broken_promises_of_a_model(fault: str, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_model(lambda: Net(fault))


def test_a_model_that_keeps_its_promises_passes() -> None:
    check_model(lambda: Net("none"))
