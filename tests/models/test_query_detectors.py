"""DETR and RT-DETR of transformers: bit for bit the library's own pipeline, and the smallest change of the queries."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

pytest.importorskip("transformers", reason="the extra hf is not installed")

from transformers import DetrImageProcessor, RTDetrConfig
from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss
from transformers.loss.loss_rt_detr import RTDetrHungarianMatcher, RTDetrLoss

import invert3d
from invert3d.engine.model import Frozen
from invert3d.engine.space import Image
from invert3d.models.detectors import Detector, categories, detect
from invert3d.models.detectors.detr import DetrDetector
from invert3d.models.detectors.pretrained import FAMILIES
from invert3d.models.detectors.query import QueryDetector
from invert3d.models.detectors.rt_detr import RTDetrDetector
from invert3d.objectives.detection import DetectionLoss
from invert3d.study.layouts.flat import invert_layouts
from tests.models.dense import TwoLevels, asked
from tests.models.queries import DETECTORS, HEIGHT, KINDS, MODELS, WIDTH, changed, library_targets, processor_of, tiny

CAR, TRAM, PERSON = ("Car", 10, 10, 40, 40), ("Tram", 50, 14, 90, 58), ("Pedestrian", 30, 6, 50, 60)


def layout(*rows: tuple[str, float, float, float, float], height: int = HEIGHT, width: int = WIDTH):
    return asked(*rows, height=height, width=width)


LAYOUTS = [layout(CAR, TRAM), layout(PERSON), layout()]
SPACE = Image(height=HEIGHT, width=WIDTH, mean=(0.0,) * 3, std=(1.0,) * 3)

every = pytest.mark.parametrize("family", FAMILIES)


def candidates(detector: QueryDetector, seed: int = 0, count: int = 3) -> dict[str, Tensor]:
    """What a detector says of random pictures."""
    return detector.raw(torch.rand(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed)))


def own_detections(detector: QueryDetector, pictures: Tensor, threshold: float, **settings) -> list[dict[str, Tensor]]:
    """By the library's pipeline alone: image processor, model, post-processing; the best first."""
    inputs = detector.processor(images=[*pictures], do_rescale=False, return_tensors="pt", **settings)
    with torch.no_grad():
        outputs = detector.model(**inputs)
    sizes = [tuple(pictures.shape[-2:])] * len(pictures)
    found = detector.processor.post_process_object_detection(outputs, threshold=threshold, target_sizes=sizes)
    orders = [sorted(range(len(one["scores"])), key=lambda k: -one["scores"][k]) for one in found]  # noqa: B023
    return [{name: value[order] for name, value in one.items()} for one, order in zip(found, orders, strict=True)]


def test_every_family_is_tested() -> None:
    assert set(MODELS) == set(DETECTORS) == set(FAMILIES) and DETECTORS == FAMILIES


@every
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("size", [(64, 96), (96, 64), (32, 64)])
def test_detections_are_those_of_the_library_itself_bit_for_bit(family: str, seed: int, size: tuple[int, int]) -> None:
    detector = tiny(family, seed, *size)
    pictures, nothing = torch.rand(2, 3, *size), layout(height=size[0], width=size[1])
    prepared = torch.stack([detector.prepare(picture, nothing)[0] for picture in pictures])
    scores = torch.cat([found.scores for found in detect(detector, prepared, threshold=0.0)])
    assert len(scores) == 2 * detector.model.config.num_queries
    for threshold in (0.0, float(scores.median())):
        own = own_detections(detector, pictures, threshold, size={"height": size[0], "width": size[1]})
        for found, wanted in zip(detect(detector, prepared, threshold=threshold), own, strict=True):
            assert (found.height, found.width) == size and found.scores.diff().le(0).all()
            assert torch.equal(found.boxes, wanted["boxes"]) and torch.equal(found.scores, wanted["scores"])
            assert found.kinds == tuple(KINDS[k] for k in wanted["labels"].tolist())


