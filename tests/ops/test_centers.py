"""Center maps: bumps, peaks, and that what is written into them is read from them, against plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from invert3d.ops.boxes import project, wrapped
from invert3d.ops.centers import (
    CenterCodec,
    alpha_of_bins,
    bin_angles,
    centered_corners,
    depth_of,
    gather_cells,
    gaussian_radius,
    gaussians,
    peaks,
    unproject,
)
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import Objects, pack
from tests.layouts import KINDS, camera, drawn, encoded, kitti_camera, random_layout, sketches, split
from tests.ops.slow_centers import slow_decode, slow_heatmap, slow_radius

BOX, PROJECTED = CenterCodec(), CenterCodec(center="projected")
WHOLE = replace(PROJECTED, border="picture")
BOTH = pytest.mark.parametrize("codec", [BOX, PROJECTED, WHOLE], ids=["box", "projected", "whole"])


def objects_of(*layouts: Layout) -> Objects:
    return pack([layout.to("cpu") for layout in layouts], KINDS)


def radius(height: float, width: float, rule: str = "published", overlap: float = 0.7) -> float:
    return float(gaussian_radius(torch.tensor(height), torch.tensor(width), overlap, rule))  # type: ignore[arg-type]


def test_the_radius_worked_by_hand_for_a_box_of_20_by_30() -> None:
    """Reference, section 1: with the slip of the published code, 6.6 cells; without it, 1.95."""
    assert radius(20, 30) == pytest.approx(6.58, abs=0.005)
    assert radius(20, 30, "corrected") == pytest.approx(1.95, abs=0.005)


@settings(max_examples=50, deadline=None)
@given(height=st.floats(1, 100), width=st.floats(1, 300), overlap=st.floats(0.3, 0.9))
def test_the_radius_is_the_smallest_of_three_roots(height: float, width: float, overlap: float) -> None:
    for rule in ("published", "corrected"):
        wanted = slow_radius(height, width, overlap, rule)
        assert radius(height, width, rule, overlap) == pytest.approx(wanted, rel=1e-3)


@settings(max_examples=50, deadline=None)
@given(height=st.floats(2, 100), width=st.floats(2, 300))
def test_corners_within_the_corrected_radius_keep_the_overlap(height: float, width: float) -> None:
    r = radius(height, width, "corrected")
    area = height * width
    inside = (height - 2 * r) * (width - 2 * r) / area
    outside = area / ((height + 2 * r) * (width + 2 * r))
    shared = (height - r) * (width - r)
    beside = shared / (2 * area - shared)
    assert min(inside, outside, beside) == pytest.approx(0.7, abs=1e-3), "one case is tight, the others keep more"
    wrong = radius(height, width)
    assert wrong > r, "the published radius is too large"


def test_a_bump_is_one_in_its_cell_and_nothing_beyond_its_radius() -> None:
    found = gaussians(torch.tensor([[[4, 2], [0, 0]]]), torch.tensor([[2.0, 0.0]]), 6, 9)[0]
    for y in range(6):
        for x in range(9):
            far = max(abs(x - 4), abs(y - 2)) > 2
            value = 0.0 if far else math.exp(-((x - 4) ** 2 + (y - 2) ** 2) / (2 * (5 / 6) ** 2))
            assert float(found[0, y, x]) == pytest.approx(value)
    assert found[1].sum() == found[1, 0, 0] == 1, "a radius of 0 is one cell"


@BOTH
@pytest.mark.parametrize("rule", ["published", "corrected"])
def test_heatmaps_are_those_of_the_slow_loop(codec: CenterCodec, rule: str) -> None:
    codec = replace(codec, radius=rule)  # type: ignore[arg-type]
    layouts = [random_layout(5, seed, 48, 160) for seed in (0, 1)]
    found = codec.heatmap(codec.assignable(objects_of(*layouts), 12, 40), 12, 40)
    for row, layout in zip(found, layouts, strict=True):
        assert torch.allclose(row, torch.tensor(slow_heatmap(layout, codec)), atol=1e-5)
        assert row.amax((1, 2)).max() == 1


def test_overlapping_bumps_of_a_kind_are_joined_by_the_larger() -> None:
    layout = random_layout(2, 3, 48, 160, kinds=("Car",))
    near = replace(layout, boxes=torch.tensor([[60.0, 20, 100, 40], [68, 20, 108, 40]]).double())
    both = BOX.heatmap(objects_of(near), 12, 40)
    parts = [BOX.heatmap(objects_of(near.select(torch.tensor([i]))), 12, 40) for i in (0, 1)]
    assert torch.equal(both, torch.maximum(*parts)) and ((parts[0] > 0) & (parts[1] > 0)).any()
    assert (both == 1).sum() == 2


@BOTH
def test_ignored_objects_are_spared_in_their_own_channel_and_regions_in_all(codec: CenterCodec) -> None:
    layout = replace(random_layout(2, 4, 48, 160), kinds=("Van", "DontCare"))
    unknown = torch.tensor([[1.0], [torch.nan]])
    layout = replace(layout, sizes=layout.sizes * unknown, centers=layout.centers * unknown)
    objects = objects_of(layout)
    heat = codec.heatmap(objects, 12, 40)[0]
    (van, region), spared = codec.cells(objects, 12, 40)[0].tolist(), torch.tensor(0.9999)
    assert heat[1, van[1], van[0]] == spared and not heat[[0, 2], van[1], van[0]].any()
    assert (heat[:, region[1], region[0]] == spared).all()
    assert (heat > 0).sum() == 4
    middle = layout.boxes[1].view(2, 2).mean(0) / 4
    assert region == middle.long().tolist(), "a region has no place in space: the middle of its box stands for it"


def test_what_cannot_be_seen_is_not_asked_for() -> None:
    sizes = torch.tensor([[1.5, 1.6, 4.0]] * 3)
    centers = torch.tensor([[0.0, 1.6, 12], [0, 1.6, -12], [-80, 1.6, 12]])
    layout = Layout.of(["Car"] * 3, sizes, centers, torch.zeros(3), camera(dtype=torch.float32), 96, 320)
    found = [codec.assignable(objects_of(layout), 24, 80).states[0].tolist() for codec in (BOX, PROJECTED)]
    assert found == [[1, 0, 0], [1, 0, -1]], "beyond the border its point is left alone, behind the camera it has none"
    assert [codec.count_assignable(layout, 96, 320) for codec in (BOX, PROJECTED)] == [1, 1]
    assert PROJECTED.count_assignable(layout.select(torch.tensor([1])), 96, 320) == 0


def test_boxes_end_at_the_last_cell_or_at_the_border() -> None:
    """Published: 1276 and 380 of 1280 x 384 pixels."""
    layout = Layout.of_boxes(["Car"], torch.tensor([[1200.0, 350.0, 1279.0, 383.0]]), height=384, width=1280)
    sides = [codec.assignable(objects_of(layout), 96, 320).boxes[0, 0].tolist() for codec in (BOX, WHOLE)]
    assert sides == [[1200, 350, 1276, 380], [1200, 350, 1279, 383]]


@pytest.mark.parametrize(
    "settings", [{"kinds": ("Car",)}, {"center": "boxes"}, {"radius": "right"}, {"border": "edge"}]
)
def test_a_codec_that_is_none_is_refused(settings: dict) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(settings))):
        CenterCodec(**settings)


def test_gathering_is_indexing_cell_by_cell() -> None:
    maps, cells = torch.randn(2, 5, 6, 7), torch.tensor([[[3, 2], [6, 5], [0, 0]], [[6, 0], [1, 5], [3, 3]]])
    found = gather_cells(maps, cells)
    for b in range(2):
        for n, (x, y) in enumerate(cells[b].tolist()):
            assert torch.equal(found[b, n], maps[b, :, y, x])


def test_peaks_are_the_cells_that_no_neighbor_exceeds() -> None:
    heat = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    scores, kinds, cells = peaks(heat, limit=60)
    for b in range(2):
        wanted = []
        for k in range(3):
            for y in range(7):
                for x in range(9):
                    if heat[b, k, y, x] == heat[b, k, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max():
                        wanted.append((float(heat[b, k, y, x]), k, [x, y]))
        wanted.sort(reverse=True)
        found = list(zip(scores[b].tolist(), kinds[b].tolist(), cells[b].tolist(), strict=True))
        assert found[: len(wanted)] == wanted and not any(score for score, _, _ in found[len(wanted) :])
    assert peaks(heat[..., :2, :2], limit=100)[0].shape == (2, 12), "no more than there are cells"


@settings(max_examples=30, deadline=None)
@given(depth=st.floats(0.1, 150))
def test_depths_are_the_published_function_of_a_logit(depth: float) -> None:
    share = 1 / (1 + depth) - 1e-6
    found = depth_of(torch.tensor(math.log(share / (1 - share)), dtype=torch.float64))
    assert float(found) == pytest.approx(depth)


@settings(max_examples=30, deadline=None)
@given(x=st.floats(-30, 30), y=st.floats(-3, 3), z=st.floats(2, 80), kitti=st.booleans())
def test_unprojecting_is_the_inverse_of_projecting(x: float, y: float, z: float, kitti: bool) -> None:
    p, point = kitti_camera() if kitti else camera(), torch.tensor([[x, y, z]], dtype=torch.float64)
    u, v, depth = project(point, p)[0]
    assert torch.allclose(unproject(torch.stack([u, v])[None], depth[None], p), point, atol=1e-9)


def test_the_larger_logit_chooses_the_bin() -> None:
    rot = torch.tensor([[0.0, 2, 0.6, 0.8, 9, 1, 1, 0], [9.0, 1, 0.6, 0.8, 0, 1, 1, 0]], dtype=torch.float64)
    first, second = math.atan2(0.6, 0.8) - math.pi / 2, math.pi / 2 + math.pi / 2
    assert torch.allclose(bin_angles(rot), torch.tensor([[first, second]] * 2, dtype=torch.float64))
    assert float(alpha_of_bins(rot)[0]) == pytest.approx(first), "the other two logits decide nothing"
    assert abs(float(alpha_of_bins(rot)[1])) == pytest.approx(math.pi), "of equals, the second"


def assert_read(found: Layout, asked: Layout, *, yaw: float = 1e-6, pixels: float = 1e-4) -> None:
    """The same objects, whatever their order."""
    assert sorted(found.kinds) == sorted(asked.kinds)
    for i, kind in enumerate(asked.kinds):
        j = int((found.centers - asked.centers[i]).norm(dim=1).argmin())
        assert found.kinds[j] == kind
        assert torch.allclose(found.centers[j], asked.centers[i], atol=1e-6)
        assert torch.allclose(found.sizes[j], asked.sizes[i], atol=1e-6)
        assert wrapped(found.yaws[j] - asked.yaws[i]).abs() < yaw
        assert torch.allclose(found.boxes[j], asked.boxes[i], atol=pixels)


@settings(max_examples=15, deadline=None)
@given(sketch=sketches(most=3))
def test_boxes_written_at_their_projected_middles_are_read_again(sketch: tuple) -> None:
    count, seed, height, width, _ = sketch
    layout = drawn((count, seed, max(height, 20), max(width, 60), (0.0, 0.0, 0.0)))  # room for a peak each
    (found,) = PROJECTED.decode(split(encoded(layout, PROJECTED)[None]), layout.projection[None], threshold=0.3)
    assert_read(found, layout)


def test_every_observation_angle_is_read_again_through_either_bin() -> None:
    """All around the circle, also where the two bins overlap and where one begins."""
    alphas = torch.cat([torch.arange(0, 360, 5.0), torch.tensor([29.999, 30.001, 150.0, 179.999, 180.001])]).double()
    one = random_layout(1, 7)
    turned = [replace(one, alphas=wrapped(a.deg2rad())[None], yaws=one.yaws + a.deg2rad() - one.alphas) for a in alphas]
    for codec in (BOX, PROJECTED):
        raw = torch.stack([encoded(layout, codec) for layout in turned])
        for layout, found in zip(turned, codec.decode(split(raw), one.projection.expand(len(raw), 3, 4)), strict=True):
            ray = math.atan2(float(found.centers[0, 0]), float(found.centers[0, 2]))
            assert wrapped(found.yaws[0] - layout.alphas[0] - ray).abs() < 1e-6
            assert wrapped(found.alphas[0] - layout.alphas[0]).abs() < 1e-6


def test_offsets_of_kittis_camera_are_taken_into_account() -> None:
    """Depth is that of the picture, so P[2, 3] comes off again. The angle of the ray is measured from the principal
    point, as published, which misses that this camera is not where the labels are measured: 6 cm aside in KITTI, and
    here 40 cm ahead."""
    offset = kitti_camera()
    offset[2, 3] = 0.4
    layout = random_layout(4, 8, 375 // 4 * 4, 1240, projection=offset)
    (found,) = PROJECTED.decode(split(encoded(layout, PROJECTED)[None]), offset[None])
    assert_read(found, layout, yaw=0.45 / float(layout.centers[:, 2].min()), pixels=4)
    assert torch.allclose(found.projection, offset)
    for i in range(len(found)):
        corners = found.corners[i].mean(0, keepdim=True)
        u = float(project(corners, offset)[0, 0])
        ray = math.atan2(u - float(offset[0, 2]), float(offset[0, 0]))
        j = int((layout.centers - found.centers[i]).norm(dim=1).argmin())
        assert wrapped(found.yaws[i] - layout.alphas[j] - ray).abs() < 1e-6


def test_the_published_convention_does_not_read_what_was_written() -> None:
    """The middle of the box in the picture is read as if it were the middle in space: the reference's section 2."""
    layout = random_layout(3, 9)
    raw = encoded(layout, BOX)
    (found,) = BOX.decode(split(raw[None]), layout.projection[None])
    slow = slow_decode(raw, layout.projection, BOX, 0.1)
    assert_slow(found, slow)
    order = [int((layout.sizes - size).abs().sum(1).argmin()) for size in found.sizes]
    off = (found.centers - layout.centers[order]).norm(dim=1)
    assert (off > 0.01).all() and off.max() < 1.5, "near, but not there"
    assert torch.allclose(found.sizes, layout.sizes[order]) and torch.allclose(found.boxes, layout.boxes[order])
    depths = layout.centers[order, 2]
    assert torch.allclose(found.centers[:, 2], depths), "depth is what was asked, the place in the picture is not"


