"""``invert3d invert layout`` and ``invert_layouts``: what cannot be asked for is one sentence, and leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Picture

from invert3d import invert_layouts
from invert3d.models.detectors.thin import thin_detector
from invert3d.models.weights import WeightCard, save_network
from invert3d.opening.box_detectors import open_box_detector
from invert3d.ops.layouts import Layout
from tests.cli.test_cli import run

KINDS = ("background", "chair", "table", "lamp")
CHAIR, TABLE = ("chair", 4.0, 6.0, 30.0, 40.0), ("table", 34.0, 20.0, 60.0, 58.0)


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A detector of each kind, of random weights, as cards."""
    folder = tmp_path_factory.mktemp("weights")
    options = {"size": 64, "width": 8, "features": 32}
    for family in ("fcos", "maskrcnn"):
        card = WeightCard(name=family, kind="2-D detector", architecture=family, classes=KINDS, options=options)
        save_network(thin_detector(family, len(KINDS), **options), card, folder)
    return {family: folder / f"{family}.json" for family in ("fcos", "maskrcnn")}


def layout_file(folder: Path, *rows: tuple, size: int = 64) -> tuple[str, Path]:
    objects = [{"kind": kind, "box": box} for kind, *box in rows]
    path = folder / "mine.json"
    path.write_text(json.dumps({"image": {"height": size, "width": size}, "objects": objects}))
    return "--layout", path


BAD_LAYOUTS = {
    "an unknown category": ([("chairr", 4, 6, 30, 40)], "object 1: unknown kind 'chairr'; did you mean chair"),
    "the second one": ([CHAIR, ("lapm", 4, 6, 30, 40)], "object 2: unknown kind 'lapm'; did you mean lamp"),
    "the background": ([("background", 4, 6, 30, 40)], "object 1 is background, which this detector never"),
    "the background, too": ([CHAIR, ("background", 4, 6, 30, 40)], "object 2 is background, which this detector never"),
    "a box outside": ([("chair", 70, 6, 90, 40)], "object 1 (chair): its box 70, 6, 90, 40 is not inside the picture"),
    "a box that reaches out": (
        [CHAIR, ("table", 4, 6, 30, 65)],
        "object 2 (table): its box 4, 6, 30, 65 is not inside",
    ),
    "a box left of it": (
        [("chair", -3, 6, 30, 40)],
        "its box -3, 6, 30, 40 is not inside the picture of 64 x 64 pixels",
    ),
    "no area": ([("chair", 4, 6, 4, 40)], "object 1 (chair): its box 4, 6, 4, 40 has no area"),
    "width and height": ([("chair", 40, 40, 10, 20)], "has no area: a box is left, top, right, bottom"),
    "duplicates": ([TABLE, CHAIR, ("chair", 5, 6, 30, 40)], "objects 2 and 3, both chair, overlap by 0.96: above 0."),
    "nothing": ([], "mine.json has no object in it, so there is nothing to invert"),
}


def refused(monkeypatch: Any, capsys: Any, folder: Path, says: str, *words: object) -> None:
    """The command is refused in one sentence that says this, with exit code 2, and leaves nothing."""
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    for out in ((), ("--out", folder / "run")):
        code, text, err = run(monkeypatch, capsys, "invert", "layout", *words, *out, "--steps", 1)
        assert code == 2 and not text, (text, err)
        assert err.startswith("invert3d: ") and err.count("\n") == 1 and says in err, err
    assert sorted(folder.rglob("*")) == before, "nothing was written"


@pytest.mark.parametrize("family", ["fcos", "maskrcnn"])
@pytest.mark.parametrize("case", BAD_LAYOUTS)
def test_a_layout_file_that_no_picture_can_show(monkeypatch, capsys, tmp_path, cards, case: str, family: str) -> None:
    rows, says = BAD_LAYOUTS[case]
    refused(monkeypatch, capsys, tmp_path, says, "--model", cards[family], *layout_file(tmp_path, *rows))


