"""torchvision's RetinaNet behind the protocol: bit for bit the network's own forward, and the smallest change."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import box_iou, generalized_box_iou_loss

from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Trace
from invert3d.engine.schedule import Cosine
from invert3d.engine.space import Image
from invert3d.engine.stepper import Stepper
from invert3d.models.detectors import Detector
from invert3d.models.detectors.published import published
from invert3d.models.detectors.retinanet import RetinaNetDetector
from invert3d.objectives.detection import DetectionLoss
from invert3d.ops.layouts import Layout
from invert3d.parameterizations.images import Fourier
from invert3d.registry import lookup
from tests.layouts import camera, random_layout
from tests.models.dense import KINDS, LAYOUTS, TwoLevels, asked, check_own_forward


def network(seed: int = 0, regression: float = 0.3, **settings) -> RetinaNet:
    """Random weights, so large that classes and boxes differ from place to place."""
    torch.manual_seed(seed)
    anchors = AnchorGenerator(((16, 24), (32, 48)), ((0.5, 1.0),) * 2)
    settings = {"min_size": 48, "max_size": 96, "score_thresh": 0.1, **settings}
    model = RetinaNet(TwoLevels(), len(KINDS), anchor_generator=anchors, **settings).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():
        model.head.classification_head.cls_logits.bias.fill_(-3.0)
        model.head.regression_head.bbox_reg.weight.mul_(regression)
    return model


def tiny(seed: int = 0, height: int = 48, width: int = 96, **settings) -> RetinaNetDetector:
    return RetinaNetDetector(network(seed, **settings), KINDS, height=height, width=width)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("size", [(48, 96), (60, 80), (37, 111), (96, 48)])
def test_detections_are_those_of_the_network_itself_bit_for_bit(seed: int, size: tuple[int, int]) -> None:
    check_own_forward(tiny(seed, *size), seed, size)


def test_candidates_have_gradients_and_do_not_mind_their_batch() -> None:
    detector, x = tiny(), torch.rand(3, 3, 48, 96, requires_grad=True)
    raw = detector(x)
    assert isinstance(detector, Detector) and {len(value) for value in raw.values()} == {3}
    for name in ("cls_logits", "bbox_regression"):
        (gradient,) = torch.autograd.grad(raw[name].sum(), x, retain_graph=True)
        assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.7  # the strides skip some
    for name, value in detector.raw(x[1:2]).items():
        assert torch.allclose(value, raw[name][1:2], atol=1e-5), name


def test_the_network_is_left_as_it_was_also_in_half_precision() -> None:
    detector = tiny()
    before, generator = copy.deepcopy(detector.state_dict()), detector.model.anchor_generator
    cells = [each.clone() for each in generator.cell_anchors]
    x, space = torch.rand(1, 3, 48, 96), Image(height=48, width=96, mean=(0.0,) * 3, std=(1.0,) * 3)
    raw = detector.raw(x)
    half = Frozen(detector, space, output="raw", bf16=True)(x)
    assert torch.equal(half["anchors"], raw["anchors"]) and not torch.equal(half["cls_logits"], raw["cls_logits"])
    after = generator.cell_anchors
    assert all(one.dtype is torch.float32 and torch.equal(one, other) for one, other in zip(cells, after, strict=True))
    assert all(torch.equal(value, detector.state_dict()[key]) for key, value in before.items())


def changed(detector: RetinaNetDetector, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
    """Z of the paper: the candidates with what was assigned to them, and all others as they are."""
    labels, regression = assigned["labels"], raw["bbox_regression"].clone()
    logits = torch.where(labels == 1, 9.0, torch.where(labels == 0, -9.0, raw["cls_logits"]))
    coder = detector.model.box_coder
    for i, n in assigned["asked"].nonzero().tolist():
        place = assigned["candidates"][i, n]
        regression[i, place] = coder.encode_single(assigned["boxes"][i, n][None], raw["anchors"][i, place][None])[0]
    return raw | {"cls_logits": logits, "bbox_regression": regression}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(48, 96), (24, 48)])
def test_the_pseudo_targets_are_exactly_the_layout_after_post_processing(seed: int, size: tuple[int, int]) -> None:
    """f(Z) = L (Cao & Johnson, section 3.2), also where the network resizes pictures."""
    detector = tiny(seed, *size)
    layouts = [layout.resized(*size) for layout in LAYOUTS]
    raw = detector.raw(torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(seed)))
    targets = detector.targets(layouts)
    assert set(targets) == {"states", "kinds", "boxes"}
    assigned = detector.assign(raw, targets)
    assert not any(value.requires_grad for value in assigned.values())
    assert not detector.agrees(raw, targets, threshold=0.0).any()
    meant = changed(detector, raw, assigned)
    assert detector.agrees(meant, targets, threshold=0.0).all()
    for found, layout in zip(detector.finalize(meant), layouts, strict=True):
        assert sorted(found.kinds) == sorted(layout.kinds)


def test_no_smaller_change_would_do() -> None:
    """Each candidate that becomes background would otherwise be one detection more."""
    detector = tiny(3)
    raw, targets = detector.raw(torch.rand(1, 3, 48, 96)), detector.targets(LAYOUTS[:1])
    assigned = detector.assign(raw, targets)
    meant = changed(detector, raw, assigned)
    places = (assigned["labels"][0] == 0).nonzero()
    assert len(places) > 20 and (assigned["labels"] == -1).float().mean() > 0.2
    for a, k in places[:: len(places) // 10].tolist():
        logits = meant["cls_logits"].clone()
        logits[0, a, k] = raw["cls_logits"][0, a, k]
        (found,) = detector.finalize(meant | {"cls_logits": logits})
        assert len(found) == 3


def test_objects_take_the_candidates_that_overlap_them_most() -> None:
    detector = tiny(regression=0.0)  # all candidates are their anchors
    detector.model.score_thresh = 0.999  # nothing is found
    raw, (layout, *_) = detector.raw(torch.rand(1, 3, 48, 96)), LAYOUTS
    assigned = detector.assign(raw, detector.targets([layout]))
    shares = box_iou(layout.boxes, raw["anchors"][0].clamp_min(0).clamp_max(torch.tensor([96.0, 48, 96, 48])))
    assert shares.gather(1, assigned["candidates"][0][:, None])[:, 0].tolist() == shares.amax(1).tolist()
    twice = detector.assign(
        raw, detector.targets([replace(asked(*[("Car", 10, 8, 40, 30)] * 2), kinds=("Car", "Tram"))])
    )
    assert len(set(twice["candidates"][0].tolist())) == 2, "no candidate is two objects"


@pytest.mark.parametrize("seed", range(4))
def test_an_object_takes_the_detection_that_is_kept_for_it(seed: int) -> None:
    """What overlaps it most may be suppressed by a better score: against a loop over all candidates."""
    detector = tiny(seed, regression=0.0)
    detector.model.nms_thresh = 0.1  # so that some are near each object
    raw, (layout, *_) = detector.raw(torch.rand(1, 3, 48, 96)), LAYOUTS
    assigned = detector.assign(raw, detector.targets([layout]))
    scores = raw["cls_logits"][0].sigmoid()
    for n, (kind, box) in enumerate(zip(layout.kinds, layout.boxes, strict=True)):
        k, best, place = KINDS.index(kind), 0.0, -1
        for a, anchor in enumerate(raw["anchors"][0]):
            near = box_iou(anchor[None], box[None]) > detector.model.nms_thresh
            if near and scores[a, k] > max(best, detector.model.score_thresh):
                best, place = scores[a, k].item(), a
        assert place >= 0 and assigned["candidates"][0, n] == place


def test_losses_are_cross_entropy_and_generalized_iou_of_what_is_assigned() -> None:
    detector = tiny(1)
    raw, targets = detector.raw(torch.rand(3, 3, 48, 96)), detector.targets(LAYOUTS)
    assigned = detector.assign(raw, targets)
    losses = detector.losses(raw, assigned)
    assert set(losses) == set(detector.heads)
    for i, layout in enumerate(LAYOUTS):
        chosen, count = assigned["labels"][i] >= 0, max(1, len(layout))
        wanted = (assigned["labels"][i] == 1).float()
        entropy = (
            F.binary_cross_entropy(raw["cls_logits"][i][chosen].sigmoid(), wanted[chosen], reduction="sum") / count
        )
        assert torch.allclose(losses["classification"][i], entropy, rtol=1e-4)
        places = assigned["candidates"][i, : len(layout)]
        boxes = detector.model.box_coder.decode_single(raw["bbox_regression"][i, places], raw["anchors"][i, places])
        gaps = generalized_box_iou_loss(boxes, layout.boxes, reduction="sum") / count
        assert torch.allclose(losses["bbox_regression"][i], gaps)
    with pytest.raises(ValueError, match="per is object, not slot"):
        detector.losses(raw, assigned, "slot")


def test_what_lies_in_a_region_to_be_ignored_is_let_be() -> None:
    detector = tiny(2)
    raw = detector.raw(torch.rand(1, 3, 48, 96))
    whole = asked(("Car", 10, 8, 40, 30), ("DontCare", 0, 0, 96, 48))
    targets = detector.targets([whole])
    assert not (detector.assign(raw, targets)["labels"] == 0).any()
    assert (detector.assign(raw, detector.targets([asked(("Car", 10, 8, 40, 30))]))["labels"] == 0).any()
    only = detector.targets([asked(("DontCare", 0, 0, 96, 48))])
    assert detector.agrees(raw, only, threshold=0.0).all()
    assert not detector.agrees(raw, targets, threshold=0.0).any()


def test_agreement_asks_for_each_object_once_where_it_should_be() -> None:
    detector = tiny(0)
    raw, targets = detector.raw(torch.rand(3, 3, 48, 96)), detector.targets(LAYOUTS)
    meant = changed(detector, raw, detector.assign(raw, targets))
    moved = targets | {"boxes": targets["boxes"] + torch.tensor([3.0, 0, 3, 0])}
    assert detector.agrees(meant, moved, threshold=0.0).tolist() == [False, False, True]
    assert detector.agrees(meant, moved, threshold=0.0, within=0.12).all()
    other = targets | {"kinds": torch.where(targets["kinds"] == 2, 1, targets["kinds"])}
    assert detector.agrees(meant, other, threshold=0.0).tolist() == [True, False, True]


def test_a_larger_picture_is_scaled_to_fit_and_its_layout_with_it() -> None:
    detector = tiny()
    layout = Layout.of_boxes(["Car"], torch.tensor([[20.0, 16, 80, 60]]), 120, 192)
    picture = torch.zeros(3, 120, 192)
    picture[:, 16:60, 20:80] = 1
    small, moved = detector.prepare(picture, layout)
    assert small.shape == (3, 48, 96) and (moved.height, moved.width) == (48, 96)
    assert torch.allclose(small[:, :, 80], torch.tensor(detector.model.transform.image_mean)[:, None])
    rows, columns = (small[0, :, :76] > 0.5).nonzero().T
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert [float(side) for side in found] == pytest.approx(moved.boxes[0].tolist(), abs=0.9)
    assert detector.count_assignable(moved) == 1 and detector.count_assignable(asked(("Van", 1, 1, 9, 9))) == 0
    with pytest.raises(ValueError, match="the picture is 10 x 20"):
        detector.prepare(torch.zeros(3, 10, 20), layout)


def test_layouts_that_no_picture_can_give_and_other_networks_are_refused() -> None:
    near = asked(("Car", 10, 8, 40, 30), ("Car", 11, 8, 41, 30))
    with pytest.raises(ValueError, match="layout 1: objects 1 and 2, both Car, overlap by 0.94: above 0.5"):
        tiny().targets([LAYOUTS[0], near])
    assert tiny().targets([replace(near, kinds=("Car", "Tram"))])["states"].tolist() == [[1, 1]]
    with pytest.raises(TypeError, match="must be a torchvision.models.detection.RetinaNet, not a TwoLevels"):
        RetinaNetDetector(TwoLevels(), KINDS, height=48, width=96)
    with pytest.raises(ValueError, match="4 classes.*3 names"):
        RetinaNetDetector(network(), KINDS[1:], height=48, width=96)


def test_boxes_in_space_may_be_asked_by_their_boxes_in_the_picture() -> None:
    detector = RetinaNetDetector(network(), ("__background__", "Car", "Pedestrian", "Cyclist"), height=48, width=96)
    layout = random_layout(2, 3, 48, 96, projection=camera(48, 96), dtype=torch.float32)
    targets = detector.targets([layout])
    assert torch.equal(targets["boxes"][0], layout.boxes) and "sizes" not in targets


def test_a_layout_is_inverted_from_random_weights() -> None:
    """The same loop, objective and parameterization as a center network's: noise becomes a picture of two boxes."""
    detector = tiny(1)
    space = Image(height=48, width=96, mean=(0.0,) * 3, std=(1.0,) * 3)
    targets = detector.targets(LAYOUTS[:2])
    result = optimize(
        Frozen(detector, space, output="raw"),
        DetectionLoss(weights={"classification": 1.0, "bbox_regression": 2.0}),
        Fourier(),
        target=targets,
        steps=120,
        stepper=Stepper(rate=0.1, schedule=Cosine()),
        recorders=[Trace()],
    )
    loss = result.trace["loss"]
    assert (loss[-1] < 0.5 * loss[0]).all()
    with torch.no_grad():
        raw = detector.raw((result.x * 255).round() / 255)
    assert detector.agrees(raw, targets, threshold=0.3, within=0.05).all()


