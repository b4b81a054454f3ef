"""Boxes in space against plain loops: corners, their turning, pictures and angles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from invert3d.ops.boxes import EDGES, alpha_of, boxes_of, corners3d, project, wrapped
from tests.layouts import camera, kitti_camera, random_layout

angles = st.floats(-math.pi, math.pi)
meters = st.floats(0.3, 6)

#: front or back, left or right of who sits in it looking to the front, bottom or top
PLACES = (
    ("front", "left", "bottom"),
    ("front", "right", "bottom"),
    ("back", "right", "bottom"),
    ("back", "left", "bottom"),
    ("front", "left", "top"),
    ("front", "right", "top"),
    ("back", "right", "top"),
    ("back", "left", "top"),
)


def slow_corner(size: list[float], center: list[float], yaw: float, place: tuple[str, str, str]) -> list[float]:
    """Start at the middle of the bottom face, go half a length, half a width, and up."""
    height, width, length = size
    ahead = (math.cos(yaw), 0.0, -math.sin(yaw))  # yaw 0 looks along +x and turns from x towards -z
    left = (math.sin(yaw), 0.0, math.cos(yaw))  # y is down, so who looks along +x has +z to the left
    up = (0.0, -1.0, 0.0)
    forward = length / 2 if place[0] == "front" else -length / 2
    aside = width / 2 if place[1] == "left" else -width / 2
    rise = height if place[2] == "top" else 0.0
    return [c + forward * a + aside * s + rise * u for c, a, s, u in zip(center, ahead, left, up, strict=True)]


@settings(max_examples=50, deadline=None)
@given(size=st.tuples(meters, meters, meters), x=st.floats(-20, 20), z=st.floats(-20, 60), yaw=angles)
def test_corners_are_those_of_a_walk_around_the_box(size, x: float, z: float, yaw: float) -> None:
    center = [x, 1.6, z]
    found = corners3d(*(torch.tensor([v], dtype=torch.float64) for v in (size, center, yaw)))[0]
    wanted = [slow_corner(list(size), center, yaw, place) for place in PLACES]
    assert np.allclose(found.numpy(), wanted, atol=1e-9)


def test_a_car_that_drives_away_has_its_front_ahead() -> None:
    """KITTI: rotation_y of -pi/2 is the heading of a car that one follows; 0 is one that drives to the right."""
    size, center = torch.tensor([[1.5, 1.6, 4.0]]), torch.tensor([[0.0, 1.7, 20.0]])
    away = corners3d(size, center, torch.tensor([-math.pi / 2]))[0]
    assert torch.allclose(away[[0, 1, 4, 5], 2], torch.tensor(22.0)) and torch.allclose(
        away[[2, 3], 2], torch.tensor(18.0)
    )
    right = corners3d(size, center, torch.tensor([0.0]))[0]
    assert torch.allclose(right[[0, 1, 4, 5], 0], torch.tensor(2.0))
    assert right[:4, 1].eq(1.7).all() and torch.allclose(right[4:, 1], torch.tensor(0.2)), "y is down"


def test_edges_join_corners_that_differ_in_one_way() -> None:
    assert len({frozenset(edge) for edge in EDGES}) == 12
    for a, b in EDGES:
        assert sum(one != other for one, other in zip(PLACES[a], PLACES[b], strict=True)) == 1


def test_projection_is_the_formula() -> None:
    p, points = kitti_camera(), torch.randn(5, 3, dtype=torch.float64) + torch.tensor([0, 0, 8.0])
    for point, found in zip(points.tolist(), project(points, p).tolist(), strict=True):
        u, v, w = (sum(a * b for a, b in zip(row, [*point, 1.0], strict=True)) for row in p.tolist())
        assert np.allclose(found, [u / w, v / w, w])
    cameras = torch.stack([p, 2 * p])
    both = project(points.expand(2, 5, 3), cameras)
    assert torch.allclose(both[0], project(points, p)) and torch.allclose(both[1, :, :2], both[0, :, :2])


def slow_box(corners: np.ndarray, p: np.ndarray, near: float) -> list[float]:
    """Left, top, right, bottom of the part of a box that lies before the near plane: a walk along its edges."""
    seen = []
    for a, b in EDGES:
        ends = sorted((corners[a], corners[b]), key=lambda end: end[2])
        if ends[1][2] < near:
            continue
        if ends[0][2] < near:
            t = (near - ends[0][2]) / (ends[1][2] - ends[0][2])
            ends[0] = ends[0] + t * (ends[1] - ends[0])
        seen += [p @ [*end, 1.0] for end in ends]
    if not seen:
        return [math.inf, math.inf, -math.inf, -math.inf]
    pixels = np.array([[u / w, v / w] for u, v, w in seen])
    return [*pixels.min(0), *pixels.max(0)]


@settings(max_examples=50, deadline=None)
@given(size=st.tuples(meters, meters, meters), x=st.floats(-5, 5), z=st.floats(-5, 12), yaw=angles)
def test_boxes_in_the_picture_are_cut_at_the_near_plane(size, x: float, z: float, yaw: float) -> None:
    corners = corners3d(*(torch.tensor([v], dtype=torch.float64) for v in (size, (x, 1.6, z), yaw)))
    found, p = boxes_of(corners, kitti_camera())[0], kitti_camera().numpy()
    assert np.allclose(found.numpy(), slow_box(corners[0].numpy(), p, 0.1), rtol=1e-6)


def test_a_box_in_front_has_the_extremes_of_its_corners() -> None:
    corners = corners3d(*(torch.tensor(v, dtype=torch.float64) for v in ([[1.5, 1.6, 4]], [[2, 1.6, 15]], [0.3])))
    pixels = project(corners[0], camera())
    found = boxes_of(corners, camera())[0]
    assert torch.allclose(found, torch.cat([pixels[:, :2].amin(0), pixels[:, :2].amax(0)]))


def turned(center: Tensor, by: Tensor) -> Tensor:
    """A place turned about the camera from x towards -z."""
    x, y, z = center.unbind(-1)
    return torch.stack([by.cos() * x + by.sin() * z, y, by.cos() * z - by.sin() * x], -1)


@settings(max_examples=50, deadline=None)
@given(yaw=angles, x=st.floats(-20, 20), z=st.floats(1, 60), by=angles)
def test_the_observation_angle_is_what_stays_when_one_turns_about_the_camera(yaw, x, z, by) -> None:
    center = torch.tensor([[x, 1.0, z]], dtype=torch.float64)
    yaws, by = torch.tensor([yaw], dtype=torch.float64), torch.tensor([by], dtype=torch.float64)
    gap = alpha_of(yaws + by, turned(center, by)) - alpha_of(yaws, center)
    assert wrapped(gap).abs() < 1e-9


def test_angles_of_an_object_straight_ahead_and_at_45_degrees() -> None:
    centers = torch.tensor([[0.0, 1, 10], [10, 1, 10], [-10, 1, 10]], dtype=torch.float64)
    yaws = torch.zeros(3, dtype=torch.float64)
    assert torch.allclose(alpha_of(yaws, centers), torch.tensor([0, -0.25, 0.25], dtype=torch.float64) * math.pi)


@settings(max_examples=50, deadline=None)
@given(angle=st.floats(-30, 30))
def test_wrapped_angles_stand_for_the_same_direction(angle: float) -> None:
    found = float(wrapped(torch.tensor(angle, dtype=torch.float64)))
    assert -math.pi <= found <= math.pi
    assert math.cos(found) == pytest.approx(math.cos(angle)) and math.sin(found) == pytest.approx(math.sin(angle))


def test_gradients_in_double_precision() -> None:
    layout = random_layout(3, seed=4)
    leaves = [value.clone().requires_grad_() for value in (layout.sizes, layout.centers, layout.yaws)]
    assert gradcheck(lambda *v: corners3d(*v), leaves, fast_mode=True)
    assert gradcheck(lambda *v: project(corners3d(*v), layout.projection), leaves, fast_mode=True)
    assert gradcheck(lambda c, y: alpha_of(y, c).sin(), leaves[1:], fast_mode=True)


def test_the_box_in_the_picture_has_a_gradient_also_where_it_is_cut() -> None:
    size, yaw = torch.tensor([[1.5, 1.6, 4]], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    for z in (15.0, 1.0):
        center = torch.tensor([[2, 1.6, z]], dtype=torch.float64, requires_grad=True)
        assert gradcheck(lambda c: boxes_of(corners3d(size, c, yaw), camera()), center)
