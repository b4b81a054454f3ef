"""Rooms as a job: folders in COCO's form, the same from one process, several and an interrupted run."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from invert3d.data.coco import CocoFolder
from invert3d.data.worlds import room_places
from invert3d.data.worlds.room_plan import NAMES, planted
from invert3d.data.worlds.rooms import make_room
from invert3d.jobs.options import RunOptions
from invert3d.training import rooms
from invert3d.training.rooms import counted, make_rooms, room_pictures
from invert3d.training.worlds import MakePictures
from tests.cli.calls import command

SPLITS = ("instances_train.json", "instances_val.json")


@pytest.fixture
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: workers have all shapes."""
    monkeypatch.setattr(room_places, "POOL", 2)


def files_of(folder: Path) -> dict[str, bytes]:
    """The data of a folder of rooms, without how they were made."""
    paths = [*(folder / "images").iterdir(), *(folder / name for name in (*SPLITS, "truths.json"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def options(out: Path, **more: object) -> RunOptions:
    return RunOptions(out=out, seed=5, progress=False, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "held"), [(1, 0), (2, 1), (12, 1), (15, 2)])
def test_the_splits_have_every_picture_once(tmp_path: Path, few_shapes: None, count: int, held: int) -> None:
    folder = make_rooms(count, options(tmp_path / "out"), size=64)
    train, val = (CocoFolder(folder / name) for name in SPLITS)
    assert train.ids + val.ids == tuple(range(count)) and len(val) == held
    assert {path.name for path in (folder / "images").iterdir()} == {f"{k:06d}.png" for k in range(count)}
    rows = [row for name in SPLITS for row in json.loads((folder / name).read_text())["annotations"]]
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))


def test_what_was_planned_stands_with_each_annotation(tmp_path: Path, few_shapes: None) -> None:
    folder = make_rooms(3, options(tmp_path / "out"), size=64)
    rows = [row for name in SPLITS for row in json.loads((folder / name).read_text())["annotations"]]
    for k in range(3):
        room, found = make_room(k, size=64, seed=5), [row for row in rows if row["image_id"] == k]
        assert [NAMES[row["category_id"] - 1] for row in found] == list(room.layout.kinds)
        for i, (row, item) in enumerate(zip(found, room.items, strict=True)):
            assert (row["object"], row["iscrowd"], row["area"]) == (i, 0, int((room.instances == i + 1).sum()))
            assert (row["texture"], row["scale"], row["side"]) == (item.texture, item.scale, item.side)
            assert row["partner"] == room.partners[i] and row["visible"] == pytest.approx(room.visible[i], abs=1e-3)
    truths = json.loads((folder / "truths.json").read_text())
    assert truths == json.loads(json.dumps({**planted(), "as drawn": counted(rows)}))
    assert truths["as drawn"]["objects"] == {name: 0 for name in NAMES} | Counter(
        NAMES[row["category_id"] - 1] for row in rows
    )


def test_the_shares_are_of_pictures_and_not_of_objects() -> None:
    rows = [("person", 0), ("person", 0), ("lamp", 0), ("person", 1), ("bed", 2)]
    table = counted([{"category_id": NAMES.index(name) + 1, "image_id": k} for name, k in rows])
    assert table["objects"]["person"] == 3 and table["objects"]["lamp"] == 1 and table["objects"]["sofa"] == 0
    shares = table["probability of b given a"]
    assert shares["person"]["lamp"] == 0.5 and shares["lamp"]["person"] == 1 and shares["bed"]["person"] == 0
    assert shares["sofa"]["person"] == 0 and "person" not in shares["person"]


def test_pictures_in_memory_are_those_of_the_world(tmp_path: Path, few_shapes: None) -> None:
    made = room_pictures(3, 64, seed=5, options=RunOptions(progress=False, out=tmp_path / "unused"))
    assert len(made) == 3 and made.kinds == NAMES and made.images.dtype == torch.uint8
    assert (made.source, made.licence) == ("procedural rooms, seed 5, 64 x 64", "Apache-2.0")
    for k in range(3):
        room = make_room(k, size=64, seed=5)
        assert np.array_equal(made.images[k].permute(1, 2, 0).numpy(), room.image)
        assert made.layouts[k].kinds == room.layout.kinds and made.layouts[k].masks is None
        assert torch.equal(made.layouts[k].boxes, room.layout.boxes)
        assert torch.equal(made.masks(k), room.layout.masks)
    assert not any(tmp_path.iterdir())


def test_one_process_two_and_an_interrupted_run_write_the_same(tmp_path, monkeypatch, forked) -> None:
    monkeypatch.setattr(rooms, "AT_ONCE", 2)
    make_rooms(3, options(tmp_path / "one"), size=64)
    make_rooms(3, options(tmp_path / "two", workers=2), size=64)
    work = MakePictures.__call__

    def interrupted(self, units, context):
        if units[0].name != "000000":
            raise KeyboardInterrupt
        return work(self, units, context)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MakePictures, "__call__", interrupted)
        make_rooms(3, options(tmp_path / "cut"), size=64)
    assert not (tmp_path / "cut" / "truths.json").exists()
    make_rooms(3, options(tmp_path / "cut", resume=True), size=64)
    whole = files_of(tmp_path / "one")
    assert len(whole) == 3 + 3
    assert files_of(tmp_path / "two") == whole
    assert files_of(tmp_path / "cut") == whole


def test_bad_rooms_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    for count, size, says in ((0, 64, "nothing to do"), (1, 63, "size: got 63, accepted are 64 pixels and more")):
        with pytest.raises(ValueError, match=says):
            make_rooms(count, options(tmp_path / "out"), size=size)
    assert not any(tmp_path.iterdir())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture, few_shapes: None) -> None:
    def make(name: str, pictures: int, **more: object) -> None:
        command("data", "make", "rooms", out=tmp_path / name, pictures=pictures, **{"size": 64, **more})

    make("out", 2, seed=1)
    assert "2 rooms of 64 x 64 pixels" in capsys.readouterr().out
    with pytest.raises(ValueError, match="give --resume to go on from it or --overwrite"):
        make("out", 1)
    make("out", 1, overwrite=True)
    assert len(CocoFolder(tmp_path / "out" / SPLITS[0])) == 1
    for wrong, says in (({"size": 8}, "64 pixels and more"), ({"pictures": 0}, "must be between 1 and")):
        with pytest.raises(ValueError, match=says):
            make("new", **{"pictures": 1, **wrong})
    assert not (tmp_path / "new").exists()
