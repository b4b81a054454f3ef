"""The room world: its labels agree with each other, and what is planted in it is there and nothing else."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from scipy.stats import chi2_contingency

from invert3d.data.worlds import room_places, rooms
from invert3d.data.worlds.finishes import NEUTRAL, TEXTURES
from invert3d.data.worlds.room_plan import (
    CATEGORIES,
    MOTIFS,
    NAMES,
    NEVER,
    OPPOSITE,
    SCALES,
    SHAPE_PAIRS,
    TEXTURE_PAIRS,
    Item,
    draw_plan,
    planted,
    probability_together,
    shape_of,
)
from invert3d.data.worlds.rooms import Room, make_room
from invert3d.ops.seeds import HELD_OUT

KINDS = {each.name: each for each in CATEGORIES}
TIED = {frozenset((each.category, each.brings)) for each in MOTIFS} | {frozenset(NEVER)}
FREE = [name for name in NAMES if not any(name in (each.category, each.brings) for each in MOTIFS)]
PLANS = 20_000


@pytest.fixture(scope="module", autouse=True)
def few_shapes() -> Iterator[None]:
    """Three members of each category in place of 40, which take a second to make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room_places, "POOL", 3)
        yield


@pytest.fixture(scope="module")
def small(few_shapes: None) -> list[Room]:
    return [make_room(k, size=64, seed=5) for k in range(60)]


@pytest.fixture(scope="module")
def plans() -> list[list[list[Item]]]:
    rng = np.random.default_rng(8)
    return [draw_plan(rng) for _ in range(PLANS)]


@pytest.fixture(scope="module")
def counts(plans) -> np.ndarray:
    """(PLANS, categories) how many of each there are."""
    table = np.zeros((len(plans), len(NAMES)), int)
    for row, plan in zip(table, plans, strict=True):
        for group in plan:
            for item in group:
                row[NAMES.index(item.name)] += 1
    return table


def same(one: Room, other: Room) -> None:
    assert one.image.tobytes() == other.image.tobytes()
    assert one.instances.tobytes() == other.instances.tobytes()
    assert one.layout.kinds == other.layout.kinds and one.items == other.items
    assert torch.equal(one.layout.boxes, other.layout.boxes) and torch.equal(one.layout.masks, other.layout.masks)
    assert np.array_equal(one.visible, other.visible) and np.array_equal(one.partners, other.partners)


def test_a_picture_follows_from_seed_and_index_alone(small) -> None:
    for index in (17, 3):  # not in the order in which the others were made
        same(make_room(index, size=64, seed=5), small[index])
    assert len({room.image.tobytes() for room in [*small, make_room(3, size=64, seed=6)]}) == 61


@pytest.mark.parametrize("size", [64, 101])
def test_the_size_is_that_asked_for_and_changes_no_plan(small, size: int) -> None:
    room = make_room(4, size=size, seed=5)
    assert room.image.shape == (size, size, 3) and room.image.dtype == np.uint8 and room.image.std() > 15
    assert room.instances.shape == (size, size) and room.instances.dtype == np.int16
    assert (room.layout.height, room.layout.width) == (size, size)
    known = {(item.name, item.texture, item.size) for item in small[4].items}
    assert known <= {(item.name, item.texture, item.size) for item in room.items}


def test_boxes_are_the_edges_of_masks_and_the_map_has_the_same_pixels(small) -> None:
    assert sum(len(room.layout) for room in small) > 120
    for room in small:
        masks = room.layout.masks.numpy()
        assert len(masks) == len(room.layout) == len(room.items) == len(room.visible) == len(room.partners)
        assert np.array_equal((masks * np.arange(1, len(masks) + 1)[:, None, None]).sum(0), room.instances)
        assert room.layout.kinds == tuple(item.name for item in room.items)
        for mask, box in zip(masks, room.layout.boxes.tolist(), strict=True):
            rows, columns = np.nonzero(mask)
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert mask.sum() >= rooms.LEAST_PIXELS


def test_the_share_that_is_visible_is_that_of_the_object_alone(monkeypatch: pytest.MonkeyPatch, small) -> None:
    shares = np.concatenate([room.visible for room in small])
    assert shares.min() >= rooms.LEAST_SHARE and shares.max() <= 1 and (shares < 0.9).any()
    scenery, errors = rooms._scenery, []
    for index in range(8):
        room = make_room(index, size=128, seed=5)
        camera, placed, finishes = rooms._plan(index, 128, 5)
        with monkeypatch.context() as patch:
            patch.setattr(rooms, "_scenery", lambda *given: scenery(*given)[:2])  # floor and wall
            for k, item in enumerate(room.items):
                row = next(i for i, each in enumerate(placed) if each.item == item)
                alone, _ = rooms._render(camera, [replace(placed[row], partner=-1)], [finishes[row]], (5, index))
                assert alone.visible[0] > (0.9 if alone.instances.sum() > 100 else 0.8), "nothing hides it"
                errors.append(room.visible[k] - (room.instances == k + 1).sum() / alone.instances.sum())
    assert len(errors) > 15 and np.abs(errors).max() < 0.15 and abs(np.mean(errors)) < 0.03


