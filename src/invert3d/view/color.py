"""Color with a meaning: three maps that read on paper and on a dark screen, and the two themes around them.

The stops of the maps are equal steps in OKLab (Ottosson, "A perceptual color space for image processing", 2020), so
that equal steps in value look like equal steps in color. Both ends of every map keep clear of black and of white.
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

Kind = Literal["sequential", "diverging", "categorical"]
RGB = tuple[int, int, int]

_MAPS: dict[Kind, str] = {
    "sequential": "4644c2 5c44c7 6f44ca 8244cb 9545ca a846c4 bb48b8 cd4baa dc509a"
    " e9578a f2617b f96d6d fd7a60 fe8755 ff954d ffa448 fdb247 f9c04c",
    "diverging": "285cc2 2f69c5 3876c8 4482ca 538dcb 6696c7 7a9cc0 8ea2b8 a1a7ae"
    " afa4a0 ba9a8d c28f78 c98263 cd754f cc6640 cb5633 c84428 c52d1f",
    "categorical": "6971e3 ef852e 12a7a7 e85080 6db041 4fa8e1 dab33a ba58c1",
}
_MISSING: RGB = (137, 140, 148)


class Theme(NamedTuple):
    """The flat colors of a page or a figure, each as "#rrggbb"."""

    background: str  # the sheet
    surface: str  # a card on it
    ink: str  # text
    muted: str  # what may be skipped
    line: str  # a rule or a grid
    accent: str  # the one thing to act on
    shadow: str  # what a cloud casts on the ground


LIGHT = Theme("#fbfaf8", "#ffffff", "#1a1c22", "#646975", "#e2e0da", "#5348c7", "#3d3a52")
DARK = Theme("#0f1116", "#171a21", "#eceef2", "#9aa0ad", "#2b303a", "#ada3ff", "#000000")


def rgb(code: str) -> RGB:
    """The three bytes of a "#rrggbb" color."""
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def code_of(color: Sequence[int] | np.ndarray) -> str:
    """Three bytes (3,) as "#rrggbb"."""
    return f"#{bytes(int(part) for part in color).hex()}"


@cache
def palette(kind: Kind = "sequential") -> np.ndarray:
    """The table behind a map: (256, 3) uint8, or (8, 3) for the categorical set. Read only.

    Raises ValueError where `kind` is none of the three.
    """
    if kind not in _MAPS:
        raise ValueError(f"kind: got {kind!r}, accepted are {', '.join(map(repr, _MAPS))}")
    table = np.array([rgb(f"#{stop}") for stop in _MAPS[kind].split()], np.uint8)
    if kind != "categorical":
        at = np.linspace(0, 255, len(table)).round()
        table = np.stack([np.interp(range(256), at, channel) for channel in table.T], 1).round().astype(np.uint8)
    table.setflags(write=False)
    return table


def colorize(
    values: np.ndarray, vmin: float | None = None, vmax: float | None = None, kind: Kind = "sequential"
) -> np.ndarray:
    """Colors of numbers: (...) -> (..., 3) uint8.

    Args:
        values: numbers of any shape; for "categorical", whole numbers >= 0, which repeat after eight.
        vmin: the value at the low end of the map, by default the smallest; for "diverging", minus `vmax`.
        vmax: the value at the high end, by default the largest; for "diverging", the largest magnitude.
        kind: "sequential" for height or depth, "diverging" for signed numbers (zero is gray), "categorical" for names.

    Values beyond the limits take the end color; NaN takes a neutral gray. Raises ValueError where `kind` is unknown, or
    `vmin` is not below `vmax`.
    """
    table = palette(kind)
    values = np.asarray(values)
    if kind == "categorical":
        if values.dtype.kind not in "iub" or (values.size and values.min() < 0):
            raise ValueError(f"values: got {values.dtype} for a categorical map, accepted are integers >= 0")
        return table[values.astype(np.intp) % len(table)]
    values = values.astype(np.float64)
    low, high = limits(values, vmin, vmax, kind)
    place = np.clip((np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / (high - low), 0.0, 1.0)
    colors = table[np.rint(place * 255).astype(np.intp)]
    colors[np.isnan(values)] = _MISSING
    return colors


def limits(
    values: np.ndarray, vmin: float | None = None, vmax: float | None = None, kind: Kind = "sequential"
) -> tuple[float, float]:
    """The numbers at both ends of a map, low < high: those given, else from the finite `values` (any shape).

    Raises ValueError where `vmin` is not below `vmax`.
    """
    if vmin is not None and vmax is not None and not vmin < vmax:
        raise ValueError(f"vmin, vmax: got {vmin}, {vmax}, accepted is vmin < vmax")
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)] if np.isfinite(known).any() else np.zeros(1)
    low, high = float(known.min()), float(known.max())
    if kind == "diverging":
        reach = max(-low, high)
        low, high = -reach if vmax is None else -vmax, reach if vmin is None else -vmin
    low, high = low if vmin is None else vmin, high if vmax is None else vmax
    return (low, high) if low < high else (low - 0.5, low + 0.5)
