"""Where evidence lies, counted on maps of which it is known, and measured on a small detector."""

from __future__ import annotations

import pytest
import torch

from invert3d.data.worlds import room_places
from invert3d.data.worlds.room_plan import NAMES
from invert3d.data.worlds.rooms import make_room
from invert3d.models.detectors.thin import thin_adapter
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import HELD_OUT
from invert3d.study.explaining import evidence
from invert3d.study.explaining.evidence import (
    CONTROL,
    contrasts,
    evidence_job,
    headline,
    middle,
    of_room,
    shares_of,
    table_of,
)

ONE = Layout.of_boxes(["chair"], torch.tensor([[4.0, 4.0, 24.0, 24.0]]), 32, 32)
MASK = torch.zeros(32, 32, dtype=torch.bool)
MASK[8:20, 8:20] = True


def test_shares_of_an_object_and_of_its_border() -> None:
    even, edge = torch.ones(32, 32), torch.zeros(32, 32)
    edge[8, 8:20] = 1
    outside = torch.zeros(32, 32)
    outside[:2] = 1
    maps = {("m", "class"): MASK.float(), ("m", "box"): edge, ("n", "class"): even, ("n", "box"): outside}
    rows = {(row["method"], row["evidence"]): row for row in shares_of(maps, ONE, MASK, 2.0)}
    assert rows["m", "class"]["object"] == 1 and rows["m", "box"]["border"] == 1
    assert rows["m", "class"]["border"] == pytest.approx((144 - 64) / 144), "two of twelve pixels on each side"
    same = rows["n", "class"]
    assert same["object"] == same["object uniform"] == pytest.approx(144 / 400)
    assert same["border"] == same["border uniform"]
    assert ("n", "box") not in rows, "nothing of it is in the box"


def test_the_middle_of_a_box() -> None:
    found = middle(ONE)
    assert found.shape == (32, 32) and found[13:15, 13:15].min() == found.max()
    assert found[14, 19] == pytest.approx(float(torch.exp(torch.tensor(-8 * ((0.5 / 20) ** 2 + (5.5 / 20) ** 2)))))


def rows_of(count: int, category: str, method: str, about: str, inside: float, border: float) -> list[dict]:
    return [
        {
            "room": k,
            "number": NAMES.index(category),
            "category": category,
            "method": method,
            "evidence": about,
            "object": inside + 0.01 * (k % 2),
            "border": border,
            "object uniform": 0.5,
            "border uniform": 0.6,
        }
        for k in range(count)
    ]


def test_tables_are_means_over_objects_and_pairs() -> None:
    shares = rows_of(8, "sofa", "grad_cam", "class", 0.7, 0.5) + rows_of(8, "sofa", "grad_cam", "box", 0.6, 0.9)
    shares += rows_of(4, "striped cup", "grad_cam", "class", 0.1, 0.1)
    table = table_of(shares)
    assert [row["categories"] for row in table] == ["any", "any", "differ in shape alone", "differ in shape alone"]
    sofa = table[2]
    assert (sofa["method"], sofa["evidence"], sofa["objects"]) == ("grad cam", "class", 8)
    assert sofa["on the object"] == pytest.approx(0.705) and sofa["object if uniform"] == 0.5
    assert sofa["object: more by"] == pytest.approx(0.205) and sofa["border: more by"] == pytest.approx(-0.1)
    assert sofa["object: more by, interval"] in ("+0.20 to +0.21", "+0.20 to +0.20", "+0.21 to +0.21")
    assert sofa["border: more by, interval"] == "-0.10 to -0.10"
    assert table[0]["objects"] == 12 and table[1]["objects"] == 8
    assert headline(table) == {
        "evidence_class_object_grad_cam": table[0]["object: more by"],
        "evidence_box_border_grad_cam": pytest.approx(0.3),
    }
    pairs = contrasts(shares)
    assert [row["objects"] for row in pairs] == [8, 8], "cups have no evidence for a box here"
    assert pairs[0]["border: box less class"] == pytest.approx(0.4)
    assert pairs[0]["object: box less class"] == pytest.approx(-0.1)


def test_rooms_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    torch.manual_seed(0)
    detector = thin_adapter("retinanet", ("background", *NAMES), size=96, width=8, features=32)
    room = next(index for index in range(9) if len(make_room(index, size=96, seed=HELD_OUT).layout))
    truth = make_room(room, size=96, seed=HELD_OUT).layout
    exact = Layout.of_boxes(truth.kinds, truth.boxes, 96, 96, scores=torch.ones(len(truth)))
    monkeypatch.setattr(evidence, "sure", lambda detector, picture: exact)
    monkeypatch.setattr(evidence, "LEAST_SIDE", 4.0)
    common = {"methods": ("gradient", "d_rise"), "masks": 8, "band": 2.0, "device": "cpu", "seed": 0}
    found = of_room(room, detector=detector, **common)["objects"]
    keys = {(row["method"], row["evidence"]) for row in found}
    assert {(CONTROL, "-"), ("gradient", "class"), ("gradient", "box")} <= keys
    assert all(0 <= row["object"] <= 1 and 0 <= row["border"] <= 1 for row in found)
    assert {row["category"] for row in found} == set(truth.kinds)
    monkeypatch.setattr(evidence, "sure", lambda detector, picture: exact.select(torch.tensor([], dtype=torch.long)))
    assert of_room(room, detector=detector, **common) == {"objects": []}


def test_a_detector_of_other_things_and_an_unknown_method_are_refused() -> None:
    other = thin_adapter("retinanet", ("background", "chair"), size=64, width=8, features=32)
    with pytest.raises(ValueError, match="that the detector does not know: airplane"):
        evidence_job(other, 1)
    detector = thin_adapter("retinanet", ("background", *NAMES), size=64, width=8, features=32)
    with pytest.raises(ValueError, match="unknown method 'grad_cat'"):
        evidence_job(detector, 1, ["grad_cat"])
    job = evidence_job(detector, 2)
    assert [unit.name for unit in job.units] == ["0", "1"] and job.settings["masks"] == 300
