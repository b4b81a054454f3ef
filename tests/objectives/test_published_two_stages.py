"""The published loss of layouts for two stages: a slow loop over candidates, and torchvision's own losses, drawn."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.models.detection.roi_heads import fastrcnn_loss, maskrcnn_loss
from torchvision.ops import box_iou

from invert3d import Frozen, Image, layout_recipe
from invert3d.engine.draws import Draws
from invert3d.engine.state import State
from invert3d.methods.recipes import load_recipe, recipe_table
from invert3d.methods.stages import run_stages
from invert3d.models.detectors.thin import thin_adapter
from invert3d.objectives.published_layout import WEIGHTS, PublishedLayout
from tests.models.test_rcnn import CAR, PERSON, TRAM, asked, pictures, tiny

LEVELS = (0.5, 2.0)
#: so few that both stages have to draw
FEW = {"rpn_batch_size_per_image": 64, "box_batch_size_per_image": 24, "box_positive_fraction": 0.1}


def layouts(masks: bool) -> list:
    return [asked(CAR, TRAM, masks=masks), asked(PERSON, masks=masks), asked(masks=masks)]


def state_of(detector, raw: dict[str, Tensor], target: dict[str, Tensor]) -> State:  # noqa: ANN001
    count = len(target["states"])
    state = State(step=0, steps=1, rows=torch.arange(count), theta={}, draws=Draws.seeded(0, list("abc")[:count], 0))
    state.outputs, state.view_target, state.target, state.model = raw, target, target, detector
    return state


def said(objective: PublishedLayout, detector, raw: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:  # noqa: ANN001
    state = state_of(detector, raw, target)
    with torch.no_grad():
        objective.update(state)
        return objective(state)


def matched(found: Tensor, boxes: Tensor, low: float, high: float, rescue: bool) -> list[int | None]:
    """For each candidate the object it becomes, -1 for background, None for neither."""
    table = [[float(box_iou(a[None], b[None])) for b in boxes] for a in found]
    most = [max(row[n] for row in table) for n in range(len(boxes))]
    owners: list[int | None] = []
    for row in table:
        best = max(range(len(row)), key=row.__getitem__, default=None)
        if best is None or (row[best] < low and not (rescue and any(row[n] == most[n] for n in range(len(row))))):
            owners.append(-1)
        elif row[best] >= high or (rescue and any(row[n] == most[n] for n in range(len(row)))):
            owners.append(best)
        else:
            owners.append(None)
    return owners


def probabilities(owners: list[int | None], count: int, share: float) -> list[float]:
    """How likely each candidate is drawn, of so many of which that share may be objects."""
    objects, background = sum(o is not None and o >= 0 for o in owners), owners.count(-1)
    some = min(objects, int(count * share))
    rest = min(background, count - some)
    return [0.0 if o is None else rest / background if o < 0 else some / objects for o in owners]


def smooth(found: Tensor, wanted: Tensor) -> float:
    return sum(4.5 * d * d if d < 1 / 9 else d - 1 / 18 for d in (found - wanted).abs().tolist())


def code(box: Tensor, of: Tensor, weights: tuple[float, ...]) -> Tensor:
    """A box as a regression away from another: Girshick et al. 2014."""
    width, height = float(of[2] - of[0]), float(of[3] - of[1])
    x, y = float(box[0] + box[2] - of[0] - of[2]) / 2 / width, float(box[1] + box[3] - of[1] - of[3]) / 2 / height
    sides = math.log(float(box[2] - box[0]) / width), math.log(float(box[3] - box[1]) / height)
    return torch.tensor([x, y, *sides]) * torch.tensor(weights)


def slow(detector, raw: dict[str, Tensor], target: dict[str, Tensor], i: int) -> dict[str, float]:  # noqa: ANN001
    """The terms of sample i, candidate by candidate, with the configuration written out."""
    there = (target["states"][i] == 1).nonzero()[:, 0].tolist()
    boxes, kinds = target["boxes"][i, there], target["kinds"][i, there].tolist()
    level = [k for k, count in enumerate(raw["levels"][i].tolist()) for _ in range(count)]
    owners = matched(raw["anchors"][i], boxes, 0.3, 0.7, True)
    terms = dict.fromkeys(("objectness", "rpn_box_reg", "classifier", "box_reg", "foreground"), 0.0)
    for a, (owner, drawn) in enumerate(zip(owners, probabilities(owners, 64, 0.5), strict=True)):
        if owner is None:
            continue
        logit, weight = raw["objectness"][i, a, 0], drawn * LEVELS[level[a]] / 64
        wanted = torch.tensor(float(owner >= 0))
        terms["objectness"] += weight * float(binary_cross_entropy_with_logits(logit, wanted))
        if owner >= 0:
            wanted = code(boxes[owner], raw["anchors"][i, a], (1, 1, 1, 1))
            terms["rpn_box_reg"] += weight * smooth(raw["rpn_deltas"][i, a], wanted)
    rows = raw["proposed"][i].nonzero()[:, 0].tolist()
    looked = [boxes if i == j else boxes[:0] for j in range(len(raw["proposed"]))]
    logits, regression = detector.look(raw, looked)
    proposals = torch.cat([raw["proposals"][i, rows], boxes])
    logits = torch.cat([raw["class_logits"][i, rows], logits])
    regression = torch.cat([raw["box_regression"][i, rows], regression])
    owners = matched(proposals, boxes, 0.5, 0.5, False)
    drawn = probabilities(owners, 24, 0.1)
    for r, owner in enumerate(owners):
        k = kinds[owner] if owner >= 0 else 0
        terms["classifier"] -= drawn[r] / sum(drawn) * float(logits[r].log_softmax(0)[k])
        if owner >= 0:
            wanted = code(boxes[owner], proposals[r], (10, 10, 5, 5))
            terms["box_reg"] += drawn[r] / sum(drawn) * smooth(regression[r, 4 * k : 4 * k + 4], wanted)
    terms["foreground"] = -sum(float(logits[len(rows) + n, k]) for n, k in enumerate(kinds)) / 100
    return terms


@pytest.mark.parametrize("masks", [False, True])
def test_the_loss_is_that_of_a_slow_loop(masks: bool) -> None:
    detector = tiny(1, masks=masks, rpn_score_thresh=0.3, **FEW)
    with torch.no_grad():
        raw = detector.raw(pictures())
        target = detector.targets(layouts(masks))
        assigned = detector.published_rule(detector=detector, kept=0.5, levels=LEVELS).assign(raw, target)
        terms = [slow(detector, raw, target, i) for i in range(3)]
        for i, layout in enumerate(layouts(masks)):
            terms[i]["mask"] = torchvisions_mask(detector, raw, layout, i) if masks else 0.0
    weights = {**WEIGHTS, "box_reg": 7.0}
    wanted = [sum(weights.get(name, 2.0) * value for name, value in each.items()) for each in terms]
    objective = PublishedLayout(weights=weights, foreground=2.0, levels=LEVELS)
    assert said(objective, detector, raw, target).tolist() == pytest.approx(wanted, rel=1e-4)
    for stage in ("rpn_drawn", "drawn"):
        assert 0 < assigned[stage][0][assigned[stage][0] > 0].min() < 0.9, "some candidates are drawn now and then"
    assert (assigned["rpn_owner"] >= 0).sum(1).tolist()[2] == 0 and (assigned["owner"][:2] >= 0).sum(1).min() > 0


def torchvisions_mask(detector, raw: dict[str, Tensor], layout, i: int) -> float:  # noqa: ANN001
    """torchvision's own loss of masks within the asked boxes."""
    looked = [layout.boxes if i == j else torch.zeros(0, 4) for j in range(len(raw["proposed"]))]
    labels = torch.tensor([detector.kinds.index(kind) for kind in layout.kinds]).long()
    heads = detector.model.roi_heads
    maps = {name.removeprefix("features_"): value for name, value in raw.items() if name.startswith("features_")}
    features = heads.mask_roi_pool(maps, looked, [(layout.height, layout.width)] * 3)
    logits = heads.mask_predictor(heads.mask_head(features))
    return float(maskrcnn_loss(logits, [layout.boxes], [layout.masks], [labels], [torch.arange(len(layout))]))


