"""The page of scenes: self-contained, complete, with the boxes where they are and each object paired once."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.view.test_page import Reader, read

from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import iou3d
from invert3d.view.boxes import SceneFrame, kind_color
from invert3d.view.pairs import pairs
from invert3d.view.scenes import write_scene_page

H, W = 60, 200
P2 = torch.tensor([[120.0, 0, 100, 7.0], [0, 120, 27, 0.1], [0, 0, 1, 0.003]])
PHOTO = np.random.default_rng(0).integers(0, 255, (H, W, 3)).astype(np.uint8)


def scene(rows: list[tuple[str, float, float, float]], scores: list[float] | None = None) -> Layout:
    """Boxes of (kind, x, z, yaw)."""
    count = len(rows)
    centers = torch.tensor([[x, 1.7, z] for _, x, z, _ in rows]).reshape(count, 3)
    sizes, yaws = torch.tensor([[1.5, 1.6, 4.0]]).repeat(count, 1), torch.tensor([float(yaw) for *_, yaw in rows])
    known = None if scores is None else torch.tensor(scores)
    return Layout.of([kind for kind, *_ in rows], sizes, centers, yaws, P2, H, W, known)


TRUTH = scene([("Car", -3, 14, 0.3), ("Pedestrian", 2, 9, 1.2), ("Car", 6, 31, -1.57)])
FOUND = scene([("Car", 6, 32.5, -1.6), ("Car", -3, 13.2, 0.35), ("Cyclist", 0, 20, 0)], [0.811, 0.672, 0.533])

SHARES = [
    f"{iou3d((TRUTH.sizes, TRUTH.centers, TRUTH.yaws), (FOUND.sizes, FOUND.centers, FOUND.yaws))[i, j].item():.2f}"
    for i, j in ((0, 1), (2, 0))
]


def full(path: Path, **more: object) -> Path:
    points = np.random.default_rng(1).uniform([-20, -1, 1], [20, 1.7, 60], (60_000, 3))
    frames = [
        SceneFrame(
            name="a street",
            truth=TRUTH,
            original=PHOTO,
            on_original=TRUTH,
            inverted=PHOTO,
            on_inverted=FOUND,
            points=points,
            caption="as asked",
            badges={"AP 3-D": "91.2 %"},
        ),
        SceneFrame(name="only words", truth=TRUTH),
    ]
    return write_scene_page(path, frames, {"seed": "7"}, title="Scenes", subtitle="turned", **more)


def test_the_page_needs_no_network_and_keeps_its_pictures(tmp_path: Path) -> None:
    path = full(tmp_path)
    text = path.read_text("utf-8")
    assert path == tmp_path / "index.html"
    links = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", re.sub(r"base64,[\w+/=]+", "", text)))
    assert links <= {"http://www.w3.org/2000/svg"}
    sources = [value for name, value in Reader(text).attributes if name == "src"]
    assert len(sources) == 5
    assert all(re.match(r"data:image/(png|jpeg);base64,", value or "") for value in sources)
    assert "@import" not in text
    assert "url(" not in text


def test_everything_given_is_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "way.gif").write_bytes(b"a film")
    reader = read(full(tmp_path, recipe="steps = 3", notes=["Mind."], pictures=[("Sweep", tmp_path / "way.gif")]))
    assert ("src", f"data:image/gif;base64,{base64.b64encode(b'a film').decode()}") in reader.attributes
    words = " ".join(reader.words)
    for word in ("Scenes", "turned", "a street", "as asked", "91.2 %", "only words", "seed", "steps = 3", "Mind."):
        assert word in words
    for word in ("Pedestrian", "Cyclist", "Found in the original", "Inverted", "Sweep", "Depth in meters"):
        assert word in words


def test_the_table_has_the_numbers_of_each_object(tmp_path: Path) -> None:
    text = read(full(tmp_path)).words
    words = [word.strip() for word in text if word.strip()]
    start = words.index("IoU, original") + 1
    rows = [words[start + 11 * row : start + 11 * row + 11] for row in range(4)]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0] == ["1", "Car", "14.0", "17", "13.2", "20", "0.67", SHARES[0], "14.0", "–", "1.00"]
    assert rows[1][:8] == ["2", "Pedestrian", "9.0", "69", "–", "–", "–", "–"]
    assert rows[2][:8] == ["3", "Car", "31.0", "−90", "32.5", "−92", "0.81", SHARES[1]]
    assert rows[3] == ["4", "Cyclist", "–", "–", "20.0", "0", "0.53", "–", "–", "–", "–"]


def test_the_boxes_of_the_scene_are_where_they_are(tmp_path: Path) -> None:
    data = json.loads(read(full(tmp_path)).data)
    street = data["scenes"][0]
    corners = TRUTH.corners.numpy()
    for box, own, kind in zip(street["boxes"]["truth"], corners, TRUTH.kinds, strict=True):
        world = np.stack([own[:, 0], own[:, 2], 1.7 - own[:, 1]], axis=1)
        assert np.abs(np.array(box["corners"]) - world).max() < 1e-3
        assert np.allclose(np.array(box["color"]) * 255, kind_color(kind), atol=0.2)
    assert [box["number"] for box in street["boxes"]["inverted"]] == [1, 3, 4]
    left, right, back, front = street["field"]
    points = np.frombuffer(zlib.decompress(base64.b64decode(street["cloud"]["places"])), "<i2").reshape(-1, 3) * 0.01
    assert len(points) == 16_000
    assert (points[:, :2].min(axis=0) >= np.array([left, back]) - 0.01).all()
    assert (points[:, :2].max(axis=0) <= np.array([right, front]) + 0.01).all()
    tip = np.array(street["eye"][0])
    assert np.abs(tip - [0, 0, 1.7]).max() < 0.1


def test_each_object_is_paired_once_and_only_with_its_kind() -> None:
    assert {i: j for i, (j, _) in pairs(TRUTH, FOUND).items()} == {0: 1, 2: 0}
    twins = scene([("Car", -3, 14.2, 0.3), ("Car", -3, 13.9, 0.3), ("Van", 2, 9, 0)], [0.5, 0.6, 0.7])
    assert {i: j for i, (j, _) in pairs(TRUTH, twins).items()} == {0: 1}
    turned = scene([("Car", -3, 14.1, 1.9), ("Car", -3, 13.7, 0.3)])  # the second overlaps more, the first is nearer
    assert {i: j for i, (j, _) in pairs(TRUTH, turned).items()} == {0: 1}
    assert pairs(TRUTH, Layout.empty(P2, H, W)) == pairs(Layout.empty(P2, H, W), FOUND) == {}
    beyond = scene([("Car", 6, 31 + 5.2, -1.57)])
    assert pairs(TRUTH, beyond) == {}
    unknown = replace(FOUND, centers=torch.full((3, 3), torch.nan))
    assert pairs(TRUTH, unknown) == {}


def test_words_cannot_break_the_page(tmp_path: Path) -> None:
    evil = '</script><img src=x onerror="alert(1)">{{title}} & "quoted"'
    odd = scene([(evil, 0, 12, 0)])
    frames = [SceneFrame(name=evil, truth=odd, caption=evil, badges={evil: evil})]
    reader = read(write_scene_page(tmp_path, frames, {evil: evil}, title=evil, subtitle=evil))
    assert not any(name == "onerror" for name, _ in reader.attributes)
    assert evil in reader.words


def test_scenes_without_objects_are_scenes(tmp_path: Path) -> None:
    nothing = Layout.empty(P2, H, W)
    frames = [SceneFrame(name="empty", truth=nothing, inverted=PHOTO, on_inverted=nothing)]
    scenes = json.loads(read(write_scene_page(tmp_path, frames)).data)["scenes"]
    assert scenes[0]["boxes"] == {"truth": [], "inverted": []}


def test_scenes_known_in_the_picture_only_are_scenes(tmp_path: Path) -> None:
    unknown = {
        name: torch.full_like(getattr(TRUTH, name), torch.nan) for name in ("sizes", "centers", "yaws", "projection")
    }
    flat = replace(TRUTH, **unknown)
    frames = [SceneFrame(name="flat", truth=flat, inverted=PHOTO, on_inverted=flat)]
    reader = read(write_scene_page(tmp_path, frames))
    assert json.loads(reader.data)["scenes"][0]["eye"] == []
    assert "Found in the inverted picture" in reader.words


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "frames: got none"),
        ([SceneFrame(name="a", truth=TRUTH, original=PHOTO[:9])], "is for a picture of 60 x 200"),
        ([SceneFrame(name="a", truth=TRUTH, inverted=PHOTO / 255)], "a: inverted: got"),
        ([SceneFrame(name="a", truth=TRUTH, points=np.zeros((3, 2)))], "a: points: got shape"),
    ],
)
def test_bad_scenes_are_refused_and_nothing_is_written(tmp_path: Path, frames: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_scene_page(tmp_path, frames)
    assert not list(tmp_path.iterdir())