@every
@pytest.mark.parametrize("size", [(128, 192), (48, 72)])
def test_pictures_of_another_size_are_resized_as_the_library_does(family: str, size: tuple[int, int]) -> None:
    """Boxes are then in pixels of the picture as resized."""
    detector, picture = tiny(family), torch.rand(3, *size)
    prepared, _ = detector.prepare(picture, layout(height=size[0], width=size[1]))
    (own,) = own_detections(detector, picture[None], 0.0, size={"height": HEIGHT, "width": WIDTH})
    (found,) = detect(detector, prepared[None], threshold=0.0)
    assert torch.equal(found.scores, own["scores"])
    assert torch.allclose(found.boxes * (size[0] / HEIGHT), own["boxes"], atol=1e-4)


def test_detr_keeps_the_aspect_ratio_and_rt_detr_does_not() -> None:
    square, whole = torch.rand(3, 32, 32), layout(("Car", 0, 0, 32, 32), height=32, width=32)
    picture, moved = tiny("detr").prepare(square, whole)
    assert 63 <= moved.boxes[0, 2] < 65
    mean = torch.tensor(DetrImageProcessor().image_mean)[:, None, None]
    assert torch.equal(picture[:, :, 64:], mean.expand(3, 64, 32))
    picture, moved = tiny("rt_detr").prepare(square, whole)
    assert moved.boxes[0, 2] >= 95 and picture.shape == (3, 64, 96)


@every
def test_normalizing_is_the_processors(family: str) -> None:
    x = torch.rand(2, 3, HEIGHT, WIDTH)
    for settings in ({}, {"do_normalize": True, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}):
        processor = processor_of(family, **settings)
        detector = DETECTORS[family](tiny(family).model, processor, height=HEIGHT, width=WIDTH)
        own = processor([*x], do_rescale=False, do_resize=False, return_tensors="pt")["pixel_values"]
        assert torch.equal(detector.normalized(x), own)


@every
def test_candidates_have_gradients_and_do_not_mind_their_batch(family: str) -> None:
    detector, x = tiny(family), torch.rand(3, 3, HEIGHT, WIDTH, requires_grad=True)
    raw = detector(x)
    assert isinstance(detector, Detector) and {len(value) for value in raw.values()} == {3}
    assert detector.kinds == KINDS == categories(detector)
    for name in detector.outputs:
        (gradient,) = torch.autograd.grad(raw[name].tanh().sum(), x, retain_graph=True)
        assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.9
    for name, value in detector.raw(x[1:2]).items():
        assert torch.allclose(value, raw[name][1:2], atol=1e-4), name


@pytest.mark.parametrize(
    ("family", "head"),
    [*(("detr", f"loss_{name}") for name in ("ce", "bbox", "giou"))]
    + [*(("rt_detr", f"loss_{name}_enc") for name in ("vfl", "bbox", "giou"))],  # the decoder detaches its queries
)
def test_the_gradient_of_the_loss_is_right(family: str, head: str) -> None:
    """In double precision, along random directions, with what is assigned held fixed."""
    detector = tiny(family).double()
    x = torch.rand(1, 3, HEIGHT, WIDTH, dtype=torch.float64, requires_grad=True)
    assigned = detector.assign(detector.raw(x), detector.targets(LAYOUTS[:1]))
    assert torch.autograd.gradcheck(lambda x: detector.losses(detector.raw(x), assigned)[head], x, fast_mode=True)


@every
def test_the_heads_read_the_queries_that_become_the_objects(family: str) -> None:
    """Of candidates that already say the layout: scores near 1, and the boxes themselves."""
    detector = tiny(family)
    raw, targets = candidates(detector), detector.targets(LAYOUTS)
    said = detector.read_heads(changed(detector, raw, detector.assign(raw, targets)), targets)
    asked = targets["states"] == 1
    assert (said["IoU"][asked] > 0.99).all() and (said["score"][asked] > 0.9).all()
    assert said["score"][~asked].isnan().all()
    before = detector.read_heads(raw, targets)
    assert (before["IoU"][asked] < 0.99).all() and (before["score"][asked] < said["score"][asked]).all()


