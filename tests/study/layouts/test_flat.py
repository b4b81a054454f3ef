"""``invert3d invert layout`` and ``evaluate detectors``: layouts of 2-D detectors, with tiny ones of random weights."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import torch

import invert3d
from invert3d.data.coco import CocoFolder
from invert3d.data.layout_files import read_layout
from invert3d.data.worlds import room_places
from invert3d.data.worlds.room_plan import NAMES
from invert3d.evaluate.layouts import errors
from invert3d.models.detectors.thin import thin_detector
from invert3d.models.weights import WeightCard, save_network
from invert3d.opening.box_detectors import open_box_detector
from invert3d.ops.layouts import Layout
from invert3d.study.layouts.context import only
from invert3d.study.layouts.files import read_picture
from invert3d.study.layouts.flat import invert_layouts
from invert3d.study.layouts.flat_transfer import called, flat_transfer, higher, scored
from invert3d.study.layouts.job import How
from invert3d.study.layouts.scenes import Scenes
from invert3d.study.transfer import Matrix
from tests.cli.calls import command

ROOT = Path(__file__).parents[3]
KINDS = ("background", "chair", "table")


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A RetinaNet and a Mask R-CNN of random weights, as cards."""
    folder, made = tmp_path_factory.mktemp("weights"), []
    for family in ("retinanet", "maskrcnn"):
        torch.manual_seed(3)
        options = {"size": 64, "width": 8, "features": 32}
        card = WeightCard(name=family, kind="2-D detector", architecture=family, classes=KINDS, options=options)
        save_network(thin_detector(family, len(KINDS), **options), card, folder)
        made.append(str(folder / f"{family}.json"))
    return made[0], made[1]


def boxed(*rows: tuple[str, float, float, float, float], size: int = 64) -> Layout:
    boxes = torch.tensor([row[1:] for row in rows]).float().reshape(-1, 4)
    return Layout.of_boxes([row[0] for row in rows], boxes, size, size)


ASKED = boxed(("chair", 4, 6, 30, 40), ("table", 34, 20, 60, 58))


def written(path: Path, layout: Layout, **more: object) -> Path:
    objects = [{"kind": k, "box": b} for k, b in zip(layout.kinds, layout.boxes.tolist(), strict=True)]
    path.write_text(json.dumps({"image": {"height": layout.height, "width": layout.width}, "objects": objects, **more}))
    return path


def test_a_layout_file_is_inverted_to_pictures_that_are_read_again(cards, tmp_path: Path, capsys) -> None:
    file = written(tmp_path / "mine.json", ASKED)
    command("invert", "layout", model=cards[0], layout=file, steps=4, out=tmp_path / "run")
    said = capsys.readouterr().out
    assert "1 pictures, as" in said and "open " in said
    page = (tmp_path / "run" / "index.html").read_text()
    assert "Inverted layouts" in page and (tmp_path / "run" / "figures" / "mine.png").is_file()
    asked = CocoFolder(tmp_path / "run" / "asked.json").layout(0)
    assert asked.kinds == ASKED.kinds and torch.equal(asked.boxes, ASKED.boxes)
    detector = open_box_detector(cards[0])
    picture = read_picture(tmp_path / "run" / "images" / "mine.png")
    with torch.no_grad():
        again = detector.finalize(detector.raw(picture[None]))[0]
    found = json.loads((tmp_path / "run" / "found.json").read_text())
    sure = again.scores > 0.1  # as the detector is asked
    assert [row["score"] for row in found] == pytest.approx(again.scores[sure].tolist(), abs=1e-5)


