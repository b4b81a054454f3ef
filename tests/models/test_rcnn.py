"""torchvision's Faster and Mask R-CNN behind the protocol: bit for bit their own forward, and the smallest change."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import torchvision.models.detection as torchvision_detectors
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import maskrcnn_loss, paste_masks_in_image
from torchvision.ops import MultiScaleRoIAlign, box_iou, generalized_box_iou_loss

from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Trace
from invert3d.engine.schedule import Cosine
from invert3d.engine.space import Image
from invert3d.engine.stepper import Stepper
from invert3d.models.detectors import Detector, detect
from invert3d.models.detectors.mask_rcnn import MaskRCNNDetector
from invert3d.models.detectors.rcnn import FasterRCNNDetector
from invert3d.objectives.detection import DetectionLoss
from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import mask_iou
from invert3d.parameterizations.images import Fourier
from invert3d.registry import lookup
from tests.models.dense import KINDS, TwoLevels

HEIGHT, WIDTH = 64, 96
SPACE = Image(height=HEIGHT, width=WIDTH, mean=(0.0,) * 3, std=(1.0,) * 3)


def network(seed: int = 0, background: float = 1.0, classes: int = len(KINDS), **settings) -> MaskRCNN:
    """Random weights, so large that classes and boxes differ from place to place."""
    torch.manual_seed(seed)
    parts = {
        "rpn_anchor_generator": AnchorGenerator(((16, 24), (32, 48)), ((0.5, 1.0),) * 2),
        "box_roi_pool": MultiScaleRoIAlign(["0", "1"], 5, 2),
        "box_head": TwoMLPHead(16 * 25, 32),
        "box_predictor": FastRCNNPredictor(32, classes),
        "mask_roi_pool": MultiScaleRoIAlign(["0", "1"], 7, 2),
        "mask_head": MaskRCNNHeads(16, (16,), 1),
        "mask_predictor": MaskRCNNPredictor(16, 16, classes),
    }
    sizes = {"min_size": HEIGHT, "max_size": WIDTH, "rpn_post_nms_top_n_test": 60}
    model = MaskRCNN(TwoLevels(), **parts, **{**sizes, **settings}).eval()
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():
        model.rpn.head.bbox_pred.weight.mul_(0.1)
        model.roi_heads.box_predictor.cls_score.bias[0] = background
    return model


def tiny(seed: int = 0, height: int = HEIGHT, width: int = WIDTH, masks: bool = False, **settings):
    kind = MaskRCNNDetector if masks else FasterRCNNDetector
    return kind(network(seed, **settings), KINDS, height=height, width=width)


def asked(*rows: tuple[str, float, float, float, float], masks: bool = False) -> Layout:
    """Boxes, and for their masks the ellipses within them."""
    boxes = torch.tensor([row[1:] for row in rows]).float().reshape(-1, 4)
    y, x = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH)
    left, top, right, bottom = (side[:, None, None] for side in boxes.unbind(1))
    across, down = (2 * x - left - right) / (right - left), (2 * y - top - bottom) / (bottom - top)
    inside = across**2 + down**2 < 1 if masks else None
    return Layout.of_boxes([row[0] for row in rows], boxes, HEIGHT, WIDTH, masks=inside)


CAR, TRAM, PERSON = ("Car", 10, 8, 40, 30), ("Tram", 50, 10, 90, 44), ("Pedestrian", 30, 5, 50, 45)
LAYOUTS = [asked(CAR, TRAM), asked(PERSON), asked()]


def pictures(count: int = 3, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("size", [(64, 96), (50, 111)])
def test_detections_are_those_of_the_network_itself_bit_for_bit(seed: int, size: tuple[int, int], masks: bool) -> None:
    detector = tiny(seed, *size, masks=masks)
    x = pictures(2, seed, *size)
    found = detect(detector, x, threshold=0.0)
    with torch.no_grad():
        wanted = detector.model([*x])
    for layout, own in zip(found, wanted, strict=True):
        assert len(layout) > 5 and (layout.height, layout.width) == size and len(set(layout.kinds)) > 1
        assert torch.equal(layout.boxes, own["boxes"]) and torch.equal(layout.scores, own["scores"])
        assert layout.kinds == tuple(KINDS[k] for k in own["labels"])
        if masks:
            assert torch.equal(layout.masks, own["masks"][:, 0] > 0.5) and 0 < layout.masks.float().mean() < 0.9
        else:
            assert layout.masks is None
    above = detect(detector, x, threshold=0.3)
    assert [one.scores.tolist() for one in above] == [one.scores[one.scores > 0.3].tolist() for one in found]


def test_no_proposals_are_no_detections_and_still_can_be_asked() -> None:
    detector = tiny(rpn_score_thresh=0.99999, masks=True)
    x = pictures().requires_grad_()
    raw = detector.raw(x)
    assert raw["proposals"].shape[1] == 0 and not any(len(found) for found in detector.finalize(raw))
    targets = detector.targets([asked(CAR, TRAM, masks=True), asked(PERSON, masks=True), asked(masks=True)])
    losses = detector.losses(raw, detector.assign(raw, targets))
    assert all(value[:2].gt(0).all() and not value[2] for value in losses.values())
    (gradient,) = torch.autograd.grad(sum(value.sum() for value in losses.values()), x)
    assert gradient.isfinite().all() and gradient[:2].abs().sum((1, 2, 3)).gt(0).all()


def test_the_loss_of_each_head_has_a_gradient_in_the_picture() -> None:
    detector, x = tiny(masks=True), pictures(2).requires_grad_()
    assert isinstance(detector, Detector)
    raw = detector(x)
    assert {len(value) for value in raw.values()} == {2} and not raw["proposals"].requires_grad
    for name in ("objectness", "rpn_deltas", "class_logits", "box_regression"):
        (gradient,) = torch.autograd.grad(raw[name].sum(), x, retain_graph=True)
        assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.3, name
    targets = detector.targets([asked(CAR, TRAM, masks=True), asked(PERSON, masks=True)])
    assigned = detector.assign(raw, targets)
    assert not any(value.requires_grad for value in assigned.values())
    losses = detector.losses(raw, assigned)
    assert set(losses) == set(detector.heads)
    for name, loss in losses.items():
        (gradient,) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
        assert loss.gt(0).all() and gradient.isfinite().all() and gradient.flatten(1).any(1).all(), name


def test_losses_are_the_same_each_time_and_do_not_mind_their_batch() -> None:
    detector = tiny(1, masks=True, rpn_score_thresh=0.7)  # so that the pictures have different numbers of proposals
    x = pictures()
    targets = detector.targets([asked(CAR, TRAM, masks=True), asked(PERSON, masks=True), asked(masks=True)])
    raw = detector.raw(x)
    assert len(set(raw["proposed"].sum(1).tolist())) > 1
    losses = detector.losses(raw, detector.assign(raw, targets))
    torch.manual_seed(7)
    again = detector.losses(raw, detector.assign(raw, targets))
    assert all(torch.equal(value, again[name]) for name, value in losses.items())
    for i in range(3):
        own = detector.raw(x[i : i + 1])
        alone = detector.losses(own, detector.assign(own, {name: value[i : i + 1] for name, value in targets.items()}))
        for name, value in alone.items():
            assert torch.allclose(value, losses[name][i : i + 1], rtol=1e-4, atol=1e-5), name


def test_half_precision_leaves_anchors_and_proposals_in_full() -> None:
    detector, x = tiny(masks=True), pictures(2)
    raw, half = detector.raw(x), Frozen(detector, SPACE, output="raw", bf16=True)(x)
    assert torch.equal(half["anchors"], raw["anchors"]) and not torch.equal(half["objectness"], raw["objectness"])
    assert not torch.equal(half["proposals"], half["proposals"].bfloat16().float())
    targets = detector.targets([asked(CAR, TRAM, masks=True), asked(PERSON, masks=True)])
    rough, fine = (detector.losses(each, detector.assign(each, targets)) for each in (half, raw))
    assert all(torch.allclose(rough[name], value, rtol=0.3) for name, value in fine.items())


def changed(detector: FasterRCNNDetector, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
    """Z of the paper, of both stages: the candidates with what was assigned to them, and all others as they are. An
    asked box that becomes an object itself is proposed, as it is in Z of stage 1."""
    boxes, count = assigned["boxes"], raw["proposals"].shape[1]
    rows, kinds = assigned["rows"], assigned["kinds"]
    there = torch.zeros_like(assigned["asked"])
    logits = torch.cat([raw["class_logits"], raw["class_logits"].new_zeros(*boxes.shape[:2], len(KINDS))], 1)
    regression = torch.cat(
        [raw["box_regression"], raw["box_regression"].new_zeros(*boxes.shape[:2], 4 * len(KINDS))], 1
    )
    logits = torch.where(assigned["allowed"], logits, logits - 30)
    proposals = torch.cat([raw["proposals"], boxes], 1)
    objectness, deltas = raw["objectness"].clone(), raw["rpn_deltas"].clone()
    for i, n in assigned["asked"].nonzero().tolist():
        row, k, place = rows[i, n], kinds[i, n], assigned["candidates"][i, n]
        there[i, n] = row >= count
        logits[i, row], regression[i, row] = 9 * (torch.arange(len(KINDS)) == k), 0
        code = detector.model.roi_heads.box_coder.encode_single(boxes[i, n][None], proposals[i, row][None])[0]
        regression[i, row, 4 * k : 4 * k + 4] = code
        objectness[i, place] = 9.0
        deltas[i, place] = detector.model.rpn.box_coder.encode_single(boxes[i, n, None], raw["anchors"][i, place, None])
    second = {"class_logits": logits, "box_regression": regression, "proposals": proposals}
    there = torch.cat([raw["proposed"], there], 1)
    return raw | {"objectness": objectness, "rpn_deltas": deltas, **second, "proposed": there}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(64, 96), (32, 48)])
def test_the_pseudo_targets_are_exactly_the_layout_after_post_processing(seed: int, size: tuple[int, int]) -> None:
    """f(Z) = L (Cao & Johnson, section 3.3), also where the network resizes pictures."""
    detector = tiny(seed, *size)
    layouts = [layout.resized(*size) for layout in LAYOUTS]
    with torch.no_grad():
        raw = detector.raw(pictures(3, seed, *size))
    targets = detector.targets(layouts)
    assigned = detector.assign(raw, targets)
    assert not detector.agrees(raw, targets, threshold=0.0).any()
    meant = changed(detector, raw, assigned)
    assert detector.agrees(meant, targets, threshold=0.0).all()
    for found, layout in zip(detector.finalize(meant), layouts, strict=True):
        assert sorted(found.kinds) == sorted(layout.kinds)
    for proposals, boxes, there in zip(detector._proposals(meant), assigned["boxes"], assigned["asked"], strict=True):
        assert all((proposals - box).abs().amax(1).min() < 1e-3 for box in boxes[there]), "stage 1 proposes the boxes"


def test_no_smaller_change_of_stage_2_would_do() -> None:
    """Each row that must change would otherwise be one detection more."""
    detector = tiny(3, background=3.5)
    with torch.no_grad():
        raw = detector.raw(pictures(1))
    targets = detector.targets([asked(CAR, TRAM)])
    assigned = detector.assign(raw, targets)
    meant = changed(detector, raw, assigned)
    must = ~assigned["allowed"][0, : raw["proposals"].shape[1]].all(1)
    must[assigned["rows"][0][assigned["rows"][0] < len(must)]] = False
    assert 5 < must.sum() < len(must) - 5
    for row in must.nonzero()[:, 0].tolist():
        logits = meant["class_logits"].clone()
        logits[0, row] = raw["class_logits"][0, row]
        (found,) = detector.finalize(meant | {"class_logits": logits})
        assert len(found) > 2


def test_an_object_is_the_nearest_detection_or_its_own_box_and_none_is_two() -> None:
    detector = tiny(background=9.0)
    with torch.no_grad():
        detector.model.roi_heads.box_predictor.bbox_pred.weight.zero_()  # detections are the proposals
        raw = detector.raw(pictures(1))
    count, boxes = raw["proposals"].shape[1], raw["proposals"][0]
    near, far = ("Car", *(boxes[7] + torch.tensor([1.0, 0, 0, 0])).tolist()), ("Tram", 0, 0, 3, 3)
    both = [near, ("Tram", *near[1:]), far]
    assigned = detector.assign(raw, detector.targets([asked(*both)]))
    (rows,) = assigned["rows"].tolist()
    shares = box_iou(torch.tensor([near[1:]]), boxes)[0]
    assert shares[rows[0]] == shares.max() and len(set(rows)) == 3 and rows[2] == count + 2
    assert shares[rows[1]] >= 0.5 if rows[1] < count else rows[1] == count + 1
    nothing = detector.assign(raw, detector.targets([asked()]))["allowed"]
    assert nothing.all(), "no score is above the threshold"
    assert (~assigned["allowed"]).any(-1).sum() == 3


def test_losses_are_torchvisions_own_on_what_is_assigned() -> None:
    detector = tiny(1)
    with torch.no_grad():
        raw = detector.raw(pictures())
    assigned = detector.assign(raw, detector.targets(LAYOUTS))
    losses, rows = detector.losses(raw, assigned), raw["proposals"].shape[1]
    for i, layout in enumerate(LAYOUTS):
        count, places = max(1, len(layout)), assigned["candidates"][i, : len(layout)]
        scored = F.binary_cross_entropy_with_logits(raw["objectness"][i, places, 0], torch.ones(len(layout)))
        assert not len(layout) or torch.allclose(losses["objectness"][i], scored)
        boxes = detector.model.rpn.box_coder.decode_single(raw["rpn_deltas"][i, places], raw["anchors"][i, places])
        gaps = generalized_box_iou_loss(boxes, layout.boxes, reduction="sum") / count
        assert torch.allclose(losses["rpn_box_reg"][i], gaps)
        own = [n for n in range(len(layout)) if assigned["rows"][i, n] >= rows]
        looked, _ = detector.look(raw, [layout.boxes[own] if i == j else torch.zeros(0, 4) for j in range(3)])
        logits = torch.cat([raw["class_logits"][i], looked])
        allowed = torch.cat([assigned["allowed"][i, :rows], assigned["allowed"][i, rows:][own]])
        one = allowed.sum(1) == 1  # elsewhere background or the kind of an object that suppresses it
        crossed = F.cross_entropy(logits[one], allowed[one].float().argmax(1), reduction="sum") / count
        either = -(logits[~one].softmax(1) * allowed[~one]).sum(1).log().sum() / count
        assert one.any() and torch.allclose(losses["classifier"][i], crossed + either, rtol=1e-4)
    with pytest.raises(ValueError, match="MaskRCNN are divided by the number of objects: per is object, not slot"):
        detector.losses(raw, assigned, "slot")


def test_what_lies_in_a_region_to_be_ignored_is_let_be() -> None:
    detector = tiny(2)
    with torch.no_grad():
        raw = detector.raw(pictures(1))
    whole = ("DontCare", 0, 0, 96, 64)
    targets = detector.targets([asked(CAR, whole)])
    assert (~detector.assign(raw, targets)["allowed"]).any(-1).sum() == 1, "only the car itself"
    assert (~detector.assign(raw, detector.targets([asked(CAR)]))["allowed"]).any(-1).sum() > 10
    assert detector.agrees(raw, detector.targets([asked(whole)]), threshold=0.0).all()
    vans = detector.targets([asked(("Van", 0, 0, 96, 64))])  # neither a car nor a false one
    allowed = detector.assign(raw, vans)["allowed"][0]
    assert allowed[:, 1].sum() > allowed[:, 2].sum()


def test_empty_boxes_are_not_asked_for_and_what_no_picture_can_give_is_refused() -> None:
    detector = tiny(masks=True)
    x = pictures(1).requires_grad_()
    raw, empty = detector.raw(x), ("Tram", 50, 10, 50, 44)
    layout = asked(CAR, empty)
    targets = detector.targets([layout])
    assert detector.count_assignable(layout) == 1
    assigned = detector.assign(raw, targets)
    losses = detector.losses(raw, assigned)
    assert assigned["asked"].tolist() == [[True, False]]
    only = detector.losses(raw, detector.assign(raw, detector.targets([asked(CAR)])))
    assert all(torch.allclose(value, only[name]) for name, value in losses.items())
    assert torch.autograd.grad(sum(losses.values()).sum(), x)[0].isfinite().all()
    assert detector.agrees(changed(detector, raw, assigned), targets, threshold=0.0).all()
    near = asked(CAR, ("Car", 11, 8, 41, 30))
    with pytest.raises(ValueError, match="objects 1 and 2, both Car, overlap by 0.94: above 0.5"):
        detector.targets([near])
    assert detector.targets([replace(near, kinds=("Car", "Tram"))])["states"].tolist() == [[1, 1]]
    with pytest.raises(ValueError, match="layout 1: object 1 is __background__, which this detector never finds"):
        detector.targets([layout, asked(("__background__", 1, 1, 9, 9))])
    with pytest.raises(TypeError, match="must be a torchvision.models.detection.MaskRCNN, not a TwoLevels"):
        MaskRCNNDetector(TwoLevels(), KINDS, height=HEIGHT, width=WIDTH)
    with pytest.raises(ValueError, match="4 classes.*3 names"):
        FasterRCNNDetector(network(), KINDS[1:], height=HEIGHT, width=WIDTH)


def test_the_loss_of_masks_is_torchvisions_own_also_where_pictures_are_resized() -> None:
    layouts = [asked(CAR, TRAM, masks=True), asked(PERSON, masks=True)]
    for size in ((HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2)):
        detector = tiny(1, *size, masks=True)
        layouts = [layout.resized(*size) for layout in layouts]
        raw = detector.raw(pictures(2, 1, *size))
        assigned = detector.assign(raw, detector.targets(layouts))
        boxes = [each[rows] for each, rows in zip(assigned["boxes"], assigned["asked"], strict=True)]
        maps = {"0": raw["features_0"], "1": raw["features_1"]}
        heads = detector.model.roi_heads
        logits = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(maps, boxes, [(HEIGHT, WIDTH)] * 2)))
        for i, part in enumerate(logits.split([2, 1])):
            names = [torch.tensor([KINDS.index(kind) for kind in layouts[i].kinds])]
            masks, own = layouts[i].masks.byte(), layouts[i].boxes
            wanted = maskrcnn_loss(part, [own], [masks], names, [torch.arange(len(own))])
            assert torch.allclose(detector.mask_losses(raw, assigned)["mask"][i], wanted, rtol=1e-4)


def test_masks_are_asked_for_in_the_pixels_of_the_picture() -> None:
    """Pixel by pixel of torchvision's own pasted masks, also where the detector resizes pictures."""
    for size in ((HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2)):
        detector, layout = tiny(1, *size, masks=True), asked(CAR, TRAM, masks=True).resized(*size)
        raw = detector.raw(pictures(1, 1, *size))
        assigned = detector.assign(raw, detector.targets([layout]))
        kinds = torch.tensor([KINDS.index(kind) for kind in layout.kinds])
        masks = detector.mask_logits(raw, [assigned["boxes"][0]], kinds).sigmoid().detach()
        total = 0.0
        for mask, wanted, box in zip(masks, layout.masks, layout.boxes, strict=True):
            pasted = paste_masks_in_image(mask[None, None], box[None], size)[0, 0]
            costs = [
                -math.log(float(pasted[y, x] if wanted[y, x] else 1 - pasted[y, x]))
                for y, x in (pasted > 0).nonzero().tolist()
            ]
            total += sum(costs) / float((box[2:] - box[:2]).prod())
        assert detector.losses(raw, assigned)["mask"].item() == pytest.approx(total / 2, rel=1e-3)


