"""Ranges of the values of a recipe, and recipes with values from them.

    objective.1.weight=0.001:10:log     a number, the same chance for each power of ten
    stages.0.steps=50:400:int           a whole number
    parameterization.power=0.8:1.6      a number
    stages.0.stepper.kind=adam|sgd      one of several

The part before ``=`` is where the value stands in the recipe's table (``invert3d recipes NAME``); lists are counted
from 0, and -1 is the last of one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from invert3d.methods.recipes import recipe_from, recipe_table
from invert3d.methods.stages import Recipe
from invert3d.registry import unknown

Value = float | int | str | bool


@dataclass(frozen=True)
class Range:
    """What a value may be: one of ``choices``, or a number from ``low`` to ``high``, whole or not, by its logarithm or
    not. ``path`` is where it stands."""

    path: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Value, ...] = ()


def read_range(text: str) -> Range:
    """A range from words as above. Raises ValueError for what is none, or an empty one."""
    path, _, values = text.partition("=")
    if not path or not values:
        raise ValueError(f"{text!r} is no range: write PATH=LOW:HIGH, PATH=LOW:HIGH:log or PATH=ONE|OTHER")
    if "|" in values:
        choices = tuple(map(plain_value, values.split("|")))
        return Range(path, choices=choices)
    low, high, *kind = values.split(":")[:3] if values.count(":") in (1, 2) else ("", "")
    try:
        bounds = float(low), float(high)
    except ValueError as error:
        raise ValueError(f"{text!r} is no range: {values!r} is not LOW:HIGH, LOW:HIGH:log or LOW:HIGH:int") from error
    if kind and kind[0] not in ("log", "int"):
        raise ValueError(f"{text!r}: {unknown('kind of range', kind[0], ('log', 'int'))}")
    if not bounds[0] < bounds[1] or not all(map(math.isfinite, bounds)):
        raise ValueError(f"{text!r} is empty: the lower bound must be below the upper one")
    if kind == ["int"] and not all(map(float.is_integer, bounds)):
        raise ValueError(f"{text!r}: the bounds of whole numbers are whole")
    if kind == ["log"] and bounds[0] <= 0:
        raise ValueError(f"{text!r}: a range by its logarithm begins above 0")
    return Range(path, *bounds, log=kind == ["log"], whole=kind == ["int"])


def plain_value(text: str) -> Value:
    """A number, true or false, or the words themselves."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def varied(recipe: Recipe, values: Mapping[str, Value]) -> Recipe:
    """The recipe with other values, by their places. Raises ValueError for a place that is not there, with the nearest
    names, or a value that the recipe refuses."""
    table = recipe_table(recipe)
    for path, value in values.items():
        put(table, path.split("."), value, path)
    return recipe_from(table, recipe.name)


def put(table: Any, keys: Sequence[str], value: Value, path: str) -> None:
    """Set one value in a table, in place. A last key that is not there is left to the recipe to accept or refuse."""
    for i, key in enumerate(keys):
        last = i == len(keys) - 1
        if isinstance(table, list):
            if not key.lstrip("-").isdecimal() or not -len(table) <= int(key) < len(table):
                raise ValueError(f"{path}: {key!r} is no place in a list of {len(table)}")
            here: Any = int(key)
        elif isinstance(table, dict) and (last or key in table):
            here = key
        else:
            names = list(table) if isinstance(table, dict) else []
            raise ValueError(f"{path}: {unknown('key', key, names)}")
        if last:
            table[here] = value
        else:
            table = table[here]


def check_ranges(recipe: Recipe, ranges: Sequence[Range]) -> None:
    """Raise ValueError unless the recipe takes both ends of each range, or all choices, and no place is there twice."""
    if not ranges:
        raise ValueError("name at least one range, as in stages.0.stepper.rate=0.01:0.2:log")
    paths = [each.path for each in ranges]
    if twice := sorted({path for path in paths if paths.count(path) > 1}):
        raise ValueError(f"{twice[0]} is varied twice")
    for each in ranges:
        for value in each.choices or (each.low, each.high):
            varied(recipe, {each.path: int(value) if each.whole else value})
