"""Packed layouts: there and back, what is ignored, and that moving all rows at once is moving each layout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invert3d.ops.boxes import wrapped
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import NEIGHBORS, WIDTH, Objects, pack, unpack
from tests.layouts import KINDS, camera, drawn, random_layout, sketches
from tests.ops.test_layouts import assert_same


def renamed(layout: Layout, *kinds: str) -> Layout:
    return replace(layout, kinds=kinds)


def single(count: int, seed: int) -> Layout:
    return random_layout(count, seed, dtype=torch.float32)


def test_every_quantity_lies_where_its_name_says() -> None:
    layout = single(3, 0)
    objects = Objects(pack([layout], KINDS))
    assert objects.packed.shape == (1, 3, WIDTH) and objects.packed.dtype is torch.float32
    assert objects.asked.all() and not objects.ignored.any()
    assert [KINDS[k] for k in objects.kind[0].tolist()] == list(layout.kinds)
    for name, value in (
        ("box", layout.boxes),
        ("size", layout.sizes),
        ("center", layout.centers),
        ("yaw", layout.yaws),
        ("alpha", layout.alphas),
        ("camera", layout.projection.expand(3, 3, 4)),
    ):
        assert torch.equal(getattr(objects, name)[0], value), name
    assert torch.allclose(objects.middle[0], layout.corners.mean(1), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(sketch=sketches())
def test_packed_and_unpacked_is_as_before(sketch: tuple) -> None:
    layout = drawn(sketch).to("cpu")
    other = random_layout(2, seed=5, height=layout.height, width=layout.width, dtype=torch.float32)
    found = unpack(pack([layout, other], KINDS), KINDS, layout.height, layout.width)
    for one, wanted in zip(found, (layout, other), strict=True):
        nothing = torch.zeros(len(wanted))
        wanted = replace(wanted, truncations=nothing, occlusions=nothing)
        if not len(wanted):
            wanted = replace(wanted, projection=one.projection)  # nobody is left to carry the camera
        assert_same(one, wanted)


def test_neighbors_are_ignored_regions_are_of_any_kind_and_others_are_left_out() -> None:
    layout = renamed(single(6, 1), "Van", "Truck", "Person_sitting", "DontCare", "Tram", "Cyclist")
    objects = Objects(pack([layout], KINDS))
    assert objects.packed.shape[1] == 5, "a tram looks like nothing in the list"
    assert objects.packed[0, :, 0].tolist() == [-1, -1, -1, -1, 1]
    assert objects.kind[0].tolist() == [1, 1, 0, -1, 2]
    assert set(NEIGHBORS) == {"Van", "Truck", "Person_sitting"}
    assert [one.kinds for one in unpack(objects.packed, KINDS, 96, 320)] == [("Cyclist",)]


def test_a_kind_that_is_in_the_list_is_asked_even_if_it_has_a_neighbor() -> None:
    layout = renamed(single(2, 2), "Van", "Person_sitting")
    objects = Objects(pack([layout], ("Car", "Van")))
    assert objects.packed.shape[1] == 1, "nothing in the list is like a person"
    assert objects.packed[0, 0, :2].tolist() == [1, 1]


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
    packed = pack([layout], KINDS)
    assert packed.isfinite().all() and torch.equal(packed[0, 0, 2:6], layout.boxes[0])


def test_layouts_are_padded_to_the_same_number_of_objects() -> None:
    few, many = single(1, 4), single(3, 5)
    packed = pack([few, many, Layout.empty(camera(dtype=torch.float32), 96, 320)], KINDS)
    objects = Objects(packed)
    assert packed.shape == (3, 3, WIDTH) and objects.asked.sum(1).tolist() == [1, 3, 0]
    assert not objects.ignored.any() and (objects.kind[0, 1:] == -1).all()
    assert torch.equal(Objects(pack([few], KINDS, slots=7)).asked.sum(1), torch.tensor([1]))
    assert pack([few], KINDS, slots=7).shape == (1, 7, WIDTH) and pack([], KINDS).shape == (0, 1, WIDTH)


def test_more_objects_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(ValueError, match="a layout has 4 objects, there is room for 3"):
        pack([single(2, 6), single(4, 6)], KINDS, slots=3)


def assert_same_objects(one: Objects, other: Objects, atol: float = 2e-4) -> None:
    gap = one.packed - other.packed
    gap[..., 12:14] = wrapped(gap[..., 12:14])
    assert gap[one.asked].abs().max() < atol


@settings(max_examples=20, deadline=None)
@given(sketch=sketches())
def test_mirroring_all_rows_is_mirroring_each_layout(sketch: tuple) -> None:
    layout = drawn(sketch).to("cpu")
    if len(layout):
        objects = Objects(pack([layout, layout.flipped()], KINDS))
        wanted = Objects(pack([layout.flipped(), layout], KINDS))
        assert_same_objects(objects.flipped(layout.width), wanted)
        assert_same_objects(objects.flipped(layout.width).flipped(layout.width), objects)


@settings(max_examples=20, deadline=None)
@given(
    sketch=sketches(),
    scales=st.lists(st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)), min_size=2, max_size=2),
    moves=st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=2, max_size=2),
)
def test_moving_each_row_its_own_way_is_moving_each_layout(sketch: tuple, scales, moves) -> None:
    layout = drawn(sketch).to("cpu")
    if not len(layout):
        return
    found = Objects(pack([layout] * 2, KINDS)).warped(torch.tensor(scales), torch.tensor(moves), 90, 310)
    wanted = [layout.warped(*scale, *move, 90, 310) for scale, move in zip(scales, moves, strict=True)]
    assert_same_objects(found, Objects(pack(wanted, KINDS)), atol=1e-2)


def test_moves_may_be_of_another_precision_than_the_objects() -> None:
    objects = Objects(pack([single(2, 7)], KINDS))
    scale, move = torch.tensor([[1.1, 0.9]]), torch.tensor([[3.0, -2.0]])
    assert torch.equal(objects.warped(scale, move, 96, 320).packed, objects.warped(scale, move, 96, 320).packed)
    double = objects.warped(scale.double(), move.double(), 96, 320)
    assert double.packed.dtype is torch.float32
    assert torch.allclose(double.packed, objects.warped(scale, move, 96, 320).packed, atol=1e-4)


def test_changed_fields_leave_the_others_and_the_original_alone() -> None:
    objects = Objects(pack([single(2, 8)], KINDS))
    before = objects.packed.clone()
    moved = objects.changed(center=objects.center + 1, yaw=objects.yaw * 0)
    assert torch.equal(objects.packed, before)
    assert torch.equal(moved.center, objects.center + 1) and not moved.yaw.any()
    assert torch.equal(moved.size, objects.size) and torch.equal(moved.camera, objects.camera)
