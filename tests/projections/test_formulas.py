"""Projections on clouds against their formulas, point by point."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invert3d.projections.bounds import Clip, NearStart
from invert3d.projections.smooth import KnnSmooth
from invert3d.testing import blank_state, example_clouds


def moved(projection, x: Tensor) -> Tensor:
    return projection(blank_state(x, range(len(x))))


@pytest.mark.parametrize("including_self", [False, True])
@pytest.mark.parametrize(("k", "strength"), [(1, 1.0), (3, 0.5), (8, 1.0), (5, 0.0)])
def test_smoothing_is_the_formula_of_the_paper(k: int, strength: float, including_self: bool) -> None:
    x = example_clouds()
    wanted = torch.empty_like(x)
    for b, cloud in enumerate(x):
        for i, p in enumerate(cloud):
            order = [j for j in (cloud - p).norm(dim=-1).argsort().tolist() if j != i][:k]
            members = [*order, i] if including_self else order
            wanted[b, i] = p + strength / len(members) * sum(cloud[j] - p for j in members)
    projection = KnnSmooth(k=k, strength=strength, including_self=including_self)
    assert torch.allclose(moved(projection, x), wanted, atol=1e-12)


def test_top_2_of_the_authors_is_the_midpoint_with_the_nearest() -> None:
    x = example_clouds()
    found = moved(KnnSmooth(k=1, including_self=True), x)
    nearest = torch.cdist(x, x).add(torch.eye(32) * 9).argmin(-1)
    mates = torch.stack([cloud[j] for cloud, j in zip(x, nearest, strict=True)])
    assert torch.allclose(found, (x + mates) / 2)


@pytest.mark.parametrize("settings", [{"k": 0}, {"strength": 1.5}, {"strength": -0.1}])
def test_bad_settings_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match="k must be at least 1 and strength in"):
        KnnSmooth(**settings)


def test_more_neighbors_than_points_are_refused() -> None:
    with pytest.raises(ValueError, match="K = 32 neighbors in a cloud of 32 points"):
        moved(KnnSmooth(k=32), example_clouds())


def test_clip() -> None:
    x = example_clouds()
    assert torch.equal(moved(Clip(low=-0.2, high=0.1), x), x.clip(-0.2, 0.1))


def test_near_start_keeps_each_point_in_its_ball() -> None:
    x = example_clouds()
    state = blank_state(x, range(3))
    projection = NearStart(radius=0.1)
    assert torch.equal(projection(state), x), "the first is where it starts"
    direction = torch.nn.functional.normalize(torch.randn_like(x), dim=-1)
    state.x = x + 0.04 * direction
    assert torch.allclose(projection(state), state.x), "inside, nothing moves"
    state.x = x + 7 * direction
    assert torch.allclose(projection(state), x + 0.1 * direction), "outside, straight back"
    state.x = x.clone()
    assert torch.equal(projection(state), x)
