"""Matching found objects with those asked for, and the errors of each, on cases known beforehand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torchvision.ops import box_iou

from invert3d.evaluate.layouts import errors, match
from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import iou3d
from tests.evaluate.test_kitti import ROW, random_frames, scene, stuff


def test_the_same_scene_has_no_errors_whatever_the_order():
    order = torch.tensor([3, 0, 4, 2, 1])
    found = errors(scene(*ROW), scene(*ROW).select(order))
    assert found.pairs.tolist() == [[0, 1], [1, 4], [2, 3], [3, 0], [4, 2]]
    means = found.means()
    assert means["missed"] == means["false"] == 0
    assert means["iou3d"] == pytest.approx(1) and means["iou2d"] == pytest.approx(1)
    assert max(means[name] for name in ("depth", "center", "yaw", "size", "center_2d")) < 1e-6


def test_each_error_is_measured_in_its_unit():
    """One car moved by (0.3, 0, 0.4) m, turned by 350 degrees, 0.3 m longer; its box moved by (3, 4) pixels."""
    truth = scene(ROW[0])
    moved = truth.centers + torch.tensor([0.3, 0, 0.4])
    longer = truth.sizes + torch.tensor([0, 0, 0.3])
    found = replace(
        truth,
        centers=moved,
        sizes=longer,
        yaws=truth.yaws + math.radians(350),
        boxes=truth.boxes + torch.tensor([3, 4, 3, 4]),
    )
    means = errors(truth, found).means()
    wanted = {"depth": 0.4, "center": 0.5, "yaw": 10, "size": 0.1, "center_2d": 5, "missed": 0, "false": 0}
    assert {name: means[name] for name in wanted} == pytest.approx(wanted)
    assert 0.3 < means["iou3d"] < 1


def test_the_best_pair_goes_first_and_each_object_has_one():
    """Two detections of one car: the nearer one is it, the other false; a car without any is missed."""
    found = scene(("Car", -7.7, 15.0), ("Car", -8.05, 15.0))
    result = errors(scene(*ROW[:2]), found)
    assert result.pairs.tolist() == [[0, 1]] and (result.missed, result.false) == (1, 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_pair_that_overlaps_most_goes_first(seed):
    """Crowded scenes, against a list of all pairs sorted by overlap: in space, then in the picture."""
    for truth, found in zip(*random_frames(12, seed), strict=True):
        left = {(i, j) for i, a in enumerate(truth.kinds) for j, b in enumerate(found.kinds) if a == b != "DontCare"}
        in_space = iou3d(*((each.sizes, each.centers, each.yaws) for each in (truth, found)))
        wanted = []
        for shares, least in ((in_space, 0.1), (box_iou(truth.boxes, found.boxes).nan_to_num(0), 0.5)):
            for i, j in sorted(left, key=lambda pair: -float(shares[pair])):
                if shares[i, j] >= least and (i, j) in left:
                    wanted.append([i, j])
                    left = {pair for pair in left if pair[0] != i and pair[1] != j}
        assert match(truth, found, 0.1).tolist() == sorted(wanted)


def test_at_the_wrong_depth_the_picture_decides():
    """A car 4 m further off, higher by as much as its picture stays where it is, is still the one meant."""
    truth = scene(ROW[2])
    far = replace(scene(("Car", 0.0, 19.0)), boxes=truth.boxes)
    assert match(truth, far).tolist() == [[0, 0]]
    result = errors(truth, far)
    assert float(result.depth) == pytest.approx(4) and float(result.iou3d) == 0
    assert match(truth, replace(far, kinds=("Van",))).tolist() == [], "of the same kind only"


def test_dont_care_is_no_object_and_what_is_in_it_is_not_false():
    found = scene(ROW[0], ("Car", 4.0, 30.0))
    left, top, right, bottom = found.boxes[1].tolist()
    truth = stuff(scene(ROW[0]), [left - 9, top - 9, right + 9, bottom + 9])
    result = errors(truth, found)
    assert result.pairs.tolist() == [[1, 0]] and (result.missed, result.false) == (0, 0)


def test_empty_scenes_and_bad_input():
    nothing = Layout.empty(scene(*ROW).projection, 375, 1242)
    result = errors(nothing, scene(*ROW))
    assert (result.missed, result.false) == (0, 5) and math.isnan(result.means()["depth"])
    assert errors(scene(*ROW), nothing).missed == 5
    with pytest.raises(ValueError, match="375 x 1242 and 100 x 200 pixels"):
        errors(scene(*ROW), scene(*ROW).resized(100, 200))
    with pytest.raises(ValueError, match="overlap: got 0"):
        match(nothing, nothing, 0)
