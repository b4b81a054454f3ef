"""Overlaps of boxes against polygon clipping in pure Python, counted points and what holds of any overlap."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from invert3d.ops import overlaps
from invert3d.ops.boxes import corners3d
from invert3d.ops.overlaps import Boxes, Others, intersection_over_first, iou3d, shared_ground

Point = tuple[float, float]


def iou_bev(a: Boxes, b: Others) -> Tensor:
    return overlaps.overlaps(a, b)[0]


VIEWS = pytest.mark.parametrize("overlap", [iou_bev, iou3d])


def boxes(*rows: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """A triple from rows h, w, l, x, y, z, yaw."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 7)
    return table[:, :3], table[:, 3:6], table[:, 6]


def random_boxes(count: int, seed: int, spread: float = 3) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.rand(count, 7, generator=draw, dtype=torch.float64)
    sizes = 0.3 + rows[:, :3] * 4
    centers = (rows[:, 3:6] - 0.5) * torch.tensor([2, 1, 2]) * spread + torch.tensor([0, 1.5, 20])
    return sizes, centers, (rows[:, 6] - 0.5) * 2 * math.pi


def clipped(polygon: list[Point], start: Point, end: Point) -> list[Point]:
    """Sutherland-Hodgman: the part of a polygon to the left of a line."""

    def side(p: Point) -> float:
        return (end[0] - start[0]) * (p[1] - start[1]) - (end[1] - start[1]) * (p[0] - start[0])

    kept = []
    for p, q in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
        if side(p) >= 0:
            kept.append(p)
        if (side(p) > 0) != (side(q) > 0) and side(p) != side(q):
            share = side(p) / (side(p) - side(q))
            kept.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
    return kept


def slow_area(polygon: list[Point]) -> float:
    turned = [*polygon[1:], *polygon[:1]]
    return sum(p[0] * q[1] - q[0] * p[1] for p, q in zip(polygon, turned, strict=True)) / 2


def slow_overlaps(a: tuple[Tensor, Tensor, Tensor], b: tuple[Tensor, Tensor, Tensor]) -> tuple[float, float]:
    """Overlap on the ground and in space of one box with one other."""
    feet = [[(p[0], p[2]) for p in corners3d(*box)[:4].tolist()] for box in (a, b)]
    feet = [foot if slow_area(foot) > 0 else foot[::-1] for foot in feet]
    shared = feet[0]
    for start, end in zip(feet[1], [*feet[1][1:], feet[1][0]], strict=True):
        shared = clipped(shared, start, end)
    ground, areas = slow_area(shared) if shared else 0.0, [slow_area(foot) for foot in feet]
    (top_a, low_a), (top_b, low_b) = ((float(c[1] - s[0]), float(c[1])) for s, c, _ in (a, b))
    volume = ground * max(0.0, min(low_a, low_b) - max(top_a, top_b))
    volumes = [areas[0] * (low_a - top_a), areas[1] * (low_b - top_b)]
    return ground / (sum(areas) - ground), volume / (sum(volumes) - volume)


def test_overlaps_on_the_ground_and_in_space_are_those_of_polygon_clipping() -> None:
    a, b = random_boxes(25, 1), random_boxes(30, 2)
    found = torch.stack([iou_bev(a, b), iou3d(a, b)], -1)
    wanted = [[slow_overlaps(tuple(t[i] for t in a), tuple(t[j] for t in b)) for j in range(30)] for i in range(25)]
    assert torch.allclose(found, torch.tensor(wanted, dtype=torch.float64), atol=1e-10)
    assert 0.2 < (found[..., 0] > 0).double().mean() < 0.95


