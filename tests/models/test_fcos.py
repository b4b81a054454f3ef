"""torchvision's FCOS behind the protocol: bit for bit the network's own forward, and the smallest change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead, FCOSRegressionHead
from torchvision.ops import generalized_box_iou_loss

from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Trace
from invert3d.engine.schedule import Cosine
from invert3d.engine.space import Image
from invert3d.engine.stepper import Stepper
from invert3d.models.detectors.fcos import FCOSDetector
from invert3d.models.detectors.published import published
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


def network(seed: int = 0, **settings) -> FCOS:
    """Random weights, so large that classes, boxes and center-ness differ from place to place."""
    torch.manual_seed(seed)
    settings = {"min_size": 48, "max_size": 96, "score_thresh": 0.15, **settings}
    head = FCOSHead(32, 1, len(KINDS), num_convs=1)
    anchors = AnchorGenerator(((8,), (16,)), ((1.0,),) * 2)
    model = FCOS(TwoLevels(32), len(KINDS), anchor_generator=anchors, head=head, **settings).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():
        model.head.classification_head.cls_logits.bias.fill_(-3.0)
        model.head.regression_head.bbox_reg.bias.fill_(1.0)
    return model


def tiny(seed: int = 0, height: int = 48, width: int = 96, **settings) -> FCOSDetector:
    return FCOSDetector(network(seed, **settings), KINDS, height=height, width=width)


def changed(detector: FCOSDetector, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
    """The candidates with what was assigned to them, and all others as they are."""
    labels, regression, centers = assigned["labels"], raw["bbox_regression"].clone(), raw["bbox_ctrness"].clone()
    logits = torch.where(labels == 1, 9.0, torch.where(labels == 0, -99.0, raw["cls_logits"]))
    for i, n in assigned["asked"].nonzero().tolist():
        place = assigned["candidates"][i, n]
        regression[i, place] = detector.model.box_coder.encode(raw["anchors"][i, place], assigned["boxes"][i, n])
        centers[i, place] = 9.0
    return raw | {"cls_logits": logits, "bbox_regression": regression, "bbox_ctrness": centers}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("size", [(48, 96), (60, 80), (37, 111), (96, 48)])
def test_detections_are_those_of_the_network_itself_bit_for_bit(seed: int, size: tuple[int, int]) -> None:
    check_own_forward(tiny(seed, *size), seed, size)


def test_candidates_have_gradients_and_do_not_mind_their_batch() -> None:
    check_gradients_and_batches(tiny())


def test_the_regression_is_read_before_its_relu_and_no_hook_stays() -> None:
    detector = tiny()
    raw = candidates(detector)["bbox_regression"]
    batch, _ = detector.scaled(torch.rand(3, 3, 48, 96, generator=torch.Generator().manual_seed(0)))
    own = detector.model.head([*detector.model.backbone(batch.tensors).values()])["bbox_regression"]
    assert torch.equal(raw.relu(), own) and 0.1 < (raw < 0).float().mean() < 0.9
    assert not any(module._forward_hooks for module in detector.modules())
    with pytest.raises(RuntimeError, match="channels"):
        detector.read_head([torch.rand(1, 31, 4, 4)])
    assert not any(module._forward_hooks for module in detector.modules())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [(48, 96), (24, 48)])
def test_the_pseudo_targets_are_exactly_the_layout_after_post_processing(seed: int, size: tuple[int, int]) -> None:
    """Also where the network resizes pictures."""
    detector, layouts = tiny(seed, *size), [layout.resized(*size) for layout in LAYOUTS]
    raw, targets = candidates(detector, seed, *size), detector.targets(layouts)
    assigned = detector.assign(raw, targets)
    assert not any(value.requires_grad for value in assigned.values())
    assert not detector.agrees(raw, targets, threshold=0.0).any()
    check_exact(detector, changed(detector, raw, assigned), layouts)


@pytest.mark.parametrize("seed", range(6))
def test_so_they_are_whatever_the_candidates_say_before(seed: int) -> None:
    """Candidates that fire all over, boxes without an area among them."""
    detector, raw = tiny(0), candidates(tiny(0))
    generator = torch.Generator().manual_seed(seed)
    noise = {name: torch.randn(raw[name].shape, generator=generator) * (1 + seed) for name in detector.outputs}
    raw |= noise | {"bbox_regression": noise["bbox_regression"] * 2}
    assert all(len(found) > 20 for found in detector.finalize(raw))
    check_exact(detector, changed(detector, raw, detector.assign(raw, detector.targets(LAYOUTS))), LAYOUTS)


def test_a_raised_center_ness_lets_no_other_class_fire() -> None:
    """The classes of a candidate share it: those that it would lift above the threshold must become background."""
    detector, raw = tiny(), candidates(tiny())
    raw["bbox_ctrness"] = torch.full_like(raw["bbox_ctrness"], -9.0)
    raw["cls_logits"] = torch.full_like(raw["cls_logits"], 2.0)
    assert not any(map(len, detector.finalize(raw)))
    assigned = detector.assign(raw, detector.targets(LAYOUTS))
    check_exact(detector, changed(detector, raw, assigned), LAYOUTS)
    assert (assigned["labels"] == 1).sum() == 3 and (assigned["labels"] == 0).sum() == 3 * (len(KINDS) - 1)


def test_no_smaller_change_would_do() -> None:
    """Each candidate that becomes background would otherwise be one detection more."""
    detector = tiny(1)
    raw, targets = candidates(detector, 1), detector.targets(LAYOUTS)
    assigned = detector.assign(raw, targets)
    meant = changed(detector, raw, assigned)
    places = (assigned["labels"][0] == 0).nonzero()
    assert len(places) > 20 and (assigned["labels"] == -1).float().mean() > 0.2
    for a, k in places[:: len(places) // 10].tolist():
        logits = meant["cls_logits"].clone()
        logits[0, a, k] = raw["cls_logits"][0, a, k]
        assert len(detector.finalize(meant | {"cls_logits": logits})[0]) == 3


@pytest.mark.parametrize("seed", range(3))
def test_objects_are_at_points_in_them_near_their_centers_where_there_are_any(seed: int) -> None:
    detector = tiny(seed)
    raw = candidates(detector, seed)
    assigned = detector.assign(raw, detector.targets(LAYOUTS))
    places = assigned["candidates"][0]
    points = (raw["anchors"][0, places, :2] + raw["anchors"][0, places, 2:]) / 2
    boxes = LAYOUTS[0].boxes
    assert ((points > boxes[:, :2]) & (points < boxes[:, 2:])).all()
    sides = raw["anchors"][0, places, 2] - raw["anchors"][0, places, 0]
    assert ((points - (boxes[:, :2] + boxes[:, 2:]) / 2).abs().amax(1) < 1.5 * sides).all()
    twice = detector.targets([replace(asked(*[("Car", 10, 8, 40, 30)] * 2), kinds=("Car", "Tram"))] * 3)
    assert len(set(detector.assign(raw, twice)["candidates"][0].tolist())) == 2, "no candidate is two objects"
    narrow = detector.targets([asked(("Car", 17, 10, 23, 40))] * 3)  # between two columns of points
    assert detector.losses(raw, detector.assign(raw, narrow))["bbox_regression"].isfinite().all()


def test_losses_are_cross_entropy_and_generalized_iou_of_what_is_assigned() -> None:
    detector = tiny(1)
    raw = candidates(detector, 1)
    raw["bbox_regression"] = raw["bbox_regression"].abs() + 1.0
    assigned = detector.assign(raw, detector.targets(LAYOUTS))
    losses = detector.losses(raw, assigned)
    assert set(losses) == set(detector.heads)
    for i, layout in enumerate(LAYOUTS):
        labels, count, places = assigned["labels"][i], max(1, len(layout)), assigned["candidates"][i, : len(layout)]
        wanted = (labels == 1).float()[labels >= 0]
        entropy = F.binary_cross_entropy(raw["cls_logits"][i][labels >= 0].sigmoid(), wanted, reduction="sum")
        assert torch.allclose(losses["classification"][i], entropy / count, rtol=1e-4)
        boxes = detector.model.box_coder.decode(raw["bbox_regression"][i, places], raw["anchors"][i, places])
        gaps = generalized_box_iou_loss(boxes, layout.boxes, reduction="sum")
        assert torch.allclose(losses["bbox_regression"][i], gaps / count)
        entropy = -raw["bbox_ctrness"][i, places].sigmoid().log().sum()
        assert torch.allclose(losses["bbox_ctrness"][i], entropy / count)
    with pytest.raises(ValueError, match="losses of FCOS.*per is object, not slot"):
        detector.losses(raw, assigned, "slot")


@pytest.mark.parametrize("start", [-3.0, 0.0, 9.0])
def test_boxes_are_found_from_sides_below_zero_at_zero_and_far_too_long(start: float) -> None:
    """The ReLU would stop the first two, and a box turned inside out would grow without end."""
    detector, raw = tiny(), candidates(tiny())
    sides = torch.full_like(raw["bbox_regression"], start).requires_grad_()
    raw["bbox_regression"] = sides
    assigned = detector.assign(raw, targets := detector.targets(LAYOUTS))
    places = assigned["candidates"][:2, 0]
    (gradient,) = torch.autograd.grad(detector.losses(raw, assigned)["bbox_regression"].sum(), sides)
    assert (gradient[[0, 1], places] * (1 if start > 0 else -1) > 0).all()
    optimizer = torch.optim.Adam([sides], 0.2)
    for _ in range(120):
        optimizer.zero_grad()
        detector.losses(raw, assigned)["bbox_regression"].sum().backward()
        optimizer.step()
    meant = changed(detector, raw, assigned) | {"bbox_regression": sides.detach()}
    assert detector.agrees(meant, targets, threshold=0.5, within=0.05).all()


def test_every_loss_goes_down_along_its_gradient() -> None:
    detector = tiny(2)
    x = torch.rand(3, 3, 48, 96, generator=torch.Generator().manual_seed(2)).requires_grad_()
    raw = detector.raw(x)
    assigned = detector.assign(raw, detector.targets(LAYOUTS))
    for name, value in detector.losses(raw, assigned).items():
        (slope,) = torch.autograd.grad(value[:2].sum(), x, retain_graph=True)
        assert slope.isfinite().all() and slope[:2].norm() > 0
        with torch.no_grad():
            after = detector.losses(detector.raw(x - 1e-3 * slope / slope.norm()), assigned)[name]
        assert after[:2].sum() < value[:2].sum()


def test_what_lies_in_a_region_to_be_ignored_is_let_be() -> None:
    """All but boxes without an area, which lie in nothing."""
    detector = tiny(1)
    raw = {name: value[:1] for name, value in candidates(detector, 1).items()}
    raw["bbox_regression"] = raw["bbox_regression"].abs() + 0.5
    whole = detector.targets([asked(("Car", 10, 8, 40, 30), ("DontCare", -1, -1, 97, 49))])
    inside = (detector.decoded(raw["bbox_regression"], raw["anchors"])[0, :, :2] < torch.tensor([96.0, 48])).all(1)
    assert not (detector.assign(raw, whole)["labels"][0, inside] == 0).any()
    alone = detector.targets([asked(("Car", 10, 8, 40, 30))])
    assert (detector.assign(raw, alone)["labels"][0, inside] == 0).any()


def test_other_networks_and_numbers_of_classes_are_refused() -> None:
    near = asked(("Car", 10, 8, 40, 30), ("Car", 11, 8, 41, 30))
    with pytest.raises(ValueError, match="layout 1: objects 1 and 2, both Car, overlap by 0.94: above 0.6"):
        tiny().targets([LAYOUTS[0], near])
    with pytest.raises(TypeError, match="must be a torchvision.models.detection.FCOS, not a TwoLevels"):
        FCOSDetector(TwoLevels(), KINDS, height=48, width=96)
    with pytest.raises(ValueError, match="4 classes.*3 names"):
        FCOSDetector(network(), KINDS[1:], height=48, width=96)

    class Exponential(FCOSRegressionHead):
        def forward(self, x: list[Tensor]) -> tuple[Tensor, Tensor]:
            sides, centers = super().forward(x)
            return sides.exp(), centers

    model = network()
    model.head.regression_head = Exponential(32, 1, 1)
    with pytest.raises(TypeError, match="must be torchvision's FCOSRegressionHead, not a Exponential"):
        FCOSDetector(model, KINDS, height=48, width=96)


def test_a_layout_is_inverted_from_random_weights() -> None:
    detector = tiny(1)
    space = Image(height=48, width=96, mean=(0.0,) * 3, std=(1.0,) * 3)
    targets = detector.targets(LAYOUTS[:2])
    result = optimize(
        Frozen(detector, space, output="raw"),
        DetectionLoss(weights={"classification": 1.0, "bbox_regression": 2.0, "bbox_ctrness": 1.0}),
        Fourier(),
        target=targets,
        steps=150,
        stepper=Stepper(rate=0.1, schedule=Cosine()),
        recorders=[Trace()],
    )
    loss = result.trace["loss"]
    assert (loss[-1] < 0.5 * loss[0]).all()
    with torch.no_grad():
        raw = detector.raw((result.x * 255).round() / 255)
    assert detector.agrees(raw, targets, threshold=0.5, within=0.05).all(), "a score is a root: 0.3 would be 0.09"


def test_the_registered_one_is_torchvisions_with_or_without_a_checkpoint(tmp_path) -> None:
    """Also by the keys of torchvision's own file, which has frozen batch norms."""
    torch.manual_seed(0)
    first = lookup("detector", "fcos")(class_names=("background", "Car", "Van"), height=64, width=96)
    state = {key: value for key, value in first.model.state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "fcos.pth")
    again = published("fcos", checkpoint=tmp_path / "fcos.pth", class_names=first.kinds, height=64, width=96)
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert all(torch.equal(value, again.raw(x)[name]) for name, value in first.raw(x).items())
    assert not again.training and again.model.transform.min_size == (64,)
    with pytest.raises(ValueError, match="fcos.pth does not fit FCOS with 91 classes"):
        published("fcos", checkpoint=tmp_path / "fcos.pth")
