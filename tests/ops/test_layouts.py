"""Layouts: what follows from boxes in space, and what moving, scaling and mirroring a picture does to all of it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invert3d.ops.boxes import alpha_of, boxes_of, corners3d, project, wrapped
from invert3d.ops.layouts import Layout, area
from tests.layouts import camera, drawn, kitti_camera, random_layout, sketches

TENSORS = ("boxes", "sizes", "centers", "yaws", "alphas", "projection", "scores", "truncations", "occlusions")


def assert_same(one: Layout, other: Layout, atol: float = 1e-6) -> None:
    assert one.kinds == other.kinds and (one.height, one.width) == (other.height, other.width)
    for name in TENSORS:
        a, b = getattr(one, name), getattr(other, name)
        gap = wrapped(a - b) if name in ("yaws", "alphas") else a - b
        assert gap.nan_to_num(0).abs().le(atol).all() and torch.equal(a.isnan(), b.isnan()), name


def pixels(layout: Layout) -> Tensor:
    """The eight corners of each object in the picture, (n, 8, 2)."""
    return project(layout.corners, layout.projection)[..., :2]


def test_boxes_truncations_and_angles_follow_from_space() -> None:
    layout = random_layout(3, seed=0)
    assert torch.equal(layout.alphas, alpha_of(layout.yaws, layout.centers))
    for i, corners in enumerate(pixels(layout)):
        left, top, right, bottom = *corners.amin(0).tolist(), *corners.amax(0).tolist()
        whole = (right - left) * (bottom - top)
        cut = [max(left, 0), max(top, 0), min(right, 319), min(bottom, 95)]
        assert torch.allclose(layout.boxes[i], torch.tensor(cut, dtype=torch.float64))
        share = (cut[2] - cut[0]) * (cut[3] - cut[1]) / whole
        assert float(layout.truncations[i]) == pytest.approx(1 - share, abs=1e-9)
    assert layout.scores.isnan().all() and layout.occlusions.eq(0).all()


@pytest.mark.parametrize("center", [(0.0, 1.6, -10.0), (-200.0, 1.6, 10.0), (0.0, 300.0, 10.0)])
def test_what_is_not_in_the_picture_has_an_empty_box_at_its_border(center) -> None:
    values = [[1.5, 1.6, 4.0]], [center], [0.3]
    sizes, centers, yaws = (torch.tensor(v, dtype=torch.float64) for v in values)
    layout = Layout.of(["Car"], sizes, centers, yaws, camera(), 96, 320)
    assert float(area(layout.boxes)[0]) == 0 and float(layout.truncations[0]) == 1
    left, top, right, bottom = layout.boxes[0].tolist()
    assert 0 <= left <= right <= 319 and 0 <= top <= bottom <= 95


def test_a_box_beside_the_camera_reaches_the_border() -> None:
    sizes, centers, yaws = (torch.tensor(v) for v in ([[1.5, 1.6, 4.0]], [[2.5, 1.6, 1.0]], [-math.pi / 2]))
    layout = Layout.of(["Car"], sizes, centers, yaws, camera(dtype=torch.float32), 96, 320)
    assert float(layout.boxes[0, 2]) == 319 and 0 < float(layout.boxes[0, 0]) < 319
    assert 0.5 < float(layout.truncations[0]) < 1


@settings(max_examples=30, deadline=None)
@given(sketch=sketches())
def test_mirrored_twice_is_as_before(sketch: tuple) -> None:
    layout = drawn(sketch)
    assert_same(layout.flipped().flipped(), layout)


@settings(max_examples=30, deadline=None)
@given(sketch=sketches())
def test_the_corners_of_a_mirrored_layout_are_mirrored_pixels(sketch: tuple) -> None:
    layout = drawn(sketch)
    flipped = layout.flipped()
    mirrored = pixels(layout) * torch.tensor([-1.0, 1]) + torch.tensor([layout.width - 1.0, 0])
    left_and_right = [1, 0, 3, 2, 5, 4, 7, 6]
    assert torch.allclose(pixels(flipped)[:, left_and_right], mirrored, atol=1e-6)
    again = Layout.of(
        flipped.kinds, flipped.sizes, flipped.centers, flipped.yaws, flipped.projection, layout.height, layout.width
    )
    assert_same(again, flipped)


@settings(max_examples=30, deadline=None)
@given(
    sketch=sketches(),
    across=st.floats(0.3, 3),
    down=st.floats(0.3, 3),
    right=st.floats(-50, 50),
    below=st.floats(-20, 20),
)
def test_the_camera_of_a_moved_picture_sees_the_corners_where_they_are(sketch, across, down, right, below) -> None:
    layout = drawn(sketch)
    moved = layout.warped(across, down, right, below, 200, 300)
    wanted = pixels(layout) * torch.tensor([across, down]) + torch.tensor([right, below])
    assert torch.allclose(pixels(moved), wanted, atol=1e-6)
    assert torch.equal(moved.centers, layout.centers) and torch.equal(moved.alphas, layout.alphas)
    limits = torch.tensor([299.0, 199.0] * 2)
    inside = layout.boxes * torch.tensor([across, down] * 2) + torch.tensor([right, below] * 2)
    assert torch.allclose(moved.boxes, torch.minimum(inside.clamp_min(0), limits).double())


@settings(max_examples=30, deadline=None)
@given(sketch=sketches(), height=st.integers(20, 400), width=st.integers(20, 1300))
def test_scaling_keeps_the_edges_of_the_picture(sketch: tuple, height: int, width: int) -> None:
    layout = drawn(sketch)
    scaled = layout.resized(height, width)
    for u, to in ((-0.5, -0.5), (layout.width - 0.5, width - 0.5)):
        moved = Layout.empty(camera(), layout.height, layout.width).resized(height, width)
        point = torch.tensor([[(u - camera()[0, 2]) / camera()[0, 0], 0, 1]], dtype=torch.float64)
        assert float(project(point, moved.projection)[0, 0]) == pytest.approx(to, abs=1e-6)
    factors = torch.tensor([width / layout.width, height / layout.height])
    assert torch.allclose(pixels(scaled), (pixels(layout) + 0.5) * factors - 0.5, atol=1e-6)
    back = scaled.resized(layout.height, layout.width)
    assert torch.allclose(back.projection, layout.projection, atol=1e-9)


def test_objects_are_chosen_by_mask_place_and_kind() -> None:
    layout = random_layout(4, seed=1, kinds=("Car", "Cyclist"))
    mask = torch.tensor([True, False, True, True])
    assert_same(layout.select(mask), layout.select(torch.tensor([0, 2, 3])))
    backwards = layout.select(torch.tensor([3, 0]))
    assert backwards.kinds == (layout.kinds[3], layout.kinds[0])
    assert torch.equal(backwards.centers, layout.centers[[3, 0]])
    assert torch.equal(backwards.projection, layout.projection)
    cars = layout.of_kinds(["Car"])
    assert set(cars.kinds) == {"Car"} and len(cars) + len(layout.of_kinds(["Cyclist"])) == len(layout) == 4
    assert len(layout.of_kinds(["Tram"])) == len(Layout.empty(camera(), 96, 320).of_kinds(["Car"])) == 0


def test_an_empty_scene_goes_through_everything() -> None:
    nothing = Layout.empty(kitti_camera(), 375, 1242)
    assert len(nothing) == 0 and nothing.corners.shape == (0, 8, 3)
    for moved in (nothing.flipped(), nothing.resized(96, 320), nothing.to("cpu", torch.float64)):
        assert len(moved) == 0 and moved.boxes.shape == (0, 4)


def test_the_type_of_all_tensors_changes_at_once() -> None:
    layout = random_layout(2, seed=2)
    single = layout.to("cpu")
    assert {getattr(single, name).dtype for name in TENSORS} == {torch.float32}
    assert {getattr(layout, name).dtype for name in TENSORS} == {torch.float64}
    assert_same(single.to("cpu", torch.float64), layout, atol=1e-4)


def test_areas_of_boxes() -> None:
    boxes = torch.tensor([[1.0, 2, 4, 7], [4, 2, 1, 7], [1, 2, 1, 7]])
    assert area(boxes).tolist() == [15, 0, 0]


def test_corners_of_a_layout_are_those_of_its_boxes() -> None:
    layout = random_layout(3, seed=3)
    assert torch.equal(layout.corners, corners3d(layout.sizes, layout.centers, layout.yaws))
    whole = boxes_of(layout.corners, layout.projection)
    assert (area(whole) + 1e-9 >= area(layout.boxes)).all()
