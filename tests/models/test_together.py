"""Detectors that are inverted together: the mean of their losses, each in its own order of categories."""

from __future__ import annotations

import pytest
import torch

from invert3d.models.detectors import Detector
from invert3d.models.detectors.box_detector import BoxDetector
from invert3d.models.detectors.fcos import FCOSDetector
from invert3d.models.detectors.rcnn import FasterRCNNDetector
from invert3d.models.detectors.retinanet import RetinaNetDetector
from invert3d.models.detectors.thin import thin_detector
from invert3d.models.detectors.together import Together
from invert3d.ops.layouts import Layout
from tests.models.test_thin import ADAPTERS, pictures

SIZE = 64
FORWARD = ("background", "cup", "chair", "plant")
BACKWARD = ("background", "plant", "cup", "sofa", "chair")


def thin(family: str, kinds: tuple[str, ...], size: int = SIZE) -> BoxDetector:
    torch.manual_seed(2)
    model = thin_detector(family, len(kinds), size=size, width=8, features=32)
    return ADAPTERS[family](model, kinds, height=size, width=size).eval()


def both() -> Together:
    return Together({"one": thin("fcos", FORWARD), "two": thin("fasterrcnn", BACKWARD)})


LAYOUTS = [
    Layout.of_boxes(["chair", "DontCare"], torch.tensor([[4.0, 6, 30, 40], [30, 30, 60, 60]]), SIZE, SIZE),
    Layout.of_boxes(["cup", "plant"], torch.tensor([[4.0, 6, 30, 40], [34, 20, 60, 58]]), SIZE, SIZE),
]


def test_the_losses_are_the_mean_of_those_of_the_members() -> None:
    detector, x = both(), pictures(SIZE)
    assert isinstance(detector, Detector) and detector.kinds == FORWARD
    raw = detector(x)
    losses = detector.losses(raw, detector.assign(raw, detector.targets(LAYOUTS)))
    assert {*losses} == {*FCOSDetector.heads, *FasterRCNNDetector.heads} == {*detector.heads}
    for member in detector.members.values():
        own = member.raw(x)
        for name, loss in member.losses(own, member.assign(own, member.targets(LAYOUTS))).items():
            assert torch.allclose(losses[name], loss / 2, atol=1e-5), name


def test_the_heads_read_the_mean_of_what_the_members_read() -> None:
    detector, x = both(), pictures(SIZE)
    said = detector.read_heads(detector.raw(x), detector.targets(LAYOUTS))
    parts = [each.read_heads(each.raw(x), each.targets(LAYOUTS)) for each in detector.members.values()]
    assert {*said} == {"score", "IoU"}
    for name, values in said.items():
        mean = (parts[0][name] + parts[1][name]) / 2
        assert torch.allclose(values, mean, atol=1e-5, equal_nan=True) and values.isfinite().any()


def test_heads_of_the_same_name_are_added() -> None:
    detector, x = Together({"a": thin("fcos", FORWARD), "b": thin("retinanet", FORWARD)}), pictures(SIZE)
    assert type(detector.members["b"]) is RetinaNetDetector
    raw = detector.raw(x)
    losses = detector.losses(raw, detector.assign(raw, detector.targets(LAYOUTS)))
    parts = []
    for member in detector.members.values():
        own = member.raw(x)
        parts.append(member.losses(own, member.assign(own, member.targets(LAYOUTS)))["classification"])
    assert torch.allclose(losses["classification"], (parts[0] + parts[1]) / 2, atol=1e-5)


def test_all_members_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = both()
    one, two = detector.members.values()
    raw, targets = detector.raw(pictures(SIZE)), detector.targets(LAYOUTS)
    monkeypatch.setattr(one, "agrees", lambda *_: torch.tensor([True, True]))
    monkeypatch.setattr(two, "agrees", lambda raw, told, *_: told["kinds"][:, 0] == BACKWARD.index("cup"))
    assert detector.agrees(raw, targets).tolist() == [False, True]
    found = detector.finalize(raw)
    assert [each.kinds for each in found] == [each.kinds for each in one.finalize(one.raw(pictures(SIZE)))]


def test_what_cannot_be_asked_together_is_refused() -> None:
    one = thin("fcos", FORWARD)
    with pytest.raises(ValueError, match="not one alone"):
        Together({"one": one})
    with pytest.raises(ValueError, match=r"of one size, not \[\(64, 64\), \(96, 96\)\]"):
        Together({"one": one, "two": thin("fcos", FORWARD, 96)})
    with pytest.raises(ValueError, match="one and two know no common category"):
        Together({"one": one, "two": thin("fcos", ("nothing", "car"))})
    sofa = Layout.of_boxes(["sofa"], torch.tensor([[4.0, 6, 30, 40]]), SIZE, SIZE)
    assert both().count_assignable(sofa) == 0, "only one of them knows sofas"
    twice = Layout.of_boxes(["cup", "cup"], torch.tensor([[4.0, 6, 30, 40], [4, 6, 30, 41]]), SIZE, SIZE)
    assert both().impossible(twice).startswith("one: ")
