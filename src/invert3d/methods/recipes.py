"""Recipes as TOML: read with unknown keys refused, written into run folders, overridden from the command line."""

import dataclasses
import tomllib
from dataclasses import MISSING, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import tomli_w

from invert3d.engine.objective import Objective, WeightedSum, as_terms
from invert3d.engine.projection import Projection
from invert3d.engine.stepper import Stepper
from invert3d.methods.classes import Recipe, Stage
from invert3d.registry import lookup, name_of, registered, unknown

FOLDER = Path(str(resources.files("invert3d"))) / "recipes"


def recipe_names() -> list[str]:
    """Names of the built-in recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(name: str, **overrides: Any) -> Recipe:
    """A built-in recipe by name, or one from a TOML file by path, with some plain values replaced.

    ``steps`` as an override shares out that many steps over the stages in proportion. Raises ValueError for an unknown
    recipe, and for any unknown key or value of the wrong type in it.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = FOLDER / f"{name}.toml"
        if not path.is_file():
            raise ValueError(unknown("recipe", name, recipe_names()))
    if not path.is_file():
        raise ValueError(f"no recipe file {path}")
    try:
        table = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} is not TOML: {error}") from error
    return overridden(recipe_from(table, path.stem), overrides)


def overridden(recipe: Recipe, overrides: dict[str, Any]) -> Recipe:
    """A recipe with plain values replaced; None leaves a value as it is."""
    given = {key: value for key, value in overrides.items() if value is not None}
    if (steps := given.pop("steps", None)) is not None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        factor = steps / recipe.steps
        stages = tuple(dataclasses.replace(s, steps=max(1, round(s.steps * factor))) for s in recipe.stages)
        recipe = dataclasses.replace(recipe, stages=stages)
    return dataclasses.replace(recipe, **given)


def recipe_from(table: dict[str, Any], name: str) -> Recipe:
    """A recipe from its table. Raises ValueError naming the nearest keys for an unknown one."""
    table = {"name": name, **table}
    values: dict[str, Any] = {}
    known = {field.name: field for field in fields(Recipe)}
    for key, value in table.items():
        if key == "stages":
            values[key] = tuple(stage_from(each) for each in value)
        elif key == "objective":
            values[key] = objective_from(value)
        elif key == "parameterization":
            values[key] = built("parameterization", value)
        elif key == "transforms":
            values[key] = tuple(built("transform", each) for each in value)
        elif key in known:
            values[key] = plain(Recipe, key, value)
        else:
            raise ValueError(f"recipe {name}: {unknown('key', key, known)}")
    return Recipe(**values)


def stage_from(table: dict[str, Any]) -> Stage:
    """One stage from its table."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key == "stepper":
            values[key] = checked(Stepper, value)
        elif key == "parameterization":
            values[key] = built("parameterization", value)
        elif key == "projections":
            values[key] = tuple(built("projection", each) for each in value)
        elif key in ("steps", "keep"):
            values[key] = plain(Stage, key, value)
        else:
            raise ValueError(f"stage: {unknown('key', key, [field.name for field in fields(Stage)])}")
    return Stage(**values)


def objective_from(tables: list[dict[str, Any]]) -> Objective:
    """A weighted sum of objectives and priors, each a table with a name and, if it is not 1, a weight."""
    terms = []
    for table in tables:
        rest = dict(table)
        weight = float(rest.pop("weight", 1.0))
        kind = "objective" if rest.get("name") in registered("objective") else "prior"
        if rest.get("name") not in registered(kind):
            names = [*registered("objective"), *registered("prior")]
            raise ValueError(unknown("objective", str(rest.get("name")), names))
        terms.append((weight, built(kind, rest)))
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else WeightedSum(terms=tuple(terms))


def built(kind: str, table: dict[str, Any]) -> Any:
    """An object of a registered class from a table with its ``name`` and its fields."""
    rest = dict(table)
    if "name" not in rest:
        raise ValueError(f"a {kind} needs a name; known: {', '.join(registered(kind))}")
    return checked(lookup(kind, rest.pop("name")), rest)


def checked(cls: type, table: dict[str, Any]) -> Any:
    """An object of a dataclass from a table; unknown keys and wrong types refused."""
    known = [field.name for field in fields(cls)]
    for key in table:
        if key not in known:
            raise ValueError(f"{cls.__name__}: {unknown('key', key, known)}")
    needed = [
        f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING and f.name not in table
    ]
    if needed:
        raise ValueError(f"{cls.__name__} needs {', '.join(needed)}")
    return cls(**{key: plain(cls, key, value) for key, value in table.items()})


def plain(cls: type, key: str, value: Any) -> Any:
    """A value converted to the type of a field; a table with a name becomes the projection it describes, another one
    the dataclass that the field is."""
    if isinstance(value, dict) and "name" in value:
        return built("projection", value)
    hint = get_type_hints(cls)[key]
    if isinstance(value, dict) and is_dataclass(hint):
        return checked(hint, value)  # type: ignore[arg-type]
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise ValueError(f"{cls.__name__}.{key}: {error}") from error


def described(thing: Any, kind: str) -> dict[str, Any]:
    """The table of an object of a registered class: what ``built`` makes it from again."""
    return {"name": name_of(kind, type(thing)), **values_of(thing)}


def values_of(thing: Any) -> dict[str, Any]:
    """The fields of a dataclass as plain values."""
    values = {field.name: getattr(thing, field.name) for field in fields(thing)}
    return {key: _simple(value) for key, value in values.items() if value is not None}


def _simple(value: Any) -> Any:
    if is_dataclass(value):
        return described(value, "projection") if isinstance(value, Projection) else values_of(value)
    return list(value) if isinstance(value, tuple) else value


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """The table of a recipe: reading it gives an equal recipe."""
    objective = [
        {
            "weight": weight,
            **described(term, "objective" if type(term) in registered("objective").values() else "prior"),
        }
        for weight, term in as_terms(recipe.objective)
    ]
    stages = []
    for stage in recipe.stages:
        table: dict[str, Any] = {"steps": stage.steps, "keep": stage.keep, "stepper": values_of(stage.stepper)}
        if stage.parameterization is not None:
            table["parameterization"] = described(stage.parameterization, "parameterization")
        if stage.projections:
            table["projections"] = [described(each, "projection") for each in stage.projections]
        stages.append(table)
    simple = {
        f.name: getattr(recipe, f.name)
        for f in fields(Recipe)
        if isinstance(getattr(recipe, f.name), (str, int, float))
    }
    return simple | {
        "objective": objective,
        "parameterization": described(recipe.parameterization, "parameterization"),
        "transforms": [described(each, "transform") for each in recipe.transforms],
        "stages": stages,
    }


def recipe_toml(recipe: Recipe) -> str:
    """A recipe as TOML text."""
    return tomli_w.dumps(recipe_table(recipe))
