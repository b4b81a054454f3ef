"""A classifier of the package torch-pointcloud, where that is installed, at random weights."""

from __future__ import annotations

import pytest
import torch

from invert3d.engine.diagnose import diagnose
from invert3d.opening.networks import open_network

pytest.importorskip("torch_pointcloud")
FACTORY = "torch_pointcloud:create_model"
NAME = "pointnet.modelnet40.jiawei-ren"  # needs no compiled extension


def test_a_classifier_opens_and_passes_a_gradient(clouds) -> None:
    args = {"name": NAME, "task": "classification", "num_classes": 10}
    network = open_network(FACTORY, args=args, layout="packed", up="y", points=128)
    assert len(network.classes) == 10 and network.options == args
    x = clouds(2, 128)
    found = diagnose(network.frozen, x)
    assert found.layout == "packed" and found.finite and found.gradient, found.lines()
    one = network.frozen(x[:1])
    assert torch.allclose(one, network.frozen(x)[:1], atol=1e-3)
