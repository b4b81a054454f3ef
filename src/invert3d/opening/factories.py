"""Networks of the user's own code."""

import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from invert3d.registry import unknown


def made(spec: str, args: Mapping[str, Any]) -> nn.Module:
    """The module that ``package.module:factory`` returns for keyword arguments; the current directory is searched too.

    Raises ValueError, in one sentence, whatever goes wrong.
    """
    module, _, name = spec.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        factory = getattr(importlib.import_module(module), name)
        wrong = _wrong_argument(factory, args)
        thing: Any = None if wrong else factory(**args)
    except Exception as error:  # the user's code can raise anything
        reason = str(error).split("\n")[0] or "no reason given"
        raise ValueError(f"cannot make a model from {spec!r}: {type(error).__name__}: {reason}") from error
    if wrong:
        raise ValueError(f"{spec}: {wrong}")
    if not isinstance(thing, nn.Module):
        raise ValueError(f"{spec} returns {type(thing).__name__}, not an nn.Module")
    return thing


def _wrong_argument(factory: Any, args: Mapping[str, Any]) -> str:
    """What is wrong with the name of an argument, where the factory's signature tells; else nothing."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # it is written in C
        return ""
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return ""
    wrong = next((name for name in args if name not in parameters), None)
    if wrong is None:
        return ""
    return unknown("argument", wrong, parameters) if parameters else f"it takes no arguments, {wrong!r} was given"
