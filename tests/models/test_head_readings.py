"""What the heads of 2-D detectors read at an object is what their own post-processing finds there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.ops import box_iou

from invert3d.methods.layouts import named_heads, short_heads
from invert3d.models.detectors import HeadReader
from invert3d.models.detectors.box_detector import BoxDetector
from invert3d.models.detectors.thin import ADAPTERS, thin_adapter
from invert3d.ops.layouts import Layout

KINDS = ("background", "chair", "table", "lamp")


def open_to_all(family: str) -> BoxDetector:
    """A detector of random weights whose post-processing keeps nearly everything."""
    torch.manual_seed(4)
    detector = thin_adapter(family, KINDS, size=64, width=8, features=32)
    if family == "fcos":  # whose boxes would nearly all be empty
        torch.nn.init.constant_(detector.model.head.regression_head.bbox_reg.bias, 1.5)
    inner = getattr(detector.model, "roi_heads", detector.model)
    inner.score_thresh, inner.nms_thresh, inner.detections_per_img = 0.01, 0.7, 1000
    return detector


@pytest.fixture(params=ADAPTERS)
def seen(request: pytest.FixtureRequest) -> tuple[BoxDetector, dict, Layout]:
    """A detector, its candidates in a picture, and three detections well inside of it."""
    detector = open_to_all(request.param)
    with torch.no_grad():
        raw = {name: value[:1] for name, value in detector.raw(torch.rand(2, 3, 64, 64)).items()}
        found = detector.finalize(raw)[0]
    inside = ((found.boxes > 1) & (found.boxes < 63)).all(1) & (found.boxes[:, 2:] - found.boxes[:, :2] > 3).all(1)
    return detector, raw, found.select(inside.nonzero()[:3, 0])


def asked(found: Layout) -> Layout:
    return replace(found, scores=torch.full_like(found.scores, torch.nan))


def test_the_heads_read_what_post_processing_finds(seen: tuple[BoxDetector, dict, Layout]) -> None:
    detector, raw, found = seen
    assert isinstance(detector, HeadReader) and len(found) == 3
    for i in range(len(found)):
        one = found.select(torch.tensor([i]))
        said = detector.read_heads(raw, detector.targets([asked(one)]))
        assert said["score"].item() == pytest.approx(one.scores.item(), abs=1e-4)
        assert said["IoU"].item() == pytest.approx(1, abs=1e-3)
        assert ("mask IoU" in said) == (found.masks is not None)
        if one.masks is not None and one.masks.any():
            assert said["mask IoU"].item() > 0.95


def test_the_overlap_is_that_with_the_requested_box(seen: tuple[BoxDetector, dict, Layout]) -> None:
    """A box moved by half a pixel is still nearest to the same candidate; padding has no reading."""
    detector, raw, found = seen
    one = found.select(torch.tensor([0]))
    moved = replace(asked(one), boxes=one.boxes + 0.5)
    everything = {name: value.expand(2, *value.shape[1:]) for name, value in raw.items()}
    said = detector.read_heads(everything, detector.targets([moved, Layout.of_boxes([], torch.zeros(0, 4), 64, 64)]))
    assert said["IoU"][0, 0] >= box_iou(moved.boxes, one.boxes)[0, 0] - 1e-4
    assert said["IoU"][1].isnan().all() and said["score"][1].isnan().all()


@pytest.mark.parametrize("family", ADAPTERS)
def test_short_names_stand_for_the_heads_of_each_family(family: str) -> None:
    heads = ADAPTERS[family].heads
    short = short_heads(heads)
    assert {"cls", "reg"} <= {*short}
    assert named_heads(list(short), heads) == [head for names in short.values() for head in names]
    assert {*named_heads(list(short), heads)} == {*heads}, "together they are all heads"
    assert named_heads(list(heads), heads) == list(heads)
    with pytest.raises(ValueError, match="unknown head 'clss'.*cls"):
        named_heads(["clss"], heads)
    with pytest.raises(ValueError, match="at least one head"):
        named_heads([], heads)
    absent = next(name for name in ("ctr", "mask", "rpn") if name not in short)
    with pytest.raises(ValueError, match=f"unknown head '{absent}'"):
        named_heads([absent], heads)
