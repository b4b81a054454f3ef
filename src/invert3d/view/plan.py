"""A layout seen from above: what the camera sees of the ground, the footprints on it, and which way each one faces."""

from typing import TYPE_CHECKING

import numpy as np

from invert3d.view.boxes import array, in_space, kind_color
from invert3d.view.color import LIGHT, code_of, rgb
from invert3d.view.style import Sheet, font

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from invert3d.ops.layouts import Layout

_SMALL = 9.5  # size of type
_BELOW = 26.0  # design pixels below the camera


def birds_eye(
    truth: "Layout",
    found: "Layout | None" = None,
    *,
    reach: float = 60.0,
    width: int = 360,
    height: int = 480,
    scale: int = 2,
) -> np.ndarray:
    """The ground in front of the camera, forward is up: (height * scale, width * scale, 3) uint8.

    The truth is outlined, what was found is filled, each in the color of its kind; the line out of a box points where
    its front does. A shade shows what the picture covers, rings tell the distance to the camera in meters. A box
    outside of the plan is not drawn, and the plan says how many there are.

    Args:
        truth: what was asked for.
        found: what a detector answered, if any.
        reach: meters from the camera to the upper edge.
        width, height: in design pixels.
        scale: pixels of the image for each design pixel.

    Raises:
        ValueError: `reach` is not positive, or the plan is too small to be read.
    """
    if not 0 < reach < np.inf or width < 120 or height < 120:
        given = f"reach, width, height: got {reach}, {width}, {height}"
        raise ValueError(f"{given}, accepted are meters > 0 and sides of 120 or more")
    sheet = Sheet(width, height, scale=scale, top=0)
    sheet.box(0, 0, width, height, fill=LIGHT.surface)
    meter = (height - _BELOW - 6) / reach
    axes = sheet.plot(0, 0, width, height)
    axes.set_axis_off()
    axes.set(xlim=(-width / 2 / meter, width / 2 / meter), ylim=(-_BELOW / meter, (height - _BELOW) / meter))
    _field(axes, truth, reach, meter)
    outside = {} if found is None else {"found": _footprints(axes, found, meter, filled=True)}
    outside["of the truth"] = _footprints(axes, truth, meter, filled=False)
    words = ", ".join(f"{count} {name}" for name, count in outside.items() if count)
    style = {"color": LIGHT.muted, "fontproperties": font(_SMALL)}
    axes.annotate(f"outside: {words}" if words else "", (0, 1), (10, -17), "axes fraction", "offset points", **style)
    _legends(axes, truth, found)
    return np.asarray(sheet.image()).copy()


def fitting_reach(*layouts: "Layout") -> float:
    """Meters that a plan should reach to show the objects of these layouts: a multiple of ten, 30 to 80."""
    far = [array(layout.centers)[in_space(layout), 2].max(initial=0.0) for layout in layouts]
    return float(np.clip(np.ceil((max(far, default=0.0) + 3) / 10) * 10, 30, 80))


def _field(axes: "Axes", layout: "Layout", reach: float, meter: float) -> None:
    """What the camera sees of the ground, and the rings with their meters, on axes of `meter` pixels each."""
    from matplotlib.patches import Arc, Polygon

    inverse = np.linalg.inv(array(layout.projection)[:, :3])
    rays = [inverse @ (u, layout.height / 2, 1.0) for u in (-0.5, layout.width - 0.5)]
    ends = [(ray[0] / ray[2] * 2 * reach, 2 * reach) for ray in rays]
    axes.add_patch(Polygon([(0, 0), *ends], facecolor=_mixed(LIGHT.surface, LIGHT.accent, 0.06), linewidth=0))
    room = axes.get_xlim()[1] - 24 / meter
    for radius in np.arange(step := 10 if reach <= 40 else 20, reach * 1.5, step):
        gray = _mixed(LIGHT.line, LIGHT.muted, 0.18)
        axes.add_patch(Arc((0, 0), 2 * radius, 2 * radius, theta2=180, color=gray, linewidth=0.9))
        turn = min(np.arctan(rays[1][0] / rays[1][2]) + 0.06, np.arcsin(min(1.0, room / radius)))
        x, y = np.sin(turn) * radius, np.cos(turn) * radius
        if y < axes.get_ylim()[1] - 20 / meter:
            style = {"ha": "center", "va": "center", "color": LIGHT.muted, "fontproperties": font(_SMALL)}
            axes.text(x, y + 7 / meter, f"{radius:.0f} m", **style)
    for end in ends:
        axes.plot(*np.transpose([(0, 0), end]), color=_mixed(LIGHT.line, LIGHT.muted, 0.35), linewidth=0.9, zorder=1)
    axes.plot(0, 0, marker="^", markersize=10, color=LIGHT.muted, markeredgewidth=0)


def _mixed(one: str, other: str, share: float) -> np.ndarray:
    """A mixture of two colors, 0 to 1: `share` of the other."""
    low, high = np.array(rgb(one)) / 255, np.array(rgb(other)) / 255
    return low + (high - low) * share


def _footprints(axes: "Axes", layout: "Layout", meter: float, *, filled: bool) -> int:
    """Draw the objects of a layout, each with a line to its front; returns how many are outside of the axes."""
    from matplotlib.patches import Polygon

    outside = 0
    low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
    for place in in_space(layout):
        corners = array(layout.corners)[place][:4, [0, 2]]
        if (corners.max(axis=0) < low).any() or (corners.min(axis=0) > high).any():
            outside += 1
            continue
        color = code_of(kind_color(layout.kinds[place]))
        middle, front = corners.mean(axis=0), corners[:2].mean(axis=0)
        way = front - middle
        tip = front + way * 0.3 + way / max(float(np.hypot(*way)), 1e-9) * 3.5 / meter
        if filled:
            pen, wide = _mixed(LIGHT.surface, color, 0.75), 2.6
            axes.add_patch(Polygon(corners, facecolor=color, alpha=0.55, linewidth=0))
        else:
            pen, wide = color, 1.5
            axes.add_patch(Polygon(corners, fill=False, edgecolor=color, linewidth=wide, zorder=2))
        axes.plot(*np.transpose([middle, tip]), color=pen, linewidth=wide, solid_capstyle="round")
    return outside


def _legends(axes: "Axes", truth: "Layout", found: "Layout | None") -> None:
    """What is outlined and what filled, and the kinds with their colors, beside the camera."""
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    given = [truth] if found is None else [truth, found]
    kinds = sorted({layout.kinds[place] for layout in given for place in in_space(layout)})
    dot = {"linestyle": "", "marker": "o", "markersize": 6.4, "markeredgewidth": 0}
    dots = [Line2D([], [], color=code_of(kind_color(kind)), **dot) for kind in kinds]
    shapes = [
        Patch(facecolor=LIGHT.surface, edgecolor=LIGHT.muted, linewidth=0.75),
        Patch(facecolor=LIGHT.muted, alpha=0.6, linewidth=0),
    ]
    style = {"frameon": False, "prop": font(_SMALL), "labelcolor": LIGHT.muted}
    style |= {"handletextpad": 0.5, "labelspacing": 0.62, "borderaxespad": 0.6}
    if found is not None:
        axes.add_artist(Legend(axes, shapes, ["truth", "found"], loc="lower left", handlelength=1.05, **style))
    axes.add_artist(Legend(axes, dots, kinds, loc="lower right", markerfirst=False, handlelength=0.7, **style))
