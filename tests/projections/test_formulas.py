"""Projections on clouds against their formulas, point by point."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from invert3d.engine.state import State
from invert3d.projections.bounds import Ball, Clip
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


BALLS = {
    "linf": Ball(norm="linf", radius=0.1),
    "l2": Ball(norm="l2", radius=0.6),
    "l0": Ball(norm="l0", radius=5),
    "linf per point": Ball(norm="linf", radius=0.1, per="point"),
    "l2 per point": Ball(norm="l2", radius=0.1, per="point"),
    "l0 per point": Ball(norm="l0", radius=4, per="point"),
}


def begun(x: Tensor, start: Tensor) -> State:
    state = blank_state(x, range(len(x)))
    state.start = start
    return state


def inside(ball: Ball, change: Tensor) -> Tensor:
    """Whether changes (..., N, 3) are in a ball, by its definition."""
    if ball.norm == "linf":
        return (change.abs() <= ball.radius + 1e-12).flatten(-2).all(-1)
    if ball.norm == "l2":
        lengths = change.square().sum(-1).sqrt() if ball.per == "point" else change.flatten(-2).norm(dim=-1)[..., None]
        return (lengths <= ball.radius + 1e-12).all(-1)
    moved = (change != 0).any(-1).sum(-1) if ball.per == "point" else (change != 0).flatten(-2).sum(-1)
    return moved <= ball.radius


@pytest.mark.parametrize("name", BALLS)
def test_a_ball_holds_and_moves_only_what_is_outside(name: str) -> None:
    x, ball = example_clouds(), BALLS[name]
    start = x + 0.2 * torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    assert torch.equal(ball(begun(start.clone(), start)), start), "the start is its middle"
    found = ball(begun(x, start))
    assert not inside(ball, x - start).any() and inside(ball, found - start).all()
    assert torch.allclose(ball(begun(found, start)), found, atol=1e-15), "inside, nothing moves"
    within = start + 0.01 * (found - start)
    assert torch.equal(ball(begun(within, start)), within)


@pytest.mark.parametrize("name", BALLS)
def test_a_ball_gives_its_nearest_point(name: str) -> None:
    """Nearer than random points of the ball, and than steps from there toward x."""
    generator = torch.Generator().manual_seed(2)
    x, ball = torch.randn(1, 4, 3, dtype=torch.float64, generator=generator), BALLS[name]
    ball = replace(ball, radius=2) if ball.norm == "l0" else ball
    start = torch.zeros_like(x)
    found = ball(begun(x, start))
    distance = (found - x).norm()
    others = torch.randn(20_000, 4, 3, dtype=torch.float64, generator=generator)
    if ball.norm == "l0":
        places = 4 if ball.per == "point" else 12
        masks = torch.tensor(list(product([0, 1], repeat=places)), dtype=torch.bool)
        masks = masks[masks.sum(1) <= 2]
        others = torch.where(masks.view(-1, 4, 1) if ball.per == "point" else masks.view(-1, 4, 3), x, 0)
    else:
        steps = others * torch.rand(20_000, 1, 1, dtype=torch.float64, generator=generator) * 0.05
        near = (found + steps).clamp(-0.1, 0.1) if ball.norm == "linf" else found + steps
        others = torch.cat([near, found + torch.linspace(0, 1, 50, dtype=torch.float64)[1:, None, None] * (x - found)])
    legal = others[inside(ball, others)]
    assert len(legal) > 10 and ((legal - x).flatten(1).norm(dim=1) >= distance - 1e-9).all()


def test_pictures_have_balls_of_whole_samples() -> None:
    x, start = torch.rand(3, 3, 8, 9), torch.rand(3, 3, 8, 9)
    assert (Ball(norm="linf", radius=0.1)(begun(x, start)) - start).abs().max() <= 0.1 + 1e-6
    length = (Ball(norm="l2", radius=0.5)(begun(x, start)) - start).flatten(1).norm(dim=1)
    assert torch.allclose(length, torch.full((3,), 0.5))
    assert (Ball(norm="l0", radius=7)(begun(x, start)) != start).flatten(1).sum(1).tolist() == [7] * 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"norm": "l3"}, "unknown norm 'l3'"),
        ({"per": "pixel"}, "unknown per 'pixel'"),
        ({"radius": 0.0}, "radius of an l2 ball must be positive and finite, not 0.0"),
        ({"radius": math.nan}, "not nan"),
        ({"norm": "l0", "radius": 2.5}, "radius of an l0 ball must be a positive whole number, not 2.5"),
    ],
)
def test_balls_that_are_none_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Ball(**settings)
