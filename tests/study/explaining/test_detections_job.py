"""Explaining detections from the command line: what is written, what is refused, what a test takes away."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from invert3d.data.worlds.rooms import make_room
from invert3d.jobs.execute import execute
from invert3d.opening.box_detectors import open_box_detector
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import HELD_OUT
from invert3d.study.explaining.detections import prepared, sure
from invert3d.study.explaining.detections_job import HIGHEST, INSIDE, OUTSIDE, Asked, answers_without, detections_job
from tests.cli import calls
from tests.jobs.test_jobs import quiet

command = partial(calls.command, "explain")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A held-out room in which a table is found."""
    path = tmp_path_factory.mktemp("photos") / "room.png"
    Image.fromarray(make_room(2, seed=HELD_OUT).image).save(path)
    return path


def test_a_folder_with_maps_a_table_and_a_page(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command(photo, detector="fcos-rooms", detection=0, methods="gradient,grad_cam", test=0.3, out=out)
    table = json.loads((out / "table.json").read_text())
    assert table["columns"][-3:] == [HIGHEST, INSIDE, OUTSIDE] and "without highest" in capsys.readouterr().out
    cells = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [(row["evidence"], row["method"], row["runs"]) for row in cells] == [
        ("class", "gradient", 1),
        ("box", "gradient", 4),
        ("class", "grad cam", 1),
        ("box", "grad cam", 4),
    ]
    assert {row["head"] for row in cells} == {"classification", "bbox_regression"}
    arrays = load_file(out / "units" / "room" / "arrays.safetensors")
    assert arrays["gradient.classification"].shape == (1, 160, 160) and arrays["x"].shape == (3, 160, 160)
    page = (out / "index.html").read_text()
    assert page.count('class="heat"') == 5, "the picture, and a card for each method and head"
    assert "box: grad cam" in page and "most support" in page and (out / "figure.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="exists already"):
        command(photo, detector="fcos-rooms", methods="gradient", out=out)


def test_a_finished_run_is_resumed_without_work(photo: Path, tmp_path: Path) -> None:
    detector = open_box_detector("fcos-rooms")
    picture = np.asarray(Image.open(photo))
    job = detections_job(detector, {"room": picture}, Asked(detection=0, methods=["gradient"], heads=["class"]))
    execute(job, quiet(tmp_path / "out"))
    before = (tmp_path / "out" / "units" / "room" / "arrays.safetensors").read_bytes()
    again = execute(job, quiet(tmp_path / "out", resume=True))
    assert again.made("room") is not None
    assert (tmp_path / "out" / "units" / "room" / "arrays.safetensors").read_bytes() == before
    other = detections_job(detector, {"room": picture}, Asked(detection=0, methods=["gradient"], heads=["box"]))
    with pytest.raises(ValueError, match="heads"):
        execute(other, quiet(tmp_path / "out", resume=True))


def test_what_is_named_twice_or_of_a_kind(photo: Path) -> None:
    detector = open_box_detector("fcos-rooms")
    picture = np.asarray(Image.open(photo))
    found = sure(detector, prepared(detector, picture)[0])
    job = detections_job(detector, {"room": picture}, Asked(heads=["class", "classification"]))
    assert job.settings["heads"] == ["classification"]
    assert job.units[0].values["layout"].kinds == found.kinds[:3]
    kind = found.kinds[1]
    job = detections_job(detector, {"room": picture}, Asked(kind=kind))
    assert set(job.units[0].values["layout"].kinds) == {kind}
    assert len(job.units[0].values["layout"]) == found.kinds.count(kind)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "voxnet-shapes"}, "--model names a classifier and --detector a detector: give one of them"),
        ({"target": "chair"}, "--target is about a classifier: ask a detector with --detection"),
        ({"layer": "backbone"}, "--layer is about a classifier"),
        ({"size": 32}, "a detector takes --checkpoint, --class-names, --model-args and --device only"),
        ({"detector": None, "heads": "class"}, "--heads is about detections: name a --detector"),
        ({"detector": None, "detection": 0}, "--detection is about detections: name a --detector"),
        ({"detector": "fcos-room"}, "did you mean fcos-rooms"),
        ({"heads": "clas"}, "unknown head 'clas'; did you mean class"),
        ({"methods": "grad_cat"}, "unknown method 'grad_cat'; did you mean grad_cam"),
        ({"methods": "smooth_grad"}, "smooth_grad averages over noise"),
        ({"object": "chiar"}, "unknown object 'chiar'; did you mean chair"),
        ({"object": "guitar"}, "room: no guitar is found with a score of at least 0.3, only"),
        ({"detection": 99}, "room: there is no detection 99"),
        ({"test": 1}, "must lie between 0 and 1, not 1"),
        ({"test": 0.00001}, "is not one pixel: nothing would be taken away"),
    ],
)
def test_what_is_wrong_is_said_before_work_starts(photo: Path, tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        command(photo, **{"detector": "fcos-rooms", "out": tmp_path / "out", **changes})
    assert not (tmp_path / "out" / "units").exists()


def test_what_is_no_picture_is_said(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no")
    with pytest.raises(ValueError, match="found no image"):
        command(tmp_path / "no.png", detector="fcos-rooms", out=tmp_path / "out")
    with pytest.raises(ValueError, match="name at least one picture"):
        command(detector="fcos-rooms", out=tmp_path / "out")
    Image.fromarray(np.zeros((160, 160, 3), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(ValueError, match="black: nothing is found with a score of at least 0.3"):
        command(tmp_path / "black.png", detector="fcos-rooms", out=tmp_path / "out")


class Bright(torch.nn.Module):
    """A detector that finds one object, as sure of it as its upper left quarter is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.height = self.width = 32
        self.weight = torch.nn.Parameter(torch.ones(1))

    def raw(self, images: Tensor) -> dict[str, Tensor]:
        return {"bright": images[:, :, 8:16, 8:16].mean((1, 2, 3))}

    def finalize(self, raw: dict[str, Tensor]) -> list[Layout]:
        box = torch.tensor([[8.0, 8.0, 24.0, 24.0]])
        return [Layout.of_boxes(["thing"], box, 32, 32, scores=score[None]) for score in raw["bright"]]


def test_as_many_pixels_are_taken_away_wherever_they_are() -> None:
    picture = torch.zeros(3, 32, 32)
    picture[:, 8:16, 8:16] = 1
    one = Layout.of_boxes(["thing"], torch.tensor([[8.0, 8.0, 24.0, 24.0]]), 32, 32, scores=torch.ones(1))
    values, random = torch.zeros(32, 32), torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    values[8:16, 8:16] = 1
    said = answers_without(Bright(), picture, one, values, random, 0.25)  # 64 of 256 pixels: all that is bright
    assert set(said) == {HIGHEST, INSIDE, OUTSIDE} and all(box == 1 for _, box in said.values())
    assert said[HIGHEST][0] < said[INSIDE][0] < said[OUTSIDE][0] == 1
    near = torch.nn.functional.avg_pool2d(picture[None], 5, 1, 2, count_include_pad=False)[0]
    assert said[HIGHEST][0] == pytest.approx(float(near[:, 8:16, 8:16].mean())), "the mean of 5 x 5 pixels"