@pytest.mark.parametrize("case", BAD_LAYOUTS)
def test_python_refuses_the_same(cards: dict[str, Path], tmp_path: Path, case: str) -> None:
    rows, says = BAD_LAYOUTS[case]
    boxes = torch.tensor([row[1:] for row in rows]).float().reshape(-1, 4)
    layout = Layout.of_boxes([row[0] for row in rows], boxes, 64, 64)
    with pytest.raises(ValueError, match="mine.json") as caught:
        invert_layouts(open_box_detector(str(cards["fcos"])), [layout], names=["mine.json"], out=tmp_path / "run")
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_python_refuses_masks_and_boxes_that_do_not_go_with_the_layout(cards: dict[str, Path], tmp_path: Path) -> None:
    detector = open_box_detector(str(cards["maskrcnn"]))
    layout = Layout.of_boxes(
        ["chair"], torch.tensor([CHAIR[1:]]), 64, 64, masks=torch.ones(1, 64, 64, dtype=torch.bool)
    )
    for wrong, says in (
        (replace(layout, masks=layout.masks[:, :32]), r"its masks are \(1, 32, 64\); .* are \(1, 64, 64\)"),
        (replace(layout, kinds=("chair", "table")), r"names 2 objects, but its boxes are \(1, 4\)"),
        (replace(layout, boxes=torch.full((1, 4), torch.nan)), "has no area"),
        (replace(layout, boxes=torch.tensor([[0.0, 0.0, torch.inf, 9.0]])), "is not inside the picture"),
    ):
        with pytest.raises(ValueError, match=says):
            invert_layouts(detector, [layout, wrong], out=tmp_path / "run")
    with pytest.raises(ValueError, match="give at least one layout"):
        invert_layouts(detector, [], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def coco_folder(folder: Path) -> dict[str, Any]:
    """Two pictures with an object each, as files and as the table of the annotations."""
    (folder / "images").mkdir()
    for name in ("a.png", "b.png"):
        Picture.new("RGB", (64, 64), (90, 120, 150)).save(folder / "images" / name)
    rows = [
        {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [4, 6, 20, 30], "segmentation": [polygon()]}
        for i in (1, 2)
    ]
    pictures = [{"id": i, "file_name": f"{name}.png", "height": 64, "width": 64} for i, name in ((1, "a"), (2, "b"))]
    return {"images": pictures, "categories": [{"id": 1, "name": "chair"}], "annotations": rows}


def polygon() -> list[float]:
    return [4, 6, 24, 6, 24, 36, 4, 36]


def _missing(folder: Path, table: dict[str, Any]) -> None:
    (folder / "images" / "b.png").unlink()


def _folder_missing(folder: Path, table: dict[str, Any]) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()
    (folder / "images").rmdir()


def _no_picture(folder: Path, table: dict[str, Any]) -> None:
    (folder / "images" / "b.png").write_text("this is a letter")


def _cut_off(folder: Path, table: dict[str, Any]) -> None:
    noise = torch.randint(0, 256, (64, 64, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    Picture.fromarray(noise.numpy()).save(folder / "images" / "b.png")
    data = (folder / "images" / "b.png").read_bytes()
    (folder / "images" / "b.png").write_bytes(data[: len(data) // 2])


def _empty_file(folder: Path, table: dict[str, Any]) -> None:
    (folder / "images" / "b.png").write_bytes(b"")


def _other_size(folder: Path, table: dict[str, Any]) -> None:
    Picture.new("RGB", (32, 64)).save(folder / "images" / "b.png")


def _mask_of_another_size(folder: Path, table: dict[str, Any]) -> None:
    table["annotations"][1]["segmentation"] = {"size": [32, 32], "counts": [1024]}


def _unknown_category(folder: Path, table: dict[str, Any]) -> None:
    table["categories"][0]["name"] = "cahir"


def _box_outside(folder: Path, table: dict[str, Any]) -> None:
    table["annotations"][1]["bbox"] = [40, 6, 30, 30]


def _no_area(folder: Path, table: dict[str, Any]) -> None:
    table["annotations"][1]["bbox"] = [40, 6, 0, 30]


def _twice(folder: Path, table: dict[str, Any]) -> None:
    table["annotations"].append({**table["annotations"][1], "id": 3})


def _empty(folder: Path, table: dict[str, Any]) -> None:
    table["annotations"].clear()


def _no_box(folder: Path, table: dict[str, Any]) -> None:
    del table["annotations"][1]["bbox"]


BAD_FOLDERS: list[tuple[Callable[[Path, dict[str, Any]], None], str]] = [
    (_missing, "b.png: there is no file, expected a picture of the annotations"),
    (_folder_missing, "a.png: there is no file, expected a picture of the annotations"),
    (_no_picture, "b.png: found no image, expected a picture of the annotations"),
    (_cut_off, "b.png: not readable: "),
    (_empty_file, "b.png: found an empty file"),
    (_other_size, "b.png: is (64, 32), its annotations say (64, 64)"),
    (_mask_of_another_size, "a mask is [32, 32], its picture [64, 64]"),
    (_unknown_category, "picture 1, object 1: unknown kind 'cahir'; did you mean chair"),
    (_box_outside, "picture 2, object 1 (chair): its box 40, 6, 70, 36 is not inside the picture of 64 x 64 pixels"),
    (_no_area, "picture 2, object 1 (chair): its box 40, 6, 40, 36 has no area"),
    (_twice, "b: objects 1 and 2, both chair, overlap by 1.00"),
    (_empty, "has no picture with an object in it"),
    (_no_box, "instances.json: not readable: 'bbox'"),
]


@pytest.mark.parametrize(("spoil", "says"), BAD_FOLDERS, ids=[each[0].__name__ for each in BAD_FOLDERS])
def test_a_coco_folder_that_cannot_be_inverted(
    monkeypatch, capsys, tmp_path, cards, spoil: Callable, says: str
) -> None:
    table = coco_folder(tmp_path)
    spoil(tmp_path, table)
    (tmp_path / "instances.json").write_text(json.dumps(table))
    refused(monkeypatch, capsys, tmp_path, says, "--model", cards["maskrcnn"], "--coco", tmp_path / "instances.json")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--image-id", "3"), "unknown picture '3'"),
        (("--images", "{}/nowhere"), "there is no folder"),
        (("--recipe", "publishd"), "unknown recipe 'layouts/publishd'; did you mean published"),
        (("--heads", "msk"), "unknown head 'msk'; did you mean mask"),
        (("--layout", "{}/instances.json"), "not --layout and --coco"),
    ],
)
def test_options_that_do_not_go_with_a_coco_folder(monkeypatch, capsys, tmp_path, cards, words, says) -> None:
    (tmp_path / "instances.json").write_text(json.dumps(coco_folder(tmp_path)))
    filled = [str(word).replace("{}", str(tmp_path)) for word in words]
    coco = ("--coco", tmp_path / "instances.json")
    refused(monkeypatch, capsys, tmp_path, says, "--model", cards["maskrcnn"], *coco, *filled)


OWN = """
import torch
from invert3d import CandidateDetector

def candidates(network, images):
    values = network(images).flatten(2).transpose(1, 2).sigmoid()
    corners = 40 * values[..., :2]
    return values[..., 4:], torch.cat([corners, corners + 24 * values[..., 2:4]], -1)

def make():
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 5, 8, 8)
    return CandidateDetector(network.eval(), candidates, ["chair"], height=64, width=64)
"""


def test_a_detector_of_ones_own_is_inverted_but_not_as_published(monkeypatch, capsys, tmp_path: Path) -> None:
    (tmp_path / "own_candidates.py").write_text(OWN)
    words = ("--model", "own_candidates:make", *layout_file(tmp_path, CHAIR))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    says = "there is no published rule for CandidateDetector"
    refused(monkeypatch, capsys, tmp_path, says, *words, "--recipe", "published")
    code, _, err = run(monkeypatch, capsys, "invert", "layout", *words, "--steps", 2, "--out", tmp_path / "run")
    assert code == 0 and (tmp_path / "run" / "images" / "mine.png").is_file(), err
