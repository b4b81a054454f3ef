"""Evidence for detections against autograd, captum and slow loops, for every family of detectors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from torch import Tensor, nn

from invert3d.attribution.features import GradCAM
from invert3d.attribution.gradients import Gradient, SmoothGrad
from invert3d.attribution.masks import ExtremalPerturbation
from invert3d.attribution.random_masks import RISE
from invert3d.engine.gradient import input_gradient
from invert3d.evaluate.evidence import within
from invert3d.evaluate.redetection import similarity
from invert3d.models.detectors.box_detector import BoxDetector
from invert3d.models.detectors.thin import FAMILIES, thin_adapter
from invert3d.objectives.detection import DetectionLoss
from invert3d.ops.layouts import Layout
from invert3d.study.explaining.detections import explain_detection, prepared, sure
from invert3d.study.explaining.heads import evidence_of, head_named, label_of, moved, usual_heads
from invert3d.study.explaining.ways import DRISE, OWN, ByMethod, InsideBox, way_of, window_of
from invert3d.study.layouts.context import only
from invert3d.study.layouts.job import frozen

KINDS = ("background", "chair", "table")
SIZE = 96


def detector_of(family: str) -> BoxDetector:
    torch.manual_seed(0)
    detector = thin_adapter(family, KINDS, size=SIZE, width=8, features=32)
    if hasattr(detector.model, "head"):  # it finds something
        bias = detector.model.head.classification_head.cls_logits.bias
        nn.init.zeros_(bias)
        bias.data.view(-1, len(KINDS))[:, 0] = -20.0  # but never the background
    if family == "fcos":  # boxes of four sides of an anchor
        nn.init.constant_(detector.model.head.regression_head.bbox_reg.bias, 2.0)
    return detector


@pytest.fixture(scope="module", params=list(FAMILIES))
def detector(request: pytest.FixtureRequest) -> BoxDetector:
    return detector_of(request.param)


@pytest.fixture(scope="module")
def fcos() -> BoxDetector:
    return detector_of("fcos")


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def first(detector: BoxDetector, picture: Tensor) -> Layout:
    """The best detection whose box does not end at the border, with a mask if the detector makes some."""
    found = sure(detector, picture, threshold=0.0)
    clear = ((found.boxes > 1) & (found.boxes < SIZE - 1)).all(1) & (found.boxes[:, 2:] - found.boxes[:, :2] > 4).all(1)
    return found.select(clear).select(torch.tensor([0]))


def test_each_head_of_each_family_is_explained(detector: BoxDetector, picture: Tensor) -> None:
    one = first(detector, picture)
    labels = [label_of(detector, head) for head in usual_heads(detector)]
    assert labels == (["class", "box", "mask"] if "mask" in detector.heads else ["class", "box"])
    for head in detector.heads:
        found = explain_detection(detector, picture, one, head, Gradient())
        assert found.map.shape == (SIZE, SIZE) and found.map.isfinite().all() and found.head == head
        assert found.map.max() > 0, head
    for label in labels:
        cam = explain_detection(detector, picture, one, label, "grad_cam").map
        assert (cam >= 0).all() and not cam[~within(one.boxes[0], SIZE, SIZE)].any()
        assert explain_detection(detector, picture, one, label, GradCAM()).map.any()


@pytest.mark.parametrize("family", ["retinanet", "fcos"])
def test_evidence_for_the_class_is_the_logit_of_the_candidate_in_other_units(family: str, picture: Tensor) -> None:
    detector = detector_of(family)
    one = first(detector, picture)
    x = picture[None].clone().requires_grad_()
    with frozen(detector):
        raw = detector.raw(x)
        place = int((detector.scores(raw) - float(one.scores[0])).abs().flatten().argmin())  # the score is its own
        logit = raw["cls_logits"].flatten()[place]
        (gradient,) = torch.autograd.grad(logit, x)
    assert KINDS[place % len(KINDS)] == one.kinds[0]
    leaf = logit.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.logsigmoid(leaf), leaf)
    assert slope > 0, "minus the cross-entropy rises with the logit"
    score, target = evidence_of(detector, [one], head_named(detector, "class"), local=True)
    own, _ = input_gradient(frozen(detector), -score, x.detach(), target)
    assert torch.allclose(own, slope * gradient, atol=1e-5 * float(own.abs().max()))


def test_the_loss_of_a_box_says_nothing_at_the_detection_and_its_sides_say_what_moves_them(
    fcos: BoxDetector, picture: Tensor
) -> None:
    one = first(fcos, picture)
    own = DetectionLoss(weights={"bbox_regression": 1.0})
    targets = fcos.targets([only(one)])
    nothing, _ = input_gradient(frozen(fcos), own, picture[None], targets)
    x = picture[None].clone().requires_grad_()
    with frozen(fcos):
        raw = fcos.raw(x)
        box = fcos.chosen_boxes(raw, fcos.assign(raw, targets))[0, 0]
        lengths = (one.boxes[0, 2:] - one.boxes[0, :2]).repeat(2)
        sides = [torch.autograd.grad(box[i] / lengths[i], x, retain_graph=True)[0] for i in range(4)]
    assert torch.allclose(box.detach(), one.boxes[0], atol=1e-3)
    expected = torch.cat(sides).square().sum((0, 1)).sqrt()
    found = explain_detection(fcos, picture, one, "box", "gradient")
    assert nothing.norm() < 1e-3 * expected.norm(), "the loss is lowest there"
    assert torch.cosine_similarity(found.map.flatten(), expected.flatten(), dim=0) > 0.999
    assert found.map.norm() == pytest.approx(2 * float(expected.norm()), rel=0.05), "out, and back"
    assert found.runs == 4


def test_a_side_is_moved_by_a_share_of_its_length() -> None:
    one = Layout.of_boxes(["chair"], torch.tensor([[10.0, 20.0, 30.0, 50.0]]), 64, 64)
    expected = ([8.0, 20, 30, 50], [10.0, 17, 30, 50], [10.0, 20, 32, 50], [10.0, 20, 30, 53])
    for side, box in enumerate(expected):
        assert moved(one, side, 0.1).boxes[0].tolist() == pytest.approx(box)
    assert one.boxes[0].tolist() == [10, 20, 30, 50]


class Evidence(nn.Module):
    """A detector as a network that says one number of a picture: minus a loss."""

    def __init__(self, detector: BoxDetector, one: Layout, head: str) -> None:
        super().__init__()
        self.detector, self.head, self.targets = detector, head, detector.targets([only(one)])

    def forward(self, x: Tensor) -> Tensor:
        raw = self.detector.raw(x)
        return -self.detector.losses(raw, self.detector.assign(raw, self.targets))[self.head][:, None]


@pytest.mark.parametrize("layer", ["model.backbone.stages.2", "model.backbone"])
def test_grad_cam_is_that_of_captum_on_the_evidence(fcos: BoxDetector, picture: Tensor, layer: str) -> None:
    one, x = first(fcos, picture), picture[None]
    module = Evidence(fcos, one, "classification")
    score, target = evidence_of(fcos, [one], "classification", local=True)
    ours = GradCAM(layer=layer)(frozen(fcos), score, x, target).per_element("sum")
    if layer == "model.backbone":  # captum takes one map at a time: those of the levels are added
        convolutions = [fcos.model.backbone.fpn.layer_blocks[level] for level in range(3)]
    else:
        convolutions = [fcos.get_submodule(layer)]
    theirs = torch.zeros_like(ours)
    for convolution in convolutions:
        cam = LayerGradCam(module, convolution).attribute(x, target=0, relu_attributions=True)
        theirs += nn.functional.interpolate(cam, size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    assert ours.any() and torch.allclose(ours, theirs, atol=1e-5 * float(ours.max()))


def test_d_rise_is_that_of_a_slow_loop(fcos: BoxDetector, picture: Tensor) -> None:
    one, masks = first(fcos, picture), RISE(masks=12, cells=4)
    heads = usual_heads(fcos)
    found = DRISE(masks=masks)(fcos, picture, [one, one], heads)
    drawn = torch.cat(list(masks.drawn(picture)))
    for head, part in zip(heads, ("class", "box"), strict=True):
        scores = []
        for mask in drawn:
            with torch.no_grad():
                layout = fcos.finalize(fcos.raw((picture * mask)[None]))[0]
            scores.append(similarity(layout, one, part))
        weights = torch.tensor(scores)[:, None, None]
        shown = (weights * drawn).sum(0) / drawn.sum(0)
        hidden = (weights * (1 - drawn)).sum(0) / (1 - drawn).sum(0)
        assert torch.allclose(found[head].values, (shown - hidden).expand(2, -1, -1), atol=1e-5), head
        assert len(set(scores)) > 3 and found[head].runs == 12


def test_masks_stay_inside_of_the_box_and_cover_half_of_it(fcos: BoxDetector, picture: Tensor) -> None:
    one = first(fcos, picture)
    rows, columns = window_of(one)
    way = InsideBox(method=ExtremalPerturbation(areas=(0.5,), steps=40))
    for head, maps in way(fcos, picture, [one], usual_heads(fcos)).items():
        values = maps.values[0]
        inside = values[rows, columns]
        assert values.sum() == pytest.approx(float(inside.sum())), head
        assert 0.4 < inside.mean() < 0.6 and inside.max() > 0.9 > 0.1 > inside.min(), head


def test_windows_are_whole_pixels_in_the_picture() -> None:
    boxes = torch.tensor(
        [[10.2, 20.0, 30.7, 50.0], [61.0, 0.0, 64.0, 2.0], [0.0, 0.0, 64.0, 64.0], [30.0, 30.0, 31, 31]]
    )
    found = [window_of(Layout.of_boxes(["chair"], box[None], 64, 64)) for box in boxes]
    assert found[0] == (slice(20, 50), slice(10, 31)) and found[2] == (slice(0, 64), slice(0, 64))
    for box, pair in zip(boxes.tolist(), found, strict=True):
        for part, low, high in zip(pair[::-1], box[:2], box[2:], strict=True):
            assert 0 <= part.start <= low and high <= part.stop <= 64 and part.stop - part.start >= 8


def test_several_detections_at_once_are_as_one_after_the_other(fcos: BoxDetector, picture: Tensor) -> None:
    found = sure(fcos, picture, threshold=0.0)
    ones = [found.select(torch.tensor([row])) for row in (0, 1, 2)]
    for name in ("gradient", "grad_cam"):
        for head in usual_heads(fcos):
            both = way_of(name)(fcos, picture, ones, [head])[head].values
            for row, one in enumerate(ones):
                alone = explain_detection(fcos, picture, one, head, name).map
                assert torch.allclose(both[row], alone, atol=1e-4 * float(alone.abs().max()) + 1e-9), (name, head)


def test_pictures_of_any_size_and_bytes(fcos: BoxDetector) -> None:
    photo = torch.randint(0, 256, (100, 128, 3), dtype=torch.uint8)
    image, empty = prepared(fcos, photo.numpy())
    assert image.shape == (3, SIZE, SIZE) and len(empty) == 0
    asked = Layout.of_boxes(["chair"], torch.tensor([[20.0, 20.0, 80.0, 60.0]]), 100, 128)
    found = explain_detection(fcos, photo, asked, "class", "gradient")
    assert found.map.shape == (SIZE, SIZE) and found.detection.boxes[0, 2] == 80 * 0.75


def test_what_cannot_be_asked_is_refused(fcos: BoxDetector, picture: Tensor) -> None:
    one = first(fcos, picture)
    for words, call in (
        ("unknown head 'clas'; did you mean class", lambda: explain_detection(fcos, picture, one, "clas")),
        (
            "unknown method 'grad_cat'; did you mean grad_cam",
            lambda: explain_detection(fcos, picture, one, "box", "grad_cat"),
        ),
        ("there is no detection 900", lambda: explain_detection(fcos, picture, 900)),
        ("explains points, not image", lambda: explain_detection(fcos, picture, one, "class", "point_saliency")),
        ("smooth_grad averages over noise", lambda: explain_detection(fcos, picture, one, "box", SmoothGrad())),
        (
            "of which bbox_ctrness is no part: ask it about classification, bbox_regression",
            lambda: explain_detection(fcos, picture, one, "bbox_ctrness", "d_rise"),
        ),
        ("a picture is", lambda: explain_detection(fcos, picture * 255, one)),
        ("a picture is", lambda: explain_detection(fcos, picture[0], one)),
        ("one object is explained at a time", lambda: explain_detection(fcos, picture, only(one))),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_a_detector_that_does_not_say_what_its_heads_are_about(fcos: BoxDetector, picture: Tensor) -> None:
    class Silent(type(fcos)):
        roles = {}

    silent = Silent(fcos.model, KINDS, height=SIZE, width=SIZE).eval()
    assert explain_detection(silent, picture, first(fcos, picture), "classification", "gradient").map.any()
    with pytest.raises(ValueError, match="does not say what its heads are about: name some of classification"):
        usual_heads(silent)
    with pytest.raises(ValueError, match="ask it about a detector that says what its heads are about"):
        way_of("d_rise").check(silent, ["classification"])


def test_ways_have_names() -> None:
    assert isinstance(way_of("gradient"), ByMethod) and isinstance(way_of(SmoothGrad()), ByMethod)
    assert way_of("d_rise", 7) == DRISE(masks=RISE(masks=7))
    assert all(repr(way_of(name)) == repr(way_of(name)) for name in OWN), "a run can be resumed"