def assert_slow(found: Layout, slow: list) -> None:
    assert list(found.kinds) == [one["kind"] for one in slow]
    for name, values in (("scores", "score"), ("centers", "center"), ("sizes", "size")):
        wanted = torch.tensor([one[values] for one in slow], dtype=torch.float64)
        assert torch.allclose(getattr(found, name), wanted, atol=1e-6), name
    assert wrapped(found.yaws - torch.tensor([one["yaw"] for one in slow])).abs().max() < 1e-5
    if any("box" in one for one in slow):
        limits = torch.tensor([found.width - 1.0, found.height - 1.0] * 2)
        boxes = torch.minimum(torch.tensor([one["box"] for one in slow]).clamp_min(0), limits)
        assert torch.allclose(found.boxes, boxes.double(), atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_maps_are_read_as_the_slow_loop_reads_them(seed: int) -> None:
    raw = torch.randn(2, 19, 8, 20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    raw[:, 3] -= 2
    raw[:, 12:15] = raw[:, 12:15].abs() + 0.5
    cameras = torch.stack([camera(32, 80), kitti_camera()])
    for codec in (BOX, PROJECTED):
        for found, one, p in zip(codec.decode(split(raw), cameras, threshold=0.4), raw, cameras, strict=True):
            slow = slow_decode(one, p, codec, 0.4)
            for each in slow if codec is PROJECTED else ():
                del each["box"]  # it follows from the box in space
            assert_slow(found, slow)
            assert len(found) > 10 and found.scores.diff().le(0).all() and (found.height, found.width) == (32, 80)


def test_detections_have_scores_kinds_and_a_limit() -> None:
    raw = torch.randn(1, 19, 16, 16, generator=torch.Generator().manual_seed(3))
    assert len(BOX.decode(split(raw), camera(64, 64, torch.float32)[None], threshold=0.0, limit=7)[0]) == 7
    assert len(BOX.decode(split(raw), camera(64, 64, torch.float32)[None], threshold=0.9999)[0]) == 0


def corners_at(raw: Tensor, objects: Objects, codec: CenterCodec) -> Tensor:
    """The corners of the boxes read in the cells of the objects."""
    cells = codec.cells(objects, *raw.shape[-2:])
    return centered_corners(*codec.boxes_at(split(raw), cells, objects.projection))


@BOTH
def test_corners_in_given_cells_are_those_that_are_decoded(codec: CenterCodec) -> None:
    layout = random_layout(3, 10)
    raw = encoded(layout, codec)[None]
    (found,) = codec.decode(split(raw), layout.projection[None])
    order = [int((found.sizes - size).abs().sum(1).argmin()) for size in layout.sizes]
    objects = objects_of(layout)
    corners = corners_at(raw, objects, codec)[0]
    assert torch.allclose(corners, found.corners[order], atol=1e-3)
    if codec is PROJECTED:
        assert torch.allclose(corners, layout.corners, atol=1e-3)


def test_corners_are_read_through_the_bin_with_the_larger_logit_as_decoding_does() -> None:
    layout = random_layout(1, 11)
    layout = replace(layout, alphas=torch.tensor([-1.5]).double(), yaws=layout.yaws - layout.alphas - 1.5)
    raw, objects = encoded(layout, PROJECTED)[None], objects_of(layout)
    x, y = PROJECTED.cells(objects, 24, 80)[0, 0].tolist()
    right = corners_at(raw, objects, PROJECTED)
    raw[:, 9, y, x], raw[:, 10, y, x] = 50.0, -raw[:, 10, y, x]  # now the other bin is louder, and wrong
    (found,) = PROJECTED.decode(split(raw), layout.projection[None])
    assert not torch.allclose(corners_at(raw, objects, PROJECTED), right, atol=0.1)
    assert torch.allclose(corners_at(raw, objects, PROJECTED)[0], found.corners[:1], atol=1e-3)


def test_reading_is_differentiable() -> None:
    layout = random_layout(2, 12, 32, 64, projection=camera(32, 64))
    raw = torch.stack([encoded(layout, PROJECTED)]) + 0.1 * torch.randn(1, 19, 8, 16, dtype=torch.float64)
    objects = objects_of(layout)
    assert gradcheck(lambda raw: corners_at(raw, objects, PROJECTED), raw.requires_grad_(), fast_mode=True)


def test_reading_a_picture_does_not_depend_on_its_batch_mates() -> None:
    raw: Tensor = torch.randn(3, 19, 8, 20, generator=torch.Generator().manual_seed(5))
    cameras = camera(32, 80, torch.float32).expand(3, 3, 4)
    whole = BOX.decode(split(raw), cameras)
    alone = BOX.decode(split(raw[1:2]), cameras[:1])[0]
    assert torch.equal(whole[1].centers, alone.centers) and whole[1].kinds == alone.kinds
