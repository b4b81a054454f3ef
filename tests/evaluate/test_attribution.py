"""Measures of explanations against what is known of simple cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from invert3d.engine.model import Frozen
from invert3d.engine.space import Points
from invert3d.engine.transform import Jitter
from invert3d.evaluate.attribution import (
    deletion,
    insertion,
    interval,
    max_sensitivity,
    rank_correlation,
    removal_curve,
    removed,
    surface_variation,
)
from invert3d.study.explained import COLUMNS, measure
from invert3d.study.networks import open_network


def test_the_three_ways_to_remove_points() -> None:
    x, keep = torch.rand(2, 20, 3), torch.arange(20) < 15
    keep = torch.stack([keep, keep.flip(0)])
    moved = removed(x, keep, "center")
    assert torch.equal(moved[keep], x[keep])
    assert torch.allclose(moved[~keep], x.mean(1, keepdim=True).expand(2, 5, 3).reshape(-1, 3))
    again = removed(x, keep, "resample")
    assert torch.equal(again[keep], x[keep])
    for i in range(2):
        assert (torch.cdist(again[i], x[i][keep[i]]).amin(1) == 0).all(), "only kept points are left"
    less = removed(x, keep, "drop")
    assert torch.equal(less[0], x[0, :15]) and torch.equal(less[1], x[1, 5:])


class Upper(nn.Module):
    """Class 0 if the points reach high, class 1 if not."""

    def forward(self, x: Tensor) -> Tensor:
        high = 8 * x[..., 2].clamp_min(0).mean(1)
        return torch.stack([high, 1 - high], 1)


def test_a_true_explanation_deletes_and_inserts_better_than_its_opposite() -> None:
    x, target = torch.rand(3, 60, 3) - 0.5, torch.zeros(3, dtype=torch.long)
    frozen, true = Frozen(Upper(), Points(points=60)), x[..., 2]
    assert (deletion(frozen, x, target, true) < deletion(frozen, x, target, -true)).all()
    assert (insertion(frozen, x, target, true) > insertion(frozen, x, target, -true)).all()
    curve = removal_curve(frozen, x, target, true, shares=[0.0, 1.0])
    whole = frozen(x).softmax(-1)[:, 0]
    assert torch.allclose(curve[:, 0], whole)
    assert torch.allclose(removal_curve(frozen, x, target, true, shares=[1.0], most_first=False)[:, 0], whole)


def test_sensitivity_is_zero_for_what_does_not_look_and_grows_with_the_noise() -> None:
    x = torch.rand(2, 50, 3)
    assert max_sensitivity(lambda x: torch.ones(len(x), 50), x, Jitter(sigma=0.1)).eq(0).all()
    little, much = (max_sensitivity(lambda x: x[..., 0], x, Jitter(sigma=s)) for s in (0.01, 0.3))
    assert (little < much).all() and (little > 0).all()


def test_surface_variation_tells_planes_from_edges() -> None:
    i = torch.linspace(-1, 1, 21)
    plane = torch.stack(torch.meshgrid(i, i, indexing="ij"), -1).reshape(-1, 2)
    floor = torch.cat([plane, torch.zeros(len(plane), 1)], 1)
    wall = torch.stack([torch.ones(len(plane)), plane[:, 0], plane[:, 1] + 1.0], 1)
    x = torch.cat([floor, wall])[None]
    found = surface_variation(x, k=12)[0]
    assert found[(x[0, :, 0] < 0.5)].max() < 1e-6, "flat"
    edge = (x[0, :, 0] > 0.95) & (x[0, :, 2] < 0.05)
    assert found[edge].min() > 0.02
    assert found.max() <= 1 / 3 + 1e-9


def test_rank_correlation_is_that_of_scipy() -> None:
    a, b = torch.rand(3, 40), torch.rand(3, 40)
    wanted = [spearmanr(a[i].numpy(), b[i].numpy()).statistic for i in range(3)]
    assert np.allclose(rank_correlation(a, b).numpy(), wanted)
    assert rank_correlation(a, a**3).numpy() == pytest.approx([1, 1, 1])
    assert rank_correlation(torch.ones(1, 9), torch.rand(1, 9)).item() == 0


def test_the_interval_covers_the_mean() -> None:
    mean, low, high = interval(torch.tensor([0.0, 1.0] * 50))
    assert mean == 0.5 and 0.35 < low < 0.5 < high < 0.65


def test_a_row_of_the_table() -> None:
    network = open_network("pointnet_vanilla-shapes", points=128)
    true, chance = (measure(network, name) for name in ("point_saliency", "random"))
    assert set(true) == set(COLUMNS)
    assert true["shapes"] >= 10
    assert float(true["deletion"].split()[0]) < float(chance["deletion"].split()[0])
    assert abs(float(chance["edges"].split()[0])) < 0.05
    with pytest.raises(ValueError, match="did you mean gradient"):
        measure(network, "gradiant")
