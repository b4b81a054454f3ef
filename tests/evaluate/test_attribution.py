"""Measures of explanations against what is known of simple cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from invert3d.engine.model import Frozen
from invert3d.engine.space import Points, Voxels
from invert3d.engine.transform import Jitter
from invert3d.evaluate.attribution import (
    boundary_voxels,
    closeness_to_edges,
    deletion,
    infidelity,
    insertion,
    interval,
    max_sensitivity,
    randomized_layers,
    rank_correlation,
    removal_curve,
    removed,
    shift_sensitivity,
    surface_variation,
)
from invert3d.opening.networks import open_network
from invert3d.study.explaining.truth import measure


def test_the_two_ways_to_remove_points() -> None:
    x, keep = torch.rand(2, 20, 3), torch.arange(20) < 15
    keep = torch.stack([keep, keep.flip(0)])
    moved = removed(x, keep, "center")
    assert torch.equal(moved[keep], x[keep])
    assert torch.allclose(moved[~keep], x.mean(1, keepdim=True).expand(2, 5, 3).reshape(-1, 3))
    again = removed(x, keep, "resample")
    assert torch.equal(again[keep], x[keep])
    for i in range(2):
        assert (torch.cdist(again[i], x[i][keep[i]]).amin(1) == 0).all(), "only kept points are left"


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


def test_rank_correlation_is_that_of_ranks() -> None:
    """Pearson's of the ranks, with ties at their mean rank."""
    a, b = torch.rand(3, 40), torch.rand(3, 40).mul(9).round()
    wanted = [np.corrcoef(rankdata(a[i].numpy()), rankdata(b[i].numpy()))[0, 1] for i in range(3)]
    assert np.allclose(rank_correlation(a, b).numpy(), wanted)
    assert rank_correlation(a, a**3).numpy() == pytest.approx([1, 1, 1])
    assert rank_correlation(torch.ones(1, 9), torch.rand(1, 9)).item() == 0


def test_the_interval_covers_the_mean() -> None:
    mean, low, high = interval(torch.tensor([0.0, 1.0] * 50))
    assert (
        mean == 0.5 and low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.015) and high == pytest.approx(0.598, abs=0.015)
    )
    assert interval(torch.tensor([3.0])) == interval(torch.full((5,), 3.0)) == (3, 3, 3)


def test_a_row_of_the_table() -> None:
    network = open_network("pointnet_vanilla-shapes", points=128)
    true, chance = (measure(network, name) for name in ("point_saliency", "random"))
    assert " ".join(true) == (
        "network method shapes runs incomplete deletion insertion infidelity jitter rotation randomized curvature edges"
    )
    assert true["shapes"] >= 10
    assert float(true["deletion"].split()[0]) < float(chance["deletion"].split()[0])
    assert abs(float(chance["edges"].split()[0])) < 0.05
    with pytest.raises(ValueError, match="did you mean gradient"):
        measure(network, "gradiant")


class Weighted(nn.Module):
    """Class 0 is a weighted sum of the voxels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 6, 6, 6, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        total = (x * self.weight).flatten(1).sum(1)
        return torch.stack([total, -total], 1)


def test_of_a_grid_only_filled_voxels_are_removed() -> None:
    x = (torch.rand(2, 1, 6, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    model, target = Weighted(), torch.tensor([0, 0])
    frozen = Frozen(model, Voxels(size=6))
    curve = removal_curve(frozen, x, target, model.weight.detach().expand(2, 6, 6, 6), shares=[0.5], how="empty")
    for row in range(2):
        worth = model.weight.detach()[0][x[row, 0] > 0].sort(descending=True).values
        rest = worth[round(0.5 * len(worth)) :].sum()
        assert curve[row, 0] == pytest.approx(float(torch.sigmoid(2 * rest)), abs=1e-4)
    with pytest.raises(ValueError, match="voxels are removed by empty or blur"):
        removed(x, x[:, 0] > 0, "center")
    with pytest.raises(ValueError, match="points are removed by center"):
        removed(torch.rand(1, 4, 3), torch.ones(1, 4, dtype=torch.bool), "empty")


def test_infidelity_is_zero_for_a_sum_and_one_for_noise() -> None:
    x = (torch.rand(2, 1, 6, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    model, target = Weighted(), torch.tensor([0, 0])
    frozen, true = Frozen(model, Voxels(size=6)), (model.weight.detach() * x)
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(2))
    right = infidelity(frozen, x, target, true, contributions=True, how="empty")
    slope = infidelity(frozen, x, target, model.weight.detach().expand_as(x), contributions=False, how="empty")
    wrong = infidelity(frozen, x, target, noise, contributions=True, how="empty", tries=64)
    opposite = infidelity(frozen, x, target, -true, contributions=True, how="empty")
    assert right.max() < 1e-9 and slope.max() < 1e-9 and wrong.min() > 0.5
    assert opposite.min() == 1, "the wrong sign foretells nothing"


def test_closeness_to_edges_by_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    points, edges = torch.rand(30, 3, generator=generator), torch.rand(700, 2, 3, generator=generator)
    slow = []
    for p in points:
        distances = []
        for a, b in edges:
            place = float(((p - a) @ (b - a) / (b - a).square().sum()).clamp(0, 1))
            distances.append(float((p - a - place * (b - a)).norm()))
        slow.append(np.exp(-min(distances) / 0.1))
    assert closeness_to_edges(points, edges, 0.1).tolist() == pytest.approx(slow, abs=1e-5)


def test_the_skin_of_a_grid_by_a_slow_loop() -> None:
    grid = torch.rand(6, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.8
    around = np.pad(grid.numpy(), 1)
    slow = [
        [int(i), int(j), int(k)]
        for i, j, k in grid.nonzero()
        if not all(
            around[i + 1 + a, j + 1 + b, k + 1 + c]
            for a, b, c in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
        )
    ]
    assert boundary_voxels(grid.float()).nonzero().tolist() == slow


def test_layers_are_drawn_anew_from_the_last_to_the_first() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    one = randomized_layers(model, 1 / 3).state_dict()
    changed = [key for key in before if not torch.equal(one[key], before[key])]
    assert changed == ["4.weight"]
    all_ = randomized_layers(model, 1.0).state_dict()
    assert [key for key in before if not torch.equal(all_[key], before[key])] == ["0.weight", "2.weight", "4.weight"]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_grid_that_moves_is_compared_where_it_was() -> None:
    x = torch.zeros(1, 1, 6, 6, 6)
    x[0, 0, 2:4, 2:4, 2:4] = 1
    assert float(shift_sensitivity(lambda near: near[:, 0] * 2, x)) == 0
    place = torch.arange(216.0).view(1, 6, 6, 6)
    assert float(shift_sensitivity(lambda near: near[:, 0] * place, x)) > 0.1
