"""The registry: names in, things out, and a hint for a name that is nearly right."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from invert3d import registry
from invert3d.objectives.classes import ClassScore
from invert3d.registry import lookup, register, registered, unknown


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of its own for the kind "toy"."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.setattr(registry, "_loaded", set(registry._loaded))


@pytest.mark.parametrize("kind", registry.HOMES)
def test_everything_built_in_is_found_by_its_name(kind: str) -> None:
    found = registered(kind)
    assert found and list(found) == sorted(found)
    for name, thing in found.items():
        assert lookup(kind, name) is thing
        assert thing.__doc__, "the tables of the docs show it"


def test_a_class_of_ones_own(clean: None) -> None:
    @register("toy", "mine")
    @dataclass(frozen=True, kw_only=True)
    class Mine:
        """Mine."""

    assert lookup("toy", "mine") is Mine and registered("toy") == {"mine": Mine}
    register("toy", "mine")(Mine)
    with pytest.raises(ValueError, match="the toy name 'mine' is taken"):
        register("toy", "mine")(ClassScore)


def test_classes_of_other_packages(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "theirs"

        @staticmethod
        def load() -> type:
            return ClassScore

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point] if group == "invert3d.toy" else [])
    assert lookup("toy", "theirs") is ClassScore


def test_unknown_names_come_with_a_hint() -> None:
    with pytest.raises(ValueError, match="unknown objective 'clas_score'; did you mean class_score"):
        lookup("objective", "clas_score")
    assert unknown("model", "PointNet", ["pointnet", "dgcnn"]) == "unknown model 'PointNet'; did you mean pointnet?"
    assert unknown("axis", "???", ["x", "y"]) == "unknown axis '???'; known: x, y"
