"""Curves over the steps of a run, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from invert3d.view.axis import Plot, decades, short, thin, ticks, value_span
from invert3d.view.color import RGB, ThemeName, palette, rgb, theme_of
from invert3d.view.sheet import MARGIN, Sheet, text_width

if TYPE_CHECKING:
    from PIL import Image

_SMALL, _NAME = 11.5, 12.0  # sizes of type
_DARK_INK, _LIGHT_INK = (20, 21, 26), (255, 255, 255)


def trace_plot(
    series: Mapping[str, np.ndarray],
    *,
    steps: np.ndarray | None = None,
    title: str = "",
    note: str = "",
    x_label: str = "step",
    y_label: str = "",
    log: bool = False,
    size: tuple[int, int] = (720, 400),
    theme: ThemeName = "light",
    scale: int = 2,
) -> Image.Image:
    """Curves over the steps of a run, each named at its end.

    Args:
        series: (T,) numbers by name, on one axis; NaN leaves a gap. Up to eight have colors of their own,
            more are colored in order along the sequential map.
        steps: (T,) rising positions; by default 0, 1, 2, ...
        title: the headline.
        note: a sentence or two below it.
        x_label: what the steps are.
        y_label: what the numbers are, with their unit.
        log: whether the vertical axis counts in powers of ten; then all numbers must be positive.
        size: (width, height) in design pixels.
        theme: "light" or "dark".
        scale: pixels of the image for each design pixel.

    Raises:
        ValueError: there is no finite number, a length differs from `steps`, or a number is not fit for
            `log`.
    """
    curves = {name: np.asarray(values, np.float64) for name, values in series.items()}
    known = _checked_curves(curves, steps, log)
    sheet = Sheet(size[0], size[1], theme, scale)
    top = sheet.heading(title, note) + (24 if y_label else 6)
    plot, marks = _plot_area(curves, steps, known, log, size, top)
    _axes(sheet, plot, marks, x_label, y_label)
    several = palette("categorical") if len(curves) <= 8 else palette()[np.linspace(0, 255, len(curves)).astype(int)]
    ends = []
    for (name, values), color in zip(curves.items(), several, strict=False):
        over = np.arange(len(values), dtype=np.float64) if steps is None else np.asarray(steps, np.float64)
        paint: RGB = (int(color[0]), int(color[1]), int(color[2]))
        end = _curve(sheet, plot, over, values, paint)
        ends.append((end[1], end[0], name, paint))
    if plot.right < size[0] - MARGIN - 10:
        _name_ends(sheet, plot, ends)
    return sheet.image()


def _checked_curves(curves: Mapping[str, np.ndarray], steps: np.ndarray | None, log: bool) -> np.ndarray:
    """All finite numbers of all curves, (n,), once lengths and signs are seen to be right."""
    for name, values in curves.items():
        if values.ndim != 1 or len(values) == 0:
            raise ValueError(f"series {name!r}: got shape {values.shape}, accepted is (T >= 1,)")
        if steps is not None and values.shape != np.shape(steps):
            raise ValueError(f"series {name!r}: got {len(values)} numbers for steps of shape {np.shape(steps)}")
    known = np.concatenate([values[np.isfinite(values)] for values in curves.values()]) if curves else np.zeros(0)
    if known.size == 0:
        raise ValueError("series: got no finite number, accepted is at least one")
    if log and known.min() <= 0:
        raise ValueError(f"series: got {known.min():g} with log=True, accepted are positive numbers")
    return known


def _plot_area(
    curves: Mapping[str, np.ndarray],
    steps: np.ndarray | None,
    known: np.ndarray,
    log: bool,
    size: tuple[int, int],
    top: float,
) -> tuple[Plot, np.ndarray]:
    """The plot between the labels, and the ticks of its vertical axis."""
    span = value_span(known, log)
    marks = decades(*span, 5) if log else ticks(*span)
    bottom = size[1] - MARGIN - 34
    fits = 16 * len(curves) <= bottom - top
    gutter = max(text_width(name, _NAME, bold=True) for name in curves) + 14 if fits else 0
    longest = max(len(values) for values in curves.values())
    over = np.array([0, longest - 1]) if steps is None else np.asarray(steps, np.float64)
    first, last = float(over[0]), float(over[-1])
    plot = Plot(
        left=MARGIN + max(text_width(short(float(mark)), _SMALL) for mark in marks) + 12,
        top=top,
        right=size[0] - MARGIN - gutter,
        bottom=bottom,
        x=(first, last if last > first else first + 1),
        y=span,
        log=log,
    )
    return plot, marks


def _axes(sheet: Sheet, plot: Plot, marks: np.ndarray, x_label: str, y_label: str) -> None:
    """Rules across the plot with their numbers, the steps below it, and what both axes are."""
    theme = theme_of(sheet.theme)
    line, muted = rgb(theme.line), rgb(theme.muted)
    for mark in marks:
        y = float(plot.down(mark))
        sheet.path(np.array([[plot.left, y], [plot.right, y]]), color=line, width=0.8)
        sheet.text(plot.left - 10, y, short(float(mark)), size=_SMALL, color=muted, anchor="r")
    for mark in ticks(*plot.x, 6):
        x = float(plot.across(mark))
        sheet.text(x, plot.bottom + 18, short(float(mark)), size=_SMALL, color=muted, anchor="m")
    sheet.text((plot.left + plot.right) / 2, plot.bottom + 40, x_label, size=_SMALL, color=muted, anchor="m")
    sheet.text(MARGIN, plot.top - 18, y_label, size=_SMALL, color=muted)


def _curve(sheet: Sheet, plot: Plot, steps: np.ndarray, values: np.ndarray, paint: RGB) -> tuple[float, float]:
    """One curve, broken where it is not finite; returns its last place, or the corner if it has none."""
    kept = thin(values, 1200)
    good = np.isfinite(values[kept])
    dots = np.full((len(kept), 2), np.nan)
    dots[good] = np.stack([plot.across(steps[kept][good]), plot.down(values[kept][good])], axis=1)
    for run in np.split(np.arange(len(kept)), np.flatnonzero(np.diff(good)) + 1):
        if good[run[0]]:
            sheet.path(dots[run], color=paint, width=1.9)
    if not good.any():
        return plot.right, plot.bottom
    x, y = dots[good][-1]
    sheet.dot(x, y, radius=3.6, color=paint)
    return float(x), float(y)


def _name_ends(sheet: Sheet, plot: Plot, ends: Sequence[tuple[float, float, str, RGB]]) -> None:
    """Names beside the ends of the curves, each (y, x, name, color), moved apart where they would overlap."""
    order = sorted(ends)
    places = [end[0] for end in order]
    for _ in range(200):
        for above, below in zip(range(len(places) - 1), range(1, len(places)), strict=True):
            lack = 16 - (places[below] - places[above])
            if lack > 0:
                places[above], places[below] = places[above] - lack / 2, places[below] + lack / 2
        shift = max(0.0, places[-1] - plot.bottom) - max(0.0, plot.top - places[0])
        places = [place - shift for place in places]
    for (_, _, name, paint), place in zip(order, places, strict=True):
        sheet.text(plot.right + 12, place, name, size=_NAME, color=paint, bold=True)
