"""Objectives of layouts against the losses they are sums of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invert3d.objectives.boxes3d import CenterHeads, DecodedBoxes
from invert3d.ops.center_losses import corner_loss, head_losses
from invert3d.ops.centers import HEADS, CenterCodec
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import Objects
from invert3d.testing import blank_state
from tests.layouts import camera, encoded, random_layout
from tests.ops.test_center_losses import maps
from tests.ops.test_centers import PROJECTED, objects_of

LAYOUTS = [random_layout(count, seed, 48, 160) for count, seed in ((3, 0), (1, 1))]


def value(objective, raw: Tensor, *layouts: Layout) -> Tensor:
    state = blank_state(torch.zeros(len(raw), 3, 48, 160), range(len(raw)))
    state.outputs, state.view_target = raw, objects_of(*layouts).packed
    return objective(state)


@pytest.mark.parametrize("per", ["object", "slot"])
def test_the_heads_are_weighed_as_published_boxes_by_a_tenth(per) -> None:
    losses = head_losses(maps(2), objects_of(*LAYOUTS), CenterCodec(), per)
    wanted = losses["hm"] + losses["dep"] + losses["rot"] + losses["dim"] + losses["reg"] + 0.1 * losses["wh"]
    assert torch.allclose(value(CenterHeads(per=per), maps(2), *LAYOUTS), wanted)
    some = value(CenterHeads(per=per, heads=("dim", "wh")), maps(2), *LAYOUTS)
    assert torch.allclose(some, losses["dim"] + 0.1 * losses["wh"])


def test_decoded_boxes_add_what_is_seen_corners_and_a_share_of_the_heads() -> None:
    raw, objects = maps(2), objects_of(*LAYOUTS)
    objective = DecodedBoxes(codec=PROJECTED, corners=7.0, seen=1.5, rest=0.2)
    heads = head_losses(raw, objects, PROJECTED)
    rest = sum(heads[name] * (0.1 if name == "wh" else 1) for name in HEADS if name != "hm")
    gaps = corner_loss(raw, objects, PROJECTED)
    corners = torch.stack([gaps[0].mean(), gaps[1, 0]])
    wanted = 1.5 * heads["hm"] + 0.2 * rest + 7 * corners
    assert torch.allclose(value(objective, raw, *LAYOUTS), wanted)


def test_decoded_boxes_cost_nothing_where_all_is_read_as_asked() -> None:
    raw = torch.stack([encoded(layout, PROJECTED, loud=9.0) for layout in LAYOUTS])
    bins = raw[:, 4:12].clone()
    bins[:, [0, 1, 4, 5]] = (bins[:, [0, 1, 4, 5]] - 0.5) * 60  # in or out of each bin beyond doubt
    raw[:, 4:12] = bins
    assert value(DecodedBoxes(codec=PROJECTED), raw, *LAYOUTS).max() < 2e-3
    assert value(DecodedBoxes(codec=PROJECTED), raw + 0.1, *LAYOUTS).min() > 0.05


def test_heads_that_are_not_asked_have_no_say() -> None:
    raw = maps(2).requires_grad_()
    slices = dict(zip(HEADS, raw.detach().split(list(HEADS.values()), 1), strict=True))
    starts = {name: sum(list(HEADS.values())[: list(HEADS).index(name)]) for name in HEADS}
    for heads in (("hm",), ("dep",), ("hm", "dep", "dim"), ("rot", "wh")):
        for objective in (CenterHeads(heads=heads), DecodedBoxes(heads=heads)):
            (gradient,) = torch.autograd.grad(value(objective, raw, *LAYOUTS).sum(), raw)
            for name, part in slices.items():
                own = gradient[:, starts[name] : starts[name] + part.shape[1]]
                assert own.any() == (name in heads), (objective, name)


def test_corners_need_all_heads_that_make_a_box() -> None:
    raw = maps(2)
    whole = ("dep", "rot", "dim", "reg")
    with_corners = value(DecodedBoxes(heads=whole, rest=0.0), raw, *LAYOUTS)
    assert (with_corners > 0).all()
    assert not value(DecodedBoxes(heads=whole[:3], rest=0.0), raw, *LAYOUTS).any()


def test_an_object_outside_or_behind_asks_for_nothing() -> None:
    sizes, yaws = torch.tensor([[1.5, 1.6, 4.0]]), torch.zeros(1)
    nothing = Layout.empty(camera(), 48, 160)
    for place in ((0.0, 1.6, -12.0), (-90.0, 1.6, 12.0)):
        layout = Layout.of(["Car"], sizes, torch.tensor([place]), yaws, camera(48, 160).float(), 48, 160)
        for objective in (CenterHeads(), DecodedBoxes(), DecodedBoxes(codec=PROJECTED)):
            found = value(objective, maps(1), layout)
            assert found.isfinite().all() and torch.allclose(found, value(objective, maps(1), nothing), rtol=0.05)
    assert not Objects(objects_of(nothing).packed).asked.any()


@pytest.mark.parametrize("make", [CenterHeads, DecodedBoxes])
def test_unknown_heads_and_none_are_refused(make) -> None:
    with pytest.raises(ValueError, match="unknown head 'depth'; did you mean dep"):
        make(heads=("hm", "depth"))
    with pytest.raises(ValueError, match="at least one head of hm, dep, rot, dim, wh, reg"):
        make(heads=())
