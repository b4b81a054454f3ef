"""Single objects of several lengths: what is counted, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

import invert3d
from invert3d.models.detectors.thin import thin_adapter
from invert3d.study.layouts.context import SURE, single_layouts
from invert3d.study.layouts.scale import draw_scales, measure_scales, others_beside
from tests.cli.calls import command
from tests.study.layouts.test_context import run_of_found, seen

KINDS = ("chair", "table", "lamp")


def test_others_are_what_is_not_the_object_itself() -> None:
    asked = list(single_layouts(["table", "chair"], 2, 100, 0.2).values())
    found = [
        seen(("table", 50, 50), ("chair", 80, 52), ("lamp", 10, 50)),
        seen(("chair", 51, 50), ("chair", 80, 20), score=0.9),
        seen(("chair", 50, 50)),
        seen(("table", 10, 10), score=0.4),
    ]
    assert others_beside(run_of_found(found, asked), KINDS, ["table", "chair"], 2).tolist() == [1.5, 0]


def test_every_category_is_asked_at_every_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = thin_adapter("retinanet", ("background", *KINDS), size=64, width=8, features=32)
    options = invert3d.RunOptions(out=tmp_path / "run", progress=False)
    scaled = measure_scales(detector, options, kinds=["table", "chair"], shares=[0.25, 0.5], seeds=2, steps=2)
    for s, (share, run) in enumerate(zip(scaled.shares, scaled.runs, strict=True)):
        for k, kind in enumerate(scaled.kinds):
            mine = range(2 * k, 2 * k + 2)
            best, shares, others = [], [], 0
            for i in mine:  # once more, slowly
                box, found = run.asked[i].boxes[:1], run.found[i]
                assert run.asked[i].kinds[0] == kind
                assert float(box[0, 2] - box[0, 0]) == pytest.approx(64 * share)
                overlaps = box_iou(found.boxes, box)[:, 0].tolist()
                own = [
                    score
                    for name, overlap, score in zip(found.kinds, overlaps, found.scores.tolist(), strict=True)
                    if name == kind and overlap >= 0.5
                ]
                best.append(max(own, default=0))
                shares.append(max(overlaps, default=0))
                others += sum(
                    overlap < 0.5 and score > SURE
                    for overlap, score in zip(overlaps, found.scores.tolist(), strict=True)
                )
            assert scaled.score[k, s] == pytest.approx(np.mean(best), abs=1e-6)
            assert scaled.overlap[k, s] == pytest.approx(np.mean(shares), abs=1e-6)
            assert scaled.others[k, s] == others / 2
    assert [row["length"] for row in scaled.rows()] == ["25% of the picture", "50% of the picture"]
    assert draw_scales(tmp_path / "scales.png", scaled, "sizes").is_file()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kinds": "chairs"}, "unknown category 'chairs'; did you mean chair"),
        ({"lengths": "0.1,long"}, "lengths are numbers.*'long'"),
        ({"lengths": "0.1,1.5"}, "above 0 and at most 1"),
        ({"lengths": "nan"}, "above 0 and at most 1"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(tmp_path: Path, options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        command("evaluate", "scales", "fcos-rooms", **options, steps=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
