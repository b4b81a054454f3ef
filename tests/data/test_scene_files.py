"""Scenes in JSON: defaults, what is said, and one clear error for each fault."""

from __future__ import annotations

import json
import math

import pytest
import torch
from tests.layouts import write_scene

from invert3d.data.kitti import KINDS, usual_projection
from invert3d.data.scenes import MEAN_SIZES, read_scene
from invert3d.ops.layouts import Layout

IMAGE = {"height": 384, "width": 1280}
CAR = {"kind": "Car", "center": [2.5, 1.6, 15], "yaw_degrees": -90}


def read(tmp_path, table) -> Layout:
    (tmp_path / "scene.json").write_text(table if isinstance(table, str) else json.dumps(table))
    return read_scene(tmp_path / "scene.json")


def test_what_is_not_said_is_kittis(tmp_path):
    assert set(MEAN_SIZES) == set(KINDS)
    layout = read(tmp_path, {"image": IMAGE, "objects": [CAR, {"kind": "Pedestrian", "center": [0, 1.6, 9]}]})
    assert layout.kinds == ("Car", "Pedestrian") and (layout.height, layout.width) == (384, 1280)
    assert torch.equal(layout.projection, usual_projection(384, 1280))
    assert torch.allclose(layout.sizes, torch.tensor([MEAN_SIZES["Car"], MEAN_SIZES["Pedestrian"]]))
    assert layout.yaws.tolist() == pytest.approx([-math.pi / 2, 0])
    left, top, right, bottom = layout.boxes[0].tolist()
    assert 640 < left < right < 900 and 150 < top < bottom < 300, "to the right, on the road"
    assert len(read(tmp_path, {"image": IMAGE, "objects": []})) == 0


def test_what_is_said_is_taken(tmp_path):
    projection = [[700, 0, 600, 3], [0, 710, 190, 0.5], [0, 0, 1, 0.004]]
    table = {"image": IMAGE, "objects": [{**CAR, "size": [1.4, 1.7, 4.25]}], "projection": projection}
    layout = read(tmp_path, table)
    assert torch.allclose(layout.sizes, torch.tensor([[1.4, 1.7, 4.25]]))
    assert torch.allclose(layout.centers, torch.tensor([CAR["center"]], dtype=torch.float32))
    assert torch.allclose(layout.projection, torch.tensor(projection))
    write_scene(tmp_path / "new.json", layout)
    again = read_scene(tmp_path / "new.json")
    for name in ("sizes", "centers", "yaws", "projection", "boxes", "alphas"):
        assert torch.allclose(getattr(layout, name), getattr(again, name), atol=1e-3), name


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("{", "scene.json: not JSON"),
        ([], "scene.json: Expected `object`"),
        ({"image": IMAGE}, "missing required field `objects`"),
        ({"image": {"height": 0, "width": 9}, "objects": []}, r"Expected `int` >= 1 - at `\$.image.height`"),
        ({"image": {**IMAGE, "wdith": 3}, "objects": []}, "image: unknown key 'wdith'; did you mean width"),
        ({"image": IMAGE, "objcts": []}, "unknown key 'objcts'; did you mean objects"),
        (
            {"image": IMAGE, "objects": [CAR, {**CAR, "yaw": 3}]},
            "object 2: unknown key 'yaw'; did you mean yaw_degrees",
        ),
        ({"image": IMAGE, "objects": [{**CAR, "kind": "car"}]}, "object 1: unknown kind 'car'; did you mean Car"),
        ({"image": IMAGE, "objects": [{**CAR, "center": [1, 2]}]}, "length 3"),
        ({"image": IMAGE, "objects": [{**CAR, "size": [1, 0, 2]}]}, r"Expected `float` > 0"),
        ({"image": IMAGE, "objects": [{**CAR, "center": [1, 2, "far"]}]}, "Expected `float`, got `str`"),
        ({"image": IMAGE, "objects": [], "projection": [[1, 0, 0]] * 3}, "length 4"),
    ],
)
def test_faults_are_named(tmp_path, table, says):
    with pytest.raises(ValueError, match=says):
        read(tmp_path, table)


def test_an_absent_scene_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        read_scene(tmp_path / "x.json")
