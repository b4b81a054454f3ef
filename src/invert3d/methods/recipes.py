"""Recipes as TOML: read with unknown keys refused, written into run folders, overridden from the command line."""

import dataclasses
import tomllib
from collections.abc import Callable
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from invert3d.methods.schema import explained, made, packed, struct_of
from invert3d.methods.stages import Recipe
from invert3d.registry import unknown

FOLDER = Path(str(resources.files("invert3d"))) / "recipes"


def recipe_names() -> list[str]:
    """Names of the built-in recipes: those of class inversion, ``boxes/NAME`` and ``layouts/NAME``."""
    return sorted(name.removeprefix("classes/") for name in _files())


def _files() -> dict[str, Path]:
    return {f"{path.parent.name}/{path.stem}": path for path in FOLDER.glob("*/*.toml")}


def load_recipe(name: str, task: str = "classes", *, family: str | None = None, **overrides: Any) -> Recipe:
    """A built-in recipe by name, or one from a TOML file by path, with some plain values replaced.

    With the name of a ``family`` of networks, the recipe is that of ``in_family``. ``steps`` as an override shares out
    that many steps over the stages in proportion. Raises ValueError for an unknown recipe, and for any unknown key or
    value of the wrong type in it.
    """
    path, files = Path(name), _files()
    if path.suffix != ".toml":
        full = name if "/" in name else f"{task}/{name}"
        if full not in files:
            near = [each.removeprefix(f"{task}/") for each in files if each.startswith(f"{task}/")]
            raise ValueError(unknown("recipe", name, near))
        path = files[full]
    if not path.is_file():
        raise ValueError(f"no recipe file {path}")
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not TOML: {error}") from error
    recipe = recipe_from(table, path.stem)
    return overridden(recipe if family is None else in_family(recipe, family), overrides)


def overridden(recipe: Recipe, overrides: dict[str, Any]) -> Recipe:
    """A recipe with plain values replaced; None leaves a value as it is."""
    given = {key: value for key, value in overrides.items() if value is not None}
    if (steps := given.pop("steps", None)) is not None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        ends = [sum(stage.steps for stage in recipe.stages[:i]) for i in range(len(recipe.stages) + 1)]
        shares = [b - a for a, b in pairwise(round(end * steps / recipe.steps) for end in ends)]
        pairs = zip(recipe.stages, shares, strict=True)
        stages = tuple(dataclasses.replace(stage, steps=share) for stage, share in pairs if share)
        recipe = dataclasses.replace(recipe, stages=stages)
    return dataclasses.replace(recipe, **given)


def recipe_from(table: dict[str, Any], name: str) -> Recipe:
    """A recipe from its table. Raises ValueError for what cannot be in one, with the nearest keys or names."""
    table = {"name": name, **table}
    try:
        recipe = made(msgspec.convert(table, struct_of(Recipe)))
    except msgspec.ValidationError as error:
        raise ValueError(f"recipe {name}: {explained(str(error), table)}") from error
    except ValueError as error:
        raise ValueError(f"recipe {name}: {error}") from error
    for family in recipe.families or ():
        in_family(recipe, family)  # mistakes are refused now, not when the first network of the family is opened
    return recipe


def in_family(recipe: Recipe, family: str) -> Recipe:
    """A recipe with the settings that it has for a family of networks; without any for others, it is as it stands.

    The settings are a table like that of the recipe with only what differs: of a list, as many tables as the recipe
    has. A table with a name takes the place of the recipe's, and so does a list of them.

    Raises ValueError for what does not fit.
    """
    table = recipe_table(recipe)
    changes = table.pop("families", {}).get(family, {})
    try:
        return recipe_from(_changed(table, changes, f"recipe {recipe.name}"), recipe.name)
    except ValueError as error:
        raise ValueError(f"family {family} of {error}") from error


def _changed(value: Any, changes: Any, where: str) -> Any:
    """A plain value with changes: tables are changed key by key, lists of tables item by item; but a table with a name,
    and a list of such, takes the place of what was there."""
    if isinstance(value, dict) and isinstance(changes, dict) and "name" not in changes:
        return value | {key: _changed(value.get(key), each, f"{where}, {key}") for key, each in changes.items()}
    tables = isinstance(changes, list) and changes and all(isinstance(each, dict) for each in changes)
    if tables and isinstance(value, list) and not all("name" in each for each in changes):
        if len(value) != len(changes):
            raise ValueError(f"{where} has {len(value)} parts, not {len(changes)}; {{}} leaves one as it is")
        return [_changed(*pair, where) for pair in zip(value, changes, strict=True)]
    return changes


def filled(part: Any, known: dict[str, Callable[[Any], Any]]) -> Any:
    """A tuple or dataclass, and whatever is inside it, with the fields of these names changed."""
    if isinstance(part, tuple):
        return tuple(filled(each, known) for each in part)
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    made = {name: known[name](value) if name in known else filled(value, known) for name, value in values.items()}
    return dataclasses.replace(part, **made)


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """The table of a recipe, in plain values: reading it gives an equal recipe."""
    return tomllib.loads(recipe_toml(recipe))


def recipe_toml(recipe: Recipe) -> str:
    """A recipe as TOML text."""
    return msgspec.toml.encode(packed(recipe)).decode()