@every
@pytest.mark.parametrize("seed", range(2))
def test_the_pseudo_targets_are_exactly_the_layout_after_post_processing(family: str, seed: int) -> None:
    """f(Z) = L (Cao & Johnson, section 3.2)."""
    detector = tiny(family, seed)
    raw, targets = candidates(detector, seed), detector.targets(LAYOUTS)
    assert set(targets) == {"states", "kinds", "boxes"}
    assigned = detector.assign(raw, targets)
    assert not any(value.requires_grad for value in assigned.values())
    assert not detector.agrees(raw, targets, threshold=0.05).any()
    check_exact(detector, changed(detector, raw, assigned), LAYOUTS)


@every
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("thresh", [0.05, 0.4])
def test_so_they_are_whatever_the_queries_say_before(family: str, seed: int, thresh: float) -> None:
    detector, generator = tiny(family, thresh=thresh), torch.Generator().manual_seed(seed)
    raw = candidates(detector, count=4)
    raw |= {name: torch.randn(raw[name].shape, generator=generator) * (1 + 2 * seed) for name in detector.outputs}
    raw["pred_boxes"] = raw["pred_boxes"].sigmoid()
    layouts = [*LAYOUTS, layout(CAR, ("Car", 11, 10, 41, 40), ("Tram", *CAR[1:]), CAR)]  # nothing is suppressed
    check_exact(detector, changed(detector, raw, detector.assign(raw, detector.targets(layouts))), layouts)


def check_exact(detector: QueryDetector, meant: dict[str, Tensor], layouts: list) -> None:
    """Post-processing leaves of the queries exactly the layouts."""
    threshold = detector.score_thresh
    assert detector.agrees(meant, detector.targets(layouts), threshold=threshold).all()
    for found, wanted in zip(detector.finalize(meant, threshold=threshold), layouts, strict=True):
        assert sorted(found.kinds) == sorted(wanted.kinds)
        for kind in set(found.kinds):
            pair = [each.of_kinds([kind]).boxes for each in (found, wanted)]
            assert torch.cdist(*pair).amin(0).max() < 1e-3 and torch.cdist(*pair).amin(1).max() < 1e-3


