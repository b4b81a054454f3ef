"""torchvision's SSD behind the protocol: bit for bit the network's own forward, and the smallest change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.ops import generalized_box_iou_loss

from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Trace
from invert3d.engine.schedule import Cosine
from invert3d.engine.space import Image
from invert3d.engine.stepper import Stepper
from invert3d.models.detectors.published import published
from invert3d.models.detectors.ssd import SSDDetector
from invert3d.objectives.detection import DetectionLoss
from invert3d.parameterizations.images import Fourier
from invert3d.registry import lookup
from tests.models.dense import (
    KINDS,
    LAYOUTS,
    TwoLevels,
    asked,
    candidates,
    check_exact,
    check_gradients_and_batches,
    check_own_forward,
)


def network(seed: int = 0, **settings) -> SSD:
    """Random weights, so large that classes and boxes differ from place to place."""
    torch.manual_seed(seed)
    boxes = DefaultBoxGenerator([[2], [2, 3]])
    head = SSDHead([16, 16], boxes.num_anchors_per_location(), len(KINDS))
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    for layer in head.classification_head.module_list:
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        nn.init.constant_(layer.bias.view(-1, len(KINDS))[:, 0], 2.0)
    settings = {"score_thresh": 0.2, "detections_per_img": 1000, **settings}
    return SSD(TwoLevels(), boxes, (96, 48), len(KINDS), head=head, **settings).eval()


def tiny(seed: int = 0, height: int = 48, width: int = 96, **settings) -> SSDDetector:
    return SSDDetector(network(seed, **settings), KINDS, height=height, width=width)


def changed(detector: SSDDetector, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
    """The candidates with what was assigned to them, and all others as they are."""
    labels, regression, logits = assigned["labels"], raw["bbox_regression"].clone(), raw["cls_logits"].clone()
    logits[..., 0] = torch.where((labels == 0).any(-1), 99.0, logits[..., 0])
    logits = torch.where(labels == 1, 199.0, logits)
    for i, n in assigned["asked"].nonzero().tolist():
        place = assigned["candidates"][i, n]
        coder, anchor = detector.model.box_coder, raw["anchors"][i, place][None]
        regression[i, place] = coder.encode_single(assigned["boxes"][i, n][None], anchor)[0]
    return raw | {"cls_logits": logits, "bbox_regression": regression}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("size", [(48, 96), (60, 80), (37, 111)])
def test_detections_are_those_of_the_network_itself_bit_for_bit(seed: int, size: tuple[int, int]) -> None:
    check_own_forward(tiny(seed, *size, score_thresh=0.05), seed, size)


def test_candidates_have_gradients_and_do_not_mind_their_batch() -> None:
    detector = tiny()
    check_gradients_and_batches(detector, share=0.65)  # nothing is padded, and the last rows are skipped
    raw = candidates(detector)
    assert raw["levels"][0].sum() == raw["anchors"].shape[1], "levels have different numbers of boxes a cell"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [(48, 96), (24, 48)])
def test_the_pseudo_targets_are_exactly_the_layout_after_post_processing(seed: int, size: tuple[int, int]) -> None:
    """Also where the network resizes pictures."""
    detector, layouts = tiny(seed, *size), [layout.resized(*size) for layout in LAYOUTS]
    raw, targets = candidates(detector, seed, *size), detector.targets(layouts)
    assigned = detector.assign(raw, targets)
    assert not any(value.requires_grad for value in assigned.values())
    assert not detector.agrees(raw, targets, threshold=0.0).any()
    assert not (assigned["labels"][..., 0] != -1).any(), "the background does not fire"
    check_exact(detector, changed(detector, raw, assigned), layouts)


@pytest.mark.parametrize("seed", range(4))
def test_so_they_are_whatever_the_candidates_say_before(seed: int) -> None:
    detector, raw = tiny(), candidates(tiny())
    generator = torch.Generator().manual_seed(seed)
    raw |= {name: torch.randn(raw[name].shape, generator=generator) * (1 + seed) for name in detector.outputs}
    assert all(len(found) > 20 for found in detector.finalize(raw))
    check_exact(detector, changed(detector, raw, detector.assign(raw, detector.targets(LAYOUTS))), LAYOUTS)


def test_no_smaller_change_would_do() -> None:
    """Each candidate that becomes background would otherwise be a detection more."""
    detector = tiny(1)
    raw = candidates(detector, 1)
    assigned = detector.assign(raw, detector.targets(LAYOUTS))
    meant = changed(detector, raw, assigned)
    places = ((assigned["labels"][0] == 0).any(-1) & (assigned["labels"][0] != 1).all(-1)).nonzero()[:, 0]
    assert len(places) > 20 and (assigned["labels"] == -1).float().mean() > 0.2
    for place in places[:: len(places) // 10].tolist():
        logits = meant["cls_logits"].clone()
        logits[0, place] = raw["cls_logits"][0, place]
        assert len(detector.finalize(meant | {"cls_logits": logits})[0]) > 2


def test_losses_are_cross_entropy_and_generalized_iou_of_what_is_assigned() -> None:
    detector = tiny(1)
    raw = candidates(detector, 1)
    assigned = detector.assign(raw, detector.targets(LAYOUTS))
    losses = detector.losses(raw, assigned)
    assert set(losses) == set(detector.heads)
    for i, layout in enumerate(LAYOUTS):
        places, count = assigned["candidates"][i, : len(layout)], max(1, len(layout))
        surprise = -raw["cls_logits"][i].log_softmax(-1)
        others = (assigned["labels"][i] == 0).any(-1)
        others[places] = False
        wanted = [KINDS.index(kind) for kind in layout.kinds]
        entropy = surprise[others, 0].sum() + surprise[places, wanted].sum()
        assert torch.allclose(losses["classification"][i], entropy / count)
        boxes = detector.model.box_coder.decode_single(raw["bbox_regression"][i, places], raw["anchors"][i, places])
        gaps = generalized_box_iou_loss(boxes, layout.boxes, reduction="sum")
        assert torch.allclose(losses["bbox_regression"][i], gaps / count)
    with pytest.raises(ValueError, match="losses of SSD.*per is object, not slot"):
        detector.losses(raw, assigned, "slot")


def test_the_background_cannot_be_asked_for_and_other_networks_are_refused() -> None:
    nothing = asked(("__background__", 10, 8, 40, 30), ("Car", 50, 8, 80, 30))
    assert tiny().count_assignable(nothing) == 1 and tiny().count_assignable(asked()) == 0
    with pytest.raises(ValueError, match="object 1 is __background__, which this detector never finds"):
        tiny().targets([LAYOUTS[0], nothing])
    with pytest.raises(ValueError, match="overlap by 0.94: above 0.45"):
        tiny().targets([asked(("Car", 10, 8, 40, 30), ("Car", 11, 8, 41, 30))])
    with pytest.raises(TypeError, match="must be a torchvision.models.detection.ssd.SSD, not a TwoLevels"):
        SSDDetector(TwoLevels(), KINDS, height=48, width=96)
    with pytest.raises(ValueError, match="4 classes.*3 names"):
        SSDDetector(network(), KINDS[1:], height=48, width=96)


def test_a_layout_is_inverted_from_random_weights() -> None:
    detector = tiny(1)
    space = Image(height=48, width=96, mean=(0.0,) * 3, std=(1.0,) * 3)
    targets = detector.targets(LAYOUTS[:2])
    result = optimize(
        Frozen(detector, space, output="raw"),
        DetectionLoss(weights={"classification": 1.0, "bbox_regression": 2.0}),
        Fourier(),
        target=targets,
        steps=150,
        stepper=Stepper(rate=0.1, schedule=Cosine()),
        recorders=[Trace()],
    )
    loss = result.trace["loss"]
    assert (loss[-1] < 0.3 * loss[0]).all()
    with torch.no_grad():
        raw = detector.raw((result.x * 255).round() / 255)
    assert detector.agrees(raw, targets, threshold=0.5, within=0.05).all()


@pytest.mark.slow
def test_the_registered_one_is_torchvisions_with_or_without_a_checkpoint(tmp_path) -> None:
    torch.manual_seed(0)
    first = lookup("detector", "ssd")(class_names=("background", "Car"))
    torch.save(first.model.state_dict(), tmp_path / "ssd.pth")
    again = published("ssd", checkpoint=tmp_path / "ssd.pth", class_names=first.kinds, height=60, width=90)
    state = again.model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in first.model.state_dict().items())
    assert (
        not again.training
        and again.model.transform.fixed_size == (300, 300)
        and (again.height, again.width) == (60, 90)
    )
