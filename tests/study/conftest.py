"""Procedural shapes that several studies are shown are made once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from invert3d.study.explaining import held_out


@functools.cache
def made(make: Callable[..., Any], *what: Any) -> tuple[np.ndarray, ...]:
    return make(*what)


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows from a name and numbers alone: each test gets a copy."""
    for name in ("cloud_with_edges", "grid_with_edges"):
        make = getattr(held_out, name)
        monkeypatch.setattr(held_out, name, lambda *what, make=make: tuple(a.copy() for a in made(make, *what)))
