"""Objects without the one that stands beside them: what is taken away, and the table."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from invert3d.data.worlds import room_places
from invert3d.data.worlds.room_plan import NAMES
from invert3d.data.worlds.rooms import make_room
from invert3d.models.detectors.thin import thin_adapter
from invert3d.study.layouts import partners
from invert3d.study.layouts.partners import (
    ANOTHER,
    PARTNER,
    looks_the_same,
    of_room,
    partner_of,
    partners_job,
    removals,
    table_of,
)


def test_the_partner_is_the_one_that_brought_an_object_or_was_brought() -> None:
    brought = np.array([-1, 0, -1, -1, 3])  # 0 brought 1, 3 brought 4
    assert [partner_of(brought, row) for row in range(5)] == [1, 0, -1, 4, 3]
    left = torch.tensor([0.0, 10, 21, 40, 60])
    boxes = torch.stack([left, left * 0, left + 8, left * 0 + 8], 1)
    todo = removals(brought, boxes)
    assert [row for row, _ in todo] == [0, 0, 1, 1, 3, 3, 4, 4]
    assert [gone for _, gone in todo[::2]] == [1, 0, 4, 3]
    assert [gone for _, gone in todo[1::2]] == [2, 2, 2, 2], "the nearest that is no partner"
    assert removals([-1, 0], boxes[:2]) == [(0, 1), (1, 0)], "there is no other object"
    assert removals([-1, -1], boxes[:2]) == []


def row(name: str, beside: str, gone: str, before: float, after: float) -> dict:
    return {"object": name, "beside": beside, "taken away": gone, "before": before, "after": after}


def test_the_table_has_the_partner_and_the_control() -> None:
    objects = [row("person", "lamp", PARTNER, 0.8, 0.1 * k) for k in range(6)]
    objects += [row("person", "lamp", ANOTHER, 0.8, 0.8)] * 5 + [row("person", "lamp", ANOTHER, 0.1, 0.9)]
    objects += [row("chair", "table", PARTNER, 0.9, 0.0)] * 4  # too few
    lost, control = table_of(objects)
    assert (lost["object"], lost["taken away"], lost["objects"]) == ("person", "its partner", 6)
    assert lost["change of score"] == pytest.approx(-0.55) and lost["score before"] == 0.8
    assert control["taken away"] == ANOTHER and control["objects"] == 5 and control["change of score"] == 0


def test_what_was_hidden_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    room = next(each for each in (make_room(k, size=64, seed=5) for k in range(9)) if len(each.layout) > 1)
    assert looks_the_same(room, room, 0)
    shaded = room.image.copy()
    shaded[room.layout.masks[0].numpy()] //= 2
    assert not looks_the_same(room, replace(room, image=shaded), 0), "a shadow is gone"
    masks = room.layout.masks.clone()
    masks[0, :, : int(masks[0].any(0).nonzero().float().mean())] = False
    hidden = replace(room, layout=replace(room.layout, masks=masks))
    assert not looks_the_same(hidden, room, 0) and looks_the_same(hidden, room, 1)
    assert not looks_the_same(room, replace(room, items=room.items[1:]), 0), "it is gone itself"


def test_rooms_are_rendered_without_the_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    torch.manual_seed(0)
    detector = thin_adapter("retinanet", ("background", *NAMES), size=64, width=8, features=32)
    without: list[list[int]] = []
    real = partners.make_room
    monkeypatch.setattr(partners, "make_room", lambda *a, **k: without.append(k.get("without", [])) or real(*a, **k))
    objects = [each for k in range(6) for each in of_room(k, detector=detector, device="cpu", seed=0)["objects"]]
    assert 0 < len(objects) <= sum(map(len, without)) and {each["taken away"] for each in objects} == {PARTNER, ANOTHER}
    assert all((each["object"], each["beside"]) in partners.PAIRS for each in objects)
    assert json.loads(json.dumps(objects)) == objects
    assert len(partners_job(detector, 3).units) == 3
    with pytest.raises(ValueError, match="that the detector does not know: airplane"):
        partners_job(thin_adapter("retinanet", ("background", "chair"), size=64, width=8, features=32), 1)
