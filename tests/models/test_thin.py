"""The thin detectors are torchvision's own, and each is taken apart by its adapter bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from invert3d.models.detectors import Detector
from invert3d.models.detectors.box_detector import BoxDetector
from invert3d.models.detectors.fcos import FCOSDetector
from invert3d.models.detectors.mask_rcnn import MaskRCNNDetector
from invert3d.models.detectors.rcnn import FasterRCNNDetector
from invert3d.models.detectors.retinanet import RetinaNetDetector
from invert3d.models.detectors.thin import FAMILIES, ThinBackbone, thin_detector

KINDS = ("background", "cup", "chair", "plant")
ADAPTERS: dict[str, type[BoxDetector]] = {
    "retinanet": RetinaNetDetector,
    "fcos": FCOSDetector,
    "fasterrcnn": FasterRCNNDetector,
    "maskrcnn": MaskRCNNDetector,
}


def lively(family: str, size: int, **options: int) -> nn.Module:
    """Random weights with which scores differ from place to place and class to class."""
    torch.manual_seed(1)
    model = thin_detector(family, len(KINDS), size=size, **options).eval()
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)) and "stages" not in name:
            nn.init.kaiming_normal_(module.weight)
            if "logits" in name and module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def pictures(size: int) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_there_is_an_adapter_for_each() -> None:
    assert list(ADAPTERS) == list(FAMILIES)


@pytest.mark.parametrize("size", [64, 96])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_parts_make_what_the_detector_makes_bit_for_bit(family: str, size: int) -> None:
    model, x = lively(family, size), pictures(size)
    detector = ADAPTERS[family](model, KINDS, height=size, width=size)
    assert isinstance(detector, Detector)
    with torch.no_grad():
        found, wanted = detector.finalize(detector.raw(x)), model([*x])
    for layout, own in zip(found, wanted, strict=True):
        assert len(layout) > 3 and len(set(layout.kinds)) > 1
        assert torch.equal(layout.boxes, own["boxes"]) and torch.equal(layout.scores, own["scores"])
        assert layout.kinds == tuple(KINDS[k] for k in own["labels"])
        assert (layout.masks is not None) == (family == "maskrcnn") == ("masks" in own)
        if layout.masks is not None:
            assert torch.equal(layout.masks, own["masks"][:, 0] > 0.5)
        assert layout.boxes.min() >= 0 and layout.boxes.max() <= size


@pytest.mark.parametrize("family", FAMILIES)
def test_they_are_thin_and_pictures_are_not_resized(family: str) -> None:
    model = thin_detector(family, 15)
    assert 1_000_000 < sum(each.numel() for each in model.parameters()) < 3_000_000
    small = thin_detector(family, 15, size=64, width=8, features=32)
    assert sum(each.numel() for each in small.parameters()) < 1_000_000
    batch, _ = small.transform([*pictures(64)])
    assert batch.tensors.shape == (2, 3, 64, 64) and batch.image_sizes == [(64, 64)] * 2
    assert torch.allclose(batch.tensors, (pictures(64) - 0.45) / 0.25, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_level_has_its_anchors(family: str) -> None:
    model, x = thin_detector(family, 4, size=96, width=8, features=32).eval(), pictures(96)
    maps = list(model.backbone(x).values())
    strides = [96 / each.shape[-1] for each in maps]
    assert strides == ([4, 8, 16, 32, 96 / 2] if "rcnn" in family else [8, 16, 32, 96 / 2])
    assert {each.shape[1] for each in maps} == {32}
    generator = model.rpn.anchor_generator if "rcnn" in family else model.anchor_generator
    (anchors, _) = generator(model.transform([*x])[0], maps)
    per_place = generator.num_anchors_per_location()
    assert len(per_place) == len(maps)
    places = [each.shape[-1] * each.shape[-2] for each in maps]
    assert len(anchors) == sum(n * k for n, k in zip(places, per_place, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_have_a_gradient_for_every_weight(family: str) -> None:
    model = thin_detector(family, len(KINDS), size=64, width=8, features=32).train()
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
    masks[0, 5:30, 8:40], masks[1, 40:60, 30:62] = 1, 1
    boxes = torch.tensor([[8, 5, 40, 30], [30, 40, 62, 60]]).float()
    there = {"boxes": boxes, "labels": torch.tensor([1, 3]), "masks": masks}
    none = {"boxes": boxes[:0], "labels": torch.zeros(0, dtype=torch.long), "masks": masks[:0]}
    losses = model([*pictures(64)], [there, none])
    assert set(losses) >= ({"loss_classifier", "loss_objectness"} if "rcnn" in family else {"classification"})
    assert ("loss_mask" in losses) == (family == "maskrcnn")
    total = sum(losses.values())
    total.backward()
    without = [name for name, each in model.named_parameters() if each.grad is None or not each.grad.any()]
    assert total > 0 and not [name for name in without if "bbox" not in name], without


def test_the_backbone_begins_where_it_is_told() -> None:
    assert list(ThinBackbone(8, 32, first=2)(pictures(64))) == ["0", "1", "2", "3", "pool"]
    assert list(ThinBackbone(8, 32)(pictures(64))) == ["0", "1", "2", "pool"]


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown family 'retinanett'; did you mean retinanet"):
        thin_detector("retinanett", 4)