@every
def test_no_smaller_change_would_do(family: str) -> None:
    """Each query that must change would otherwise be one detection more, and what may stay is the rest."""
    detector = tiny(family, 1, queries=40, thresh=0.3)
    raw = candidates(detector, 1, count=1)
    assigned = detector.assign(raw, detector.targets(LAYOUTS[:1]))
    meant, labels = changed(detector, raw, assigned), assigned["labels"][0]
    objects = assigned["queries"][0]
    places = [q for q in (labels == 0).any(-1).nonzero()[:, 0].tolist() if q not in objects]
    assert len(places) > 5 and (labels == -1).float().mean() > 0.2
    for query in places[:: max(1, len(places) // 10)]:
        logits = meant["logits"].clone()
        logits[0, query] = raw["logits"][0, query]
        (found,) = detector.finalize(meant | {"logits": logits}, threshold=0.3)
        assert len(found) > 2


@every
@pytest.mark.parametrize("seed", range(2))
def test_the_matching_is_that_of_the_librarys_training(family: str, seed: int) -> None:
    detector = tiny(family, seed)
    raw, config = candidates(detector, seed), detector.model.config
    assigned = detector.assign(raw, detector.targets([layout(CAR, TRAM, PERSON), layout(PERSON, CAR), layout(TRAM)]))
    stages = {"queries": (raw["logits"], raw["pred_boxes"], config)}
    if family == "rt_detr":  # the encoder's by boxes alone
        boxes = raw["enc_outputs_coord_logits"].sigmoid()
        stages["tokens"] = raw["enc_outputs_class"], boxes, RTDetrConfig(matcher_class_cost=0.0)
    for name, (logits, boxes, settings) in stages.items():
        if family == "detr":
            own = HungarianMatcher(settings.class_cost, settings.bbox_cost, settings.giou_cost)
        else:
            own = RTDetrHungarianMatcher(settings)
        for i in range(3):
            outputs = {"logits": logits[i : i + 1], "pred_boxes": boxes[i : i + 1]}
            ((rows, objects),) = own(outputs, library_targets(assigned, i))
            assert assigned[name][i][objects].tolist() == rows.tolist()


@every
@pytest.mark.parametrize("seed", range(2))
def test_losses_of_boxes_are_the_librarys_and_those_of_classes_of_what_must_change(family: str, seed: int) -> None:
    detector = tiny(family, seed)
    raw, model = candidates(detector, seed), detector.model
    assigned = detector.assign(raw, detector.targets(LAYOUTS))
    losses = detector.losses(raw, assigned)
    assert set(losses) == set(detector.heads) and all(value.shape == (3,) for value in losses.values())
    stages = {"": ("queries", raw["pred_boxes"])}
    if family == "detr":
        own = ImageLoss(None, len(KINDS), config_weight := model.config.eos_coefficient, ["boxes"])
        assert config_weight == 0.1
    else:
        own = RTDetrLoss(model.config)
        stages["_enc"] = "tokens", raw["enc_outputs_coord_logits"].sigmoid()
    for i, one in enumerate(LAYOUTS):
        count = max(1, len(one))
        for suffix, (chosen, boxes) in stages.items():
            rows = assigned[chosen][i][: len(one)]
            indices = [(rows, torch.arange(len(one)))]
            wanted = own.loss_boxes({"pred_boxes": boxes[i : i + 1]}, library_targets(assigned, i), indices, count)
            for name, value in wanted.items():
                assert torch.allclose(losses[name + suffix][i], value, rtol=1e-4)
        assert torch.allclose(losses[detector.classification][i] * count, of_classes(detector, raw, assigned, i))
        if family == "rt_detr":
            logits = raw["enc_outputs_class"][i, assigned["tokens"][i][: len(one)]]
            own_class = logits[torch.arange(len(one)), assigned["kinds"][i][: len(one)]]
            assert torch.allclose(losses["loss_vfl_enc"][i] * count, -own_class.sigmoid().log().sum(), rtol=1e-4)
    with pytest.raises(ValueError, match=f"losses of {detector.network} .*per is object, not slot"):
        detector.losses(raw, assigned, "slot")


def of_classes(detector: QueryDetector, raw: dict[str, Tensor], assigned: dict[str, Tensor], i: int) -> Tensor:
    """The sum of the losses of classes of one sample, query by query."""
    total = torch.zeros(())
    for logits, labels in zip(raw["logits"][i], assigned["labels"][i].tolist(), strict=True):
        if isinstance(detector, DetrDetector):
            wanted = labels.index(1) if 1 in labels else len(labels)
            total = total + F.cross_entropy(logits, torch.tensor(wanted)) * (max(labels) >= 0)
        else:
            for logit, label in zip(logits.sigmoid(), labels, strict=True):
                if label == 1:
                    total = total - logit.log()
                elif label == 0:
                    total = total - 0.75 * logit**2 * (1 - logit).log()
    return total


@every
def test_what_lies_in_a_region_to_be_ignored_is_let_be(family: str) -> None:
    detector = tiny(family, 1)
    raw = candidates(detector, 2, count=1)
    whole = ("DontCare", -WIDTH, -HEIGHT, 2 * WIDTH, 2 * HEIGHT)
    assert (detector.assign(raw, detector.targets([layout(CAR)]))["labels"] == 0).sum() > 4
    targets = detector.targets([layout(CAR, whole)])
    assigned = detector.assign(raw, targets)
    assert (assigned["labels"] == 0).sum() == 0 and (assigned["labels"] == 1).sum() == 1
    assert detector.agrees(changed(detector, raw, assigned), targets, threshold=0.05).all()
    assert detector.agrees(raw, detector.targets([layout(whole)]), threshold=0.05).all()
    vans = detector.targets([layout(("Van", *whole[1:]))])  # neither a car nor a false one
    labels = detector.assign(raw, vans)["labels"][0]
    assert (labels[:, 0] == -1).all() and (labels[:, 1:] == 0).any()


@every
def test_empty_boxes_are_not_asked_for_and_what_no_picture_can_give_is_refused(family: str) -> None:
    detector, x = tiny(family, queries=4), torch.rand(1, 3, HEIGHT, WIDTH, requires_grad=True)
    raw, one = detector.raw(x), layout(CAR, ("Tram", 50, 10, 50, 44))
    assigned = detector.assign(raw, detector.targets([one]))
    assert detector.count_assignable(one) == 1 and assigned["asked"].tolist() == [[True, False]]
    losses, only = detector.losses(raw, assigned), detector.assign(raw, detector.targets([layout(CAR)]))
    assert all(torch.allclose(value, losses[name]) for name, value in detector.losses(raw, only).items())
    assert torch.autograd.grad(sum(losses.values()).sum(), x)[0].isfinite().all()
    assert detector.agrees(changed(detector, raw, assigned), detector.targets([one]), threshold=0.05).all()
    with pytest.raises(ValueError, match="layout 1 asks for 5 objects; with 4 queries no more are found"):
        detector.targets([layout(CAR), layout(CAR, CAR, TRAM, PERSON, CAR)])
    with pytest.raises(TypeError, match=f"must be a transformers.{detector.network}, not a TwoLevels"):
        DETECTORS[family](TwoLevels(), detector.processor, height=HEIGHT, width=WIDTH)
    with pytest.raises(TypeError, match=f"must be a {detector.image_processor}, not a tuple"):
        DETECTORS[family](detector.model, KINDS, height=HEIGHT, width=WIDTH)


def test_rt_detr_takes_a_whole_number_of_cells() -> None:
    detector = tiny("rt_detr")
    with pytest.raises(ValueError, match="sides are multiples of 32, not 64 x 90"):
        RTDetrDetector(detector.model, detector.processor, height=64, width=90)


@pytest.mark.parametrize("seed", range(2))
def test_the_encoder_of_rt_detr_chooses_the_tokens_of_what_is_assigned(seed: int) -> None:
    """Among the best it makes queries of; never one at the border of a large picture, which has no anchor."""
    wide = {"height": HEIGHT, "width": 512}
    detector = tiny("rt_detr", seed, **wide)
    corner = ("Tram", 256, HEIGHT / 2, 512, HEIGHT)  # its center and sides are nearest to (1, 1, 1, 1)
    raw = detector.raw(torch.rand(3, 3, HEIGHT, 512))
    layouts = [layout(*rows, **wide) for rows in ([corner], [CAR, corner], [corner, TRAM])]
    assigned = detector.assign(raw, detector.targets(layouts))
    nowhere = (raw["enc_outputs_coord_logits"] > 1e30).any(-1)
    best = changed(detector, raw, assigned)["enc_outputs_class"].amax(-1).topk(12, 1).indices
    assert nowhere.sum(1).tolist() == [16] * 3  # the first and the last of the 8 rows of 64 cells
    for i, n in assigned["asked"].nonzero().tolist():
        assert assigned["tokens"][i, n] in best[i] and not nowhere[i, assigned["tokens"][i, n]]


def test_the_encoder_gives_a_gradient_where_the_decoder_has_none() -> None:
    """The queries are detached: only the encoder's heads know the token of an object that was not chosen."""
    detector, x = tiny("rt_detr"), torch.rand(1, 3, HEIGHT, WIDTH, requires_grad=True)
    said = detector.model(pixel_values=x)
    assert not said.init_reference_points.requires_grad and said.enc_outputs_coord_logits.requires_grad
    raw = detector.raw(x)
    losses = detector.losses(raw, detector.assign(raw, detector.targets(LAYOUTS[:1])))
    for name, value in losses.items():
        (gradient,) = torch.autograd.grad(value.sum(), raw["enc_outputs_class"], retain_graph=True, allow_unused=True)
        assert (gradient is not None) == (name == "loss_vfl_enc")


@every
def test_the_network_is_left_as_it_was_also_in_half_precision(family: str) -> None:
    detector = tiny(family, dropout=0.5)
    before, x = copy.deepcopy(detector.state_dict()), torch.rand(1, 3, HEIGHT, WIDTH)
    raw = detector.raw(x)
    half = Frozen(detector, SPACE, output="raw", bf16=True)(x)
    assert {value.dtype for name, value in half.items() if name != "sizes"} == {torch.float32}
    assert not torch.equal(half["logits"], raw["logits"])
    targets = detector.targets(LAYOUTS[:1])
    assert all(value.isfinite().all() for value in detector.losses(half, detector.assign(half, targets)).values())
    again = detector.raw(x)
    assert all(torch.equal(value, raw[name]) for name, value in again.items()), "no rounded anchors are kept"
    assert all(torch.equal(value, detector.state_dict()[key]) for key, value in before.items())
    detector.train()
    with Frozen(detector, SPACE, output="raw") as model:
        assert torch.equal(model(x)["logits"], raw["logits"]), "nothing is dropped"


@every
def test_workers_can_be_sent_one(family: str) -> None:
    detector, x = tiny(family), torch.rand(1, 3, HEIGHT, WIDTH)
    other = pickle.loads(pickle.dumps(detector))
    assert torch.equal(detect(detector, x)[0].boxes, detect(other, x)[0].boxes)


@pytest.mark.parametrize(
    ("family", "heads"), [("detr", {}), ("rt_detr", {"loss_vfl_enc": 1.0, "loss_bbox_enc": 5.0, "loss_giou_enc": 2.0})]
)
def test_steps_lower_the_loss_of_random_weights(family: str, heads: dict[str, float]) -> None:
    """All of DETR; of RT-DETR the encoder, which has a gradient to all it says."""
    loss = inverted(tiny(family), LAYOUTS[:1], DetectionLoss(weights=heads), steps=50, rate=0.03).trace["loss"]
    assert loss[-5:].mean() < 0.8 * loss[0]


def inverted(
    detector: QueryDetector, layouts: list, objective: DetectionLoss, steps: int, rate: float
) -> invert3d.Result:
    return invert3d.optimize(
        Frozen(detector, SPACE, output="raw"),
        objective,
        invert3d.Fourier(),
        target=detector.targets(layouts),
        steps=steps,
        stepper=invert3d.Stepper(rate=rate),
        recorders=[invert3d.Trace()],
    )


@every
def test_recipes_know_its_heads(family: str) -> None:
    detector = tiny(family)
    recipe = invert3d.layout_recipe("layouts/ours", detector)
    (weights,) = (dict(term.weights) for _, term in recipe.objective.terms if isinstance(term, DetectionLoss))
    assert set(weights) == set(detector.heads)
    first, last = (
        invert_layouts(detector, LAYOUTS[:1], recipe=invert3d.layout_recipe("layouts/ours", detector, steps=n)).losses
        for n in (1, 12)
    )
    assert last[0] < first[0]
    with pytest.raises(ValueError, match="weighs classification, .* this detector has other heads: loss_"):
        invert3d.layout_recipe("layouts/published", detector)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "steps", "rate"), [("detr", 800, 4e-3), ("rt_detr", 700, 2e-3)])
