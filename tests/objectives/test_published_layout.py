"""The published loss of layouts against a slow loop over candidates."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import box_iou, generalized_box_iou

from invert3d import CenterNet3D, Frozen, Image, layout_recipe
from invert3d.engine.draws import Draws
from invert3d.engine.state import State
from invert3d.methods.stages import run_stages
from invert3d.models.detectors.thin import thin_adapter
from invert3d.objectives.published_layout import PublishedLayout
from invert3d.ops.layouts import Layout
from tests.models.test_ssd import tiny as tiny_ssd

KINDS = ("background", "chair", "table", "lamp")
LAYOUT = Layout.of_boxes(["chair", "lamp"], torch.tensor([[6.0, 8.0, 30.0, 36.0], [34.0, 20.0, 60.0, 60.0]]), 64, 64)
ONE = Layout.of_boxes(["table"], torch.tensor([[10.0, 10.0, 50.0, 50.0]]), 64, 64)


def slow(objective: PublishedLayout, detector, raw: dict, target: dict, i: int) -> float:  # noqa: ANN001
    """Sample i, candidate by candidate."""
    boxes, kinds, weights = target["boxes"][i], target["kinds"][i], dict(objective.weights)
    asked = (target["states"][i] == 1).nonzero()[:, 0].tolist()
    found = detector.decoded(raw["bbox_regression"], raw["anchors"])[i]
    scores = detector.scores(raw)[i].amax(1)
    positive = detector.published_positives(raw, target["boxes"])[i]
    level = [k for k, count in enumerate(raw["levels"][i].tolist()) for _ in range(count)]
    focal, gaps, logits = [], [], {n: [] for n in asked}
    for a in range(len(found)):
        owner = next((n for n in asked if positive[a, n]), None)
        if owner is not None:
            logits[owner].append(float(raw["cls_logits"][i, a, kinds[owner]]))
        elif scores[a] > objective.kept:
            shares = {n: float(box_iou(found[a, None], boxes[n, None])) for n in asked}
            best = max(shares, key=lambda n: shares[n]) if shares else None
            owner = best if best is not None and shares[best] > 0.5 else None
        if owner is None and not scores[a] > objective.kept:
            continue
        total = 0.0
        for k, logit in enumerate(raw["cls_logits"][i, a].tolist()):
            p, t = 1 / (1 + math.exp(-logit)), owner is not None and k == kinds[owner]
            total += -0.25 * (1 - p) ** 2 * math.log(p) if t else -0.75 * p**2 * math.log(1 - p)
        focal.append(objective.levels[level[a]] * total)
        if owner is not None:
            share = float(generalized_box_iou(found[a, None], boxes[owner, None]))
            gaps.append(objective.levels[level[a]] * (1 - share))
    fore = [max(each) for each in logits.values()]
    return (
        weights["classification"] * sum(focal) / max(1, len(focal))
        + weights["bbox_regression"] * sum(gaps) / max(1, len(gaps))
        - objective.foreground * sum(fore) / max(1, len(fore))
    )


@pytest.mark.parametrize("family", ["retinanet", "fcos"])
def test_the_loss_is_that_of_a_slow_loop(family: str) -> None:
    torch.manual_seed(1)
    detector = thin_adapter(family, KINDS, size=64, width=8, features=32)
    raw = detector.raw(torch.rand(2, 3, 64, 64))
    raw = {**raw, "cls_logits": raw["cls_logits"] + 3 + 2 * torch.randn_like(raw["cls_logits"])}
    raw["bbox_regression"] = raw["bbox_regression"] + 0.5 * torch.rand_like(raw["bbox_regression"])
    target = detector.targets([LAYOUT, ONE])
    objective = PublishedLayout(levels=(0.5, 1.0, 2.0, 4.0), foreground=2.0)
    state = State(step=0, steps=1, rows=torch.arange(2), theta={}, draws=Draws.seeded(0, ["a", "b"], 0))
    state.outputs, state.view_target, state.target, state.model = raw, target, target, detector
    memory = state.memory_of(objective)
    with torch.no_grad():
        objective.update(state)
    loss = objective(state)
    assert loss.tolist() == pytest.approx([slow(objective, detector, raw, target, i) for i in range(2)], rel=1e-4)
    assert ((memory["owner"] >= 0).sum(1) > 1).all()
    assert ((memory["labels"] >= 0).any(2) & (memory["owner"] < 0)).any()


def test_the_published_recipe_lowers_it_and_stays_legal() -> None:
    torch.manual_seed(1)
    detector = thin_adapter("retinanet", KINDS, size=64, width=8, features=32)
    space = Image(height=64, width=64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    losses = []
    for steps in (1, 30):
        recipe = layout_recipe("layouts/published", detector, steps=steps)
        result, _ = run_stages(
            Frozen(detector, space, output="raw"), detector.targets([LAYOUT]), recipe, seed=0, samples=["a"]
        )
        losses.append(float(result.loss[0]))
        assert float(result.x.min()) >= 0 and float(result.x.max()) <= 1
    assert losses[1] < losses[0]


def test_ssd_has_its_own_loss_of_classes_and_as_many_levels_as_it_likes() -> None:
    detector = tiny_ssd()
    raw = detector.raw(torch.rand(1, 3, detector.height, detector.width))
    layout = Layout.of_boxes(
        [detector.kinds[1]], torch.tensor([[4.0, 4.0, 30.0, 30.0]]), detector.height, detector.width
    )
    rule = detector.published_rule(detector=detector, kept=0.3, levels=(0.5,))
    assigned = rule.assign(raw, detector.targets([layout]))
    chosen = (assigned["labels"] >= 0).any(2)
    wanted = (assigned["labels"] == 1).long().argmax(2)
    entropy = torch.nn.functional.cross_entropy(raw["cls_logits"][chosen], wanted[chosen])
    assert torch.allclose(rule.losses(raw, assigned)["classification"], 0.5 * entropy)
    assert (wanted[chosen] == 1).any()


def test_an_object_that_no_point_belongs_to_raises_no_logit() -> None:
    detector = thin_adapter("fcos", KINDS, size=64, width=8, features=32)
    raw = detector.raw(torch.rand(2, 3, 64, 64))
    between = Layout.of_boxes(["lamp"], torch.tensor([[3.0, 3.0, 3.5, 3.5]]), 64, 64)
    rule = detector.published_rule(detector=detector, kept=0.5, levels=(1.0,))
    assigned = rule.assign(raw, detector.targets([between, ONE]))
    assert assigned["reached"].tolist() == [[False], [True]]
    assert [bool(each) for each in rule.losses(raw, assigned)["foreground"]] == [False, True]


def test_a_detector_without_a_published_rule_is_refused() -> None:
    detector = CenterNet3D("resnet18", height=32, width=32, options={"width": 8, "deconv": 8, "hidden": 8})
    state = State(step=0, steps=1, rows=torch.arange(1), theta={}, draws=Draws.seeded(0, ["a"], 0), model=detector)
    with pytest.raises(ValueError, match="no published rule for CenterNet3D"):
        PublishedLayout().update(state)
