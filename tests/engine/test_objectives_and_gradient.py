"""The algebra of objectives, and the derivative against autograd and captum."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from captum.attr import Saliency
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.gradient import input_gradient
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Balanced, Objective, WeightedSum, as_terms
from invert3d.engine.space import Points
from invert3d.engine.state import State
from invert3d.models.pointnet import PointNetVanilla
from invert3d.objectives.classes import ClassScore, CrossEntropy
from invert3d.objectives.features import FeatureMatch
from invert3d.testing import class_state, example_clouds


@dataclass(frozen=True, kw_only=True)
class Power(Objective):
    """Mean of a power of x."""

    exponent: int = 1

    def __call__(self, state: State) -> Tensor:
        return (state.x**self.exponent).mean((1, 2))

    def update(self, state: State) -> None:
        state.memory[f"updates of {self.exponent}"] = torch.ones(len(state.x))


@dataclass(frozen=True, kw_only=True)
class Constant(Objective):
    """1, whatever x is."""

    def __call__(self, state: State) -> Tensor:
        return torch.ones(len(state.x), dtype=state.x.dtype)


A, B, C = Power(exponent=1), Power(exponent=2), Power(exponent=3)


@pytest.fixture
def state() -> State:
    return class_state(example_clouds(), range(3))


def test_balanced_priors_have_a_share_of_the_gradient(state: State) -> None:
    state.x = state.x.double().requires_grad_()
    alone = {term: torch.autograd.grad(term(state).sum(), state.x)[0] for term in (A, B, C)}
    nothing = Constant()
    balanced = Balanced(terms=((2.0, A), (0.3, B), (0.01, C), (0.0, A), (5.0, nothing)))
    loss = balanced(state)
    found = torch.autograd.grad(loss.sum(), state.x)[0]
    for row in range(len(state.x)):  # a slow loop over samples
        length = alone[A][row].norm()
        parts = [share * length / alone[t][row].norm() * alone[t][row] for share, t in ((0.3, B), (0.01, C))]
        assert torch.allclose(found[row], 2 * (alone[A][row] + parts[0] + parts[1]), rtol=1e-6)
    assert torch.equal(loss, 2 * A(state)), "the value is that of the first term"
    assert 2 * Balanced(terms=((1.0, A), (0.3, B))) + 0.1 * C == Balanced(terms=((2.0, A), (0.3, B), (0.1, C)))
    assert as_terms(balanced) == balanced.terms


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (2 * (A + B), 2 * A + 2 * B),
        ((A + B) * 3, 3 * A + 3 * B),
        (A - B, A + -1.0 * B),
        (-(A + B), -A - B),
        (A + (B + C), (A + B) + C),
        (A - (B - C), A - B + C),
        (2 * (3 * A), 6 * A),
        (0.5 * (A + 2 * (B - 3 * C)), 0.5 * A + B - 3 * C),
    ],
)
def test_the_algebra_is_that_of_numbers(left: Objective, right: Objective, state: State) -> None:
    assert torch.allclose(left(state), right(state), atol=1e-12)
    assert as_terms(left) == as_terms(right), "the same recipe too"


def test_sums_are_what_they_say(state: State) -> None:
    total = A + 4e-6 * B - 2 * C
    assert torch.allclose(total(state), A(state) + 4e-6 * B(state) - 2 * C(state))
    assert isinstance(total, WeightedSum) and len(total.terms) == 3
    assert repr(total) == (
        "WeightedSum(terms=((1.0, Power(exponent=1)), (4e-06, Power(exponent=2)), (-2.0, Power(exponent=3))))"
    )


def test_nothing_is_mutated() -> None:
    total = A + B
    before = repr(A), repr(B), repr(total)
    _ = 2 * total, -total, total + C, total - total, A * 5
    assert (repr(A), repr(B), repr(total)) == before


def test_taps_and_updates_reach_all_terms_once(state: State) -> None:
    total = FeatureMatch(layer="f") + 2 * FeatureMatch(layer="g") + 3 * FeatureMatch(layer="f") + A
    assert total.taps == ("f", "g")
    (A + 2 * (B + C)).update(state)
    assert list(state.memory) == ["updates of 1", "updates of 2", "updates of 3"]


def test_a_weight_of_zero_costs_nothing(state: State) -> None:
    class Never(Objective):
        def __call__(self, state: State) -> Tensor:
            raise AssertionError("it was asked")

    assert torch.equal((A + 0 * Never())(state), A(state))
    state.x.requires_grad_()
    nothing = (0 * Never())(state)
    assert nothing.tolist() == [0.0] * 3 and nothing.requires_grad


@pytest.fixture
def network() -> Frozen:
    torch.manual_seed(0)
    return Frozen(PointNetVanilla(6), Points(points=40))


TARGET = torch.tensor([4, 0, 2])


def test_the_gradient_is_that_of_autograd(network: Frozen, clouds) -> None:
    x = clouds(3, 40)
    gradient, state = input_gradient(network, CrossEntropy(), x, TARGET)
    leaf = x.clone().requires_grad_()
    nn.functional.cross_entropy(network.model.eval()(leaf), TARGET, reduction="sum").backward()
    assert torch.allclose(gradient, leaf.grad, atol=1e-7)
    assert gradient.shape == x.shape and not gradient.requires_grad and not x.requires_grad
    assert state.loss.shape == (3,) and not state.loss.requires_grad and not state.outputs.requires_grad
    assert torch.allclose(state.outputs, network(x))


def test_the_gradient_is_that_of_captum(network: Frozen, clouds) -> None:
    x = clouds(3, 40)
    gradient, _ = input_gradient(network, ClassScore(), x, TARGET)
    with network:
        theirs = Saliency(network.model).attribute(x.clone().requires_grad_(), target=TARGET, abs=False)
    assert torch.allclose(-gradient, theirs, atol=1e-7)


def test_samples_do_not_mix(network: Frozen, clouds) -> None:
    x = clouds(3, 40)
    whole, _ = input_gradient(network, CrossEntropy(), x, TARGET)
    alone, _ = input_gradient(network, CrossEntropy(), x[1:2], TARGET[1:2])
    assert torch.allclose(whole[1:2], alone, atol=1e-7)


def test_the_gradient_of_a_feature(network: Frozen, clouds) -> None:
    x = clouds(3, 40)
    wanted = torch.rand(3, 1024)
    gradient, state = input_gradient(network, FeatureMatch(layer="feature_model"), x, wanted)
    leaf = x.clone().requires_grad_()
    found = network.model.eval().feature_model(leaf)
    ((found - wanted).square().sum(1) / wanted.square().sum(1)).sum().backward()
    assert torch.allclose(gradient, leaf.grad, atol=1e-6)
    assert state.features["feature_model"].shape == (3, 1024)


def test_an_illegal_input_is_refused(network: Frozen) -> None:
    with pytest.raises(ValueError, match="transpose"):
        input_gradient(network, CrossEntropy(), torch.zeros(3, 3, 40), TARGET)


def test_draws_belong_to_samples() -> None:
    like = torch.empty(4, 0, dtype=torch.float64)
    draws = Draws.seeded(7, [0, 1, 2, 3])
    kept = draws.copy()
    x = draws.uniform(like, -2, 3, 50, 2)
    assert x.shape == (4, 50, 2) and x.dtype is torch.float64 and x.min() >= -2 and x.max() < 3
    assert len({float(value) for value in x[:, 0, 0]}) == 4
    assert torch.equal(kept.uniform(like, -2, 3, 50, 2), x), "a copy goes its own way"
    saved = draws.state()
    after = draws.normal(like, 5)
    assert torch.equal(Draws(**saved).normal(like, 5), after)
    assert torch.equal(Draws(**saved).select([3, 1]).normal(like[:2], 5), after[[3, 1]])
    assert torch.equal(Draws.seeded(7, [2]).uniform(like[:1], -2, 3, 50, 2)[0], x[2])
    assert not torch.equal(Draws.seeded(8, [2]).uniform(like[:1], -2, 3, 50, 2)[0], x[2])
