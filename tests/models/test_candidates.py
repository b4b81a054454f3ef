"""Any network that scores boxes behind the protocol: post-processing, the smallest change, losses, and refusals."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou, generalized_box_iou, generalized_box_iou_loss

from invert3d import (
    CandidateDetector,
    DetectionLoss,
    Fourier,
    Frozen,
    Image,
    RunOptions,
    Stepper,
    invert_layouts,
    layout_recipe,
    optimize,
)
from invert3d.engine.schedule import Cosine
from invert3d.models.detectors import Detector, HeadReader, detect
from invert3d.ops.layouts import Layout

KINDS = ("cup", "car", "sofa")
HEIGHT, WIDTH = 32, 48
SPACE = Image(height=HEIGHT, width=WIDTH, mean=(0.0,) * 3, std=(1.0,) * 3)


class Grid(nn.Module):
    """Two candidates in each cell of 8 x 8 pixels: 4 for a box, 3 for the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.Tanh(), nn.Conv2d(16, 2 * 7, 3, 4, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).unflatten(1, (2, 7)).permute(0, 3, 4, 1, 2)


def candidates(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    maps = network(images)
    rows, columns = (torch.arange(size) for size in maps.shape[1:3])
    cells = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)[:, :, None]
    centers, sides = 8 * (cells + maps[..., :2].sigmoid()), 32 * maps[..., 2:4].sigmoid()
    boxes = torch.cat([centers - sides / 2, centers + sides / 2], -1)
    return maps[..., 4:].sigmoid().flatten(1, 3), boxes.flatten(1, 3)


def tiny(seed: int = 0, **settings: float) -> CandidateDetector:
    torch.manual_seed(seed)
    network = Grid().eval()
    nn.init.normal_(network.layers[-1].weight, std=0.4)
    return CandidateDetector(network, candidates, KINDS, height=HEIGHT, width=WIDTH, **settings)


def asked(*rows: tuple[str, float, float, float, float]) -> Layout:
    boxes = torch.tensor([row[1:] for row in rows]).float().reshape(-1, 4)
    return Layout.of_boxes([row[0] for row in rows], boxes, HEIGHT, WIDTH)


LAYOUTS = [asked(("cup", 3, 4, 18, 20), ("sofa", 20, 8, 44, 28)), asked(("car", 10, 6, 34, 30)), asked()]


