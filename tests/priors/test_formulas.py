"""Priors on clouds against their formulas, point by point, and what they are zero for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from invert3d.priors.points import Repulsion, Symmetry, Uniformity
from invert3d.testing import blank_state, example_clouds


def value(prior, x: Tensor) -> Tensor:
    return prior(blank_state(x, range(len(x))))


def sorted_distances(x: Tensor) -> Tensor:
    """Distances (B, N, N - 1) from each point to the others, nearest first."""
    return torch.cdist(x, x).sort(-1).values[..., 1:]


def test_repulsion() -> None:
    x, k, h = example_clouds(), 4, 0.3
    total = torch.zeros(3, dtype=x.dtype)
    for b in range(3):
        for near in sorted_distances(x)[b, :, :k].tolist():
            total[b] += sum(max(0, h - d) / h * math.exp(-((d / h) ** 2)) for d in near)
    assert torch.allclose(value(Repulsion(k=k, h=h), x), total / (x.shape[1] * k), atol=1e-7)
    assert value(Repulsion(h=1e-3), x).abs().max() == 0, "nothing is that near"


def test_repulsion_parts_points_that_almost_touch_in_single_precision() -> None:
    x = example_clouds().float()
    x[:, 1::2] = x[:, ::2] + torch.tensor([2e-4, 0, 0])
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(value(Repulsion(k=1), x).sum(), x)
    assert (gradient[:, ::2, 0] > 0).all() and (gradient[:, 1::2, 0] < 0).all(), "downhill is apart"


def test_uniformity() -> None:
    x = example_clouds()
    far = sorted_distances(x)[..., 4]
    assert torch.allclose(value(Uniformity(k=5), x), far.var(1) / far.mean(1) ** 2)
    assert torch.allclose(value(Uniformity(k=5), 7 * x), value(Uniformity(k=5), x)), "free of scale"
    side = torch.linspace(0, 1, 4, dtype=torch.float64)
    corners = torch.cartesian_prod(side[:2], side[:2], side[:2])[None] * 3
    assert value(Uniformity(k=3), corners) < 1e-12


@pytest.mark.parametrize(("axis", "index"), [("x", 0), ("y", 1), ("z", 2)])
def test_symmetry(axis: str, index: int) -> None:
    x = example_clouds()
    mirrored = x.clone()
    mirrored[..., index] *= -1
    wanted = torch.cdist(x, mirrored).amin(-1).square().mean(-1)
    assert torch.allclose(value(Symmetry(axis=axis), x), wanted)
    whole = torch.cat([x, mirrored], 1)
    assert value(Symmetry(axis=axis), whole).max() < 1e-12


@pytest.mark.parametrize("prior", [Repulsion(k=2, h=0.3), Symmetry()])
def test_weights_carry_over_between_point_counts(prior) -> None:
    """They are means: a cloud of clones, far apart, has the value of one of them."""
    x = example_clouds(points=32)
    shift = torch.tensor([0.0, 50.0, 0.0], dtype=x.dtype)
    assert torch.allclose(value(prior, torch.cat([x, x + shift], 1)), value(prior, x))