def test_masks_as_they_are_trained_lose_the_outlines_of_small_objects() -> None:
    """Of a large mask nearly all is left, of one of three pixels not."""
    detector = tiny(masks=True)
    large = detector.as_trained(layout := asked(("Car", 2, 2, 90, 46), masks=True))
    assert large.scores.tolist() == [1.0] and float(mask_iou(large.masks, layout.masks)) > 0.95
    small = detector.as_trained(layout := asked(("Car", 10.5, 8.5, 13.5, 11.5), masks=True))
    assert float(mask_iou(small.masks, layout.masks)) < 0.9
    assert detector.as_trained(asked(CAR)).masks is None and len(detector.as_trained(asked(masks=True))) == 0


def test_masks_are_asked_for_where_there_are_some() -> None:
    detector = tiny(masks=True)
    without, some = detector.targets([asked(CAR)]), detector.targets([asked(CAR, masks=True)])
    model = Frozen(detector, SPACE, output="raw")
    with pytest.raises(ValueError, match="the target says nothing for mask: .*every one with masks"):
        optimize(model, DetectionLoss(weights={"mask": 1.0}), Fourier(), target=without, steps=1)
    optimize(model, DetectionLoss(), Fourier(), target=without, steps=1)  # of the other heads
    optimize(model, DetectionLoss(), Fourier(), target=some, steps=1)
    mixed = detector.targets([asked(CAR), asked(CAR, masks=True)])
    assert "masks" not in mixed


