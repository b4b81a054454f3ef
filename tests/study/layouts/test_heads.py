"""Layouts inverted for some heads only, and what all heads then read: of 3-D and of 2-D detectors."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.models.detectors.fcos import FCOSDetector
from invert3d.models.detectors.mask_rcnn import MaskRCNNDetector
from invert3d.models.detectors.retinanet import RetinaNetDetector
from invert3d.models.detectors.thin import thin_adapter
from invert3d.ops.layouts import Layout
from invert3d.study.layouts.heads import (
    CENTER_SUBSETS,
    OTHER,
    REAL,
    draw_heads,
    head_reader,
    head_table,
    read_heads_at,
    usual_subsets,
)
from invert3d.study.layouts.scenes import Scenes
from tests.layouts import encoded, split
from tests.models.test_detectors import tiny
from tests.ops.test_centers import PROJECTED
from tests.study.layouts.test_job import SILENT, frames, layout_of

pytestmark = pytest.mark.usefixtures("coarse")


def streets() -> Scenes:
    made = frames(2)
    return Scenes(made.names, made.layouts, dict(zip(made.names, made.pictures, strict=True)))


def test_the_table_has_a_row_for_each_subset_the_pictures_and_the_control(tmp_path: Path) -> None:
    detector, subsets = tiny(codec=PROJECTED, order="rgb"), (("hm",), ("hm", "dep"))
    rows, runs = head_table(detector, streets(), SILENT, recipe="ours", subsets=subsets, steps=2)
    assert [row["asked"] for row in rows] == ["hm", "hm dep", REAL, OTHER]
    assert draw_heads(tmp_path / "heads.png", detector, runs, "heads").is_file()


def test_heads_are_read_in_the_cells_of_the_objects() -> None:
    layout = layout_of(2, 5)
    detector = tiny(codec=PROJECTED, order="rgb")
    maps = encoded(layout.to("cpu", torch.float64), detector.codec)[None].float()
    detector.raw = lambda images: split(maps)  # type: ignore[method-assign]
    said = read_heads_at(detector, torch.zeros(1, 3, 32, 64), [layout])
    assert float(said["score"].nanmedian()) > 0.9
    assert max(float(value.nanmedian()) for name, value in said.items() if name != "score") < 0.05


def test_the_heads_that_are_asked_are_those_that_come_to_read_it(tmp_path: Path) -> None:
    """Where only the boxes of a 2-D detector are asked, only they come to overlap; and so for the classes."""
    torch.manual_seed(0)
    detector = thin_adapter("retinanet", ("background", "chair"), size=64, width=8, features=32)
    box = torch.tensor([[10.0, 12.0, 40.0, 50.0]])
    scenes = Scenes(("a",), (Layout.of_boxes(["chair"], box, 64, 64),))
    rows, runs = head_table(
        detector, scenes, SILENT, recipe="layouts/ours", subsets=(("cls",), ("reg",), ("cls", "reg")), steps=40
    )
    by = {row["asked"]: row for row in rows}
    assert list(by) == ["cls", "reg", "cls reg"], "there are no pictures to compare with"
    assert by["reg"]["IoU"] > by["cls"]["IoU"] and by["cls"]["score"] > by["reg"]["score"]
    assert draw_heads(tmp_path / "heads.png", detector, runs, "heads").is_file()


def test_masks_are_read_where_there_are_some() -> None:
    torch.manual_seed(0)
    detector = thin_adapter("maskrcnn", ("background", "chair"), size=64, width=8, features=32)
    box, masks = torch.tensor([[10.0, 12.0, 40.0, 50.0]]), torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[:, 12:50, 10:40] = True
    layouts = [Layout.of_boxes(["chair"], box, 64, 64, masks=masks)]
    assert set(read_heads_at(detector, torch.rand(1, 3, 64, 64), layouts)) == {"score", "IoU", "mask IoU"}


def test_the_usual_subsets() -> None:
    assert usual_subsets(CenterNet3D.heads) == CENTER_SUBSETS
    assert usual_subsets(RetinaNetDetector.heads) == (("cls",), ("reg",), ("cls", "reg"))
    assert usual_subsets(FCOSDetector.heads) == (("cls",), ("reg",), ("cls", "reg"), ("cls", "reg", "ctr"))
    masks = usual_subsets(MaskRCNNDetector.heads)
    assert len(masks) == 8 and masks[2] == ("mask",) and masks[-1] == ("cls", "reg", "mask", "rpn")
    assert usual_subsets({"place": 1.0, "kind": 0.5}) == (("place",), ("kind",), ("place", "kind"))


def test_a_detector_that_says_nothing_of_its_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="has no method read_heads"):
        head_reader(SimpleNamespace())  # type: ignore[arg-type]
