"""Ranges of a recipe's values: read from words, put into a table, refused where they cannot be."""

from __future__ import annotations

import pytest

from invert3d.methods.ranges import Range, check_ranges, read_range, varied
from invert3d.methods.recipes import load_recipe

RECIPE = load_recipe("descriptors/published")


def test_ranges_are_read_from_words() -> None:
    assert read_range("a.0.b=0.01:10:log") == Range("a.0.b", 0.01, 10.0, log=True)
    assert read_range("steps=50:400:int") == Range("steps", 50.0, 400.0, whole=True)
    assert read_range("x=-1:2.5") == Range("x", -1.0, 2.5)
    assert read_range("kind=adam|sgd|3|0.5|true") == Range("kind", choices=("adam", "sgd", 3, 0.5, True))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rate", "is no range"),
        ("=1:2", "is no range"),
        ("rate=1", "is not LOW:HIGH"),
        ("rate=one:2", "is not LOW:HIGH"),
        ("rate=1:2:lag", "did you mean log"),
        ("rate=2:1", "is empty"),
        ("rate=1:1", "is empty"),
        ("rate=nan:1", "is empty"),
        ("rate=0:1:log", "begins above 0"),
        ("steps=0.9:5:int", "are whole"),
    ],
)
def test_what_is_no_range_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_range(text)


def test_values_are_put_where_they_belong() -> None:
    other = varied(RECIPE, {"stages.0.stepper.rate": 0.5, "objective.-1.weight": 2.0, "stages.0.steps": 7})
    assert other.stages[0].stepper.rate == 0.5 and other.steps == 7 and other.objective.terms[-1][0] == 2.0  # type: ignore[attr-defined]
    assert RECIPE.stages[0].stepper.rate == 0.1043 and other.name == RECIPE.name


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("stages.1.steps", "no place in a list of 1"),
        ("stages.first.steps", "no place in a list of 1"),
        ("stagess.0.steps", "did you mean stages"),
        ("stages.0.stepper.raet", "did you mean rate"),
        ("name.0", "unknown key"),
    ],
)
def test_places_that_are_not_there_are_refused(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        varied(RECIPE, {path: 1})


def test_both_ends_must_be_legal_and_no_place_be_twice() -> None:
    check_ranges(RECIPE, [read_range("stages.0.steps=1:5:int")])
    with pytest.raises(ValueError, match="at least one step"):
        check_ranges(RECIPE, [read_range("stages.0.steps=0:5:int")])
    with pytest.raises(ValueError, match="varied twice"):
        check_ranges(RECIPE, [read_range("stages.0.steps=1:5:int")] * 2)
    with pytest.raises(ValueError, match="name at least one range"):
        check_ranges(RECIPE, [])
