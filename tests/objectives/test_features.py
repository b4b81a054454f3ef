"""Objectives on a layer: their formulas, where they are least, and their gradients."""

from __future__ import annotations

import pytest
import torch

from invert3d.objectives.features import FeatureDistance, FeatureMatch, RelativeLoss, relative_loss
from invert3d.testing import blank_state

WANTED = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.double)


def state_of(found: torch.Tensor):
    state = blank_state(found, range(len(found)))
    state.features, state.view_target = {"fc5": found}, WANTED
    return state


def test_formulas_of_two_descriptors() -> None:
    state = state_of(torch.tensor([[3.0, 0.0], [1.0, 0.0]], dtype=torch.double))
    assert FeatureDistance(layer="fc5")(state).tolist() == [4.0, 0.0]
    assert RelativeLoss(layer="fc5")(state).tolist() == [pytest.approx(4 / (3 + 5)), 0.0]
    assert FeatureMatch(layer="fc5")(state).tolist() == [pytest.approx(16 / 25), 0.0]
    assert RelativeLoss(layer="fc5").taps == FeatureDistance(layer="fc5").taps == ("fc5",)


def test_the_relative_loss_is_between_0_and_1_whatever_the_scale() -> None:
    one, other = torch.rand(5, 2, 3, 3), torch.rand(5, 2, 3, 3)
    found = relative_loss(one, other)
    assert ((found > 0) & (found < 1)).all() and torch.allclose(relative_loss(100 * one, 100 * other), found)
    assert torch.allclose(relative_loss(one, -one), torch.ones(5)) and not relative_loss(one * 0, one * 0).any()


@pytest.mark.parametrize("objective", [FeatureDistance(layer="fc5"), RelativeLoss(layer="fc5")])
def test_gradients(objective) -> None:
    found = torch.rand(2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: objective(state_of(x)), found)
