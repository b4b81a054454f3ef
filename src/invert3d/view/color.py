"""Color with a meaning: three maps that read on paper and on a dark screen, and the two themes around them.

The maps are drawn in OKLab (Ottosson, "A perceptual color space for image processing", 2020), so that equal
steps in value look like equal steps in color. Both ends of every map keep clear of black and of white.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np

Kind = Literal["sequential", "diverging", "categorical"]
ThemeName = Literal["light", "dark"]
RGB = tuple[int, int, int]

# (position, lightness 0-1, chroma, hue in degrees): hues run on past 360 where the path crosses red.
_SEQUENTIAL = (
    (0.0, 0.47, 0.19, 277.0),
    (0.28, 0.57, 0.205, 315.0),
    (0.55, 0.67, 0.185, 366.0),
    (0.8, 0.76, 0.155, 409.0),
    (1.0, 0.84, 0.145, 442.0),
)
_DIVERGING = (
    (0.0, 0.50, 0.17, 262.0),
    (0.25, 0.64, 0.11, 250.0),
    (0.5, 0.74, 0.0, 250.0),
    (0.5, 0.74, 0.0, 45.0),
    (0.75, 0.66, 0.12, 45.0),
    (1.0, 0.54, 0.19, 30.0),
)
_CATEGORICAL = (
    (0.60, 0.17, 277.0),
    (0.72, 0.16, 55.0),
    (0.66, 0.11, 195.0),
    (0.65, 0.19, 5.0),
    (0.69, 0.16, 135.0),
    (0.70, 0.12, 240.0),
    (0.78, 0.14, 90.0),
    (0.62, 0.18, 325.0),
)
_MISSING: RGB = (137, 140, 148)


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The seven flat colors of a page or a figure, each as "#rrggbb".

    `background` is the sheet, `surface` a card on it, `ink` the text, `muted` what may be skipped, `line` a
    rule or a grid, `accent` the one thing to act on, `shadow` what a cloud casts on the ground.
    """

    name: ThemeName
    background: str
    surface: str
    ink: str
    muted: str
    line: str
    accent: str
    shadow: str


THEMES: dict[ThemeName, Theme] = {
    "light": Theme(
        name="light",
        background="#fbfaf8",
        surface="#ffffff",
        ink="#1a1c22",
        muted="#646975",
        line="#e2e0da",
        accent="#5348c7",
        shadow="#3d3a52",
    ),
    "dark": Theme(
        name="dark",
        background="#0f1116",
        surface="#171a21",
        ink="#eceef2",
        muted="#9aa0ad",
        line="#2b303a",
        accent="#ada3ff",
        shadow="#000000",
    ),
}


def theme_of(name: str) -> Theme:
    """The theme called `name`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in THEMES:
        raise ValueError(f"theme: got {name!r}, accepted are {', '.join(map(repr, THEMES))}")
    return THEMES[name]


def rgb(code: str) -> RGB:
    """The three bytes of a "#rrggbb" color."""
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


@cache
def palette(kind: Kind = "sequential") -> np.ndarray:
    """The table behind a map: (256, 3) uint8, or (8, 3) for the categorical set. Read only.

    Raises:
        ValueError: `kind` is none of the three.
    """
    if kind == "categorical":
        table = _from_oklab(_cartesian(*np.array(_CATEGORICAL).T))
    elif kind in ("sequential", "diverging"):
        table = _from_oklab(_path(np.array(_SEQUENTIAL if kind == "sequential" else _DIVERGING)))
    else:
        raise ValueError(f"kind: got {kind!r}, accepted are {', '.join(map(repr, get_args(Kind)))}")
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
        kind: "sequential" for height or depth, "diverging" for signed numbers (zero is gray), "categorical"
            for names.

    Values beyond the limits take the end color; NaN takes a neutral gray.

    Raises:
        ValueError: `kind` is unknown, or `vmin` is not below `vmax`.
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
    """The numbers at both ends of a map: those given, else from the finite `values` (any shape); low < high.

    Raises:
        ValueError: `vmin` is not below `vmax`.
    """
    if vmin is not None and vmax is not None and not vmin < vmax:
        raise ValueError(f"vmin, vmax: got {vmin}, {vmax}, accepted is vmin < vmax")
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if known.size == 0:
        known = np.zeros(1)
    if kind == "diverging":
        reach = float(np.abs(known).max())
        high = vmax if vmax is not None else -vmin if vmin is not None else reach
        low = vmin if vmin is not None else -high
    else:
        low = float(known.min()) if vmin is None else vmin
        high = float(known.max()) if vmax is None else vmax
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _path(stops: np.ndarray) -> np.ndarray:
    """(3, 256) OKLab along straight LCh lines through the stops, whose corners are rounded off."""
    width = 24
    at = np.arange(-width, 256 + width) / 255
    lab = _cartesian(*(np.interp(at, stops[:, 0], column) for column in stops.T[1:]))
    lab[:, :width] = 2 * lab[:, [width]] - lab[:, 2 * width : width : -1]
    lab[:, -width:] = 2 * lab[:, [-width - 1]] - lab[:, -width - 2 : -2 * width - 2 : -1]
    kernel = np.hanning(2 * width + 3)[1:-1]
    return np.stack([np.convolve(row, kernel / kernel.sum(), mode="valid") for row in lab])


def _cartesian(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """OKLCh, hue in degrees, (n,) each, to OKLab (3, n)."""
    return np.stack([lightness, chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))])


def _from_oklab(lab: np.ndarray) -> np.ndarray:
    """OKLab (3, n) to 8-bit sRGB (n, 3)."""
    to_lms = np.array(
        [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_rgb @ (to_lms @ lab) ** 3, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded.T * 255).astype(np.uint8)
