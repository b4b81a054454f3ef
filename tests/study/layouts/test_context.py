"""What appears beside a single object: counting, sides, and the comparison with what is planted in rooms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import invert3d
from invert3d.data.worlds.room_plan import MOTIFS, NAMES, NEVER
from invert3d.models.detectors.thin import thin_adapter
from invert3d.ops.layouts import Layout
from invert3d.study.layouts.context import (
    SIDES,
    Context,
    context_of,
    findings,
    measure_context,
    only,
    planted_table,
    side_of,
    single_layouts,
)
from invert3d.study.layouts.context_report import draw_context
from invert3d.study.layouts.files import BoxesRun
from invert3d.study.layouts.job import How, redetected

BOX = torch.tensor([40.0, 40.0, 60.0, 60.0])


@pytest.mark.parametrize(
    ("move", "side"), [((-30, 5), "left"), ((30, -5), "right"), ((5, -30), "above"), ((-5, 30), "below")]
)
def test_a_side_is_that_of_the_larger_distance(move: tuple[float, float], side: str) -> None:
    assert side_of(BOX, BOX + torch.tensor([*move, *move]).float()) == side


def test_nothing_is_asked_of_the_rest_of_the_picture() -> None:
    """Every candidate but the one that becomes the object may stay as it is, whatever it says."""
    detector = thin_adapter("retinanet", ("background", "chair", "table"), size=64, width=8, features=32)
    layouts = [Layout.of_boxes(["chair"], BOX[None] / 2, 64, 64)]
    raw = detector.raw(torch.rand(1, 3, 64, 64))
    raw["cls_logits"] = torch.full_like(raw["cls_logits"], 3.0)  # everything fires
    whole = detector.assign(raw, detector.targets(layouts))["labels"]
    alone = detector.assign(raw, detector.targets([only(layouts[0])]))["labels"]
    assert (whole == 0).any() and not (alone == 0).any()
    assert (alone == 1).sum() == (whole == 1).sum() == 1


def run_of_found(found: list[Layout], asked: list[Layout]) -> BoxesRun:
    return BoxesRun(
        names=tuple(f"{i}" for i in range(len(asked))),
        pictures=torch.zeros(len(asked), 3, 100, 100),
        asked=tuple(asked),
        found=tuple(found),
        steps=(1,) * len(asked),
        losses=(0.0,) * len(asked),
        seconds=1.0,
    )


def seen(*rows: tuple[str, float, float], score: float = 0.9) -> Layout:
    """Boxes of 20 x 20 pixels with their middles there."""
    boxes = torch.tensor([[x - 10, y - 10, x + 10, y + 10] for _, x, y in rows]).float().reshape(-1, 4)
    return Layout.of_boxes([row[0] for row in rows], boxes, 100, 100, scores=torch.full((len(rows),), score))


def test_what_appears_is_counted_by_picture_and_by_side() -> None:
    kinds = ("chair", "table", "lamp")
    asked = [only(Layout.of_boxes(["chair"], BOX[None], 100, 100))] * 3
    found = [
        seen(("chair", 50, 50), ("table", 80, 52), ("table", 85, 20)),  # itself, and two tables at its right
        seen(("lamp", 52, 51), ("chair", 50, 90)),  # another category in its place is no neighbor; a chair below it
        seen(("table", 10, 50), score=0.2),  # not sure enough
    ]
    context = context_of(run_of_found(found, asked), kinds, 3)
    assert context.seen.tolist() == [1, 0, 0]
    assert context.together[0] == pytest.approx([1 / 3, 1 / 3, 0])
    assert context.sides[0, 1].tolist() == [0, 2, 0, 0] and context.sides[0, 0, SIDES.index("below")] == 1
    assert context.together[1:].sum() == 0


def test_what_is_planted_is_recovered_from_a_detector_that_knows_it() -> None:
    table = planted_table(NAMES)
    sides = np.zeros((len(NAMES), len(NAMES), 4))
    for motif in MOTIFS:
        sides[NAMES.index(motif.category), NAMES.index(motif.brings), SIDES.index(motif.side)] = 9
    whole = Context(kinds=NAMES, seen=np.full(len(NAMES), 10), pictures=10, together=table, sides=sides)
    found = findings(whole)
    assert found["context_rank_correlation"] == 1
    assert [each["on that side"] for each in found["motifs"]] == [9, 9, 9]
    lamp, chair = (next(each for each in found["motifs"] if each["category"] == name) for name in ("lamp", "chair"))
    assert lamp["appears"] > 0.9 and lamp["beside other objects"] == pytest.approx(0.504, abs=0.01)
    assert chair["appears"] > 0.85 and chair["beside other objects"] < 0.3
    assert [(each["category"], each["other"], each["appears"]) for each in found["never"]] == [
        (*NEVER, 0),
        (*NEVER[::-1], 0),
    ]
    random = np.random.default_rng(0).random(table.shape)
    assert abs(replace(whole, together=random).correlation(table)) < 0.3
    other = Context(kinds=("a",), seen=np.ones(1), pictures=1, together=np.ones((1, 1)), sides=np.zeros((1, 1, 4)))
    with pytest.raises(ValueError, match="known for rooms only"):
        findings(other)


def test_single_objects_are_inverted_and_drawn(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = thin_adapter("retinanet", ("background", "chair", "table"), size=64, width=8, features=32)
    assert len(single_layouts(("chair", "table"), 2, 64)) == 4
    options = invert3d.RunOptions(out=tmp_path / "run", progress=False)
    context, run = measure_context(detector, options, seeds=2, how=How(steps=2))
    assert context.kinds == ("chair", "table") and len(run.names) == 4 and context.together.shape == (2, 2)
    draw_context(tmp_path, context, run, None)
    control, other = measure_context(
        detector, options.into(tmp_path / "control"), seeds=2, how=How(steps=2, control=True)
    )
    assert not torch.equal(other.pictures, run.pictures) and control.kinds == context.kinds
    again = redetected(detector, list(other.pictures), list(other.asked))
    assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(again, other.found, strict=True)), "read by the detector"
    assert {path.name for path in tmp_path.glob("*.png")} == {"together.png", "singles.png"}
