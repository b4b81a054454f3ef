"""Colors of the street world: sRGB in [0, 1], or a tint that each instance chooses; light is linear."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Color = tuple[float, ...]
#: colors that an instance chooses, instead of the template
TINT_A: Color = (-1.0, 0.0, 0.0)
TINT_B: Color = (-2.0, 0.0, 0.0)


def palette(percent: str) -> tuple[Color, ...]:
    """Colors from sRGB in percent: ``palette("85 85 83, 10 10 12")``."""
    return tuple(tuple(int(share) / 100 for share in color.split()) for color in percent.split(","))


def pick(rng: np.random.Generator, table: Sequence[T]) -> T:
    """One of a table, each as likely."""
    return table[int(rng.integers(len(table)))]


def linear(color: Sequence[float] | np.ndarray) -> np.ndarray:
    """A color from sRGB to light, about; negative first channels (tints) are left alone."""
    values = np.asarray(color, dtype=np.float32)
    return np.where(values < 0, values, np.abs(values) ** np.float32(2.2))
