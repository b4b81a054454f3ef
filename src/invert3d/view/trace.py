"""Curves over the steps of a run, as PNG."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from invert3d.view.axis import checked_curve, scale_of, short
from invert3d.view.color import Theme, code_of, palette
from invert3d.view.style import MARGIN, NAME, SMALL, Sheet, font, heading, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image


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
) -> "Image.Image":
    """Curves over the steps of a run, each named at its end.

    Args:
        series: (T,) numbers by name, on one axis; NaN leaves a gap. Up to eight have colors of their own,
            more are colored in order along the sequential map.
        steps: (T,) rising positions; by default 0, 1, 2, ...
        x_label: what the steps are.
        y_label: what the numbers are, with their unit.
        log: whether the vertical axis counts in powers of ten; then all numbers must be positive.
        size: (width, height) in design pixels.
        title, note: as of `contact_sheet`.

    Raises:
        ValueError: there is no finite number, a length differs from `steps`, or a number is not fit for `log`.
    """
    curves = {name: checked_curve(f"series {name!r}", values, steps) for name, values in series.items()}
    known = np.concatenate([numbers[np.isfinite(numbers)] for _, numbers in curves.values()] or [np.zeros(0)])
    if known.size == 0:
        raise ValueError("series: got no finite number, accepted is at least one")
    if log and known.min() <= 0:
        raise ValueError(f"series: got {known.min():g} with log=True, accepted are positive numbers")
    width, height = size
    marks, span = scale_of(known, log, 5 if log else 4)
    above = heading(title, note, width)[1]
    head = above + (24 if y_label else 6)
    low = height - MARGIN - 34
    fits = 16 * len(curves) <= low - head
    gutter = max(text_width(name, NAME, bold=True) for name in curves) + 14 if fits else 0
    left = MARGIN + max(text_width(short(float(mark)), SMALL) for mark in marks) + 12
    sheet = Sheet(width, height - above, title=title, note=note)
    axes = sheet.plot(left, head - sheet.head, width - MARGIN - gutter - left, low - head)
    over = max((along for along, _ in curves.values()), key=len)
    last = over[-1] if over[-1] > over[0] else over[0] + 1
    axes.set(xlim=(over[0], last), ylim=span, yscale="log" if log else "linear")
    _number(axes, marks, sheet.theme)
    axes.set_xlabel(x_label, color=sheet.theme.muted, labelpad=10, fontproperties=font(SMALL), parse_math=False)
    sheet.text(MARGIN, head - sheet.head - 18, y_label, size=SMALL, color=sheet.theme.muted)
    several = palette("categorical") if len(curves) <= 8 else palette()[np.linspace(0, 255, len(curves)).astype(int)]
    ends = []
    for (name, (x, values)), color in zip(curves.items(), map(code_of, several), strict=False):
        known, pen = np.isfinite(values), {"color": color, "clip_on": False}
        y = np.where(known, values, np.nan)
        axes.plot(x, y, linewidth=1.9, solid_joinstyle="round", **pen)
        axes.plot(x[known][-1:], y[known][-1:], marker="o", markersize=7.2, **pen)
        ends.append((float(y[known][-1]) if known.any() else span[0], name, color))
    if fits:
        _name_ends(axes, ends, 16 / (low - head))
    return sheet.image()


def _number(axes: "Axes", marks: np.ndarray, theme: Theme) -> None:
    """Rules across the plot with their numbers, and the steps below it."""
    steps = scale_of(np.array(axes.get_xlim()), False, 6)[0]
    steps = steps[(steps >= axes.get_xlim()[0]) & (steps <= axes.get_xlim()[1])]
    axes.minorticks_off()
    axes.set_yticks(marks, [short(float(mark)) for mark in marks], parse_math=False)
    axes.set_xticks(steps, [short(float(step)) for step in steps], parse_math=False)
    axes.grid(axis="y", color=theme.line, linewidth=0.8)
    axes.tick_params(axis="both", which="both", length=0, pad=10)


def _name_ends(axes: "Axes", ends: Sequence[tuple[float, str, str]], apart: float) -> None:
    """Names beside the ends of the curves, each (number, name, color), moved to be `apart` at least."""
    order = sorted(ends)
    heights = (axes.transScale + axes.transLimits).transform([(1.0, end[0]) for end in order])[:, 1]
    room = apart * np.arange(len(order))
    free = heights - room
    free = (np.maximum.accumulate(free) + np.minimum.accumulate(free[::-1])[::-1]) / 2
    style = {"va": "center_baseline", "fontproperties": font(NAME, bold=True), "parse_math": False}
    for (_, name, color), height in zip(order, np.clip(free, 0, 1 - room[-1]) + room, strict=True):
        axes.annotate(name, (1, height), (12, 0), "axes fraction", "offset points", color=color, **style)