@pytest.fixture(scope="module")
def whole() -> RetinaNetDetector:
    """ResNet-50 in full, for three classes."""
    torch.manual_seed(0)
    return lookup("detector", "retinanet")(class_names=("background", "Car", "Van"), height=64, width=96)


def test_the_registered_one_is_torchvisions_with_or_without_a_checkpoint(whole: RetinaNetDetector, tmp_path) -> None:
    """Also by the keys of torchvision's own files, which are older than its heads and have frozen batch norms."""
    state = {key: value for key, value in whole.model.state_dict().items() if "num_batches" not in key}
    old = {}
    for key, value in state.items():
        head, found, rest = key.partition("_head.conv.")
        if found:
            number, _, what = rest.split(".")
            key = f"{head}_head.conv.{2 * int(number)}.{what}"
        old[key] = value
    assert len(old) == len(state) and "head.classification_head.conv.6.weight" in old
    torch.save(old, tmp_path / "old.pth")
    again = published("retinanet", checkpoint=tmp_path / "old.pth", class_names=whole.kinds, height=64, width=96)
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert all(torch.equal(value, again.raw(x)[name]) for name, value in whole.raw(x).items())
    assert not again.training and again.model.transform.min_size == (64,)
    with pytest.raises(ValueError, match="old.pth does not fit RetinaNet with 91 classes"):
        published("retinanet", checkpoint=tmp_path / "old.pth")


def test_torchvisions_second_one_is_registered_too(tmp_path) -> None:
    """With the group norms of its heads, and the epsilons of its batch norms as they are."""
    torch.manual_seed(0)
    first = lookup("detector", "retinanet_v2")(class_names=("background", "Car", "Van"), height=64, width=96)
    torch.save(first.model.state_dict(), tmp_path / "v2.pth")
    again = published("retinanet_v2", checkpoint=tmp_path / "v2.pth", class_names=first.kinds, height=64, width=96)
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert all(torch.equal(value, again.raw(x)[name]) for name, value in first.raw(x).items())
    assert any(isinstance(module, nn.GroupNorm) for module in again.model.head.modules()) and not again.training
    with pytest.raises(ValueError, match="v2.pth does not fit RetinaNet with 2 classes"):
        published("retinanet_v2", checkpoint=tmp_path / "v2.pth", class_names=("background", "Car"))
