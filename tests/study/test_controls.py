"""Shuffled networks: the same weights in another order, the same ones for the same seed, and alive."""

from __future__ import annotations

import torch
from torch import nn

from invert3d.opening.networks import open_network
from invert3d.study.controls import randomized, randomized_detector
from tests.models.test_detectors import tiny


def check_shuffled(whole: nn.Module, other: nn.Module) -> None:
    """Each tensor has the values it had, and some are at other places."""
    for (name, a), b in zip(whole.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a.flatten().sort().values, b.flatten().sort().values), name
    assert any(not torch.equal(a, b) for a, b in zip(whole.parameters(), other.parameters(), strict=True))


def test_a_shuffled_network_has_the_same_weights_in_another_order() -> None:
    network = open_network("pointnet_vanilla-shapes", points=64)
    one, again, other = randomized(network, 1), randomized(network, 1), randomized(network, 2)
    check_shuffled(network.frozen.model, one.frozen.model)
    assert one.name == "pointnet_vanilla-shapes shuffled" and one.card is None and one.classes == network.classes
    x = torch.rand(2, 64, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    assert torch.equal(one.frozen(x), again.frozen(x)) and not torch.equal(one.frozen(x), other.frozen(x))
    assert one.frozen(x).std() > 0.01


def test_a_shuffled_detector_has_the_same_weights_in_another_order() -> None:
    whole = tiny(height=96, width=320)
    other = randomized_detector(whole, torch.rand(4, 3, 96, 320))
    check_shuffled(whole, other)
    assert not other.training
