"""A matrix as colored tiles with its numbers in them, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from invert3d.view.color import ThemeName, colorize, limits, rgb, theme_of
from invert3d.view.sheet import MARGIN, Sheet, heading_height, text_width

if TYPE_CHECKING:
    from PIL import Image

_SMALL, _NAME = 11.5, 12.0  # sizes of type
_DARK_INK, _LIGHT_INK = (20, 21, 26), (255, 255, 255)


def matrix_plot(
    matrix: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str = "",
    note: str = "",
    row_label: str = "",
    column_label: str = "",
    form: str = ".2f",
    vmin: float | None = None,
    vmax: float | None = None,
    kind: Literal["sequential", "diverging"] = "sequential",
    theme: ThemeName = "light",
    scale: int = 2,
) -> Image.Image:
    """A table of numbers as colored tiles, such as "inverted from the row, recognized by the column".

    Args:
        matrix: (R, C) numbers; NaN leaves an empty tile.
        rows: R names, down the side.
        columns: C names, across the top.
        title: the headline.
        note: a sentence or two below it.
        row_label: what the rows are.
        column_label: what the columns are.
        form: the format of a number, such as ".2f" or ".0%".
        vmin: the number at the low end of the map; low numbers of a sequential map fade into the sheet.
        vmax: the number at the high end.
        kind: the map.
        theme: "light" or "dark".
        scale: pixels of the image for each design pixel.

    A tile whose row and column have the same name is set in bold.

    Raises:
        ValueError: `matrix` is not (R, C), or `vmin` is not below `vmax`.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape != (len(rows), len(columns)) or matrix.size == 0:
        raise ValueError(f"matrix: got shape {matrix.shape}, accepted is ({len(rows)}, {len(columns)}), not empty")
    texts = [
        ["" if np.isnan(value) else format(value, form).replace("-", "\N{MINUS SIGN}") for value in row]
        for row in matrix.tolist()
    ]
    widest = max(text_width(name, _NAME) for name in columns)
    upright = len(columns) > 6 and widest > 64
    number = max(text_width(text, _NAME, bold=True) for row in texts for text in row)
    tile = (max(40.0, number + 14, 0 if upright else widest + 14), 34.0)
    left = MARGIN + (26 if row_label else 0) + max(text_width(name, _NAME) for name in rows) + 14
    width = max(left + tile[0] * len(columns) + MARGIN, 380.0 if title or note else 0.0)
    head = heading_height(title, note, width)
    top = head + (24 if column_label else 0) + (widest + 12 if upright else 24)
    sheet = Sheet(width, top + tile[1] * len(rows) + MARGIN, theme, scale)
    sheet.heading(title, note)
    muted, middle = rgb(theme_of(theme).muted), top + tile[1] * len(rows) / 2
    sheet.text(left, head + 6, column_label, size=_SMALL, color=muted)
    low_end = middle + text_width(row_label, _SMALL) / 2
    sheet.text(MARGIN + 5, low_end, row_label, size=_SMALL, color=muted, upright=True)
    _names(sheet, (left, top), tile, rows, columns, upright=upright)
    paints = _tile_colors(matrix, vmin, vmax, kind, theme)
    for row, name in enumerate(rows):
        for column, other in enumerate(columns):
            corner = (left + tile[0] * column, top + tile[1] * row)
            _tile(sheet, corner, tile, texts[row][column], paints[row][column], bold=name == other)
    return sheet.image()


def _names(
    sheet: Sheet,
    corner: tuple[float, float],
    tile: tuple[float, float],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    upright: bool,
) -> None:
    """The names above and beside the tiles."""
    left, top = corner
    for column, name in enumerate(columns):
        x = left + tile[0] * (column + 0.5)
        sheet.text(x, top - (8 if upright else 13), name, size=_NAME, anchor="m", upright=upright)
    for row, name in enumerate(rows):
        sheet.text(left - 12, top + tile[1] * (row + 0.5), name, size=_NAME, anchor="r")


def _tile_colors(
    matrix: np.ndarray,
    vmin: float | None,
    vmax: float | None,
    kind: Literal["sequential", "diverging"],
    theme: ThemeName,
) -> np.ndarray:
    """(R, C, 3) uint8; low numbers of a sequential map fade into the sheet, empty tiles are its surface."""
    low, high = limits(matrix, vmin, vmax, kind)
    colors = colorize(matrix, low, high, kind).astype(np.float64)
    surface = np.array(rgb(theme_of(theme).surface), np.float64)
    place = np.clip((matrix - low) / (high - low), 0, 1)
    strength = 0.14 + 0.86 * np.minimum(1, 2.2 * (place if kind == "sequential" else np.abs(2 * place - 1)))
    strength = np.where(np.isnan(matrix), 0, strength)[..., None]
    return np.rint(surface + (colors - surface) * strength).astype(np.uint8)


def _tile(
    sheet: Sheet, corner: tuple[float, float], size: tuple[float, float], text: str, paint: np.ndarray, *, bold: bool
) -> None:
    """One colored tile and its number, in the ink that reads better on it."""
    red, green, blue = (int(value) for value in paint)
    (x, y), (width, height) = corner, size
    sheet.box(x + 1, y + 1, width - 2, height - 2, fill=(red, green, blue), corner=5)
    light = 0.2126 * (red / 255) ** 2.2 + 0.7152 * (green / 255) ** 2.2 + 0.0722 * (blue / 255) ** 2.2
    ink = _DARK_INK if light > 0.2 else _LIGHT_INK
    sheet.text(x + width / 2, y + height / 2, text, size=_NAME, color=ink, bold=bold, anchor="m")