@pytest.mark.parametrize("recipe", ["published", "published_as_configured"])
def test_two_stages_are_inverted_as_published(cards, tmp_path: Path, recipe: str) -> None:
    file = written(tmp_path / "mine.json", ASKED)
    command("invert", "layout", model=cards[1], recipe=recipe, layout=file, steps=2, out=tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["sources"][""]["recipe"]
    assert saved["name"] == recipe and saved["stages"][0]["stepper"]["rate"] == 2.0, "as for Mask R-CNN"
    weights = dict(saved["objective"][0]["weights"])
    assert weights["box_reg"] == (10.0 if recipe == "published" else 30.0) and "classification" not in weights
    assert (tmp_path / "run" / "images" / "mine.png").is_file()


def test_python_and_command_give_the_same_pictures(cards, tmp_path: Path) -> None:
    file = written(tmp_path / "mine.json", ASKED)
    command("invert", "layout", model=cards[0], layout=file, steps=3, out=tmp_path / "run")
    detector = open_box_detector(cards[0])
    recipe = invert3d.layout_recipe("layouts/ours", detector, steps=3)
    run = invert_layouts(detector, [ASKED], recipe=recipe, names=["mine"], model=cards[0])
    assert torch.equal(run.pictures[0], read_picture(tmp_path / "run" / "images" / "mine.png"))


def test_the_steps_lower_the_loss(cards) -> None:
    detector = open_box_detector(cards[0])
    losses = [
        invert_layouts(detector, [ASKED], recipe=invert3d.layout_recipe("layouts/ours", detector, steps=n)).losses[0]
        for n in (1, 60)
    ]
    assert losses[1] < 0.97 * losses[0]


def test_pictures_of_a_coco_file_and_rooms_are_asked_for(cards, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    room_kinds = ("background", *NAMES)
    options = {"size": 64, "width": 8, "features": 32}
    card = WeightCard(name="rooms", kind="2-D detector", architecture="retinanet", classes=room_kinds, options=options)
    save_network(thin_detector("retinanet", len(room_kinds), **options), card, tmp_path)
    command("data", "make", "rooms", pictures=3, size=64, out=tmp_path / "rooms", seed=4)
    file = tmp_path / "rooms" / "instances_train.json"
    ids = [str(each) for each in CocoFolder(file).ids if len(CocoFolder(file).layout(each))][:1]
    command("invert", "layout", model=tmp_path / "rooms.json", coco=file, image_id=ids[0], steps=2, out=tmp_path / "a")
    assert len(list((tmp_path / "a" / "original").iterdir())) == 1
    command("invert", "layout", model=tmp_path / "rooms.json", rooms=2, steps=2, out=tmp_path / "b")
    assert len(list((tmp_path / "b" / "images").iterdir())) == 2


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (boxed(), "has no object in it"),
        (boxed(("chairs", 4, 6, 30, 40)), "unknown kind 'chairs'.*chair"),
        (boxed(("chair", 30, 6, 4, 40)), "has no area"),
        (boxed(("chair", 4, 6, 30, 70)), "is not inside the picture of 64 x 64"),
        (boxed(("chair", 4, 6, 30, 40), ("chair", 5, 6, 30, 40)), "removes one of them"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(cards, tmp_path: Path, layout: Layout, says: str) -> None:
    file = written(tmp_path / "mine.json", layout)
    with pytest.raises(ValueError, match=says):
        command("invert", "layout", model=cards[0], layout=file, steps=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ('{"image": {"height": 64, "width": 64}, "objcts": []}', "objcts"),
        ('{"image": {"height": 64, "width": 64}, "objects": [{"kind": "chair", "box": [1, 2, 3]}]}', "box"),
        ('{"image": {"height": 0, "width": 64}, "objects": []}', "height"),
    ],
)
def test_a_broken_layout_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(ValueError, match=says) as caught:
        read_layout(tmp_path / "odd.json")
    assert "odd.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_command_needs_one_source_and_a_known_detector(cards, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="with one of --layout, --coco or --rooms"):
        command("invert", "layout", model=cards[0], out=tmp_path / "run")
    with pytest.raises(ValueError, match="retinanet has no weights here"):
        open_box_detector("retinanet")
    with pytest.raises(ValueError, match="unknown detector 'retinanett'.*retinanet"):
        open_box_detector("retinanett")


def test_found_objects_are_counted_once() -> None:
    found = boxed(("chair", 4, 6, 30, 40), ("chair", 5, 7, 31, 41), ("table", 0, 0, 10, 10), ("chair", 34, 20, 60, 58))
    read = errors(ASKED, replace(found, scores=torch.ones(4)))
    assert (len(read.pairs), read.missed, read.false) == (1, 1, 3) and read.iou2d.tolist() == pytest.approx([1.0])
    nothing = errors(ASKED, boxed())
    assert (len(nothing.pairs), nothing.missed, nothing.false) == (0, 2, 0)
    assert errors(only(ASKED), found).false == 0, "nothing is asked of the rest of the picture"


def test_the_matrix_of_perfect_pictures_is_whole(cards) -> None:
    """A detector that reads its own detections again has an AP of 100 on them."""
    detector = open_box_detector(cards[1])
    torch.manual_seed(0)
    pictures = list(torch.rand(2, 3, 64, 64))
    with torch.no_grad():
        found = detector.finalize(detector.raw(torch.stack(pictures)), None, 0.1)
    truth = [replace(each, scores=torch.full_like(each.scores, torch.nan)) for each in found]
    assert all(len(each) for each in truth)
    scores = scored(detector, pictures, truth)
    assert scores[""] == pytest.approx(100) and 50 < scores[" masks"] <= 100  # some masks of random weights are empty


def test_every_detector_reads_the_pictures_of_every_other(cards, tmp_path: Path) -> None:
    names = ("one", "two")
    real = {name: torch.rand(3, 64, 64) for name in names}
    scenes = Scenes(names, (ASKED, boxed(("table", 10, 10, 50, 50))), real)
    options = invert3d.RunOptions(out=tmp_path / "run", progress=False)
    ways = [How(steps=2), How(recipe="published", steps=2), How(control=True, steps=2)]
    ours, published, control = flat_transfer(cards, scenes, options, ways=ways, rooms=[2, 1, 1])
    names = tuple(map(called, cards))
    assert ours.matrix.rows == names and [name for name in ours.matrix.columns if "masks" not in name] == list(names)
    assert len(ours.diagonal) == 2 and len(ours.apart) == 2 and len(ours.rows()) == 3
    assert [each.rooms for each in (ours, published, control)] == [2, 1, 1]
    assert [each.matrix.label for each in (published, control)] == ["published", "ours on shuffled weights"]
    assert set(ours.above) == {"published", "ours on shuffled weights"} and 0 <= ours.above["published"] <= 1


def test_detectors_are_inverted_together(cards, tmp_path: Path) -> None:
    both, scenes = "+".join(cards), Scenes(("one",), (ASKED,), {"one": torch.rand(3, 64, 64)})
    options = invert3d.RunOptions(out=tmp_path / "run", progress=False)
    (read,) = flat_transfer([cards[0]], scenes, options.into(tmp_path / "one"), readers=cards, ways=[How(steps=2)])
    names = tuple(map(called, cards))
    assert read.matrix.rows == names[:1] and read.matrix.columns == names and len(read.apart) == 1
    (found,) = flat_transfer([cards[0], both], scenes, options, ways=[How(steps=2)])
    assert found.matrix.rows == (names[0], "+".join(names)) and found.matrix.columns == names
    assert len(found.diagonal) == 3 and len(found.apart) == 1, "what is inverted together is no stranger to its parts"
    with pytest.raises(ValueError, match="no published rule for Together"):
        flat_transfer([both], scenes, options.into(tmp_path / "no"), ways=[How(recipe="published", steps=2)])


def test_the_command_compares_recipes(cards, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    kinds, options = ("background", *NAMES), {"size": 64, "width": 8, "features": 32}
    card = WeightCard(name="rooms", kind="2-D detector", architecture="retinanet", classes=kinds, options=options)
    save_network(thin_detector("retinanet", len(kinds), **options), card, tmp_path)
    mine = tmp_path / "mine.toml"
    mine.write_text(resources.files("invert3d").joinpath("recipes/layouts/ours.toml").read_text())
    words = {"models": tmp_path / "rooms.json", "steps": 3, "progress": False}
    recorded: list = []
    monkeypatch.setattr("invert3d.cli.evaluate.detectors.print_recorded", lambda *given: recorded.extend(given[1:]))
    command("evaluate", "detectors", mine, "ours:shuffled", **words, rooms="2,1", out=tmp_path / "run", record=True)
    assert recorded[::2] == [{}, {}], "chosen detectors make no headline"
    assert {row["table"] for rows in recorded[1::2] for row in rows} == {"chosen mine", "control chosen ours"}
    assert "rooms" in recorded[1][0], "a card is called by its name, without its folder"
    said = capsys.readouterr().out
    assert "mine, 2 rooms" in said and "ours on shuffled weights, 1 rooms" in said
    assert {path.name for path in (tmp_path / "run").glob("*.png")} == {"mine.png", "ours-on-shuffled-weights.png"}
    for wrong, says in (("2,1,1", "one for each of the 2 recipes"), ("0", "takes a number"), ("x", "takes a number")):
        with pytest.raises(ValueError, match=says):
            command("evaluate", "detectors", "ours", "ours:shuffled", **words, rooms=wrong, out=tmp_path / "no")
    with pytest.raises(ValueError, match="may be followed by :shuffled, not by :wrong"):
        command("evaluate", "detectors", "ours:wrong", **words, out=tmp_path / "no")
    with pytest.raises(ValueError, match="read by one detector at a time"):
        command("evaluate", "detectors", "ours", **words, rooms=1, readers="a+b", out=tmp_path / "no")


def test_the_recipe_without_views_is_ours_in_all_else() -> None:
    ours = tomllib.loads(resources.files("invert3d").joinpath("recipes/layouts/ours.toml").read_text())
    without = tomllib.loads((ROOT / "benchmarks" / "without_views.toml").read_text())
    assert without.pop("transforms") == [] and ours.pop("transforms")
    assert ours.pop("about") != without.pop("about") and ours == without


def test_the_share_of_higher_cells() -> None:
    one, other = (
        Matrix(label="", rows=("a", "b"), columns=("a", "b"), values=each)
        for each in (((3.0, 1.0), (2.0, 2.0)), ((2.0, 1.0), (0.0, 3.0)))
    )
    assert higher(one, other) == 0.5 and higher(other, one) == 0.25


def test_heads_of_2d_detectors_are_asked_one_by_one(cards, tmp_path: Path, capsys) -> None:
    file = written(tmp_path / "mine.json", ASKED)
    words = {"model": cards[0], "layout": file, "steps": 1, "progress": False}
    command("evaluate", "heads", "--heads", "cls", "--heads", "cls,bbox_regression", **words, out=tmp_path / "run")
    said = capsys.readouterr().out
    assert "1 layouts, medians over the objects" in said and "cls bbox_regression" in said and "IoU" in said
    assert (tmp_path / "run" / "heads.png").is_file()
    with pytest.raises(ValueError, match="unknown head 'mask'"):
        command("evaluate", "heads", "--heads", "mask", **words, out=tmp_path / "no")
    with pytest.raises(ValueError, match="--layout is for 2-D detectors"):
        command("evaluate", "heads", **words | {"model": "centernet3d-small"}, out=tmp_path / "no")
    with pytest.raises(ValueError, match="unknown detector 'fcos-room'; did you mean fcos-rooms"):
        command("evaluate", "heads", model="fcos-room", out=tmp_path / "no")
    command("invert", "layout", model=cards[0], layout=file, steps=1, heads="cls,reg", out=tmp_path / "both")
    asked = json.loads((tmp_path / "both" / "run.json").read_text())["settings"]["sources"][""]["recipe"]["objective"]
    assert {*dict(asked[0]["weights"])} == {"classification", "bbox_regression"}