def test_it_is_what_torchvision_draws_at_random_in_the_mean() -> None:
    detector = tiny(1, rpn_score_thresh=0.3, **FEW)
    rpn, heads = detector.model.rpn, detector.model.roi_heads
    with torch.no_grad():
        raw = detector.raw(pictures(1))
        target = detector.targets([asked(CAR, TRAM)])
        rule = detector.published_rule(detector=detector, kept=0.5, levels=(1.0,))
        losses = rule.losses(raw, rule.assign(raw, target))
        truth = [{"boxes": target["boxes"][0], "labels": target["kinds"][0], "masks": None}]
        torch.manual_seed(0)
        draws = []
        for _ in range(400):
            labels, boxes = rpn.assign_targets_to_anchors(list(raw["anchors"]), truth)
            wanted = rpn.box_coder.encode(boxes, list(raw["anchors"]))
            first = rpn.compute_loss(raw["objectness"][0], raw["rpn_deltas"][0], labels, wanted)
            rois, _, labels, wanted = heads.select_training_samples([raw["proposals"][0]], truth)
            second = fastrcnn_loss(*detector.look(raw, rois), labels, wanted)
            draws.append(torch.stack([*first, *second]))
    mean, deviation = torch.stack(draws).mean(0), torch.stack(draws).std(0) / 20
    ours = torch.cat([losses[name] for name in ("objectness", "rpn_box_reg", "classifier", "box_reg")])
    assert ((ours - mean).abs() < 4 * deviation + 1e-5).all() and deviation[[0, 2]].gt(0).all(), (ours, mean, deviation)


