"""What can stand in a recipe file. It follows from the dataclasses and the registry.

Each dataclass becomes a msgspec ``Struct`` with the same fields. A field that takes, say, a projection takes the union
of all registered ones, told apart by their ``name``.
"""

import dataclasses
import re
from functools import cache
from types import UnionType
from typing import Annotated, Any, ForwardRef, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType

from invert3d.engine.objective import Objective, WeightedSum, as_terms
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.projection import Projection
from invert3d.engine.recorder import Recorder
from invert3d.engine.schedule import Schedule
from invert3d.engine.stepper import Stepper
from invert3d.engine.transform import Transform
from invert3d.methods.stages import Recipe, Stage
from invert3d.registry import registered, unknown

#: the registered kinds that a field of each type may hold
KINDS: dict[Any, tuple[str, ...]] = {
    Objective: ("objective", "prior"),
    Parameterization: ("parameterization",),
    Transform: ("transform",),
    Projection: ("projection",),
    Recorder: ("stop",),
    Schedule: ("schedule",),
}
#: fields that hold something without a name, and what
PLAIN = {"recipe": Recipe, "stage": Stage, "stepper": Stepper}


def struct_of(cls: type, tag: str | None = None) -> type[Struct]:
    """The Struct with the fields of a dataclass; what a file leaves out has the dataclass's default."""
    return _struct(cls, tag, tuple(each for kinds in KINDS.values() for each in _members(kinds).items()))


@cache
def _struct(cls: type, tag: str | None, known: tuple[tuple[str, type], ...]) -> type[Struct]:
    """:func:`struct_of` while these names are ``known``: whoever registers another one gets new Structs."""
    hints, parts = get_type_hints(cls), []
    for field in dataclasses.fields(cls):
        hint = _shape(hints[field.name], next((base for base in KINDS if issubclass(cls, base)), None))
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        parts.append((field.name, hint) if needed else (field.name, hint | UnsetType, UNSET))
    if tag is not None and issubclass(cls, Objective):
        parts.append(("weight", float, 1.0))
    field_of_tag = None if tag is None else "name"
    struct = msgspec.defstruct(
        cls.__name__, parts, kw_only=True, forbid_unknown_fields=True, tag_field=field_of_tag, tag=tag
    )
    struct.made_from = cls  # type: ignore[attr-defined]
    return struct


def _shape(hint: Any, own: Any) -> Any:
    """The type of a field of a member of the kind ``own``, with Structs for dataclasses and for what is registered."""
    if isinstance(hint, type) and hint in KINDS:
        if hint is own:  # in a member of the union, which is not complete yet
            return ForwardRef(f"Any{hint.__name__}")
        return Annotated[list[_union(hint)], msgspec.Meta(min_length=1)] if hint is Objective else _union(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return struct_of(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if not inner or origin is Literal:
        return hint
    parts = tuple(_shape(each, own) for each in inner)
    return Union[parts] if origin in (Union, UnionType) else origin[parts]  # noqa: UP007  # type: ignore[index]


def _union(base: type) -> Any:
    """Any of the registered members of a kind, told apart by ``name``."""
    members = tuple(struct_of(cls, name) for name, cls in _members(KINDS[base]).items())
    union = Union[members]  # noqa: UP007
    for each in members:
        setattr(each, f"Any{base.__name__}", union)  # what the forward reference of a nested field finds
    return union


def _members(kinds: tuple[str, ...]) -> dict[str, type]:
    return {name: cls for kind in kinds for name, cls in registered(kind).items()}


def made(value: Any) -> Any:
    """The object that a Struct stands for."""
    if isinstance(value, list) and value and isinstance(value[0], Struct):
        terms = tuple((each.weight, made(each)) for each in value)
        return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else WeightedSum(terms=terms)
    if isinstance(value, tuple):
        return tuple(map(made, value))
    if not isinstance(value, Struct):
        return value
    cls = value.made_from  # type: ignore[attr-defined]
    values = {field.name: made(getattr(value, field.name)) for field in dataclasses.fields(cls)}
    return cls(**{name: each for name, each in values.items() if each is not UNSET})


def packed(thing: Any) -> Any:
    """The Struct that stands for an object. Raises ValueError for one of a class that is not registered."""
    if isinstance(thing, tuple):
        return tuple(map(packed, thing))
    if not dataclasses.is_dataclass(thing):
        return UNSET if thing is None else thing
    values = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    if isinstance(thing, Recipe):
        terms = as_terms(values.pop("objective"))
        objective = [msgspec.structs.replace(packed(term), weight=weight) for weight, term in terms]
        return struct_of(Recipe)(objective=objective, **{name: packed(value) for name, value in values.items()})
    kinds = next((kinds for base, kinds in KINDS.items() if isinstance(thing, base)), ())
    tag = next((name for name, cls in _members(kinds).items() if cls is type(thing)), None)
    if kinds and tag is None:
        raise ValueError(f"{type(thing).__qualname__} is not a registered {kinds[0]}, so no file can name it")
    return struct_of(type(thing), tag)(**{name: packed(value) for name, value in values.items()})


def explained(said: str, table: dict[str, Any]) -> str:
    """What msgspec says of a table, with the nearest keys or names."""
    said, _, path = said.partition(" - at ")
    words = re.findall(r"\w+", path)
    holder, kind = table, "recipe"
    for word in words[:-1] if said.startswith("Invalid") else words:
        holder = holder[int(word)] if word.isdigit() else holder[word]  # type: ignore[call-overload]
        kind = kind if word.isdigit() else word.removesuffix("s")
    members = _members(next((kinds for kinds in KINDS.values() if kind in kinds), ()))
    if said == "Object missing required field `name`":
        return f"a {kind} needs a name; known: {', '.join(members)}"
    given = re.search("(unknown field|Invalid value|enum value) [`'](.*)[`']", said)
    if given is None:
        return f"{said} at {path}"
    if given[1] == "Invalid value":
        return unknown(kind, given[2], members)
    cls = PLAIN.get(kind) or members[holder["name"]]
    if given[1] == "enum value":
        return unknown(f"{kind} {words[-1]}", given[2], get_args(get_type_hints(cls)[words[-1]]))
    return unknown(f"key of {kind}", given[2], [field.name for field in dataclasses.fields(cls)])
