"""Missed objects: which they are, empty places, balls, and what is said of the pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import invert3d
from invert3d.data.worlds import room_places
from invert3d.data.worlds.room_plan import NAMES
from invert3d.methods.layouts import layout_recipe, within_ball
from invert3d.models.detectors.thin import thin_adapter, thin_detector
from invert3d.models.weights import WeightCard, save_network
from invert3d.ops.layouts import Layout
from invert3d.projections.bounds import Ball
from invert3d.study.layouts import changes, false_positives, missed
from invert3d.study.layouts.changes import Changes, Pair, Question, measure_changes
from invert3d.study.layouts.changes_report import draw_changes
from invert3d.study.layouts.false_positives import FALSE, false_pairs, score_of
from invert3d.study.layouts.files import levels_between, png, read_picture
from invert3d.study.layouts.flat import invert_layouts
from invert3d.study.layouts.job import How
from invert3d.study.layouts.missed import MISSED, empty_place, missed_pairs
from invert3d.study.layouts.scenes import Scenes
from invert3d.study.layouts.texture import said_of
from tests.cli.calls import command

KINDS = ("background", "chair", "table")


def detector():
    torch.manual_seed(0)
    return thin_adapter("retinanet", KINDS, size=64, width=8, features=32)


def scene() -> Scenes:
    boxes = torch.tensor([[4.0, 4, 20, 20], [30, 30, 50, 60]])
    picture = (torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1)) * 255).round() / 255
    return Scenes(("a",), (Layout.of_boxes(["chair", "table"], boxes, 64, 64),), {"a": picture})


def test_missed_is_what_no_sure_detection_overlaps_by_half(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Layout.of_boxes(["table", "chair"], torch.tensor([[4.0, 4, 21, 20], [30, 30, 50, 60]]), 64, 64)
    found = replace(found, scores=torch.tensor([0.9, 0.2]))
    monkeypatch.setattr(missed, "redetected", lambda *_: [found])
    (pair,) = missed_pairs(detector(), scene(), 5)
    assert pair.name == "a-1", "another category in its place is no miss, a weak detection is"
    assert all(each.asked.kinds == ("table", "DontCare") and each.about.kinds == ("table",) for each in pair.both)
    box = pair.control.about.boxes[0]
    assert torch.allclose(box[2:] - box[:2], torch.tensor([20.0, 30.0]))
    monkeypatch.setattr(missed, "redetected", lambda *_: [replace(found, scores=torch.ones(2))])
    with pytest.raises(ValueError, match="misses nothing"):
        missed_pairs(detector(), scene(), 5)
    with pytest.raises(ValueError, match="real pictures"):
        missed_pairs(detector(), replace(scene(), originals={}), 5)


def test_an_empty_place_touches_nothing() -> None:
    rng, layout = np.random.default_rng(0), scene().layouts[0]
    for _ in range(30):
        box = empty_place(rng, torch.tensor([0.0, 0, 12, 9]), layout.boxes, layout)
        assert box is not None and (box >= 0).all() and (box <= 64).all()
        for left, top, right, bottom in layout.boxes.tolist():
            wide = min(float(box[2]), right) - max(float(box[0]), left)
            high = min(float(box[3]), bottom) - max(float(box[1]), top)
            assert wide <= 0 or high <= 0
    assert empty_place(rng, torch.tensor([0.0, 0, 60, 60]), layout.boxes, layout) is None


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_saved_pictures_stay_in_the_ball(norm: str) -> None:
    whole, asked = detector(), scene()
    recipe = within_ball(layout_recipe("layouts/smallest_change", whole, steps=6), norm, 2.0, 3 * 64 * 64)
    run = invert_layouts(whole, asked.layouts, recipe=recipe, names=["a"], start=asked.real())
    largest, usual = levels_between(asked.originals["a"], run.pictures[0])
    assert 0 < usual < 2.4, "8 bits may round l2 up a little"
    assert norm == "l2" or largest <= 2
    with pytest.raises(ValueError, match="keeps pictures in no ball"):
        within_ball(layout_recipe("layouts/ours", whole), norm, 2.0, 3)


def test_levels_are_those_of_the_files() -> None:
    one, other = torch.zeros(3, 4, 4), torch.full((3, 4, 4), 3 / 255)
    other[0, 0, 0] = 1.0
    values = [3.0] * 47 + [255.0]
    assert levels_between(one, other) == (255, pytest.approx(np.sqrt(np.mean(np.square(values)))))


def pairs_seen(answered: list[list[list[bool]]]) -> Changes:
    """What is said of pairs where only ``answered`` (R, 2, M) matters."""
    blank = scene()
    one = blank.layouts[0].select(torch.tensor([0]))
    count = len(answered[0][0])
    question = Question(picture=blank.originals["a"], asked=one, about=one)
    pair = Pair(name="a-0", question=question, control=question)
    run = invert_layouts(detector(), [one] * 2 * count, recipe=layout_recipe("layouts/ours", detector(), steps=1))
    radii, many = tuple(2.0**r for r in range(len(answered))), (run,) * len(answered)
    return Changes(
        words=MISSED, pairs=(pair,) * count, radii=radii, norm="linf", answered=np.array(answered), runs=many
    )


def test_pairs_are_compared_by_their_smallest_radius() -> None:
    found = pairs_seen([[[True, False, False], [False, False, False]], [[True, True, False], [True, True, False]]])
    assert found.smallest.tolist() == [[1, 2, np.inf], [2, 2, np.inf]]
    said = found.comparison()
    assert (said["less than the empty place"], said["as much"], said["more"]) == (1, 2, 0)
    assert said["p"] == 1, "one of one is chance"
    assert [found.place(0, i) for i in range(3)] == [0, 1, 1]
    assert found.rows()[0]["missed objects seen"] == pytest.approx(1 / 3, abs=1e-3)
    assert found.rows()[1]["empty places seen"] == pytest.approx(2 / 3, abs=1e-3)


def test_every_radius_is_tried_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "SHOWN", 0.0)  # nearly everything counts as seen
    options = invert3d.RunOptions(out=tmp_path / "run", progress=False)
    pairs = missed_pairs(detector(), scene(), 5)
    quick = How(recipe="accentuate", steps=2)
    found = measure_changes(detector(), pairs, MISSED, options, radii=[4.0, 1.0], how=quick)
    assert found.radii == (1.0, 4.0) and found.answered.shape == (2, 2, len(pairs))
    after, _ = found.changed(1, 0)
    assert levels_between(pairs[0].control.picture, after)[0] <= found.radii[found.place(1, 0)]
    assert draw_changes(tmp_path / "missed.png", found, "missed").is_file()
    with pytest.raises(ValueError, match="at least one radius"):
        measure_changes(detector(), pairs, MISSED, options, radii=[])


def test_false_detections_are_paired_with_right_ones_of_like_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = torch.tensor([[30.0, 30, 50, 60], [4, 4, 20, 20], [40, 2, 60, 20], [41, 2, 60, 20], [2, 40, 20, 60]])
    scores = torch.tensor([0.9, 0.54, 0.5, 0.2, 0.1])
    found = Layout.of_boxes(["table", "chair", "chair", "table", "chair"], boxes, 64, 64, scores)
    monkeypatch.setattr(false_positives, "all_found", lambda *_: found)
    (pair,) = false_pairs(detector(), scene(), 5)
    question, control = pair.both
    assert pair.name == "a-2" and question.about.kinds == ("chair",) and score_of(question) == pytest.approx(0.5)
    assert score_of(control) == pytest.approx(0.54), "the right one whose score is nearest"
    assert question.asked.kinds == ("table", "chair", "DontCare"), "a weak one in its place is not to be spared"
    assert torch.equal(question.asked.boxes, boxes[[0, 1, 4]])
    assert not question.answered(found, seen=False) and question.answered(found, seen=True)
    assert question.answered(found.select(torch.tensor([0, 1, 3])), seen=False)
    monkeypatch.setattr(false_positives, "all_found", lambda *_: found.select(torch.tensor([2])))
    with pytest.raises(ValueError, match="no false detection has a right one of like score"):
        false_pairs(detector(), scene(), 5)
    far = replace(found, scores=torch.tensor([0.9, 0.6, 0.5, 0.2, 0.1]))
    monkeypatch.setattr(false_positives, "all_found", lambda *_: far)
    with pytest.raises(ValueError, match="no false detection has a right one of like score"):
        false_pairs(detector(), scene(), 5)


def test_a_weak_detection_around_a_false_one_does_not_spare_it() -> None:
    """What lies in a region to be ignored may stay: so the box around it must not become one."""
    boxes = torch.tensor([[4.0, 4, 20, 20], [40, 30, 52, 42], [34, 24, 58, 48], [2, 40, 20, 60]])
    kinds, scores = ["chair", "table", "chair", "chair"], torch.tensor([0.9, 0.6, 0.2, 0.1])
    question = false_positives.gone(torch.rand(3, 64, 64), Layout.of_boxes(kinds, boxes, 64, 64, scores), 1)
    assert torch.equal(question.asked.boxes, boxes[[0, 3]]) and question.asked.kinds == ("chair", "DontCare")


def test_a_false_detection_is_taken_out_of_a_picture(tmp_path: Path) -> None:
    """What random weights see in noise: it is less sure after a change of any size, and as sure after next to none."""
    whole = detector()
    torch.nn.init.zeros_(whole.model.head.classification_head.cls_logits.bias)  # it sees something
    picture = scene().originals["a"]
    found = false_positives.all_found(whole, picture)
    truth = found.select(torch.tensor([1]))
    scenes = Scenes(("a",), (replace(truth, scores=torch.full((1,), torch.nan)),), {"a": picture})
    pairs = false_pairs(whole, scenes, 1)
    options = invert3d.RunOptions(out=tmp_path / "run", progress=False)
    how = How(recipe="smallest_change", steps=30)
    gone = measure_changes(whole, pairs, FALSE, options, radii=[0.5, 255.0, 255], how=how)
    about = pairs[0].question.about
    before, small, large = (said_of(each, about, 0)[0] for each in (found, *(run.found[0] for run in gone.runs)))
    assert gone.radii == (0.5, 255.0) and small == pytest.approx(before, abs=0.02) and large < before - 0.003
    assert "less than the right detection" in gone.comparison()


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    kinds = ("background", *NAMES)
    options = {"size": 64, "width": 8, "features": 32}
    card = WeightCard(name="rooms", kind="2-D detector", architecture="retinanet", classes=kinds, options=options)
    torch.manual_seed(0)
    save_network(thin_detector("retinanet", len(kinds), **options), card, tmp_path)
    words = {"rooms": 2, "objects": 1, "steps": 1, "progress": False}
    command("evaluate", "missed", tmp_path / "rooms.json", **words, within="2", out=tmp_path / "run")
    said = capsys.readouterr().out
    assert "missed objects seen" in said and (tmp_path / "run" / "figure.png").is_file()
    false = words | {"rooms": 12, "within": "2", "out": tmp_path / "f"}
    command("evaluate", "false-positives", "retinanet-rooms", **false)
    said = capsys.readouterr().out
    assert "false detections gone" in said and (tmp_path / "f" / "figure.png").is_file()
    for within in ("0", "two", "300"):
        with pytest.raises(ValueError, match="levels above 0"):
            command("evaluate", "missed", tmp_path / "rooms.json", **words | {"within": within, "out": tmp_path / "no"})

    picture = scene().originals["a"]
    (tmp_path / "photo.png").write_bytes(png(picture))
    text = '{"image": {"height": 64, "width": 64}, "objects": [{"kind": "chair", "box": [4, 4, 40, 30]}]}'
    (tmp_path / "mine.json").write_text(text)
    asked = {"model": tmp_path / "rooms.json", "steps": 2}
    start = {"layout": tmp_path / "mine.json", "start": tmp_path / "photo.png"}
    command("invert", "layout", **asked, **start, within=3, out=tmp_path / "change")
    changed = read_picture(tmp_path / "change" / "images" / "mine.png")
    assert 0 < levels_between(picture, changed)[0] <= 3
    assert (tmp_path / "change" / "figures" / "mine-change.png").is_file()
    with pytest.raises(ValueError, match="--start is the picture of --layout"):
        command("invert", "layout", **asked, rooms=1, start=tmp_path / "photo.png", out=tmp_path / "no")
    with pytest.raises(ValueError, match="smallest_change begins with a picture"):
        command("invert", "layout", **asked, layout=tmp_path / "mine.json", recipe="smallest_change", out="no")


def test_the_balls_radius_is_that_of_the_norm() -> None:
    recipe = layout_recipe("layouts/smallest_change", detector())
    balls = [each for each in recipe.stages[0].projections if isinstance(each, Ball)]
    assert balls == [Ball(norm="linf", radius=8 / 255)]
    assert within_ball(recipe, "linf", 8.0, 100) == recipe
    (ball, _) = within_ball(recipe, "l2", 8.0, 100).stages[0].projections
    assert ball == Ball(norm="l2", radius=80 / 255)
