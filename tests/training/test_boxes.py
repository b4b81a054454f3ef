"""Pictures with boxes and masks as batches; detectors trained on them; a run that is resumed to the same bytes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from invert3d.data.worlds import room_places
from invert3d.data.worlds.coco_files import run_lengths
from invert3d.data.worlds.room_plan import NAMES
from invert3d.jobs.options import RunOptions
from invert3d.models.detectors.thin import FAMILIES, thin_adapter, thin_detector, thin_from_card
from invert3d.models.weights import find_card, load_checkpoint
from invert3d.ops.layouts import Layout
from invert3d.training import boxes as training
from invert3d.training.boxes import BoxTraining, detections, scores_of, train_boxes, train_detector
from invert3d.training.fit import FitSettings
from invert3d.training.pictures import Pictures, batches, flipped, folder_pictures, target_of
from invert3d.training.rooms import make_rooms, room_pictures
from invert3d.training.runs import TrainRun
from tests.cli.calls import command

KINDS = ("background", *NAMES)
SETTINGS = FitSettings(steps=3, batch=2, rate=1e-3, bf16=False)
TINY = {"size": 64, "pictures": 4, "held_out": 2, "width": 8, "features": 32, "settings": SETTINGS}


@pytest.fixture(scope="module", autouse=True)
def few_shapes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room_places, "POOL", 2)
        yield


@pytest.fixture(scope="module")
def rooms(few_shapes: None) -> Pictures:
    return room_pictures(4, 64, seed=5, options=RunOptions(progress=False))


def edges(masks: Tensor) -> Tensor:
    """(n, 4) left, top, right, bottom of masks (n, H, W)."""
    found = []
    for mask in masks.bool():
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        found.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return torch.tensor(found, dtype=torch.float32).reshape(-1, 4)


def empty(size: int = 64, count: int = 2) -> Pictures:
    """Pictures with nothing in them."""
    bare = Layout.of_boxes((), torch.zeros(0, 4), size, size)
    images = torch.full((count, 3, size, size), 99, dtype=torch.uint8)
    return Pictures(images, torch.zeros(count, size, size, dtype=torch.int16), NAMES, (bare,) * count, "none", "none")


def test_labels_are_places_among_the_kinds_and_other_kinds_are_left_out(rooms: Pictures) -> None:
    some = ("background", *sorted({kind for layout in rooms.layouts for kind in layout.kinds})[1:])
    for i, layout in enumerate(rooms.layouts):
        target = target_of(rooms, i, KINDS)
        assert [KINDS[k] for k in target["labels"]] == list(layout.kinds) and target["labels"].dtype == torch.long
        assert torch.equal(target["boxes"], layout.boxes)
        fewer = target_of(rooms, i, some)
        assert [some[k] for k in fewer["labels"]] == [kind for kind in layout.kinds if kind in some]
        assert [layout.kinds[k] for k in fewer["rows"]] == [some[k] for k in fewer["labels"]]
    assert sum(len(target_of(rooms, i, some)["rows"]) for i in range(4)) < sum(map(len, rooms.layouts))


def test_boxes_without_an_area_and_crowds_are_left_out() -> None:
    rows = torch.tensor([[3, 3, 9, 9], [5, 5, 5, 9], [1, 1, 8, 8], [4, 9, 20, 9]]).float()
    layout = Layout.of_boxes(("sofa", "sofa", "DontCare", "bed"), rows, 64, 64)
    target = target_of(replace(empty(), layouts=(layout,)), 0, KINDS)
    assert target["rows"].tolist() == [0] and target["labels"].tolist() == [KINDS.index("sofa")]


def test_flipped_twice_is_the_same_and_boxes_stay_at_the_edges_of_masks(rooms: Pictures) -> None:
    for i in range(len(rooms)):
        target = {**target_of(rooms, i, KINDS), "masks": rooms.masks(i).to(torch.uint8)}
        turned = flipped(target)
        assert torch.equal(turned["boxes"], edges(turned["masks"])) and torch.equal(
            target["boxes"], edges(rooms.masks(i))
        )
        assert torch.equal(turned["masks"], target["masks"].flip(-1)) and torch.equal(
            turned["labels"], target["labels"]
        )
        twice = flipped(turned)
        assert all(torch.equal(value, twice[name]) for name, value in target.items())


@pytest.mark.parametrize("flip", [False, True])
def test_a_batch_follows_from_its_step_alone(rooms: Pictures, flip: bool) -> None:
    stream, again = (batches(rooms, KINDS, 6, 3, flip=flip) for _ in range(2))
    stream(0)
    one, other, _ = stream(7)[0], again(7)[0], again(8)[0]
    assert torch.equal(one.images, other.images) and one.images.shape == (6, 3, 64, 64)
    assert not torch.equal(one.images, stream(8)[0].images) and 0 <= one.images.min() < one.images.max() <= 1
    turns = set()
    for image, target, same in zip(one.images, one.targets, other.targets, strict=True):
        assert all(torch.equal(value, same[name]) for name, value in target.items())
        assert torch.equal(target["boxes"], edges(target["masks"])) and target["masks"].dtype == torch.uint8
        plain = rooms.images.float() / 255
        gaps = [[float((image - x).abs().mean()) for x in (plain[i], plain[i].flip(-1))] for i in range(4)]
        i, turned = divmod(int(np.argmin(gaps)), 2)
        masks = rooms.masks(i).to(torch.uint8)
        assert torch.equal(target["masks"], masks.flip(-1) if turned else masks)
        turns.add(turned)
    assert turns == ({0, 1} if flip else {0})


def coco(folder: Path, *layouts: tuple[tuple[str, ...], list[np.ndarray]], size: tuple[int, int]) -> Path:
    """A COCO file of masks (H, W), its pictures bright where something is."""
    (folder / "images").mkdir(parents=True)
    rows, names = [], ["cup", "dog"]
    for i, (kinds, masks) in enumerate(layouts):
        whole = np.any([*masks, np.zeros(size, bool)], 0)
        Image.fromarray(np.repeat(whole[..., None] * np.uint8(200), 3, 2)).save(folder / "images" / f"{i}.png")
        for kind, mask in zip(kinds, masks, strict=True):
            left, top, right, bottom = edges(torch.from_numpy(mask)[None])[0].tolist()
            row = {"image_id": i, "category_id": names.index(kind), "bbox": [left, top, right - left, bottom - top]}
            rows.append({"id": len(rows), **row, "segmentation": {"size": list(size), "counts": run_lengths(mask)}})
    images = [{"id": i, "file_name": f"{i}.png", "height": size[0], "width": size[1]} for i in range(len(layouts))]
    table = {
        "images": images,
        "annotations": rows,
        "categories": [{"id": k, "name": name} for k, name in enumerate(names)],
    }
    for name in ("instances_train.json", "instances_val.json"):
        (folder / name).write_text(json.dumps(table))
    return folder / "instances_train.json"


def block(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("size", [(120, 200), (200, 120), (64, 64), (30, 40)])
def test_pictures_of_a_folder_are_scaled_with_their_boxes_and_masks(tmp_path: Path, size: tuple[int, int]) -> None:
    large = block(size, 2, 4, size[1] - 7, size[0] - 5)
    small = block(size, 10, 8, 22, 19)
    path = coco(tmp_path / "c", (("cup", "dog"), [large, small]), ((), []), (("dog",), [small]), size=size)
    made, scale = folder_pictures(path, 64), min(1.0, 64 / max(size))
    assert made.kinds == ("cup", "dog") and [each.kinds for each in made.layouts] == [("cup", "dog"), (), ("dog",)]
    rows, columns = round(size[0] * scale), round(size[1] * scale)
    assert not made.images[:, :, rows:].any() and not made.images[:, :, :, columns:].any()
    assert made.images.shape == (3, 3, 64, 64) and len(made.masks(1)) == 0 and not made.images[1].any()
    assert torch.allclose(made.layouts[0].boxes[1], scale * torch.tensor([10.0, 8, 22, 19]), atol=0.3)
    for i in (0, 2):
        masks = made.masks(i)
        assert (edges(masks) - made.layouts[i].boxes).abs().max() <= 0.5 + 1e-4
        lit = made.images[i, 0] > 100
        assert (lit != masks.any(0)).float().mean() < 0.03
    assert not (made.masks(0)[0] & made.masks(0)[1]).any(), "a pixel is that of the smaller one"
    assert len(folder_pictures(path, 64, 2)) == 2


def test_more_objects_than_a_byte_counts(tmp_path: Path) -> None:
    masks = [block((20, 20), k % 20, k // 20, k % 20 + 1, k // 20 + 1) for k in range(200)]
    made = folder_pictures(coco(tmp_path / "c", (("dog",) * 200, masks), size=(20, 20)), 64)
    assert torch.equal(made.masks(0)[:, :20, :20], torch.from_numpy(np.array(masks)))


def test_rooms_from_a_folder_are_those_from_memory(tmp_path: Path) -> None:
    made = make_rooms(5, RunOptions(out=tmp_path / "out", seed=5, progress=False), size=64)
    one, other = folder_pictures(made / "instances_train.json", 64), room_pictures(4, 64, seed=5)
    assert torch.equal(one.images, other.images) and torch.equal(one.instances, other.instances)
    assert [each.kinds for each in one.layouts] == [each.kinds for each in other.layouts]


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_without_objects_can_be_trained_on_and_measured(family: str) -> None:
    detector = thin_adapter(family, KINDS, size=64, width=8, features=32)
    model = detector.model
    before = [each.clone() for each in model.parameters()]
    train_detector(model, empty(), KINDS, replace(SETTINGS, steps=2))
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    found = detections(detector.eval(), empty())
    assert [(each.height, each.width) for each in found] == [(64, 64)] * 2
    assert all((each.masks is not None) == (family == "maskrcnn") for each in found)
    assert scores_of(detector, empty()) == {}, "there is nothing to be found"


pending: list[int] = []


@pytest.mark.parametrize("family", ["retinanet", "maskrcnn"])
def test_an_interrupted_training_goes_on_to_the_same_bytes(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = training.batches

    def signaled(*given, **how):
        stream = draw(*given, **how)

        def batch(step: int):
            if step == 1 and pending:
                signal.raise_signal(pending.pop())
            return stream(step)

        return batch

    monkeypatch.setattr(training, "batches", signaled)
    options, run = BoxTraining(family=family, flip=True, **TINY), TrainRun(name="parts", out=tmp_path / "parts")
    whole = train_boxes(options, TrainRun(name="whole", out=tmp_path / "whole"))
    pending.append(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="interrupted: finished work is in .*parts; .* with --resume"):
        train_boxes(options, run)
    assert {path.name for path in run.folder.iterdir()} == {".lock", "run.json", "log.jsonl", "checkpoint.pt"}
    with pytest.raises(ValueError, match="it was begun with other values of settings.flip"):
        train_boxes(replace(options, flip=False), replace(run, resume=True))
    card = train_boxes(options, replace(run, resume=True))
    weights = (run.folder / "parts.safetensors").read_bytes()
    assert weights == (tmp_path / "whole" / "whole.safetensors").read_bytes()
    assert {path.name for path in run.folder.iterdir()} >= {"parts.json", "parts.safetensors"}
    assert not (run.folder / "checkpoint.pt").exists()
    assert replace(card, name="whole", command=whole.command) == whole
    assert (card.kind, card.architecture, card.classes, card.held_out) == ("2-D detector", family, KINDS, 2)
    assert card.options == {"size": 64, "width": 8, "features": 32} and card.data.startswith("procedural rooms, seed 0")
    assert {"AP", "AP50"} <= set(card.scores) and ("AP of masks" in card.scores) == (family == "maskrcnn")
    assert find_card(str(run.folder / "parts.json"), "2-D detector") == (card, run.folder / "parts.safetensors")
    again = thin_detector(family, len(card.classes), **card.options)
    load_checkpoint(again, run.folder / "parts.safetensors")
    monkeypatch.setattr(training, "train_detector", None)  # nothing is left to do
    assert train_boxes(options, replace(run, resume=True)) == card


def test_a_training_on_a_folder_of_ones_own(tmp_path: Path) -> None:
    size = (48, 64)
    masks = [block(size, 4, 4, 30, 30), block(size, 33, 10, 60, 44)]
    coco(tmp_path / "mine", (("cup", "dog"), masks), ((), []), (("dog",), masks[1:]), size=size)
    options = BoxTraining(family="fasterrcnn", data=str(tmp_path / "mine"), **TINY)
    card = train_boxes(options, TrainRun(name="own", out=tmp_path / "run"))
    assert card.classes == ("background", "cup", "dog") and card.held_out == 2
    assert (card.data, card.licence) == ("mine/instances_train.json", "its own")


def test_the_first_layers_and_norms_of_anothers_backbone_are_kept(tmp_path: Path) -> None:
    train_boxes(BoxTraining(family="fcos", **TINY), TrainRun(name="first", out=tmp_path / "first"))
    card = tmp_path / "first" / "first.json"
    first = thin_from_card(*find_card(str(card), "2-D detector")).model.backbone
    options = BoxTraining(family="maskrcnn", backbone=str(card), **TINY)
    train_boxes(options, TrainRun(name="second", out=tmp_path / "second"))
    found = find_card(str(tmp_path / "second" / "second.json"), "2-D detector")
    second = thin_from_card(*found).model.backbone
    norms = {f"{name}." for name, each in first.named_modules() if isinstance(each, torch.nn.BatchNorm2d)}
    given, own = first.state_dict(), second.state_dict()
    for name in (name for name in given if name.startswith(("stem", "stages"))):
        kept = name.startswith(("stem", "stages.0", *norms))
        assert torch.equal(given[name], own[name]) == kept, name
    with pytest.raises(ValueError, match=r"the backbone of .*first.json is of another width"):
        train_boxes(replace(options, width=16), TrainRun(name="third", out=tmp_path / "third"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"family": "retinanett"}, "unknown family 'retinanett'; did you mean retinanet"),
        ({"features": 48}, "features must be a multiple of 32 and width even, not 48, 8"),
        ({"features": 16}, "features must be between 32 and 512, not 16"),
        ({"width": 9}, "features must be a multiple of 32 and width even, not 32, 9"),
        ({"size": 63}, "size must be between 64 and 2048, not 63"),
        ({"pictures": 0}, "pictures must be between 1 and 1000000, not 0"),
        ({"held_out": 0}, "held_out must be between 1"),
    ],
)
def test_what_cannot_be_trained_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        BoxTraining(**{"family": "retinanet", **TINY, **wrong})


def test_data_and_starts_that_are_not_there_leave_no_folder(tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"")
    (tmp_path / "half").mkdir()
    (tmp_path / "none").mkdir()
    table = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cup"}]}
    (tmp_path / "none" / "instances_train.json").write_text(json.dumps(table))
    for wrong, says in (
        ({"data": str(tmp_path / "nowhere")}, "nowhere/instances_train.json: there is no file"),
        ({"data": str(tmp_path / "half")}, "half/instances_train.json: there is no file, expected COCO annotations"),
        ({"data": str(tmp_path / "none")}, "none/instances_train.json: has no pictures"),
        ({"start": tmp_path / "bad.pth"}, "bad.pth is an empty file"),
        ({"backbone": "fcos-room"}, "unknown detector 'fcos-room'; did you mean fcos-rooms"),
    ):
        options = BoxTraining(**{"family": "retinanet", **TINY, **wrong})
        with pytest.raises(ValueError, match=says):
            train_boxes(options, TrainRun(name="x", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("family", "more", "says"),
    [
        ("retinanett", {}, "unknown family 'retinanett'; did you mean retinanet"),
        ("fcos", {"features": 40}, "features must be a multiple of 32"),
        ("fcos", {"size": 32}, "size must be between 64 and 2048, not 32"),
        ("fcos", {"data": "nowhere"}, "nowhere/instances_train.json: there is no file"),
        ("fcos", {"steps": 0}, "must be between 1 and"),
        ("fcos", {"rate": -1.0}, "rate must be above 0"),
        ("fcos", {"start": "nothing.pth"}, "there is no file nothing.pth"),
        ("fcos", {"name": "../up"}, "up"),
    ],
)
def test_the_command_refuses(tmp_path: Path, family: str, more: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        command("train", "detector", family, **{"out": tmp_path / "out", "pictures": 2, **more})
    assert not (tmp_path / "out").exists()
