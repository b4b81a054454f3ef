"""Losses of center maps against loops over cells and objects, and finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from invert3d.ops.center_losses import averaged, bins_of, heatmap_focal, rotation_loss
from invert3d.ops.centers import HEADS, CenterCodec, centered_corners
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import Objects
from tests.layouts import camera, corner_loss, encoded, head_losses, in_bins, kitti_camera, random_layout, split
from tests.ops.slow_centers import slow_losses
from tests.ops.test_centers import BOTH, PROJECTED, objects_of

PER = pytest.mark.parametrize("per", ["object", "slot"])


def maps(batch: int, height: int = 12, width: int = 40, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(batch, 19, height, width, generator=generator, dtype=torch.float64)
    raw[:, 3] -= 2.5
    return raw.to(dtype)


@BOTH
@PER
def test_every_head_costs_what_the_slow_loop_says(codec: CenterCodec, per: str) -> None:
    """Per slot means divided by 50, as published; per object by how many there are."""
    layouts = [random_layout(count, seed, 48, 160) for count, seed in ((5, 0), (1, 1), (3, 2))]
    layouts.append(random_layout(2, 3, 48, 160, projection=kitti_camera()))
    raw = maps(4)
    found = head_losses(raw, objects_of(*layouts), codec, per)  # type: ignore[arg-type]
    assert list(found) == list(HEADS)
    for i, layout in enumerate(layouts):
        wanted = slow_losses(raw[i], layout, codec, per)
        for name, value in wanted.items():
            assert float(found[name][i]) == pytest.approx(value, rel=2e-4, abs=1e-6), (name, i)


@BOTH
@pytest.mark.parametrize("step", [(0, 0), (1, 0), (-1, 1)])
def test_regressions_beside_a_cell_are_those_of_maps_moved_there(codec: CenterCodec, step: tuple[int, int]) -> None:
    """What is read a step away says where the object is from there: the offset alone changes, by the step."""
    layouts = [random_layout(3, seed, 48, 160) for seed in (0, 1)]
    raw, objects, (x, y) = maps(2), objects_of(*layouts), step
    moved = raw.roll((y, x), (2, 3))
    moved[:, 17:] -= torch.tensor([x, y])[:, None, None]
    here = head_losses(raw, objects, codec)
    there = head_losses(moved, objects, codec, jitter=torch.tensor([x, y]).expand(2, 3, 2))
    for name in HEADS:
        assert (name == "hm" and step != (0, 0)) or torch.allclose(here[name], there[name]), name


def test_depth_as_a_ratio_is_meters_at_twenty_meters() -> None:
    sizes, yaws = torch.tensor([[1.5, 1.6, 4.0]]).double(), torch.zeros(1).double()
    losses = {}
    for meters in (10.0, 20.0, 40.0):
        center = torch.tensor([[0.0, 1.6, meters]]).double()
        layout = Layout.of(["Car"], sizes, center, yaws, camera(), 96, 320)
        objects = objects_of(layout)
        raw = torch.zeros(1, 19, 24, 80).double()
        raw[:, 3] = -math.log(float(objects.depths[0, 0]) * 1.01)  # depth is 1 / sigmoid - 1, 1 % too large here
        both = [float(head_losses(raw, objects, PROJECTED, depth=depth)["dep"]) for depth in ("meters", "log")]  # type: ignore[arg-type]
        losses[meters] = both
        assert both[0] == pytest.approx(float(objects.depths[0, 0]) * 0.01, rel=0.02)
        assert both[1] == pytest.approx(20 * math.log(1.01), rel=0.02)
    assert losses[40.0][0] > 3 * losses[10.0][0]


@pytest.mark.parametrize(("count", "floor"), [(5, 1.2477), (1, 1.3586), (50, 0.0)])
def test_the_published_rotation_loss_has_a_floor_of_empty_slots(count: int, floor: float) -> None:
    """2 ln 2 (50 - n) / 50: 1.25 for five objects, whatever the network says (reference, section 1)."""
    alpha = torch.linspace(-3, 3, count)[None]
    one, two = bins_of(alpha)
    logit = 40.0  # surely in the bin, or not
    parts = [torch.stack([~inside, inside], -1) * logit for inside in (one, two)]
    rests = [torch.stack([(alpha + t).sin(), (alpha + t).cos()], -1) for t in (math.pi / 2, -math.pi / 2)]
    perfect = torch.cat([parts[0], rests[0], parts[1], rests[1]], -1)
    asked = torch.ones(1, count, dtype=torch.bool)
    assert float(rotation_loss(perfect, alpha, asked, "slot")) == pytest.approx(floor, abs=2e-4)
    assert float(rotation_loss(perfect, alpha, asked, "object")) == pytest.approx(0, abs=2e-4)


def test_angles_fall_into_the_bins_of_the_reference() -> None:
    alphas = torch.linspace(-math.pi, math.pi, 721)
    for alpha, *found in zip(alphas.tolist(), *(inside.tolist() for inside in bins_of(alphas)), strict=True):
        assert tuple(found) == in_bins(alpha) and any(found)


def test_sums_are_divided_by_objects_or_by_slots() -> None:
    values = torch.tensor([[1.0, 2, 4], [8, torch.nan, torch.inf]])
    asked = torch.tensor([[True, True, False], [True, False, False]])
    assert averaged(values, asked, "object").tolist() == [1.5, 8]
    assert averaged(values, asked, "slot").tolist() == pytest.approx([0.06, 0.16])
    assert averaged(values[:1], asked[:1] & False, "object").tolist() == [0]


def test_the_focal_loss_has_no_gradient_where_the_published_one_is_clamped() -> None:
    logits = torch.tensor([-9.5, -9.0, 0.0, 9.0, 9.5], dtype=torch.float64).view(1, 1, 1, 5).requires_grad_()
    for target in (torch.ones(1, 1, 1, 5), torch.zeros(1, 1, 1, 5)):
        (gradient,) = torch.autograd.grad(heatmap_focal(logits, target).sum(), logits)
        assert gradient.flatten().ne(0).tolist() == [False, True, True, True, False]


def test_the_focal_loss_is_divided_by_exact_hits_and_spares_ignored_cells() -> None:
    logits = torch.zeros(1, 1, 1, 4)
    target = torch.tensor([1.0, 1.0, 0.9999, 0.0]).view(1, 1, 1, 4)
    wanted = (2 * 0.25 * math.log(2) + 0.25 * math.log(2)) / 2
    assert float(heatmap_focal(logits, target)) == pytest.approx(wanted, abs=1e-6)
    nothing = torch.zeros(1, 1, 1, 4)
    assert float(heatmap_focal(logits, nothing)) == pytest.approx(math.log(2)), "without objects, the sum"


def small(count: int = 2, seed: int = 3) -> tuple[Tensor, Objects]:
    layouts = [random_layout(count, seed + i, 32, 64, projection=camera(32, 64)) for i in range(2)]
    return maps(2, 8, 16, seed), objects_of(*layouts)


@BOTH
@PER
@pytest.mark.parametrize("head", HEADS)
def test_gradients_of_the_heads_in_double_precision(codec: CenterCodec, per: str, head: str) -> None:
    raw, objects = small()
    loss = lambda raw: head_losses(raw, objects, codec, per)[head]  # noqa: E731
    assert loss(raw).dtype is torch.float64
    assert gradcheck(loss, raw.requires_grad_(), fast_mode=True)


@BOTH
def test_gradients_of_corners_in_double_precision(codec: CenterCodec) -> None:
    raw, objects = small()
    loss = lambda raw: corner_loss(raw, objects, codec)  # noqa: E731
    assert loss(raw).dtype is torch.float64 and loss(raw.float()).dtype is torch.float32
    assert gradcheck(loss, raw.clone().requires_grad_(), fast_mode=True)


def every_loss(raw: Tensor, objects: Objects, codec: CenterCodec) -> Tensor:
    """All losses of each sample, (B, 10 or more)."""
    heads = [value for per in ("object", "slot") for value in head_losses(raw, objects, codec, per).values()]  # type: ignore[arg-type]
    corners = torch.where(objects.asked, corner_loss(raw, objects, codec), 0).sum(1)
    return torch.stack([*heads, corners], 1)


@BOTH
def test_a_sample_costs_the_same_in_any_batch_and_with_any_padding(codec: CenterCodec) -> None:
    layouts = [random_layout(count, seed, 48, 160) for count, seed in ((4, 4), (1, 5), (2, 6))]
    raw = maps(3)
    whole = every_loss(raw, objects_of(*layouts), codec)
    assert whole.isfinite().all()
    for i, layout in enumerate(layouts):
        alone = every_loss(raw[i : i + 1], objects_of(layout), codec)
        assert torch.allclose(alone[0], whole[i])


@BOTH
def test_objects_to_be_ignored_cost_nothing_but_spare_a_cell(codec: CenterCodec) -> None:
    layout = random_layout(3, 7, 48, 160)
    some = replace(layout, kinds=("Car", "Van", "DontCare"))
    unknown = torch.tensor([[1.0], [1.0], [torch.nan]])
    some = replace(some, sizes=some.sizes * unknown, centers=some.centers * unknown)
    raw = maps(1).requires_grad_()
    with_them = head_losses(raw, objects_of(some), codec)
    without = head_losses(raw, objects_of(some.select(torch.tensor([0]))), codec)
    for name in HEADS:
        if name != "hm":
            assert torch.allclose(with_them[name], without[name]), name
    assert with_them["hm"] < without["hm"]
    total = sum(with_them.values()) + corner_loss(raw, codec.assignable(objects_of(some), 12, 40), codec)[0, 0]
    (gradient,) = torch.autograd.grad(total.sum(), raw)
    assert gradient.isfinite().all() and gradient.any()


@BOTH
def test_an_empty_scene_asks_for_silence_only(codec: CenterCodec) -> None:
    raw = maps(1)
    losses = head_losses(raw, objects_of(Layout.empty(camera(), 48, 160)), codec)
    assert losses["hm"] > 0 and all(float(losses[name]) == 0 for name in HEADS if name != "hm")


def test_corners_are_right_where_the_maps_say_the_truth() -> None:
    layouts = [random_layout(3, seed, 48, 160) for seed in (8, 9)]
    raw = torch.stack([encoded(layout, PROJECTED) for layout in layouts])
    gaps = corner_loss(raw, objects_of(*layouts), PROJECTED)
    assert gaps.shape == (2, 3) and gaps.max() < 1e-4
    assert (corner_loss(raw + 0.3, objects_of(*layouts), PROJECTED) > 0.01).all()


def test_corners_are_off_by_how_far_the_box_is_off_in_diagonals() -> None:
    """A box two meters farther on the ray through its middle, in the same place of the picture: all corners move so."""
    layout = random_layout(1, 10, 48, 160)
    middle = layout.centers[0] - torch.tensor([0, 1, 0]) * layout.sizes[0, 0] / 2
    step = 2 * middle / middle[2]
    raw = encoded(replace(layout, centers=layout.centers + step), PROJECTED)[None]
    wanted = float(step.norm() / layout.sizes[0].norm())
    assert float(corner_loss(raw, objects_of(layout), PROJECTED)) == pytest.approx(wanted, rel=1e-3)


def test_a_box_that_faces_the_wrong_way_gains_nothing_by_being_narrow() -> None:
    """Judged all together, the corners of a box turned by 170 degrees would come nearer if it shrank."""
    layout = random_layout(1, 10, 48, 160)
    objects, sizes = objects_of(layout), (1.0, 0.5)
    turned = replace(layout, yaws=layout.yaws + 2.97, alphas=layout.alphas + 2.97)
    raws = [
        encoded(replace(turned, sizes=layout.sizes * torch.tensor([1, share, share])), PROJECTED)[None]
        for share in sizes
    ]
    ours = [float(corner_loss(raw, objects, PROJECTED)) for raw in raws]
    cells = PROJECTED.cells(objects, 12, 40)
    corners = [centered_corners(*PROJECTED.boxes_at(split(raw), cells, objects.projection))[0] for raw in raws]
    whole = [float((each - layout.corners).norm(dim=-1).mean()) for each in corners]
    assert ours[1] > ours[0] + 0.05 and whole[1] < whole[0]