def pictures(count: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def slow(detector: CandidateDetector, scores: Tensor, boxes: Tensor) -> list[tuple[str, float, list[float]]]:
    """Threshold and suppression, one candidate after the other."""
    limits = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    found = [
        (float(scores[a, k]), k, boxes[a].clamp_min(0).minimum(limits))
        for a in range(len(scores))
        for k in range(scores.shape[1])
        if scores[a, k] > detector.threshold
    ]
    kept: list[tuple[float, int, Tensor]] = []
    for score, k, box in sorted(found, key=lambda each: -each[0]):
        shares = [float(box_iou(box[None], other[None])) for _, j, other in kept if j == k]
        if all(share <= detector.suppression for share in shares):
            kept.append((score, k, box))
    return [(KINDS[k], score, box.tolist()) for score, k, box in kept]


@pytest.mark.parametrize("seed", range(3))
def test_detections_are_those_of_a_slow_loop(seed: int) -> None:
    detector = tiny(seed, threshold=0.5, suppression=0.4)
    x = pictures(2, seed)
    with torch.no_grad():
        scores, boxes = candidates(detector.model, x)
    for i, layout in enumerate(detect(detector, x, threshold=0.0)):
        wanted = slow(detector, scores[i], boxes[i])
        assert len(wanted) > 3 and [name for name, _, _ in wanted] == list(layout.kinds)
        assert layout.scores.tolist() == pytest.approx([score for _, score, _ in wanted])
        assert torch.allclose(layout.boxes, torch.tensor([box for _, _, box in wanted]))
    (sure, _) = detect(detector, x, threshold=0.7)
    assert (sure.scores > 0.7).all()


def changed(detector: CandidateDetector, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
    """Z of the paper: the candidates with what was assigned to them, and all others as they are."""
    labels = assigned["labels"]
    scores = torch.where(labels == 1, 0.99, torch.where(labels == 0, 0.0, raw["scores"]))
    boxes = raw["boxes"].clone()
    for i, n in assigned["asked"].nonzero().tolist():
        boxes[i, assigned["candidates"][i, n]] = assigned["boxes"][i, n]
    return {"scores": scores, "boxes": boxes}


@pytest.mark.parametrize("seed", range(4))
def test_the_pseudo_targets_are_exactly_the_layout_after_post_processing(seed: int) -> None:
    """f(Z) = L (Cao & Johnson, section 3.2)."""
    detector = tiny(seed, threshold=0.4)
    with torch.no_grad():
        raw = detector.raw(pictures(3, seed))
    targets = detector.targets(LAYOUTS)
    assigned = detector.assign(raw, targets)
    assert not detector.agrees(raw, targets, threshold=0.0).any()
    meant = changed(detector, raw, assigned)
    assert detector.agrees(meant, targets, threshold=0.0).all()
    for found, layout in zip(detector.finalize(meant), LAYOUTS, strict=True):
        assert sorted(found.kinds) == sorted(layout.kinds)
    must = (assigned["labels"] == 0).nonzero().tolist()
    assert len(must) > 5
    for i, a, k in must[::3]:  # no smaller change would do
        scores = meant["scores"].clone()
        scores[i, a, k] = raw["scores"][i, a, k]
        assert len(detector.finalize({**meant, "scores": scores})[i]) == len(LAYOUTS[i]) + 1


def test_losses_are_cross_entropy_and_generalized_iou_of_what_is_assigned() -> None:
    detector = tiny()
    x = pictures().requires_grad_()
    raw = detector(x)
    assert isinstance(detector, Detector)
    assigned = detector.assign(raw, detector.targets(LAYOUTS))
    losses = detector.losses(raw, assigned)
    assert set(losses) == set(detector.heads)
    for i, layout in enumerate(LAYOUTS):
        count, labels = max(1, len(layout)), assigned["labels"][i]
        entropy = F.binary_cross_entropy(
            raw["scores"][i][labels >= 0], (labels[labels >= 0] == 1).float(), reduction="sum"
        )
        assert torch.allclose(losses["classification"][i], entropy / count)
        places = assigned["candidates"][i, : len(layout)]
        shares = generalized_box_iou(raw["boxes"][i], layout.boxes)
        for n, place in enumerate(places.tolist()):  # the best of what would be found there, else what overlaps most
            own = raw["scores"][i, :, detector.kinds.index(layout.kinds[n]) - 1]
            near = (box_iou(raw["boxes"][i], layout.boxes[n : n + 1])[:, 0] > 0.5) & (own > detector.threshold)
            best = own.where(near, -1.0) if near.any() else shares[:, n]
            assert best[place] == best.max()
        gaps = generalized_box_iou_loss(raw["boxes"][i, places], layout.boxes, reduction="sum") / count
        assert torch.allclose(losses["bbox_regression"][i], gaps)
        assert labels.eq(1).sum() == len(layout)
    for name, loss in losses.items():
        (gradient,) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
        assert gradient.isfinite().all() and gradient[:2].flatten(1).any(1).all(), name
    with pytest.raises(ValueError, match="per is object, not slot"):
        detector.losses(raw, assigned, "slot")


def test_a_layout_is_inverted_from_random_weights() -> None:
    detector = tiny(1)
    targets = detector.targets([LAYOUTS[0]])
    result = optimize(
        Frozen(detector, SPACE, output="raw"),
        DetectionLoss(weights={"classification": 1.0, "bbox_regression": 3.0}),
        Fourier(),
        target=targets,
        steps=100,
        stepper=Stepper(rate=0.2, schedule=Cosine()),
    )
    (found,) = detect(detector, (result.x * 255).round() / 255, threshold=0.3)
    assert sorted(found.kinds) == ["cup", "sofa"]
    assert box_iou(found.boxes, LAYOUTS[0].boxes).amax(1).min() > 0.7


def test_copies_are_their_own_and_layouts_of_other_sizes_are_fitted_in() -> None:
    detector, x = tiny(), pictures(1)
    copied = copy.deepcopy(detector)
    copied.model.layers[0].weight.data.zero_()
    assert not torch.equal(copied.raw(x)["scores"], detector.raw(x)["scores"])
    assert torch.equal(pickle.loads(pickle.dumps(detector)).raw(x)["boxes"], detector.raw(x)["boxes"])
    large = Layout.of_boxes(["cup"], torch.tensor([[8.0, 10.0, 50.0, 60.0]]), 96, 96)
    recipe = layout_recipe("layouts/ours", detector, steps=2)
    run = invert_layouts(detector, [large], recipe=recipe, options=RunOptions(progress=False))
    assert run.pictures.shape[1:] == (3, HEIGHT, WIDTH)
    assert torch.allclose(run.asked[0].boxes, large.boxes / 3, atol=0.5), "at the top left"
    picture, _ = detector.prepare(torch.ones(3, 96, 96), large)
    assert picture[:, :, :HEIGHT].eq(1).all() and picture[:, :, HEIGHT:].eq(0.5).all()


def detached(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    scores, boxes = candidates(network, images)
    return scores, boxes.detach()


def logits(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    scores, boxes = candidates(network, images)
    return 3 * scores, boxes


def flat(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    scores, boxes = candidates(network, images)
    return scores[0], boxes


def short(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    scores, boxes = candidates(network, images)
    return scores, boxes[:, 1:]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (partial(CandidateDetector, candidates=candidates, kinds=("cup",)), r"\(1, A, 1\)"),
        (partial(CandidateDetector, candidates=flat, kinds=KINDS), r"\(1, A, 3\)"),
        (partial(CandidateDetector, candidates=short, kinds=KINDS), "boxes .* do not go with scores"),
        (partial(CandidateDetector, candidates=logits, kinds=KINDS), r"scores are in \[0, 1\], not from"),
        (partial(CandidateDetector, candidates=detached, kinds=KINDS), "no gradient goes from the boxes"),
        (partial(CandidateDetector, candidates=candidates, kinds=KINDS, threshold=0.0), "threshold must be between"),
        (
            partial(CandidateDetector, candidates=candidates, kinds=KINDS, suppression=1.5),
            "suppression must be between",
        ),
    ],
)
def test_what_is_no_detector_is_refused_at_once(make: partial, says: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=says), torch.no_grad():
        make(Grid().eval(), height=HEIGHT, width=WIDTH)


def test_the_background_is_not_asked_for_and_duplicates_are_refused() -> None:
    detector = tiny()
    assert detector.kinds == ("background", *KINDS)
    assert detector.count_assignable(asked(("background", 3, 4, 18, 20), ("cup", 3, 4, 18, 20))) == 1
    with pytest.raises(ValueError, match="removes one of them"):
        detector.targets([asked(("cup", 3, 4, 18, 20), ("cup", 3, 4, 18, 21))])


def test_the_heads_read_what_post_processing_finds() -> None:
    detector, raw = tiny(), {name: value[:1] for name, value in tiny().raw(pictures()).items()}
    (found,) = detector.finalize(raw)
    assert isinstance(detector, HeadReader) and len(found) > 1
    inside = (found.boxes > 0).all(1) & (found.boxes < torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])).all(1)
    for one in (found.select(torch.tensor([k])) for k in inside.nonzero()[:3, 0].tolist()):
        plain = Layout.of_boxes(one.kinds, one.boxes, HEIGHT, WIDTH)
        said = detector.read_heads(raw, detector.targets([plain]))
        assert said["score"].item() == pytest.approx(one.scores.item(), abs=1e-4)
        assert said["IoU"].item() == pytest.approx(1, abs=1e-3)
