"""Remembered statistics: a prior that reads what batch norms have learned."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from invert3d.engine.gradient import input_gradient
from invert3d.engine.model import Frozen
from invert3d.engine.space import Image
from invert3d.priors.statistics import BatchNormStatistics, norm_layers
from invert3d.testing import blank_state, example_pictures


def network() -> nn.Sequential:
    """A convolution and a batch norm that remembers something else than it will see."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4, affine=False)).double()
    norm = model[1]
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.2, 2)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.bias)
    return model.eval()


@torch.no_grad()
def test_it_is_the_distance_of_means_and_log_deviations_from_the_remembered_ones() -> None:
    model, x = network(), 3 * example_pictures()
    before = model[0](x)
    after, norm = model[1](before), model[1]
    state = blank_state(x, range(3))
    state.features, state.layers = {"1": after}, {"1": norm}
    found = BatchNormStatistics(layers=("1",), slack=0.1)(state)
    for i in range(3):
        total = 0.0
        for c in range(4):
            values = before[i, c].flatten()
            remembered = float(norm.running_mean[c]), float(norm.running_var[c])
            mean = abs(float(values.mean()) - remembered[0]) / math.sqrt(remembered[1])
            spread = abs(math.log(float(values.var(unbiased=False)) / remembered[1]) / 2)
            total += max(0, mean - 0.1) ** 2 + max(0, spread - 0.1) ** 2
        assert float(found[i]) == pytest.approx(total / 4, rel=2e-3)


def test_norms_that_remember_are_found_by_name() -> None:
    assert norm_layers(network()) == ("1",), "one without weights of its own cannot be read"
    assert norm_layers(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False))) == ()


def test_its_gradient_is_that_of_one_derivative_too() -> None:
    frozen = Frozen(network(), Image(height=16, width=24, mean=(0.0,) * 3, std=(1.0,) * 3), output="raw")
    prior = BatchNormStatistics(layers=("1",), slack=0.0)
    gradient, state = input_gradient(frozen, prior, example_pictures())
    x, nudge = example_pictures(), torch.randn(3, 3, 16, 24, dtype=torch.float64)
    ahead, behind = (input_gradient(frozen, prior, x + step * nudge)[1].loss for step in (1e-5, -1e-5))
    assert torch.allclose((gradient * nudge).flatten(1).sum(1), (ahead - behind) / 2e-5, rtol=1e-4)
    assert (ahead != behind).all() and torch.allclose(state.loss, (ahead + behind) / 2)


def test_a_layer_that_is_no_batch_norm_is_refused() -> None:
    state = blank_state(example_pictures(), range(3))
    state.features, state.layers = {"0": torch.zeros(3, 4, 2, 2)}, {"0": nn.Conv2d(3, 4, 3)}
    with pytest.raises(ValueError, match="0 is Conv2d, not a batch norm that remembers"):
        BatchNormStatistics(layers=("0",))(state)
