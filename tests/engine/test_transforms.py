"""Random views of clouds do what their names say, within their limits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.transform import (
    Abstract,
    DropPoints,
    Jitter,
    Normalize,
    Rotate,
    Scale,
    Shift,
    Warp,
    chained,
    rotation_matrices,
)

BATCH = 200


def view(transform, x: Tensor) -> Tensor:
    return transform(x, None, Draws.seeded(0, range(len(x))))[0]


def cloud(clouds) -> Tensor:
    return clouds(1, 64, dtype=torch.float64).expand(BATCH, -1, -1)


def test_rotations_are_proper_and_within_their_limits(clouds) -> None:
    x = cloud(clouds)
    y = view(Rotate(degrees=30), x)
    assert torch.allclose(y[..., 2], x[..., 2]) and torch.allclose(y.norm(dim=-1), x.norm(dim=-1))
    cosine = (x[..., :2] * y[..., :2]).sum(-1) / x[..., :2].square().sum(-1)
    angle = cosine.clamp(-1, 1).acos().rad2deg()
    assert angle.max() <= 30 + 1e-6 and angle[:, 0].max() > 28 and angle[:, 0].min() < 2
    turns = rotation_matrices(torch.randn(50, 3, dtype=torch.float64))
    assert torch.allclose(turns @ turns.mT, torch.eye(3).double().expand(50, 3, 3), atol=1e-12)
    assert torch.allclose(torch.linalg.det(turns), torch.ones(50).double())


def test_a_rotation_about_another_axis_leaves_it(clouds) -> None:
    x = cloud(clouds)
    assert torch.allclose(view(Rotate(degrees=90, up="y"), x)[..., 1], x[..., 1])
    tilted = view(Rotate(degrees=0, tilt=10), x)
    lean = (tilted[..., 2] - x[..., 2]).abs().amax(1)
    assert lean.max() > 0.05 and lean.max() <= math.sqrt(2) * math.sin(math.radians(15)) * x.norm(dim=-1).max()


def test_scales_and_shifts(clouds) -> None:
    x = cloud(clouds)
    factor = (view(Scale(low=0.8, high=1.2), x) / x).flatten(1)
    assert torch.allclose(factor.amin(1), factor.amax(1)) and factor.min() >= 0.8 and factor.max() <= 1.2
    assert factor.max() - factor.min() > 0.35
    stretched = (view(Scale(low=1, high=1, stretch=0.2), x) / x).mean(1)
    assert stretched.min() >= 0.8 and stretched.max() <= 1.2 and (stretched.std(1) > 1e-3).all()
    step = view(Shift(distance=0.05), x) - x
    assert step.abs().max() <= 0.05 and torch.allclose(step, step[:, :1].expand_as(step))


def test_jitter_drops_and_warps(clouds) -> None:
    x = cloud(clouds)
    noise = (view(Jitter(sigma=0.02), x) - x).flatten(1).std(1)
    assert noise.max() < 0.025 and noise.min() < 0.004 and noise.max() > 0.015
    dropped = view(DropPoints(share=0.5), x)
    gone = (dropped != x).any(-1)
    assert (dropped[gone] == x[0, 0]).all() and 0.2 < gone.double().mean() < 0.3 and gone.sum(1).max() < 50
    bent = (view(Warp(strength=0.06), x) - x).abs()
    assert 0.01 < bent.max() <= 3 * 0.06
    near = x + 1e-4
    assert (view(Warp(), near) - view(Warp(), x)).abs().max() < 0.01, "smooth"


def test_normalize(clouds) -> None:
    y = view(Normalize(), 3 + 2 * cloud(clouds)[:3])
    assert y.mean(1).abs().max() < 1e-12 and torch.allclose(y.norm(dim=-1).amax(1), torch.ones(3).double())


def test_abstraction_keeps_the_parts_where_they_are(clouds) -> None:
    x = clouds(4, 200, dtype=torch.float64)
    assert torch.equal(view(Abstract(share=0.0), x), x)
    y = view(Abstract(share=1.0), x)
    assert not torch.isclose(y, x).any(1).any()
    assert (y.mean(1) - x.mean(1)).abs().max() < 0.06 and (y.std(1) / x.std(1) - 1).abs().max() < 0.15
    few = view(Abstract(share=1.0, least=2, most=2), x[:, :16])
    assert few.isfinite().all(), "fewer points than the usual number of parts"


def test_a_chain_is_its_links_in_order(clouds) -> None:
    x, target = clouds(3, 32), torch.tensor([2, 0, 1])
    links = (Rotate(), Scale(), Jitter(), DropPoints())
    chain, moved = chained(links, x, target, Draws.seeded(0, range(3)))
    draws, by_hand = Draws.seeded(0, range(3)), x
    for link in links:
        by_hand, _ = link(by_hand, target, draws)
    assert torch.equal(chain, by_hand) and torch.equal(moved, target)
    assert chained((), x, target, draws)[0] is x