def test_agreement_asks_for_the_masks_too() -> None:
    detector = tiny(masks=True)
    raw = detector.raw(pictures(1))
    meant = changed(detector, raw, detector.assign(raw, detector.targets([asked(CAR, TRAM)])))
    (found,) = detector.finalize(meant)
    own = asked(*(CAR, TRAM) if found.kinds[0] == "Car" else (TRAM, CAR))
    assert detector.agrees(meant, detector.targets([own]), threshold=0.0).all()
    with_masks = replace(own, masks=found.masks)
    assert found.masks.flatten(1).any(1).all() and detector.agrees(meant, detector.targets([with_masks])).all()
    other = replace(own, masks=found.masks.flip(0))
    assert not detector.agrees(meant, detector.targets([other]), threshold=0.0).any()


def test_a_layout_is_inverted_from_random_weights() -> None:
    """The same loop, objective and parameterization as a center network's: noise becomes a picture of two boxes."""
    detector = tiny(3, background=4.0)
    detector.model.roi_heads.box_predictor.bbox_pred.weight.data.mul_(0.5)
    targets = detector.targets(LAYOUTS[:1])
    weights = {"objectness": 1.0, "rpn_box_reg": 2.0, "classifier": 1.0, "box_reg": 2.0}
    result = optimize(
        Frozen(detector, SPACE, output="raw"),
        DetectionLoss(weights=weights),
        Fourier(),
        target=targets,
        steps=150,
        stepper=Stepper(rate=0.1, schedule=Cosine()),
        recorders=[Trace()],
    )
    loss = result.trace["loss"]
    assert (loss[-1] < 0.5 * loss[0]).all()
    (found,) = detect(detector, (result.x * 255).round() / 255, threshold=0.3)
    assert sorted(found.kinds) == ["Car", "Tram"]
    assert box_iou(found.boxes, found.boxes.new_tensor([CAR[1:], TRAM[1:]])).amax(1).min() > 0.6


