"""The networks that describe pictures have the layers of their reference."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from invert3d.models.posenet import PairHeads, PoseNet
from invert3d.registry import registered

#: what each block leaves of 100 x 100 pixels, the descriptor, and the parameters
LAYERS = {
    "smallnet_v5": ([(96, 16, 16), (128, 8, 8), (256, 8, 8), (64, 5, 5)], 512, 1_299_265),
    "streetnet": ([(96, 16, 16), (128, 8, 8), (256, 8, 8), (256, 4, 4)], 512, 3_150_849),
    "posenet_torch7": ([(20, 47, 47), (40, 24, 24), (80, 11, 11), (160, 2, 2)], 500, 850_240),
}


@pytest.mark.parametrize("name", registered("descriptor"))
def test_layers(name: str) -> None:
    torch.manual_seed(0)
    net = registered("descriptor")[name]()
    assert isinstance(net, PoseNet)
    shapes, size, parameters = LAYERS[name]
    x = torch.rand(2, 3, 100, 100)
    for block, shape in zip((net.conv1, net.conv2, net.conv3, net.conv4), shapes, strict=True):
        x = block(x)
        assert tuple(x.shape[1:]) == shape
    assert net.size == size and net(torch.rand(2, 3, 100, 100)).shape == (2, size)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_the_first_convolutions_of_smallnet_before_they_are_pooled() -> None:
    net = registered("descriptor")["smallnet_v5"]()
    assert net.conv1[0](torch.rand(1, 3, 100, 100)).shape[1:] == (96, 32, 32)
    conv4 = net.conv4[0]
    assert isinstance(conv4, nn.Conv2d) and conv4(torch.rand(1, 256, 8, 8)).shape[1:] == (64, 10, 10)


def test_heads_compare_two_descriptors() -> None:
    heads = PairHeads(8)
    found = heads(torch.rand(3, 8), torch.rand(3, 8))
    assert found["pose"].shape == (3, 6) and found["match"].shape == (3, 2)
