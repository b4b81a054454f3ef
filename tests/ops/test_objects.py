"""Batches of layouts: what is ignored, and that moving a batch is moving each layout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invert3d.ops.boxes import wrapped
from invert3d.ops.layouts import Layout, flip_fields, warp_fields
from invert3d.ops.objects import NEIGHBORS, Objects, pack
from tests.layouts import KINDS, camera, drawn, random_layout, sketches


def renamed(layout: Layout, *kinds: str) -> Layout:
    return replace(layout, kinds=kinds)


def single(count: int, seed: int) -> Layout:
    return random_layout(count, seed, dtype=torch.float32)


def test_every_field_is_that_of_the_layout() -> None:
    layout = single(3, 0)
    objects = pack([layout], KINDS)
    assert objects.asked.all() and not objects.ignored.any() and objects.masks is None
    assert [KINDS[k] for k in objects.kinds[0].tolist()] == list(layout.kinds)
    for name in ("boxes", "sizes", "centers", "yaws", "alphas", "projection"):
        assert torch.equal(getattr(objects, name)[0], getattr(layout, name)), name
    assert torch.allclose(objects.middles[0], layout.corners.mean(1), atol=1e-5)
    assert Objects(**objects.fields()) == objects and "masks" not in objects.fields()


def test_neighbors_are_ignored_regions_are_of_any_kind_and_others_are_left_out() -> None:
    layout = renamed(single(6, 1), "Van", "Truck", "Person_sitting", "DontCare", "Tram", "Cyclist")
    objects = pack([layout], KINDS)
    assert objects.states.tolist() == [[-1, -1, -1, -1, 1]], "a tram looks like nothing in the list"
    assert objects.kinds[0].tolist() == [1, 1, 0, -1, 2]
    assert set(NEIGHBORS) == {"Van", "Truck", "Person_sitting"}


def test_a_kind_that_is_in_the_list_is_asked_even_if_it_has_a_neighbor() -> None:
    layout = renamed(single(2, 2), "Van", "Person_sitting")
    objects = pack([layout], ("Car", "Van"))
    assert objects.states.tolist() == [[1]], "nothing in the list is like a person"
    assert objects.kinds.tolist() == [[1]]


def test_what_is_not_known_of_a_region_is_no_nan() -> None:
    layout = renamed(single(2, 3), "DontCare", "Car")
    unknown = torch.tensor([torch.nan, 1.0])
    layout = replace(
        layout,
        sizes=layout.sizes * unknown[:, None],
        centers=layout.centers * unknown[:, None],
        yaws=layout.yaws * unknown,
        alphas=layout.alphas * unknown,
    )
    objects = pack([layout], KINDS)
    assert all(value.isfinite().all() for value in objects.fields().values())
    assert torch.equal(objects.boxes[0, 0], layout.boxes[0])


def test_layouts_are_padded_to_the_same_number_of_objects() -> None:
    few, many, nothing = single(1, 4), single(3, 5), Layout.empty(camera(dtype=torch.float32), 96, 320)
    objects = pack([few, many, nothing], KINDS)
    assert objects.boxes.shape == (3, 3, 4) and objects.asked.sum(1).tolist() == [1, 3, 0]
    assert not objects.ignored.any() and (objects.kinds[0, 1:] == -1).all()
    assert torch.equal(objects.projection[2], nothing.projection), "an empty scene has its camera"
    assert objects.depths.min() > 1, "padding is in front of the camera, where nothing divides by zero"


def test_no_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        pack([], KINDS)


def masked(layout: Layout) -> Layout:
    """With masks that fill the boxes."""
    y, x = torch.meshgrid(torch.arange(layout.height), torch.arange(layout.width), indexing="ij")
    left, top, right, bottom = (side[:, None, None] for side in layout.boxes.unbind(1))
    return replace(layout, masks=(x >= left) & (x <= right) & (y >= top) & (y <= bottom))


def assert_same_objects(found: dict[str, torch.Tensor], wanted: Objects, atol: float = 2e-4) -> None:
    for name, value in found.items():
        gap = value.double() - getattr(wanted, name).double()
        gap = wrapped(gap) if name in ("yaws", "alphas") else gap
        assert name == "masks" or gap[(...,) if name == "projection" else wanted.asked].abs().max() < atol, name


@settings(max_examples=20, deadline=None)
@given(sketch=sketches())
def test_mirroring_a_batch_is_mirroring_each_layout(sketch: tuple) -> None:
    layout = masked(drawn(sketch).to("cpu"))
    if len(layout):
        before, wanted = pack([layout, layout.flipped()], KINDS), pack([layout.flipped(), layout], KINDS)
        found = flip_fields(before.fields(), layout.width)
        assert set(found) == {"boxes", "centers", "yaws", "alphas", "projection", "masks"}
        assert_same_objects(found, wanted)
        assert torch.equal(found["masks"], wanted.masks)
        assert_same_objects(flip_fields(before.fields() | found, layout.width), before)


@settings(max_examples=20, deadline=None)
@given(
    sketch=sketches(),
    scales=st.lists(st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)), min_size=2, max_size=2),
    moves=st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=2, max_size=2),
)
def test_moving_each_row_its_own_way_is_moving_each_layout(sketch: tuple, scales, moves) -> None:
    layout = masked(drawn(sketch).to("cpu"))
    if not len(layout):
        return
    found = warp_fields(pack([layout] * 2, KINDS).fields(), torch.tensor(scales), torch.tensor(moves), 90, 310)
    wanted = [layout.warped(*scale, *move, 90, 310) for scale, move in zip(scales, moves, strict=True)]
    assert_same_objects(found, pack(wanted, KINDS), atol=1e-2)
    for row, each in zip(found["masks"], wanted, strict=True):
        assert each.masks is not None and torch.equal(row, each.masks)


def test_masks_are_moved_pixel_by_pixel() -> None:
    masks = torch.rand(1, 2, 6, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    fields = {"boxes": torch.zeros(1, 2, 4), "masks": masks}
    moved = warp_fields(fields, torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, -1.0]]), 6, 8)["masks"]
    assert (
        torch.equal(moved[..., :5, 2:], masks[..., 1:, :-2]) and not moved[..., 5, :].any() and not moved[..., :2].any()
    )
    doubled = warp_fields(fields, torch.tensor([[2.0, 2.0]]), torch.tensor([[0.5, 0.5]]), 12, 16)["masks"]
    assert torch.equal(doubled, masks.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert set(flip_fields(fields, 8)) == {"boxes", "masks"}, "nothing in space where there is nothing in space"


def test_moves_may_be_of_another_precision_than_the_objects() -> None:
    fields = pack([single(2, 7)], KINDS).fields()
    scale, move = torch.tensor([[1.1, 0.9]]), torch.tensor([[3.0, -2.0]])
    one, double = (
        warp_fields(fields, scale.to(dtype), move.to(dtype), 96, 320) for dtype in (torch.float, torch.double)
    )
    for name, value in double.items():
        assert value.dtype is torch.float32 and torch.allclose(value, one[name], atol=1e-4)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_boxes_in_the_picture_only_stay_the_edges_of_their_masks(scale: int) -> None:
    mask = torch.zeros(1, 8, 12, dtype=torch.bool)
    mask[0, 2:5, 7:12] = True  # to the right border
    layout = Layout.of_boxes(["Car"], torch.tensor([[7.0, 2, 12, 5]]), 8, 12, masks=mask)
    larger = layout.resized(8 * scale, 12 * scale)
    for moved in (layout.flipped(), larger, larger.flipped()):
        assert moved.masks is not None
        rows, columns = moved.masks[0].nonzero().T
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert moved.boxes[0].tolist() == [float(edge) for edge in edges]


def test_a_layout_in_the_picture_only_knows_nothing_of_space() -> None:
    boxes = torch.tensor([[10.0, 20, 30, 50], [5, 5, 9, 9]])
    layout = Layout.of_boxes(["Car", "Tram"], boxes, 60, 80, torch.tensor([0.9, 0.2]))
    assert layout.sizes.isnan().all() and layout.projection.isnan().all() and layout.corners.isnan().all()
    moved = layout.flipped().warped(2, 2, 1, 0, 120, 160)
    assert torch.equal(moved.boxes[0], torch.tensor([100.5, 39.5, 140.5, 99.5])) and moved.projection.isnan().all()
    objects = pack([layout], KINDS)
    assert objects.asked.tolist() == [[True]] and torch.equal(objects.boxes[0, 0], boxes[0])
    assert len(layout.select(torch.tensor([True, False]))) == 1