def test_overlaps_are_those_of_counted_points() -> None:
    draw = torch.Generator().manual_seed(0)
    for seed in range(4):
        sizes, centers, yaws = random_boxes(2, seed, spread=1)
        points = (torch.rand(400_000, 3, generator=draw, dtype=torch.float64) - 0.5) * 12 + torch.tensor([0, 0, 20])
        inside = []
        for size, center, yaw in zip(sizes, centers, yaws, strict=True):
            x, y, z = (points - center).unbind(1)
            along, across = yaw.cos() * x - yaw.sin() * z, yaw.sin() * x + yaw.cos() * z
            inside.append((along.abs() < size[2] / 2) & (across.abs() < size[1] / 2) & (y < 0) & (y > -size[0]))
        wanted = float((inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum())
        one, other = ((sizes[i : i + 1], centers[i : i + 1], yaws[i : i + 1]) for i in range(2))
        assert abs(float(iou3d(one, other)) - wanted) < 0.02


@pytest.mark.parametrize(
    ("other", "ground"),
    [
        ((2, 2, 4, 0, 0, 0, 0), 1.0),  # itself
        ((2, 2, 4, 0, 0, 0, math.pi), 1.0),  # turned half
        ((2, 4, 2, 0, 0, 0, math.pi / 2), 1.0),  # sides swapped and turned a quarter
        ((2, 2, 4, 0, 0, 0, math.pi / 2), 4 / 12),  # a cross
        ((2, 1, 2, 0, 0, 0, 0), 2 / 8),  # inside
        ((2, 1, 2, 1, 0, 0.5, 0), 2 / 8),  # inside, in the corner
        ((2, 2, 4, 4, 0, 0, 0), 0.0),  # touching at a side
        ((2, 2, 4, 4, 0, 2, 0), 0.0),  # touching at a corner
        ((2, 2, 4, 2, 0, 0, 0), 4 / 12),  # half
        ((2, 2, 2, 0, 0, 0, math.pi / 4), 4 / 8),  # a diamond: 2 * sqrt(2) across, cut at a height of 2 (below)
        ((2, 0, 0, 0, 0, 0, 0), 0.0),  # nothing
        ((2, 2, math.nan, 0, 0, 0, 0), 0.0),  # not known
        ((2, 2, 4, 500, 0, 0, 0), 0.0),
    ],
)
def test_overlaps_with_a_box_of_4_by_2(other: tuple[float, ...], ground: float) -> None:
    """Footprint 8 square meters. Of the diamond of 4, the tips above and below 1 are cut: each is
    (sqrt(2) - 1)**2, so 4 - 2 * (sqrt(2) - 1)**2 are shared."""
    if other[6] == math.pi / 4:
        shared = 4 - 2 * (math.sqrt(2) - 1) ** 2
        ground = shared / (8 + 4 - shared)
    one, other_box = boxes((2, 2, 4, 0, 0, 0, 0)), boxes(other)
    for first, second in ((one, other_box), (other_box, one)):
        assert float(iou_bev(first, second)) == pytest.approx(ground, abs=1e-12)
        assert float(iou3d(first, second)) == pytest.approx(ground, abs=1e-12)


def test_heights_count_in_space_only() -> None:
    """Both 2 high; 1 apart in height they share a third, one on top of the other nothing."""
    low, higher, above = (boxes((2, 2, 4, 0, y, 9, 0.3)) for y in (1, 0, -1))
    assert float(iou_bev(low, above)) == pytest.approx(1)
    assert float(iou3d(low, higher)) == pytest.approx(1 / 3) and float(iou3d(low, above)) == 0


sides = st.floats(0.05, 20)
places = st.floats(-30, 30)
box = st.tuples(sides, sides, sides, places, places, places, st.floats(-7, 7))


@VIEWS
@settings(max_examples=60, deadline=None)
@given(st.lists(box, min_size=1, max_size=4), st.lists(box, min_size=1, max_size=4), places, places, st.floats(-3, 3))
def test_what_holds_of_any_overlap(overlap, first, second, right, ahead, turn) -> None:
    a, b = boxes(*first), boxes(*second)
    found = overlap(a, b)
    assert found.shape == (len(first), len(second))
    assert bool((found >= 0).all() and (found <= 1).all())
    assert torch.allclose(found, overlap(b, a).T, atol=1e-9)
    assert torch.allclose(overlap(a, a).diagonal(), torch.ones(len(first), dtype=torch.float64), atol=1e-9)
    move = torch.tensor([right, 1.0, ahead], dtype=torch.float64)
    c, s = math.cos(turn), math.sin(turn)
    turned = torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]], dtype=torch.float64)
    moved = [(sizes, centers @ turned + move, yaws + turn) for sizes, centers, yaws in (a, b)]
    assert torch.allclose(overlap(*moved), found, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(box, st.sampled_from([0.0, 1e-13, 1e-11, 1e-9, 1e-7, 1e-5]), st.integers(0, 3))
def test_nearly_the_same_box_overlaps_nearly_wholly(given_box, small, quarters) -> None:
    h, w, length, x, y, z, yaw = given_box
    w, length = max(w, 0.5), max(length, 0.5)
    turned = (h, length, w) if quarters % 2 else (h, w, length)
    other = boxes((*turned, x + small, y, z - small, yaw + small + quarters * math.pi / 2))
    assert float(iou_bev(boxes((h, w, length, x, y, z, yaw)), other)) == pytest.approx(1, abs=1e-3)


def test_none_and_many(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing, some = random_boxes(0, 0), random_boxes(5, 0)
    assert iou_bev(nothing, some).shape == (0, 5) and iou3d(some, nothing).shape == (5, 0)
    many = random_boxes(700, 3, spread=80)
    looked_at = []
    paired = overlaps.paired_overlaps
    monkeypatch.setattr(overlaps, "paired_overlaps", lambda a, b: looked_at.append(len(a[0])) or paired(a, b))
    found = iou3d(many, many)
    assert 700 <= sum(looked_at) < 700**2 / 20, "far pairs are not looked at"
    assert torch.allclose(found.diagonal(), torch.ones(700, dtype=torch.float64))
    single = iou3d(*[tuple(each.float() for each in many)] * 2)
    assert single.dtype == torch.float32 and torch.allclose(single.double(), found, atol=1e-4)


def test_gradients_are_right() -> None:
    a, b = random_boxes(2, 5, spread=1), random_boxes(2, 6, spread=1)
    inputs = [each.clone().requires_grad_() for each in (*a, *b)]
    for overlap in (iou_bev, iou3d):
        assert gradcheck(lambda *t, of=overlap: of(t[:3], t[3:]), inputs)
    assert gradcheck(lambda *t: shared_ground(t[:3], t[3:]), inputs)
    flat = [
        torch.tensor([[0.0, 0, 10, 10], [5, 5, 8, 20]], dtype=torch.float64, requires_grad=True),
        torch.tensor([[2.0, 3, 12, 9], [40, 40, 50, 50]], dtype=torch.float64, requires_grad=True),
    ]
    assert gradcheck(intersection_over_first, flat)


def test_shares_in_the_picture() -> None:
    """10 x 10 with its right half: 50 of 100."""
    a = torch.tensor([[0.0, 0, 10, 10]])
    b = torch.tensor([[5.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 100, 100], [8, 8, 2, 2]])
    assert torch.allclose(intersection_over_first(a, b), torch.tensor([[0.5, 0.5, 0, 1, 0]]))
    assert torch.allclose(intersection_over_first(b, a).T, torch.tensor([[1, 0.5, 0, 0.01, 0]]))
    assert float(intersection_over_first(a, a + torch.nan)) == 0
