"""The street world: its labels, masks, depth, scans and files agree with each other and with KITTI's conventions."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from invert3d.data.worlds.coco_files import run_lengths
from invert3d.data.worlds.composition import corners_of, overlap
from invert3d.data.worlds.road import make_road
from invert3d.data.worlds.street_files import calibration_of
from invert3d.data.worlds.streets import KINDS, Frame, make_frame
from invert3d.data.worlds.templates import Template
from invert3d.data.worlds.traffic import CARS, car_template
from invert3d.data.worlds.walkers import CYCLISTS, PEOPLE, cyclist_template, person_template
from invert3d.ops.boxes import alpha_of, project
from invert3d.ops.layouts import Layout, area

SIZE = {"height": 48, "width": 160}
FRAMES = [(k, False) for k in range(10)] + [(0, True), (1, True)]


@cache
def street(index: int, clutter: bool = False) -> Frame:
    return make_frame(index, **SIZE, seed=5, clutter=clutter, scan=True)


def in_boxes(points: np.ndarray, layout: Layout, k: int) -> np.ndarray:
    """How far (m) points (n, 3) in camera coordinates lie outside box k; 0 inside."""
    c, s = float(layout.yaws[k].cos()), float(layout.yaws[k].sin())
    height, width, length = layout.sizes[k].tolist()
    x, y, z = (points - layout.centers[k].numpy()).T
    along, across = c * x - s * z, s * x + c * z
    out = [np.abs(along) - length / 2, np.abs(across) - width / 2, np.maximum(y, -height - y)]
    return np.maximum(np.stack(out), 0).max(0)


def test_a_frame_is_fixed_by_seed_and_index():
    again = make_frame(3, **SIZE, seed=5, scan=True)
    assert np.array_equal(again.image, street(3).image)
    assert np.array_equal(again.scan, street(3).scan)
    assert torch.equal(again.layout.boxes, street(3).layout.boxes)
    assert not np.array_equal(make_frame(3, **SIZE, seed=6).image, again.image)
    assert not np.array_equal(street(4).image, again.image)


def test_a_frame_has_an_object_however_often_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    full, drawn = street(3), []
    empty = replace(full, layout=full.layout.select(torch.zeros(0, dtype=torch.long)))
    module = "invert3d.data.worlds.streets"
    monkeypatch.setattr(f"{module}._attempt", lambda *_: drawn.append(1) or (empty, full)[len(drawn) > 30])
    assert make_frame(3, **SIZE, seed=5) is full and len(drawn) == 31


@pytest.mark.parametrize(("index", "clutter"), FRAMES)
def test_shapes_and_kinds(index: int, clutter: bool):
    frame = street(index, clutter)
    assert frame.image.shape == (48, 160, 3)
    assert frame.image.dtype == np.uint8
    assert frame.depth.shape == (48, 160)
    assert frame.depth.dtype == np.float32
    assert frame.instances.dtype == np.int16
    assert len(frame.layout) >= 1
    assert set(frame.layout.kinds) <= set(KINDS)
    assert set(np.unique(frame.instances)) - {0} == set(range(1, len(frame.layout) + 1))
    assert frame.image.std() > 20
    assert frame.layout.scores.isnan().all()


@pytest.mark.parametrize(("index", "clutter"), FRAMES)
def test_masks_lie_in_the_boxes_and_depth_in_the_solid_boxes(index: int, clutter: bool):
    frame = street(index, clutter)
    matrix = frame.layout.projection.double().numpy()
    for k in range(len(frame.layout)):
        v, u = np.nonzero(frame.instances == k + 1)
        left, top, right, bottom = frame.layout.boxes[k].tolist()
        assert u.min() >= left - 1
        assert u.max() <= right + 1
        assert v.min() >= top - 1
        assert v.max() <= bottom + 1
        seen = np.stack([u, v, np.ones_like(u)], -1) * frame.depth[v, u, None].astype(float)
        points = (seen - matrix[:, 3]) @ np.linalg.inv(matrix[:, :3]).T
        assert in_boxes(points, frame.layout, k).max() < 0.05


@pytest.mark.parametrize(("index", "clutter"), FRAMES)
def test_the_boxes_in_the_picture_follow_from_those_in_space(index: int, clutter: bool):
    layout = street(index, clutter).layout
    whole = Layout.of(layout.kinds, layout.sizes, layout.centers, layout.yaws, layout.projection, 48, 160)
    assert (layout.boxes[:, :2] >= whole.boxes[:, :2] - 0.51).all()  # a mesh is inside its box
    assert (layout.boxes[:, 2:] <= whole.boxes[:, 2:] + 0.51).all()
    assert (area(layout.boxes) > 0.5 * area(whole.boxes)).all()
    assert torch.allclose(layout.alphas, alpha_of(layout.yaws, layout.centers))
    assert (layout.truncations >= 0).all()
    assert (layout.truncations < 0.98).all()
    inside = (layout.boxes[:, 0] > 0) & (layout.boxes[:, 2] < 159) & (layout.boxes[:, 3] < 47)
    inside &= layout.boxes[:, 1] > 0
    assert (layout.truncations[inside] < 1e-4).all()
    assert set(layout.occlusions.tolist()) <= {0.0, 1.0, 2.0, 3.0}


@pytest.mark.parametrize(("index", "clutter"), FRAMES)
def test_objects_do_not_touch(index: int, clutter: bool):
    ground = street(index, clutter).layout.corners[:, :4, ::2].double().numpy()
    for i in range(len(ground)):
        assert not any(overlap(ground[i], ground[j]) for j in range(i))


@pytest.mark.parametrize(("index", "clutter"), FRAMES[:4])
def test_the_scan_hits_the_objects(index: int, clutter: bool):
    frame = street(index, clutter)
    assert frame.scan.dtype == np.float32
    assert len(frame.scan) > 5000
    assert (frame.scan[:, 0] > 0).all()
    assert (frame.scan[:, 3] >= 0).all()
    assert (frame.scan[:, 3] < 1).all()
    points = calibration_of(frame).points_in_camera(frame.scan).numpy()
    shown = project(torch.tensor(points), frame.layout.projection)
    column, row = (shown[:, i].round().long().clamp(0, side - 1) for i, side in ((0, 160), (1, 48)))
    nearest = int(frame.layout.centers[:, 2].argmin())
    seen = (frame.instances == nearest + 1)[row, column] & ((shown[:, :2] > 0).all(1) & (shown[:, 0] < 159)).numpy()
    inside = in_boxes(points, frame.layout, nearest) < 0.1
    assert inside.sum() > 30
    assert (inside & seen).sum() > 0.6 * seen.sum()


def test_the_occlusion_of_what_stands_behind():
    flags = torch.cat([street(index, clutter).layout.occlusions for index, clutter in FRAMES])
    assert (flags == 0).float().mean() > 0.3
    assert (flags >= 1).any()
    near = [int(f.layout.centers[:, 2].argmin()) for f in (street(*which) for which in FRAMES)]
    fronts = [float(street(*which).layout.occlusions[k]) for which, k in zip(FRAMES, near, strict=True)]
    assert np.mean(np.array(fronts) <= 1) > 0.8


def test_one_scene_at_two_sizes():
    small, large = make_frame(2, height=48, width=160), make_frame(2, height=96, width=320)
    shrunk = large.image.reshape(48, 2, 160, 2, 3).mean((1, 3))
    assert np.abs(shrunk - small.image).mean() < 8
    scaled = large.layout.resized(48, 160)
    assert torch.allclose(scaled.projection, small.layout.projection, atol=1e-3)
    assert len(large.layout) >= len(small.layout)


def test_clutter_is_cluttered():
    assert np.mean([len(street(k, True).layout) for k in (0, 1)]) > np.mean([len(street(k).layout) for k in range(10)])


def decoded(segmentation: dict) -> np.ndarray:
    values = np.repeat(np.arange(len(segmentation["counts"])) % 2, segmentation["counts"])
    return values.reshape(segmentation["size"], order="F").astype(bool)


def test_run_lengths():
    mask = np.array([[1, 0, 0], [1, 1, 0]], bool)
    assert run_lengths(mask) == [0, 2, 1, 1, 2]
    for each in (mask, ~mask, np.zeros((3, 4), bool), np.ones((3, 4), bool)):
        assert np.array_equal(decoded({"size": each.shape, "counts": run_lengths(each)}), each)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"index": -1}, "negative"), ({"seed": -1}, "negative"), ({"height": 8}, "16x32"), ({"width": 8}, "16x32")],
)
def test_bad_frames_are_refused(wrong: dict, message: str):
    with pytest.raises(ValueError, match=message):
        make_frame(**{"index": 0, **SIZE, **wrong})


def test_the_road_and_its_inverse():
    for seed in range(5):
        road = make_road(np.random.default_rng(seed), "suburb")
        s, t = np.array([3.0, 20.0, 60.0]), np.array([-6.0, 0.0, 8.0])
        assert np.allclose(road.locate(*road.place(s, t)), (s, t), atol=1e-3)
        x, z = road.place(np.array([20.0, 20.01]), 0.0)
        yaw = road.yaw(20.0)
        assert np.allclose(np.diff([x, z])[:, 0] / 0.01, (np.cos(yaw), -np.sin(yaw)), atol=0.01)


def sizes(maker, count: int) -> np.ndarray:
    made: list[Template] = [maker(k) for k in range(count)]
    for each in made:
        low, high = each.vertices.min(0), each.vertices.max(0)
        assert np.allclose(low + high, (0, low[1], 0), atol=1e-4)
        assert np.allclose(np.linalg.norm(each.normals, axis=-1), 1, atol=1e-3)
    return np.mean([each.size for each in made], 0)


def test_things_are_as_large_as_real_ones():
    assert np.allclose(sizes(car_template, CARS), (1.55, 1.7, 4.1), atol=0.25)
    assert np.allclose(sizes(person_template, PEOPLE), (1.75, 0.65, 0.75), atol=0.15)
    assert np.allclose(sizes(cyclist_template, CYCLISTS), (1.75, 0.6, 1.75), atol=0.15)


def test_overlap():
    shape = car_template(0)
    assert overlap(corners_of(shape, 0, 10, 0.3), corners_of(shape, 0.5, 10, 1.0))
    assert not overlap(corners_of(shape, 0, 10, 0.3), corners_of(shape, 5.5, 10, 1.0))
    assert not overlap(corners_of(shape, 0, 10, 0.0), corners_of(shape, 0.0, 12.0, 0.0))