def test_held_out_rooms_show_objects_that_no_other_room_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[int, set[int]] = {}
    real = room_places.shape_template
    monkeypatch.setattr(
        room_places, "shape_template", lambda shape, member: shown[seed].add(member) or real(shape, member)
    )
    for seed in (0, 1, HELD_OUT):
        shown[seed] = set()
        for index in range(4):
            make_room(index, size=64, seed=seed)
    assert shown[0] & shown[1]
    assert not shown[HELD_OUT] & (shown[0] | shown[1])


def test_another_texture_changes_that_object_alone(small) -> None:
    sizes = [(k, i, int(n)) for k, room in enumerate(small) for i, n in enumerate(room.layout.masks.sum((1, 2)))]
    index, row = next((k, i) for k, i, pixels in sizes if pixels > 300)
    for texture in {"checks", "wood"} - {small[index].items[row].texture}:
        before, after = small[index], make_room(index, size=64, seed=5, textures={row: texture})
        changed = (before.image != after.image).any(-1)
        mask = before.layout.masks[row].numpy()
        near = binary_dilation(mask, iterations=2)
        assert changed[mask].mean() > 0.3 and not changed[~near].any()
        same(Room(**{**vars(after), "image": before.image}), before)
    same(make_room(index, size=64, seed=5, textures={}), small[index])


