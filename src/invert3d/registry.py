"""Names for everything that can be chosen by name: one decorator, one dictionary, entry points.

A class registered here is known to the command line, to recipes, to the contract tests and to the tables in the
docs, without any of them being edited::

    @plain("objective", "class_score")
    class ClassScore(Objective): ...

Other packages add their own through the entry-point groups ``invert3d.<kind>``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")

_entries: dict[str, dict[str, Any]] = {}
_loaded: set[str] = set()

#: Where the built-in members of each kind are written: modules, or packages of which every module is looked into.
#: Imported on the first look-up only.
HOMES = {
    "model": ("invert3d.models",),
    "descriptor": ("invert3d.models",),
    "decoder": ("invert3d.models",),
    "center_network": ("invert3d.models.detectors",),
    "detector": ("invert3d.models.detectors",),
    "objective": ("invert3d.objectives",),
    "prior": ("invert3d.priors",),
    "projection": ("invert3d.engine.projection", "invert3d.projections"),
    "parameterization": ("invert3d.parameterizations",),
    "transform": ("invert3d.engine.transform", "invert3d.transforms"),
    "stop": (
        "invert3d.methods.stages",
        "invert3d.methods.layouts",
        "invert3d.methods.attacks",
        "invert3d.methods.descriptors",
    ),
    "attribution": ("invert3d.attribution",),
    "figure": ("invert3d.study.papers",),
    "stepper": ("invert3d.engine.stepper",),
    "schedule": ("invert3d.engine.schedule",),
}


def register(kind: str, name: str) -> Callable[[T], T]:
    """Make a class or function known as ``name`` among its ``kind``. Raises ValueError if the name is taken."""

    def add(thing: T) -> T:
        known = _entries.setdefault(kind, {})
        if name in known and known[name].__qualname__ != getattr(thing, "__qualname__", None):
            raise ValueError(f"the {kind} name {name!r} is taken by {known[name]!r}")
        known[name] = thing
        return thing

    return add


@dataclass_transform(frozen_default=True, kw_only_default=True)
def plain(kind: str, name: str) -> Callable[[type[T]], type[T]]:
    """Register a class, made a frozen keyword-only dataclass: a recipe can hold it, and its repr is its recipe."""
    return lambda cls: register(kind, name)(dataclass(frozen=True, kw_only=True)(cls))


def lookup(kind: str, name: str) -> Any:
    """The thing registered as ``name``. Raises ValueError naming the nearest names if there is none."""
    if name in _entries.get(kind, {}):  # nothing else need be imported
        return _entries[kind][name]
    known = registered(kind)
    if name not in known:
        raise ValueError(unknown(kind, name, known))
    return known[name]


def registered(kind: str) -> dict[str, Any]:
    """All members of a kind, by name, built-in ones and those of other packages."""
    if kind not in _loaded:
        _loaded.add(kind)
        for home in HOMES.get(kind, ()):
            package = import_module(home)
            for module in iter_modules(getattr(package, "__path__", ())):
                import_module(f"{home}.{module.name}")
        for point in entry_points(group=f"invert3d.{kind}"):
            register(kind, point.name)(point.load())
    return dict(sorted(_entries.get(kind, {}).items()))


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """The sentence that says a name is not known and which ones are near."""
    known = list(known)
    near = get_close_matches(str(given).lower(), known, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known[:40])}"
    return f"unknown {what} {given!r}; {hint}"