def test_a_fitted_detector_reads_the_layouts_from_their_pictures(family: str, steps: int, rate: float) -> None:
    """It knows three scenes of plain rectangles. Noise becomes a picture in which it finds exactly what was asked for,
    at the library's own threshold."""
    detector, generator = tiny(family), torch.Generator().manual_seed(0)
    model, targets = detector.model.requires_grad_(True), detector.targets(LAYOUTS)
    assigned = detector.assign(candidates(detector), targets)
    labels = [library_targets(assigned, i)[0] for i in range(len(LAYOUTS))]
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        pictures = torch.stack([painted(each, generator) for each in LAYOUTS])
        optimizer.zero_grad()
        model(pixel_values=detector.normalized(pictures), labels=labels).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    recipe = invert3d.layout_recipe("layouts/ours", detector)
    run = invert_layouts(detector, LAYOUTS[:2], recipe=recipe)
    with torch.no_grad():
        raw = detector.raw(torch.stack(list(run.pictures)))
    assert detector.agrees(raw, detector.targets(LAYOUTS[:2]), threshold=0.5, within=0.05).all()


def painted(scene, generator: torch.Generator) -> Tensor:
    """A picture of noise with a rectangle of its kind's color for each object."""
    picture = torch.rand(3, HEIGHT, WIDTH, generator=generator) * 0.6
    for kind, (left, top, right, bottom) in zip(scene.kinds, scene.boxes.int().tolist(), strict=True):
        picture[:, top:bottom, left:right] = torch.eye(3)[KINDS.index(kind)][:, None, None]
    return picture