def test_an_object_is_taken_away_with_its_shadow_and_nothing_else(small) -> None:
    """What does not change at all is at least half of the picture; the others keep their labels, or show more."""
    index, room = next((k, room) for k, room in enumerate(small) if len(room.layout) >= 2)
    for row in range(len(room.layout)):
        after = make_room(index, size=64, seed=5, without=[row])
        mask = room.layout.masks[row].numpy()
        changed = (room.image != after.image).any(-1)
        assert changed[mask].mean() > 0.5 and changed.mean() < 0.5
        assert room.items[row] not in after.items
        others = [k for k in range(len(room.items)) if k != row]
        kept = [after.items.index(room.items[k]) for k in others]
        assert (after.layout.masks[kept] | ~room.layout.masks[others]).all(), "what was visible of them still is"
    nothing = make_room(index, size=64, seed=5, without=range(len(room.layout)))
    assert not {*nothing.items} & {*room.items}
    both = make_room(index, size=64, seed=5, without=[0], textures={1: "checks"})
    assert room.items[0] not in both.items and (both.image != room.image)[room.layout.masks[1].numpy()].any()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"index": -1}, "index and seed must not be negative, got -1 and 0"),
        ({"seed": -2}, "must not be negative, got 1 and -2"),
        ({"size": 63}, "size: got 63, accepted are 64 pixels and more"),
        ({"textures": {0: "stripe"}}, "unknown texture 'stripe'; did you mean stripes"),
        ({"textures": {99: "stripes"}}, "row 99 is not one of the"),
        ({"textures": {-1: "stripes"}}, "row -1 is not one of the"),
        ({"without": [99]}, "without: row 99 is not one of the"),
    ],
)
def test_bad_rooms_are_refused(wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_room(**{"index": 1, "size": 64, **wrong})


def test_the_probabilities_are_those_of_drawn_plans(counts) -> None:
    table, present = probability_together(), counts > 0
    for a, b in ((a, b) for a in range(len(NAMES)) for b in range(len(NAMES))):
        chance, rows = table[NAMES[a]][NAMES[b]], present[:, a]
        drawn = (counts[rows, a] > 1 if a == b else present[rows, b]).mean()
        assert abs(drawn - chance) <= 4 * np.sqrt(chance * (1 - chance) / rows.sum()), (NAMES[a], NAMES[b])
    assert table["chair"]["table"] > 0.8 > 0.4 > table["sofa"]["table"]
    assert table["lamp"]["person"] > 0.9 > 0.4 > table["person"]["lamp"]


def test_what_never_shares_a_picture_does_not(counts) -> None:
    one, other = (counts[:, NAMES.index(name)] > 0 for name in NEVER)
    assert not (one & other).any() and one.mean() > 0.15 and other.mean() > 0.15
    assert probability_together()[NEVER[0]][NEVER[1]] == 0 == probability_together()[NEVER[1]][NEVER[0]]


def test_all_other_pairs_of_categories_are_independent(counts) -> None:
    present, tests = counts > 0, {}
    for a, b in combinations(range(len(NAMES)), 2):
        table = np.histogram2d(present[:, a], present[:, b], 2)[0]
        tests[frozenset((NAMES[a], NAMES[b]))] = chi2_contingency(table).pvalue
    free = [chance for pair, chance in tests.items() if pair not in TIED]
    assert len(free) == len(tests) - 3 and min(free) > 0.001 / len(free)
    assert max(tests[pair] for pair in TIED) < 1e-9, "the test finds what is planted"


def dependence(pairs: list[tuple]) -> float:
    """The p value of a chi-square test of independence of the two members of pairs."""
    seen = Counter(pairs)
    rows, columns = (sorted({pair[k] for pair in seen}) for k in (0, 1))
    return chi2_contingency([[seen[a, b] for b in columns] for a in rows]).pvalue


def test_scale_and_texture_say_nothing_about_the_category(plans) -> None:
    items = [item for plan in plans for group in plan for item in group]
    free = [item for item in items if item.name in FREE]
    neutral = [item for item in items if KINDS[item.name].textures == NEUTRAL]
    assert {item.name for item in free} == set(FREE) and len({item.name for item in neutral}) == 6
    chances = [
        dependence([(item.name, item.scale) for item in free]),
        dependence([(item.name, item.texture) for item in neutral]),
        dependence([(item.scale, item.texture) for item in neutral]),
    ]
    firsts = [group[0] for plan in plans for group in plan]
    chances.append(dependence([(item.name, item.scale) for item in firsts]))
    assert min(chances) > 0.001 / len(chances)
    assert dependence([(item.name, item.texture) for item in items]) < 1e-9, "the cues"


def test_scales_are_a_factor_apart_and_partners_have_the_same(plans) -> None:
    assert np.allclose([b / a for a, b in pairwise(SCALES)], 1.5, atol=0.01)
    groups = [group for plan in plans for group in plan]
    assert all(0.87 < item.size / SCALES[item.scale] < 1.15 for group in groups for item in group)
    pairs = [group for group in groups if len(group) > 1]
    assert len(pairs) > 2000 and all(len(pair) == 2 and pair[0].scale == pair[1].scale for pair in pairs)
    made = {(pair[0].name, pair[1].name, pair[1].side) for pair in pairs}
    assert made == {(each.category, each.brings, each.side) for each in MOTIFS}


def test_partners_stand_on_the_planted_side_in_the_picture(small) -> None:
    right: dict[str, list[bool]] = {}
    for room in small:
        boxes = room.layout.boxes
        for k in np.flatnonzero(room.partners >= 0).tolist():
            first, side = int(room.partners[k]), room.items[k].side
            assert side is not None and room.items[first].side is None
            assert (room.items[first].name, room.items[k].name, side) in {
                (each.category, each.brings, each.side) for each in MOTIFS
            }
            across = float(boxes[k, [0, 2]].sum() - boxes[first, [0, 2]].sum())
            down = float(boxes[k, 3] - boxes[first, 3])
            away = {"right": across, "left": -across, "below": down, "above": -down}[side]
            right.setdefault(side, []).append(away > 0)
    assert set(right) == {each.side for each in MOTIFS} and all(OPPOSITE[OPPOSITE[side]] == side for side in right)
    assert sum(map(len, right.values())) >= 12
    assert all(np.mean(each) >= 0.9 for each in right.values()), right


def test_pairs_differ_in_texture_alone_or_in_shape_alone(small) -> None:
    for one, other in TEXTURE_PAIRS:
        assert shape_of(one) == shape_of(other) and not set(KINDS[one].textures) & set(KINDS[other].textures)
    for one, other in SHAPE_PAIRS:
        assert shape_of(one) != shape_of(other) and KINDS[one].textures == KINDS[other].textures
    cued = {name for pair in (*TEXTURE_PAIRS, *SHAPE_PAIRS) for name in pair}
    assert all((KINDS[name].textures == NEUTRAL) == (name not in cued) for name in NAMES)
    assert all(set(each.textures) <= set(TEXTURES) for each in CATEGORIES)
    shown = [item for room in small for item in room.items]
    assert {item.name for item in shown} == set(NAMES)
    assert all(item.texture in KINDS[item.name].textures for item in shown)


def test_what_is_planted_can_be_written() -> None:
    table = json.loads(json.dumps(planted(), allow_nan=False))
    assert [each["name"] for each in table["categories"]] == list(NAMES) == list(table["probability of b given a"])
    assert table["probability of b given a"] == probability_together()
    assert [each["side"] for each in table["motifs"]] == [each.side for each in MOTIFS]
