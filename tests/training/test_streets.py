"""Streets as a job: folders that read back, the same from one process, several and an interrupted run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from invert3d.data.kitti import KittiFolder
from invert3d.data.worlds.streets import make_frame
from invert3d.jobs.options import RunOptions
from invert3d.training import streets
from invert3d.training.streets import make_streets, street_frames
from invert3d.training.worlds import MakePictures
from tests.cli.calls import command
from tests.data.test_streets import decoded

SIZE = {"height": 48, "width": 160}


def files_of(folder: Path) -> dict[str, bytes]:
    """The data of a folder of streets, without how they were made."""
    names = ("training", "ImageSets", "instances.json")
    paths = [path for name in names for path in ((folder / name).rglob("*") if "." not in name else [folder / name])]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def options(out: Path, **more: object) -> RunOptions:
    return RunOptions(out=out, seed=5, progress=False, **more)  # type: ignore[arg-type]


def test_a_folder_reads_back(tmp_path):
    make_streets(5, options(tmp_path / "out"), **SIZE, scan=True, depth=True)
    folder = KittiFolder(tmp_path / "out")
    assert folder.ids == [f"{k:06d}" for k in range(5)]
    assert KittiFolder(tmp_path / "out", "val").ids == ["000004"]
    assert KittiFolder(tmp_path / "out", "train").ids == folder.ids[:4]
    coco = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [f"{name}.png" for name in folder.ids]
    assert [each["id"] for each in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    for k, name in enumerate(folder.ids):
        frame, layout = make_frame(k, **SIZE, seed=5, scan=True), folder.layout(name)
        assert np.array_equal(folder.image(name), frame.image)
        assert np.array_equal(folder.scan(name), frame.scan)
        assert layout.kinds == frame.layout.kinds
        assert torch.allclose(layout.boxes, frame.layout.boxes, atol=0.006)
        assert torch.allclose(layout.centers, frame.layout.centers, atol=0.006)
        assert torch.allclose(layout.projection, frame.layout.projection)
        masks = np.zeros((48, 160), int)
        for each in coco["annotations"]:
            if each["image_id"] == k:
                masks[decoded(each["segmentation"])] = each["object"] + 1
                assert coco["categories"][each["category_id"] - 1]["name"] == frame.layout.kinds[each["object"]]
        assert np.array_equal(masks, frame.instances)


def test_frames_in_memory_are_those_of_the_world(tmp_path):
    frames = street_frames(2, **SIZE, seed=5, options=RunOptions(progress=False, out=tmp_path / "unused"))
    for k in range(2):
        frame = make_frame(k, **SIZE, seed=5)
        assert np.array_equal(frames.images[k].permute(1, 2, 0).numpy(), frame.image)
        assert torch.equal(frames.layouts[k].boxes, frame.layout.boxes)
        assert torch.equal(frames.layouts[k].projection, frame.layout.projection)
        assert (frames.layouts[k].kinds, frames.layouts[k].width) == (frame.layout.kinds, 160)
    assert not any(tmp_path.iterdir())


def test_one_process_two_and_an_interrupted_run_write_the_same(tmp_path, monkeypatch, forked):
    monkeypatch.setattr(streets, "AT_ONCE", 2)
    make_streets(3, options(tmp_path / "one"), **SIZE)
    make_streets(3, options(tmp_path / "two", workers=2), **SIZE)
    work = MakePictures.__call__

    def interrupted(self, units, context):
        if units[0].name != "000000":
            raise KeyboardInterrupt
        return work(self, units, context)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MakePictures, "__call__", interrupted)
        make_streets(3, options(tmp_path / "cut"), **SIZE)
    assert not (tmp_path / "cut" / "instances.json").exists()
    make_streets(3, options(tmp_path / "cut", resume=True), **SIZE)
    whole = files_of(tmp_path / "one")
    assert len(whole) == 3 * 3 + 4
    assert files_of(tmp_path / "two") == whole
    assert files_of(tmp_path / "cut") == whole
    label, unit = (tmp_path / "cut" / place / "training/label_2/000000.txt" for place in (".", "units/000000"))
    before = unit.read_bytes()
    with label.open("a") as file:
        file.write("edited")
    assert unit.read_bytes() == before


@pytest.mark.fault("the disk fills up while streets are written")
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    make_streets(1, options(tmp_path / "out"), **SIZE)
    with monkeypatch.context() as patch:
        patch.setattr("PIL.Image.Image.save", full)
        with pytest.raises(ValueError, match="000000.png: not written: No space left on device"):
            make_streets(2, options(tmp_path / "out", overwrite=True), **SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert KittiFolder(tmp_path / "out").image("000000").shape == (48, 160, 3)


def test_an_empty_picture_in_a_folder_is_named(tmp_path):
    folder = KittiFolder(make_streets(1, options(tmp_path / "out"), **SIZE))
    folder.path("image_2", "000000").unlink()
    folder.path("image_2", "000000").touch()
    for read in (folder.layout, folder.size, folder.image):
        with pytest.raises(ValueError, match="image_2/000000.png: found an empty file, expected one of KITTI's left"):
            read("000000")


def test_bad_streets_are_refused_and_nothing_is_written(tmp_path):
    for count, size, message in ((0, SIZE, "nothing to do"), (1, {"height": 8, "width": 160}, "16x32")):
        with pytest.raises(ValueError, match=message):
            make_streets(count, options(tmp_path / "out"), **size)
    assert not any(tmp_path.iterdir())


def test_the_command(tmp_path, capsys):
    def make(name: str, frames: int, size: str = "32x96", **more: object) -> None:
        command("data", "make", "streets", out=tmp_path / name, frames=frames, size=size, **more)

    make("out", 2, seed=1)
    assert "2 streets of 32 x 96 pixels" in capsys.readouterr().out
    with pytest.raises(ValueError, match="give --resume to go on from it or --overwrite"):
        make("out", 1)
    make("out", 1, overwrite=True)
    assert len(KittiFolder(tmp_path / "out")) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ValueError, match="not a run folder"):
        make("mine", 1, overwrite=True)
    for size in ("32", "axb", "32x96x3", "8x8"):
        with pytest.raises(ValueError, match="size"):
            make("new", 1, size)
    with pytest.raises(ValueError, match="size"):
        command("data", "make", "shapes", tmp_path / "new.npz", size="32x96")
    assert not (tmp_path / "new").exists()