NAMES = {"fasterrcnn": "FasterRCNN", "fasterrcnn_v2": "FasterRCNN", "maskrcnn": "MaskRCNN", "maskrcnn_v2": "MaskRCNN"}


@pytest.mark.parametrize("name", NAMES)
def test_the_registered_ones_read_a_checkpoint(name: str, tmp_path, monkeypatch) -> None:
    """Also by the keys of torchvision's own files, which are older than its heads. The networks are small here."""

    def build(*, weights, weights_backbone, num_classes: int, **sides) -> MaskRCNN:
        assert weights is None and weights_backbone is None
        return network(classes=num_classes, **sides)

    own = name.replace("rcnn", "rcnn_resnet50_fpn")
    monkeypatch.setattr(torchvision_detectors, own, build)
    wanted = network(seed=5)
    old = {"rpn.head.conv.0.0.": "rpn.head.conv.", "roi_heads.mask_head.0.0.": "roi_heads.mask_head.mask_fcn1."}
    state = wanted.state_dict()
    for new, before in old.items():
        state = {key.replace(new, before): value for key, value in state.items()}
    assert "rpn.head.conv.weight" in state and "roi_heads.mask_head.mask_fcn1.bias" in state
    torch.save(state, tmp_path / "old.pth")
    detector = lookup("detector", name)(checkpoint=tmp_path / "old.pth", class_names=KINDS, height=48, width=80)
    assert type(detector).network == NAMES[name] and not detector.training
    assert detector.model.transform.min_size == (48,) and detector.model.transform.max_size == 80
    assert all(torch.equal(value, wanted.state_dict()[key]) for key, value in detector.model.state_dict().items())
    with pytest.raises(ValueError, match="old.pth does not fit MaskRCNN with 91 classes"):
        lookup("detector", name)(checkpoint=tmp_path / "old.pth")


def test_the_whole_network_of_torchvision_fits_the_protocol() -> None:
    torch.manual_seed(0)
    detector = lookup("detector", "fasterrcnn")(class_names=KINDS, height=64, width=96)
    x = pictures(1)
    (found,) = detect(detector, x, threshold=0.0)
    with torch.no_grad():
        (own,) = detector.model([*x])
    assert torch.equal(found.boxes, own["boxes"]) and torch.equal(found.scores, own["scores"])
