"""One number over several others: a plot of each, side by side, as PNG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from invert3d.view.axis import scale_of, short
from invert3d.view.color import Theme
from invert3d.view.style import MARGIN, SMALL, Sheet, font

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

_WIDE, _HIGH, _GAP = 210.0, 170.0, 56.0
_COLUMNS = 4


@dataclass(frozen=True)
class Over:
    """A horizontal axis: the positions (N,) of the samples, whether it counts in powers of ten, and the names of the
    positions 0, 1, ..., if they have any."""

    places: Sequence[float]
    log: bool = False
    names: Sequence[str] = ()


def scatter_plots(
    over: Mapping[str, Over], values: Sequence[float], *, y_label: str = "", title: str = "", note: str = ""
) -> "Image.Image":
    """A dot for each sample in each plot; the lowest value is marked in all of them.

    Args:
        over: axes by name.
        values: (N,) positive numbers, on an axis that counts in powers of ten.
        y_label: what they are.
        title, note: as of `contact_sheet`.

    Raises:
        ValueError: there is no plot or no sample, a length differs, or a value is not positive.
    """
    down = np.asarray(values, float)
    if not over or not len(down) or any(len(each.places) != len(down) for each in over.values()):
        raise ValueError(f"over: got {[len(each.places) for each in over.values()]} positions of {len(down)} values")
    if not (np.isfinite(down) & (down > 0)).all():
        raise ValueError("values: accepted are positive, finite numbers")
    columns = min(_COLUMNS, len(over))
    rows = -(-len(over) // columns)
    width = 2 * MARGIN + 30 + columns * _WIDE + (columns - 1) * _GAP
    sheet = Sheet(width, rows * (_HIGH + 62) + MARGIN, title=title, note=note)
    for k, (name, each) in enumerate(over.items()):
        left, top = MARGIN + 30 + k % columns * (_WIDE + _GAP), k // columns * (_HIGH + 62) + 20
        axes = sheet.plot(left, top, _WIDE, _HIGH)
        _draw(axes, each, down, sheet.theme)
        axes.set_xlabel(name, color=sheet.theme.ink, labelpad=6, fontproperties=font(SMALL), parse_math=False)
        if k % columns == 0:
            sheet.text(left - 30, top - 14, y_label, size=SMALL, color=sheet.theme.muted)
    return sheet.image()


def _draw(axes: "Axes", over: Over, values: np.ndarray, theme: Theme) -> None:
    """The dots of one plot, and its axes."""
    x = np.asarray(over.places, float)
    ticks, ends = (np.arange(len(over.names)), (0.0, len(over.names) - 1.0)) if over.names else scale_of(x, over.log, 3)
    marks, best = _marks(values), int(values.argmin())
    axes.set(xscale="log" if over.log else "linear", yscale="log")
    axes.set(xlim=_wider(*ends, over.log), ylim=_wider(min(values.min(), marks[0]), max(values.max(), marks[-1]), True))
    axes.minorticks_off()
    axes.set_xticks(ticks, over.names or [short(float(tick)) for tick in ticks])
    axes.set_yticks(marks, [short(float(mark)) for mark in marks])
    axes.grid(axis="y", color=theme.line, linewidth=0.75)
    axes.scatter(x, values, s=9, color=theme.muted, alpha=0.55, linewidths=0)
    axes.scatter(x[best], values[best], s=46, color=theme.accent, linewidths=0, zorder=3)


def _marks(values: np.ndarray) -> np.ndarray:
    """1, 2 and 5 times powers of ten around positive numbers, and not more than six of them."""
    powers = np.arange(np.floor(np.log10(values.min())), np.ceil(np.log10(values.max())) + 1)
    known = np.sort(np.outer([1, 2, 5], 10.0**powers).ravel())
    first = max(0, int(np.searchsorted(known, values.min() * (1 + 1e-9))) - 1)
    last = min(len(known), int(np.searchsorted(known, values.max() * (1 - 1e-9))) + 1)
    inside = known[first:last]
    return inside[:: -(-len(inside) // 6)]


def _wider(low: float, high: float, log: bool) -> tuple[float, float]:
    """Both ends of an axis with a little room."""
    if log:
        room = (high / low) ** 0.04 if high > low else 1.2
        return low / room, high * room
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room
