"""The same object with another texture: what changes, counted by what tells its category from another."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from invert3d.data.worlds import room_places
from invert3d.data.worlds.room_plan import CATEGORIES, NAMES
from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.models.detectors.thin import thin_adapter
from invert3d.ops.layouts import Layout
from invert3d.study.layouts.texture import GROUPS, Change, changes_of, new_textures, said_of, table_of, texture_job

LAYOUT = Layout.of_boxes(
    ["striped cup", "chair"], torch.tensor([[10.0, 10.0, 30.0, 30.0], [40.0, 40.0, 60.0, 60.0]]), 64, 64
)


def test_every_category_is_in_one_group() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(NAMES)
    assert all(GROUPS.values())


def test_a_new_texture_is_one_that_the_category_never_has_or_another_of_its_own() -> None:
    rng = np.random.default_rng(0)
    for category, _ in product(CATEGORIES, range(20)):
        strange, *usual = new_textures(category.name, category.textures[0], rng)
        assert strange not in category.textures and len(usual) == (len(category.textures) > 1)
        assert all(each in category.textures[1:] for each in usual)
    assert new_textures("striped cup", "stripes", rng) == ["checks"] and new_textures("zigzag car", "zigzag", rng) == [
        "dots"
    ]


def test_what_is_said_of_an_object() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 30], [11, 10, 30, 30], [12, 10, 30, 30], [10, 10, 30, 19], [0, 0, 5, 5]])
    kinds = ["striped cup", "checked cup", "striped cup", "striped cup", "chair"]
    found = Layout.of_boxes(kinds, boxes, 64, 64, scores=torch.tensor([0.5, 0.7, 0.6, 0.9, 0.8]))
    score, overlap, other = said_of(found, LAYOUT, 0)
    assert (score, overlap, other) == pytest.approx((0.6, 1.0, 0.7))  # the one of 0.9 overlaps by less than a half
    assert said_of(found, LAYOUT, 1) == (0.0, 0.0, 0.0)
    nothing = Layout.of_boxes([], torch.zeros(0, 4), 64, 64, scores=torch.zeros(0))
    assert said_of(nothing, LAYOUT, 0) == (0.0, 0.0, 0.0)


def test_changes_are_means_over_found_objects() -> None:
    def change(name: str, before: float, after: float) -> Change:
        return Change(
            name=name, scale=2, texture="dots", usual=False, score=(before, after), overlap=(0.9, 0.8), other=(0.1, 0.7)
        )

    changes = [change("striped cup", 0.9, 0.1 * k) for k in range(8)]
    changes += [change("striped cup", 0.2, 1.0)] * 9 + [change("sofa", 0.9, 0.8)] * 4  # not found; too few
    rows = table_of(changes)
    assert [row["length"] for row in rows] == ["any", "19% of the picture"] and rows[0]["objects"] == 8
    assert rows[0]["score before"] == 0.9
    assert rows[0]["change of score"] == pytest.approx(np.mean([0.1 * k - 0.9 for k in range(8)]), abs=1e-3)
    assert rows[0]["change of IoU"] == -0.1 and rows[0]["IoU interval"] == "-"
    assert rows[0]["becomes the other"] == pytest.approx(7 / 8)


def test_rooms_are_rendered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    torch.manual_seed(0)
    detector = thin_adapter("retinanet", ("background", *NAMES), size=64, width=8, features=32)
    torch.nn.init.zeros_(detector.model.head.classification_head.cls_logits.bias)  # it sees something
    outcome = execute(texture_job({"one": detector, "two": detector}, 2), RunOptions(progress=False)).whole()
    changes, again = changes_of(outcome).values()
    assert changes == again and all(each.name in NAMES for each in changes)
    assert any(each.overlap[0] != each.overlap[1] for each in changes)
    other = thin_adapter("retinanet", ("background", "chair"), size=64, width=8, features=32)
    with pytest.raises(ValueError, match="that other does not know: airplane"):
        texture_job({"other": other}, 1)
