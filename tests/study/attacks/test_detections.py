"""Attacks on a detector of rooms: a detection goes, an object appears, the others stay; and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from invert3d.data.images import read_image
from invert3d.data.worlds.rooms import make_room
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe
from invert3d.opening.box_detectors import open_box_detector
from invert3d.ops.layouts import Layout
from invert3d.study.attacks.detections import Wanted, appearing, question_of
from invert3d.study.layouts.false_positives import all_found
from invert3d.study.layouts.flat import invert_layouts
from invert3d.study.layouts.job import asked_of
from invert3d.study.layouts.score import sure
from tests.cli.calls import command

QUIET = RunOptions(progress=False)
CHAIR = "chair:10,10,60,70"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("rooms") / "room.png"
    Image.fromarray(np.asarray(make_room(101, seed=0).image)).save(path)
    return path


@pytest.mark.parametrize(("option", "said", "seen"), [("vanish", 0, "vanished"), ("appear", CHAIR, "appeared")])
def test_a_detection_goes_or_comes_and_the_others_stay(
    option: str, said: int | str, seen: str, room: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    command("attack", str(room), detector="fcos-rooms", **{option: said}, steps=60, out=folder, progress=False)
    table = json.loads((folder / "table.json").read_text())
    row = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert row[seen] is True and row["largest change"] == "8/255"
    kept, others = row["others kept"].split(" of ")
    assert kept == others and int(others) > 0
    before, after = read_image(room).astype(int), read_image(folder / "images" / "room.png").astype(int)
    assert 0 < np.abs(after - before).max() <= 8
    assert "An attack" in (folder / "index.html").read_text()


def test_a_picture_in_which_nothing_else_is_seen_can_be_asked_to_be_empty(room: Path) -> None:
    detector = open_box_detector("fcos-rooms")
    picture = question_of(detector, "room", read_image(room), Wanted(vanish=0)).picture[None]
    alone = Layout.of_boxes(["DontCare"], torch.tensor([[0.0, 0, 9, 9]]), 160, 160)
    before = sure(all_found(detector, picture[0]))
    run = invert_layouts(
        detector, [alone], recipe=layout_recipe("layouts/attack", detector, steps=12), start=picture, options=QUIET
    )
    assert len(sure(run.found[0])) < len(before), "all of them are to go"
    with pytest.raises(ValueError, match="asks nothing"):
        asked_of(detector, [alone], ["one"], "layouts/ours")


def test_what_lies_at_the_same_place_goes_with_it(room: Path) -> None:
    detector = open_box_detector("fcos-rooms")
    question = question_of(detector, "room", read_image(room), Wanted(vanish=0))
    found = sure(all_found(detector, question.picture))
    there = box_iou(found.boxes, question.about.boxes)[:, 0]
    assert int((there >= 0.5).sum()) > 1, "the detector has several names for one thing here"
    named = torch.tensor([kind != "DontCare" for kind in question.asked.kinds])
    assert int(named.sum()) == int((there < 0.5).sum())
    assert box_iou(question.asked.boxes, question.about.boxes).max() < 0.5, "nothing is asked or spared there"


def test_a_box_is_of_the_picture_and_moves_to_the_size_of_the_detector(room: Path) -> None:
    detector = open_box_detector("fcos-rooms")
    large = np.repeat(np.repeat(read_image(room), 2, 0), 2, 1)
    asked = [
        question_of(detector, "room", picture, Wanted(appear=appearing(text))).about.boxes
        for picture, text in ((read_image(room), CHAIR), (large, "chair:20,20,120,140"))
    ]
    assert torch.allclose(*asked, atol=0.6)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "say either which detection shall vanish or what shall appear"),
        ({"vanish": 0, "appear": CHAIR}, "say either"),
        ({"vanish": 900}, "there is no detection 900"),
        ({"appear": "chair"}, "is KIND:LEFT,TOP,RIGHT,BOTTOM"),
        ({"appear": "chairr:1,1,9,9"}, "unknown category 'chairr'; did you mean chair"),
        ({"appear": "chair:10,10,900,70"}, "is not in 160 x 160 pixels"),
        ({"vanish": 0, "recipe": "fgsm"}, "a detector takes --steps only"),
        ({"vanish": 0, "kind": "image"}, "of the options of a network a detector takes"),
    ],
)
def test_what_cannot_be_asked_is_refused(said: dict, words: str, room: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        command("attack", str(room), detector="fcos-rooms", **said, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_classifier_has_no_detections(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name a --detector"):
        command("attack", "shapes:chair", vanish=0, out=tmp_path / "run")
