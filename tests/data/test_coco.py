"""COCO folders: what is written reads back, all forms of masks agree, and bad files are one sentence."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as oracle

from invert3d.data.coco import CocoFolder, mask_of
from invert3d.data.files import BadFile
from invert3d.data.worlds import room_places
from invert3d.data.worlds.coco_files import run_lengths
from invert3d.data.worlds.room_plan import NAMES
from invert3d.data.worlds.rooms import make_room
from invert3d.jobs.options import RunOptions
from invert3d.training.rooms import make_rooms

HEIGHT, WIDTH = 12, 17
BLOB = np.zeros((HEIGHT, WIDTH), bool)
BLOB[2:7, 3:9] = BLOB[8:, 10:] = True


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room_places, "POOL", 2)
        yield make_rooms(4, RunOptions(out=tmp_path_factory.mktemp("coco") / "out", seed=5, progress=False), size=64)


def test_what_is_written_reads_back(rooms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    read = [CocoFolder(rooms / f"instances_{split}.json") for split in ("train", "val")]
    assert [each.ids for each in read] == [(0, 1, 2), (3,)] and [len(each) for each in read] == [3, 1]
    assert all(each.kinds == NAMES for each in read)
    for folder in read:
        for number in folder.ids:
            room, layout = make_room(number, size=64, seed=5), folder.layout(number, masks=True)
            assert np.array_equal(folder.image(number), room.image)
            assert layout.kinds == room.layout.kinds and (layout.height, layout.width) == (64, 64)
            assert torch.equal(layout.boxes, room.layout.boxes) and torch.equal(layout.masks, room.layout.masks)
            assert layout.scores.isnan().all() and folder.layout(number).masks is None


def made(folder: Path, *rows: dict[str, Any], **changes: Any) -> Path:
    """A file of one picture and annotations, with some parts of it replaced, beside the picture."""
    (folder / "images").mkdir(exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (90, 20, 200)).save(folder / "images" / "a.png")
    table = {
        "images": [{"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}],
        "annotations": [{"id": k + 1, **row} for k, row in enumerate(rows)],
    }
    path = folder / "some.json"
    path.write_text(json.dumps({name: value for name, value in {**table, **changes}.items() if value is not None}))
    return path


def one(**more: Any) -> dict[str, Any]:
    return {"image_id": 7, "category_id": 4, "bbox": [3, 2, 6, 5], "segmentation": [[3, 2, 9, 2, 9, 7, 3, 7]], **more}


def test_kinds_are_in_the_order_of_ids_and_crowds_are_not_cared_for(tmp_path: Path) -> None:
    crowd = {"size": [HEIGHT, WIDTH], "counts": run_lengths(BLOB)}
    folder = CocoFolder(made(tmp_path, one(), one(iscrowd=1, segmentation=crowd), one(category_id=9, iscrowd=0)))
    layout = folder.layout(7, masks=True)
    assert folder.kinds == ("cat", "dog") and folder.ids == (7,)
    assert layout.kinds == ("cat", "DontCare", "dog")
    assert layout.boxes.tolist() == [[3, 2, 9, 7]] * 3
    assert torch.equal(layout.masks[1], torch.from_numpy(BLOB)) and int(layout.masks[0].sum()) == 30


def test_a_picture_without_annotations_is_empty(tmp_path: Path) -> None:
    layout = CocoFolder(made(tmp_path)).layout(7, masks=True)
    assert len(layout) == 0 and layout.boxes.shape == (0, 4) and layout.masks.shape == (0, HEIGHT, WIDTH)


@pytest.mark.parametrize("mask", [BLOB, ~BLOB, np.zeros_like(BLOB), np.ones_like(BLOB)])
def test_run_lengths_plain_and_compressed_are_the_same(mask: np.ndarray) -> None:
    size = [HEIGHT, WIDTH]
    packed = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    for counts in (run_lengths(mask), packed, packed.decode()):
        assert np.array_equal(mask_of({"size": size, "counts": counts}, HEIGHT, WIDTH), mask)


def slow_polygons(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """Pixels whose middle has an odd number of edges to its left, one at a time."""
    found = np.zeros((height, width), bool)
    for each in polygons:
        corners = list(zip(each[::2], each[1::2], strict=True))
        for row in range(height):
            for column in range(width):
                u, v, odd = column + 0.5, row + 0.5, False
                for (x, y), (to_x, to_y) in zip(corners, corners[1:] + corners[:1], strict=True):
                    if (y <= v) != (to_y <= v) and x + (v - y) * (to_x - x) / (to_y - y) <= u:
                        odd = not odd
                found[row, column] |= odd
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")
def test_polygons_are_filled_like_pixel_by_pixel_and_like_cocos_own() -> None:
    rng = np.random.default_rng(3)
    for _ in range(25):
        turns = np.sort(rng.uniform(0, 2 * np.pi, (2, 7)), 1)
        reach = rng.uniform(2, 14, (2, 7))
        points = np.stack([15 + reach * np.cos(turns), 13 + reach * np.sin(turns)], -1)
        polygons = [each.ravel().tolist() for each in points + rng.uniform(-4, 4, (2, 1, 2))]
        mask = mask_of(polygons, 26, 30)
        assert np.array_equal(mask, slow_polygons(polygons, 26, 30))
        theirs = oracle.decode(oracle.merge(oracle.frPyObjects(polygons, 26, 30))).astype(bool)
        assert mask.sum() > 20 and (mask != theirs).sum() <= 0.06 * mask.sum() + 4  # they round corners to 1/5 pixel
    assert np.array_equal(np.argwhere(mask_of([[3, 2, 5, 2, 5, 4, 3, 4]], 6, 7)), [[2, 3], [2, 4], [3, 3], [3, 4]])
    assert mask_of([[-5, -5, 40, -5, 40, 40, -5, 40]], 6, 7).all(), "cut at the edges of the picture"
    assert not mask_of([], 6, 7).any()


BAD_FILES = {
    "empty": (b"", "found an empty file, expected COCO annotations in JSON"),
    "no JSON": (b"{not json", "not readable: Expecting property name"),
    "no text": (b"\xff\xfe\x00\x81", "not readable"),
    "a list": (b"[]", "not readable: list indices"),
    "a number": (b"3", "not readable: 'int' object"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_coco_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    data, says = BAD_FILES[name]
    (tmp_path / "some.json").write_bytes(data)
    refused(says, tmp_path / "some.json", lambda: CocoFolder(tmp_path / "some.json"))


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refused("there is no file", tmp_path / "none.json", lambda: CocoFolder(tmp_path / "none.json"))
    refused("found a folder", tmp_path, lambda: CocoFolder(tmp_path))


def refused(says: str, path: Path, action) -> None:
    with pytest.raises(BadFile, match=re.escape(says)) as caught:
        action()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


PICTURE = {"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        *(({part: None}, f"'{part}'") for part in ("images", "annotations", "categories")),
        *(({"images": [{**PICTURE, key: None}]}, "") for key in ("file_name", "height", "width")),
        *(
            ({"images": [{k: v for k, v in PICTURE.items() if k != key}]}, f"'{key}'")
            for key in ("id", "file_name", "height", "width")
        ),
        ({"images": [{**PICTURE, "height": -3}]}, "has no name or no size"),
        ({"categories": [{"id": 9, "name": "dog"}]}, "annotation 1 is of no picture or category of the file"),
        ({"images": [{**PICTURE, "id": 8}]}, "annotation 1 is of no picture or category of the file"),
        ({"categories": [{"id": 4}]}, "'name'"),
        ({"annotations": [{"image_id": 7}]}, "'category_id'"),
    ],
)
def test_files_with_parts_missing_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = made(tmp_path, one(), **changes)
    refused(says or "not readable", path, lambda: CocoFolder(path))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([one(bbox=None)], "not readable"),
        ([one(bbox=[1, 2, 3])] * 4, "not readable"),
        ([one(bbox=[1, 2, float("nan"), 3])], "a box in the picture with id 7 is not finite"),
        ([one(bbox="wide")], "not readable"),
        ([{k: v for k, v in one().items() if k != "bbox"}], "'bbox'"),
        ([{k: v for k, v in one().items() if k != "segmentation"}], "'segmentation'"),
        ([one(segmentation=[[1, 2, 3]])], "not readable"),
        ([one(segmentation=[[1, 2, float("inf"), 2, 3, 4]])], "a corner of a polygon is not finite"),
        ([one(segmentation=3)], "not readable"),
        ([one(segmentation={"size": [4, 4], "counts": [16]})], "a mask is [4, 4], its picture [12, 17]"),
        ([one(segmentation={"size": [HEIGHT, WIDTH], "counts": [5]})], "add up to 5, not to 12 x 17"),
        ([one(segmentation={"size": [HEIGHT, WIDTH], "counts": [-6, 210]})], "not readable"),
        ([one(segmentation={"size": [HEIGHT, WIDTH], "counts": "garbage"})], "not readable"),
        ([one(segmentation={"size": [HEIGHT, WIDTH], "counts": ""})], "not readable"),
        ([one(segmentation={"counts": [5]})], "'size'"),
    ],
)
def test_boxes_and_masks_that_cannot_be_read_are_refused(tmp_path: Path, rows: list[dict], says: str) -> None:
    path = made(tmp_path, *copy.deepcopy(rows))
    folder = CocoFolder(path)
    refused(says, path, lambda: folder.layout(7, masks=True))


def test_pictures_that_are_not_there_no_pictures_or_of_another_size_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path, one())
    folder, picture = CocoFolder(path), tmp_path / "images" / "a.png"
    assert folder.image(7).shape == (HEIGHT, WIDTH, 3)
    for number in (1, "7", None):
        refused(f"has no picture with id {number!r}", path, lambda number=number: folder.layout(number))
    Image.new("RGB", (3, 4)).save(picture)
    refused("is (4, 3), its annotations say (12, 17)", picture, lambda: folder.image(7))
    picture.write_bytes(b"no picture at all")
    refused("found no image", picture, lambda: folder.image(7))
    picture.unlink()
    refused("there is no file", picture, lambda: folder.image(7))
    refused("there is no file", tmp_path / "b" / "a.png", lambda: CocoFolder(path, tmp_path / "b").image(7))
