"""COCO's AP is that of pycocotools, on layouts at random."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coding
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from invert3d.evaluate.coco import coco_ap
from invert3d.ops.layouts import Layout

KINDS = ("cup", "chair", "plant")
NAMES = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")
SIZE = 200


def oracle(truth: Sequence[Layout], found: Sequence[Layout], of: str) -> dict[str, float]:
    """pycocotools' AP, from rows made here."""
    gold, answers = COCO(), COCO()
    images = [{"id": i + 1, "height": SIZE, "width": SIZE} for i in range(len(truth))]
    kinds = [{"id": k + 1, "name": kind} for k, kind in enumerate(KINDS)]
    with contextlib.redirect_stdout(io.StringIO()):
        for table, layouts in ((gold, truth), (answers, found)):
            rows = [row for i, layout in enumerate(layouts) for row in rows_of(i + 1, layout, of)]
            rows = [{**row, "id": k + 1} for k, row in enumerate(rows)]
            table.dataset = {"images": images, "categories": kinds, "annotations": rows}
            table.createIndex()
        judge = COCOeval(gold, answers, "bbox" if of == "boxes" else "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    scores = dict(zip(NAMES, judge.stats[:6], strict=True))
    for k, kind in enumerate(KINDS):
        known = judge.eval["precision"][:, :, k, 0, 2]
        scores[kind] = known[known > -1].mean() if (known > -1).any() else -1
    return {name: 100 * float(value) if value > -1 else math.nan for name, value in scores.items()}


def rows_of(number: int, layout: Layout, of: str) -> list[dict]:
    rows = []
    for kind, (left, top, right, bottom), score, mask in zip(
        layout.kinds, layout.boxes.tolist(), layout.scores.tolist(), layout.masks, strict=True
    ):
        row = {"image_id": number, "bbox": [left, top, right - left, bottom - top]}
        row["segmentation"] = coding.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
        row["area"] = int(mask.sum()) if of == "masks" else (right - left) * (bottom - top)
        row |= {"iscrowd": int(kind == "DontCare")} if math.isnan(score) else {"iscrowd": 0, "score": score}
        places = range(len(KINDS)) if kind == "DontCare" else [KINDS.index(kind)] if kind in KINDS else []
        rows += [{**row, "category_id": k + 1} for k in places]
    return rows


def ellipses(boxes: torch.Tensor) -> torch.Tensor:
    y, x = torch.arange(SIZE)[:, None] + 0.5, torch.arange(SIZE) + 0.5
    left, top, right, bottom = (side[:, None, None] for side in boxes.unbind(1))
    return ((2 * x - left - right) / (right - left)) ** 2 + ((2 * y - top - bottom) / (bottom - top)) ** 2 < 1


def layout_of(kinds: Sequence[str], boxes: torch.Tensor, scores: torch.Tensor | None = None) -> Layout:
    return Layout.of_boxes(kinds, boxes, SIZE, SIZE, scores=scores, masks=ellipses(boxes))


def pictures(seed: int, count: int = 20) -> tuple[list[Layout], list[Layout]]:
    """Truths of all sizes, with crowds, and found: most of them moved a little, some twice, some of another kind or
    of none; some pictures without truths or detections. No two scores are the same."""
    rng = np.random.default_rng(seed)
    truth, found, order = [], [], rng.permutation(100 * count) / (100 * count)
    names = np.array([*KINDS, "DontCare", "shadow"])
    for i in range(count):
        n = 0 if i % 5 == 4 else int(rng.integers(1, 8))
        corners = rng.uniform(0, 110, (n, 2))
        boxes = np.concatenate([corners, corners + np.exp(rng.uniform(np.log(8), np.log(180), (n, 2)))], 1).clip(
            0, SIZE
        )
        kinds = names[rng.choice(5, n, p=(0.3, 0.25, 0.25, 0.15, 0.05))]
        truth.append(layout_of(kinds.tolist(), torch.from_numpy(boxes).float()))
        rows = np.flatnonzero(rng.random(n) < 0.85) if i % 7 else np.zeros(0, int)
        rows = np.concatenate([rows, rows[rng.random(len(rows)) < 0.4]])
        moved = boxes[rows] + rng.normal(0, 0.03, (len(rows), 4)) * (boxes[rows, 2:] - boxes[rows, :2]).repeat(2, 1)
        stray = rng.uniform(0, 70, (3, 2)).repeat(2, 0).reshape(3, 4) + [0, 0, 30, 60]
        guesses = np.where(rng.random(len(rows)) < 0.85, kinds[rows], names[rng.integers(3, size=len(rows))])
        guesses = [kind if kind in KINDS else "cup" for kind in [*guesses, *names[rng.integers(3, size=3)]]]
        both = torch.from_numpy(np.concatenate([moved, stray])).float().clamp(0, SIZE)
        both[:, 2:] = torch.maximum(both[:, 2:], both[:, :2] + 1)
        found.append(layout_of(guesses, both, torch.from_numpy(order[100 * i : 100 * i + len(both)]).float()))
    return truth, found


def check_same(truth: list[Layout], found: list[Layout], of: str) -> dict[str, float]:
    ours, theirs = coco_ap(truth, found, KINDS, of), oracle(truth, found, of)
    assert list(ours) == [*NAMES, *KINDS]
    assert ours == pytest.approx(theirs, abs=1e-9, nan_ok=True)
    return ours


@pytest.mark.parametrize("of", ["boxes", "masks"])
@pytest.mark.parametrize("seed", range(4))
def test_ap_is_that_of_pycocotools(seed: int, of: str) -> None:
    ours = check_same(*pictures(seed), of)
    assert all(0 <= value < 100 for value in ours.values()) and 5 < ours["AP"] < 95


@pytest.mark.parametrize("of", ["boxes", "masks"])
def test_without_detections_ap_is_zero_where_there_is_something_to_find(of: str) -> None:
    truth = [layout.of_kinds(("cup", "DontCare")) for layout in pictures(0)[0]]
    none = [layout_of((), torch.zeros(0, 4), torch.zeros(0)) for _ in truth]
    ours = check_same(truth, none, of)
    assert [ours[name] for name in ("AP", "AP50", "AP75", "cup")] == [0, 0, 0, 0]
    assert math.isnan(ours["chair"]) and math.isnan(ours["plant"])


@pytest.mark.parametrize("of", ["boxes", "masks"])
def test_where_nothing_is_to_be_found_there_is_no_ap(of: str) -> None:
    _, found = pictures(1, 3)
    for answers in (found, [layout_of((), torch.zeros(0, 4), torch.zeros(0)) for _ in found]):
        ours = check_same([layout_of((), torch.zeros(0, 4)) for _ in found], answers, of)
        assert all(math.isnan(value) for value in ours.values())


def test_a_perfect_detector_and_what_a_crowd_forgives() -> None:
    truth = [layout.select(torch.arange(min(3, len(layout)))) for layout in pictures(2)[0]]
    kept = [layout.of_kinds(KINDS) for layout in truth]
    found = [replace(layout, scores=torch.linspace(0.9, 0.5, len(layout))) for layout in kept]
    assert all(value == 100 for value in coco_ap(kept, found, KINDS).values() if not math.isnan(value))
    crowd = layout_of(("cup", "DontCare"), torch.tensor([[0, 0, 40, 40], [60, 60, 150, 150]]).float())
    inside = torch.tensor([[0, 0, 40, 40], [70, 70, 90, 90], [100, 100, 120, 130]]).float()
    said = layout_of(("cup",) * 3, inside, torch.tensor([0.5, 0.9, 0.8]))
    assert coco_ap([crowd], [said], KINDS)["cup"] == 100 > coco_ap([crowd.of_kinds(KINDS)], [said], KINDS)["cup"]


def test_other_kinds_are_not_looked_at() -> None:
    truth, found = pictures(3)
    ours = coco_ap(truth, found, ("chair",))
    assert list(ours) == [*NAMES, "chair"] and ours["AP"] == ours["chair"]
    assert ours["chair"] == pytest.approx(coco_ap(truth, found, KINDS)["chair"], abs=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    truth, found = pictures(0, 2)
    with pytest.raises(ValueError, match="got 2 layouts, and 1 of detections: one for each picture"):
        coco_ap(truth, found[:1], KINDS)
    bare = [replace(layout, masks=None) for layout in found]
    with pytest.raises(ValueError, match="layout 0 has no masks"):
        coco_ap(truth, bare, KINDS, "masks")
    assert coco_ap(truth, bare, KINDS) == pytest.approx(coco_ap(truth, found, KINDS), nan_ok=True)
