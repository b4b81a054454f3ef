"""The one objective of detectors: on center maps against the losses it is a sum of, and the numbers it had before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.objectives.detection import DetectionLoss
from invert3d.ops.center_losses import WEIGHTS
from invert3d.ops.centers import HEADS, CenterCodec
from invert3d.ops.layouts import Layout
from invert3d.testing import blank_state
from tests.layouts import camera, corner_loss, encoded, head_losses, random_layout, split
from tests.models.test_detectors import TINY
from tests.ops.test_center_losses import maps
from tests.ops.test_centers import BOX, PROJECTED, objects_of

LAYOUTS = [random_layout(count, seed, 48, 160) for count, seed in ((3, 0), (1, 1))]
DECODED = {**WEIGHTS, "hm": 2.0, "corners": 10.0}


def value(objective: DetectionLoss, raw: Tensor, *layouts: Layout, codec: CenterCodec = BOX) -> Tensor:
    """The loss of maps (B, 19, h, w), assigned first as the loop does."""
    state = blank_state(torch.zeros(len(raw), 3, 48, 160), range(len(raw)))
    state.model = CenterNet3D("resnet18", height=64, width=160, codec=codec, options=TINY["resnet18"])
    state.outputs, state.view_target = split(raw), state.model.targets([layout.to("cpu") for layout in layouts])
    with torch.no_grad():
        objective.update(state)
    return objective(state)


@pytest.mark.parametrize(
    ("weights", "per", "codec", "wanted"),
    [
        ({}, "slot", BOX, [170.127574, 490.621744]),
        ({}, "slot", PROJECTED, [170.124189, 490.622178]),
        ({}, "object", BOX, [179.667007, 500.789939]),
        ({}, "object", PROJECTED, [179.610587, 500.811652]),
        ({"hm": 1.0, "dep": 1.0}, "slot", PROJECTED, [166.221175, 486.674332]),
        (DECODED, "object", BOX, [384.654592, 1031.078705]),
        (DECODED, "object", PROJECTED, [384.598172, 1031.100418]),
        ({"dep": 0.5, "rot": 0.5, "dim": 0.5, "reg": 0.5, "corners": 10.0}, "object", BOX, [45.991994, 50.676912]),
        (
            {"dep": 0.5, "rot": 0.5, "dim": 0.5, "reg": 0.5, "corners": 10.0},
            "object",
            PROJECTED,
            [45.963784, 50.687768],
        ),
    ],
)
def test_recipes_cost_what_their_own_objectives_cost_before(weights, per, codec, wanted) -> None:
    """Written down from CenterHeads (published) and DecodedBoxes (ours), which this objective took the place of."""
    found = value(DetectionLoss(weights=weights, per=per), maps(2), *LAYOUTS, codec=codec)
    assert torch.allclose(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-6)


@pytest.mark.parametrize("per", ["object", "slot"])
def test_by_default_heads_are_weighed_as_published_boxes_by_a_tenth(per) -> None:
    losses = head_losses(maps(2), objects_of(*LAYOUTS), CenterCodec(), per)
    wanted = losses["hm"] + losses["dep"] + losses["rot"] + losses["dim"] + losses["reg"] + 0.1 * losses["wh"]
    assert torch.allclose(value(DetectionLoss(per=per), maps(2), *LAYOUTS), wanted)
    some = value(DetectionLoss(weights={"dim": 1.0, "wh": 0.1}, per=per), maps(2), *LAYOUTS)
    assert torch.allclose(some, losses["dim"] + 0.1 * losses["wh"])


def test_corners_are_averaged_over_the_objects_of_each_picture() -> None:
    gaps = corner_loss(maps(2), objects_of(*LAYOUTS), PROJECTED)
    found = value(DetectionLoss(weights={"corners": 7.0}), maps(2), *LAYOUTS, codec=PROJECTED)
    assert torch.allclose(found, 7 * torch.stack([gaps[0].mean(), gaps[1, 0]]))


def test_nothing_is_lost_where_all_is_read_as_asked() -> None:
    raw = torch.stack([encoded(layout, PROJECTED, loud=9.0) for layout in LAYOUTS])
    bins = raw[:, 4:12].clone()
    bins[:, [0, 1, 4, 5]] = (bins[:, [0, 1, 4, 5]] - 0.5) * 60  # in or out of each bin beyond doubt
    raw[:, 4:12] = bins
    objective = DetectionLoss(weights=DECODED)
    assert value(objective, raw, *LAYOUTS, codec=PROJECTED).max() < 2e-3
    assert value(objective, raw + 0.1, *LAYOUTS, codec=PROJECTED).min() > 0.05


def test_heads_that_are_not_asked_have_no_say() -> None:
    raw = maps(2).requires_grad_()
    slices = split(raw.detach())
    starts = {name: sum(list(HEADS.values())[: list(HEADS).index(name)]) for name in HEADS}
    for heads in (("hm",), ("dep",), ("hm", "dep", "dim"), ("rot", "wh")):
        objective = DetectionLoss(weights=dict.fromkeys(heads, 1.0))
        (gradient,) = torch.autograd.grad(value(objective, raw, *LAYOUTS).sum(), raw)
        for name, part in slices.items():
            own = gradient[:, starts[name] : starts[name] + part.shape[1]]
            assert own.any() == (name in heads), (objective, name)


def test_an_object_outside_or_behind_asks_for_nothing() -> None:
    sizes, yaws = torch.tensor([[1.5, 1.6, 4.0]]), torch.zeros(1)
    nothing = Layout.empty(camera(48, 160).float(), 48, 160)
    for place in ((0.0, 1.6, -12.0), (-90.0, 1.6, 12.0)):
        layout = Layout.of(["Car"], sizes, torch.tensor([place]), yaws, camera(48, 160).float(), 48, 160)
        for objective in (DetectionLoss(), DetectionLoss(weights=DECODED)):
            for codec in (BOX, PROJECTED):
                found, empty = (value(objective, maps(1), each, codec=codec) for each in (layout, nothing))
                assert found.isfinite().all() and torch.allclose(found, empty, rtol=0.05)


def test_weights_may_be_a_table_or_pairs_and_are_told_apart_from_nonsense() -> None:
    table, pairs = DetectionLoss(weights={"hm": 1.0, "dep": 2.0}), DetectionLoss(weights=(("hm", 1.0), ("dep", 2.0)))
    assert table == pairs and hash(table) == hash(pairs) and eval(repr(table)) == table
    with pytest.raises(ValueError, match="unknown head 'depth'; did you mean dep"):
        value(DetectionLoss(weights={"hm": 1.0, "depth": 1.0}), maps(2), *LAYOUTS)
    with pytest.raises((ValueError, TypeError), match="slots"):
        DetectionLoss(per="slots")  # type: ignore[arg-type]