def test_only_the_asked_heads_count_and_the_foreground_goes_with_the_classes() -> None:
    detector = tiny(1, masks=True)
    with torch.no_grad():
        raw, target = detector.raw(pictures()), detector.targets(layouts(True))
        rule = detector.published_rule(detector=detector, kept=0.5, levels=PublishedLayout().levels)
        losses = rule.losses(raw, rule.assign(raw, target))
        for heads in (["mask"], ["classifier", "box_reg"]):
            _, objective = layout_recipe("layouts/published", detector, heads=heads).objective.terms[0]
            wanted = sum(WEIGHTS[name] * losses[name] for name in heads)
            wanted = wanted + losses["foreground"] if "classifier" in heads else wanted
            assert torch.allclose(said(objective, detector, raw, target), wanted)
    boxes = detector.targets(layouts(False))
    assert torch.allclose(
        said(PublishedLayout(), detector, raw, boxes) + 10 * losses["mask"],
        said(PublishedLayout(), detector, raw, target),
    )


def test_a_sample_alone_costs_the_same() -> None:
    detector, objective = tiny(1, rpn_score_thresh=0.7, **FEW), PublishedLayout()
    target = detector.targets(layouts(False))
    with torch.no_grad():
        together = said(objective, detector, detector.raw(pictures()), target)
        for i in range(3):
            own = detector.raw(pictures()[i : i + 1])
            alone = said(objective, detector, own, {name: value[i : i + 1] for name, value in target.items()})
            assert alone.tolist() == pytest.approx(together[i : i + 1].tolist(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("family", ["fasterrcnn", "maskrcnn"])
def test_the_published_recipe_lowers_it_and_stays_legal(family: str) -> None:
    torch.manual_seed(1)
    detector = thin_adapter(family, ("background", "chair", "table", "lamp"), size=64, width=8, features=32)
    layout = replace(asked(("table", 10, 10, 50, 50)), height=64, width=64)
    space = Image(height=64, width=64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    losses = []
    for steps in (1, 25):
        recipe = layout_recipe("layouts/published", detector, steps=steps)
        target = detector.targets([layout])
        result, _ = run_stages(Frozen(detector, space, output="raw"), target, recipe, seed=0, samples=["a"])
        losses.append(float(result.loss[0]))
        assert float(result.x.min()) >= 0 and float(result.x.max()) <= 1
    assert losses[1] < losses[0]


def test_each_family_has_the_settings_of_the_public_code() -> None:
    settings = {}
    for family in ("retinanet", "fcos", "fasterrcnn", "maskrcnn"):
        detector = thin_adapter(family, ("background", "chair"), size=64, width=8, features=32)
        recipe = layout_recipe("layouts/published", detector)
        stepper, priors = recipe.stages[0].stepper, [weight for weight, _ in recipe.objective.terms[1:]]
        settings[family] = (stepper.rate, stepper.momentum, stepper.schedule.factor, *priors)
        assert recipe.steps == 1000 and recipe.families is None
    assert settings["retinanet"] == settings["fcos"] == (1.0, 0.5, 0.6, 1e-7, 1e-7)
    assert settings["fasterrcnn"] == (2.0, 0.9, 0.6, 1e-7, 1e-7)
    assert settings["maskrcnn"] == (2.0, 0.9, 0.7, 1e-5, 1e-5)


def test_as_configured_differs_from_as_run_in_one_weight_only() -> None:
    run, configured = (
        recipe_table(load_recipe(f"layouts/{name}")) for name in ("published", "published_as_configured")
    )
    for table in (run, configured):
        del table["name"], table["about"]
    one, other = (dict(table["objective"][0]["weights"]) for table in (run, configured))
    assert (one.pop("box_reg"), other.pop("box_reg")) == (10.0, 30.0) and one == other
    assert one["classifier"] == 10.0, "what the public code uses for both"
    del run["objective"][0]["weights"], configured["objective"][0]["weights"]
    assert run == configured
