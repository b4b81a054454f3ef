"""A matrix as colored tiles with its numbers in them, as PNG."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from invert3d.view.color import LIGHT, code_of, colorize, limits, rgb
from invert3d.view.style import MARGIN, NAME, SMALL, Sheet, font, text_width

if TYPE_CHECKING:
    from PIL import Image

_TALL = 34.0  # of a tile, in design pixels
_DARK_INK, _LIGHT_INK = "#14151a", "#ffffff"


def matrix_plot(
    matrix: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str = "",
    note: str = "",
    labels: tuple[str, str] = ("", ""),
    form: str = ".2f",
    span: tuple[float | None, float | None] = (None, None),
) -> "Image.Image":
    """A table of numbers as colored tiles, such as "inverted from the row, recognized by the column".

    Args:
        matrix: (R, C) numbers; NaN leaves an empty tile.
        rows: R names, down the side.
        columns: C names, across the top.
        title, note: as of `contact_sheet`.
        labels: what the rows are, and what the columns are.
        form: the format of a number, such as ".2f" or ".0%".
        span: the numbers at the ends of the map, as of `color.limits`; low numbers fade into the sheet.

    A tile whose row and column have the same name is set in bold.

    Raises:
        ValueError: `matrix` is not (R, C), or `span` does not rise.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape != (len(rows), len(columns)) or matrix.size == 0:
        raise ValueError(f"matrix: got shape {matrix.shape}, accepted is ({len(rows)}, {len(columns)}), not empty")
    texts = [
        ["" if np.isnan(value) else format(value, form).replace("-", "\N{MINUS SIGN}") for value in row]
        for row in matrix.tolist()
    ]
    widest = max(text_width(name, NAME) for name in columns)
    upright = len(columns) > 6 and widest > 64
    number = max(text_width(text, NAME, bold=True) for row in texts for text in row)
    wide = max(40.0, number + 14, 0 if upright else widest + 14)
    left = MARGIN + (26 if labels[0] else 0) + max(text_width(name, NAME) for name in rows) + 14
    top = (24 if labels[1] else 0) + (widest + 12 if upright else 24)
    size = (wide * len(columns), _TALL * len(rows))
    width = max(left + size[0] + MARGIN, 380.0 if title or note else 0.0)
    sheet = Sheet(width, top + size[1] + MARGIN, title=title, note=note)
    axes = sheet.plot(left, top, *size)
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=90 * upright, parse_math=False)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows, parse_math=False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0, labelsize=NAME, labelcolor=sheet.theme.ink, pad=9)
    words = {"color": sheet.theme.muted, "fontproperties": font(SMALL), "parse_math": False}
    axes.set_xlabel(labels[1], loc="left", labelpad=16, **words)
    axes.set_ylabel(labels[0], labelpad=17, **words)
    paints = _tile_colors(matrix, *span)
    for (row, column), paint in np.ndenumerate(paints):
        x, y = left + wide * column, top + _TALL * row
        sheet.box(x + 1, y + 1, wide - 2, _TALL - 2, fill=paint, corner=5)
        light = (np.array(rgb(paint)) / 255) ** 2.2 @ (0.2126, 0.7152, 0.0722)
        ink, bold = _DARK_INK if light > 0.2 else _LIGHT_INK, rows[row] == columns[column]
        sheet.text(x + wide / 2, y + _TALL / 2 + 1, texts[row][column], color=ink, bold=bold, anchor="center")
    return sheet.image()


def _tile_colors(matrix: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """ "#rrggbb" (R, C); low numbers fade into the sheet, empty tiles are its surface."""
    low, high = limits(matrix, low, high)
    surface = np.array(rgb(LIGHT.surface), np.float64)
    strength = 0.14 + 0.86 * np.minimum(1, 2.2 * np.clip((matrix - low) / (high - low), 0, 1))
    strength = np.where(np.isnan(matrix), 0, strength)[..., None]
    colors = np.rint(surface + (colorize(matrix, low, high) - surface) * strength).astype(np.uint8)
    return np.apply_along_axis(code_of, 2, colors)
