"""A layout seen from above: what the camera sees of the ground, the footprints on it, and which way each one faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from invert3d.view.boxes import array, in_space, kind_color
from invert3d.view.color import RGB, rgb, theme_of
from invert3d.view.sheet import Sheet

if TYPE_CHECKING:
    from invert3d.ops.layouts import Layout

_SMALL = 9.5  # size of type
_BELOW = 26.0  # design pixels below the camera
_PAD = 10.0


def birds_eye(
    truth: Layout | None,
    found: Layout | None,
    *,
    reach: float = 60.0,
    width: int = 360,
    height: int = 480,
    dark: bool = False,
    scale: int = 2,
) -> np.ndarray:
    """The ground in front of the camera, forward is up: (height * scale, width * scale, 3) uint8.

    The truth is outlined, what was found is filled, each in the color of its kind; the line out of a box points where
    its front does. A shade shows what the picture covers, rings tell the distance to the camera in meters. A box
    outside of the plan is not drawn, and the plan says how many there are.

    Args:
        truth: what was asked for, if any.
        found: what a detector answered, if any.
        reach: meters from the camera to the upper edge.
        width: in design pixels. height: in design pixels.
        dark: the theme.
        scale: pixels of the image for each design pixel.

    Raises:
        ValueError: both layouts are missing, `reach` is not positive, or the plan is too small to be read.
    """
    camera = found if truth is None else truth
    if camera is None:
        raise ValueError("truth, found: got neither, accepted is at least one layout")
    if not 0 < reach < np.inf or width < 120 or height < 120:
        raise ValueError(
            f"reach, width, height: got {reach}, {width}, {height}, accepted are meters > 0 and sides of 120 or more"
        )
    plan = _Plan(width=width, height=height, reach=reach, dark=dark, scale=scale)
    plan.field(camera)
    outside = {"found": plan.boxes(found, "filled"), "of the truth": plan.boxes(truth, "outlined")}
    words = ", ".join(f"{count} {name}" for name, count in outside.items() if count)
    plan.sheet.text(_PAD, 13, f"outside: {words}" if words else "", size=_SMALL, color=plan.muted)
    plan.legend(truth, found)
    return np.asarray(plan.sheet.image()).copy()


def fitting_reach(*layouts: Layout | None) -> float:
    """Meters that a plan should reach to show the objects of these layouts: a multiple of ten, 30 to 80."""
    far = [array(layout.centers)[in_space(layout), 2].max(initial=0.0) for layout in layouts if layout is not None]
    return float(np.clip(np.ceil((max(far, default=0.0) + 3) / 10) * 10, 30, 80))


class _Plan:
    """A sheet on which meters have a place."""

    def __init__(self, *, width: int, height: int, reach: float, dark: bool, scale: int) -> None:
        self.theme = theme_of("dark" if dark else "light")
        self.sheet = Sheet(width, height, self.theme.name, scale)
        self.sheet.box(0, 0, width, height, fill=rgb(self.theme.surface))
        self.width, self.height, self.reach = width, height, reach
        self.meter = (height - _BELOW - 6) / reach
        self.muted: RGB = rgb(self.theme.muted)

    def place(self, ground: np.ndarray) -> np.ndarray:
        """Where (x, z) (..., 2) meters, to the right and forward, are on the sheet."""
        return np.stack(
            [self.width / 2 + ground[..., 0] * self.meter, self.height - _BELOW - ground[..., 1] * self.meter], axis=-1
        )

    def field(self, layout: Layout) -> None:
        """What the camera sees of the ground, and the rings."""
        line = rgb(self.theme.line)
        inverse = np.linalg.inv(array(layout.projection)[:, :3])
        rays = [inverse @ (u, layout.height / 2, 1.0) for u in (-0.5, layout.width - 0.5)]
        sides = [ray[0] / ray[2] for ray in rays]
        far = self.reach * 2
        ends = np.array([[0, 0], [sides[0] * far, far], [sides[1] * far, far]])
        shade = rgb(self.theme.accent)
        self.sheet.area(self.place(ends), color=shade, opacity=0.09 if self.theme.name == "dark" else 0.06)
        step = 10 if self.reach <= 40 else 20
        turns = np.linspace(-np.pi / 2, np.pi / 2, 181)
        for radius in np.arange(step, self.reach * 1.5, step):
            arc = np.stack([np.sin(turns), np.cos(turns)], axis=1) * radius
            self.sheet.path(self.place(arc), color=_between(line, self.muted, 0.18), width=0.9)
            self._ring_name(float(radius), np.arctan(sides[1]))
        for end in ends[1:]:
            self.sheet.path(self.place(np.stack([ends[0], end])), color=_between(line, self.muted, 0.35), width=0.9)
        x, y = self.place(np.zeros(2)).tolist()
        self.sheet.area(np.array([[x, y - 4], [x - 5, y + 6], [x + 5, y + 6]]), color=self.muted)

    def _ring_name(self, radius: float, edge: float) -> None:
        """The meters of a ring, where the ring leaves the view of the camera or the sheet on the right."""
        room = self.width / 2 - 24
        turn = min(edge + 0.06, np.arcsin(min(1.0, room / (radius * self.meter))))
        x, y = self.place(np.array([np.sin(turn), np.cos(turn)]) * radius).tolist()
        if y > 20:
            self.sheet.text(x, y - 7, f"{radius:.0f} m", size=_SMALL, color=self.muted, anchor="m")

    def boxes(self, layout: Layout | None, how: Literal["filled", "outlined"]) -> int:
        """The footprints of a layout; returns how many are outside of the sheet."""
        outside = 0
        if layout is None:
            return outside
        for place in in_space(layout):
            corners = array(layout.corners)[place][:4, [0, 2]]
            dots = self.place(corners)
            if (dots.max(axis=0) < 0).any() or (dots.min(axis=0) > (self.width, self.height)).any():
                outside += 1
                continue
            color = kind_color(layout.kinds[place])
            middle, front = dots.mean(axis=0), dots[:2].mean(axis=0)
            tip = front + (front - middle) * 0.3 + _unit(front - middle) * 3.5
            if how == "filled":
                self.sheet.area(dots, color=color, opacity=0.55)
                self.sheet.path(
                    np.stack([middle, tip]), color=_between(rgb(self.theme.surface), color, 0.75), width=2.6
                )
            else:
                self.sheet.path(dots[[0, 1, 2, 3, 0]], color=color, width=1.5)
                self.sheet.path(np.stack([middle, tip]), color=color, width=1.5)
        return outside

    def legend(self, truth: Layout | None, found: Layout | None) -> None:
        """What is outlined and what filled, and the kinds with their colors, beside the camera."""
        given = [layout for layout in (truth, found) if layout is not None]
        y = self.height - 12.0
        if len(given) == 2:
            self.sheet.box(_PAD, y - 20, 10, 7, fill=rgb(self.theme.surface), line=self.muted)
            self.sheet.box(_PAD, y - 4, 10, 7, fill=_between(rgb(self.theme.surface), self.muted, 0.6))
            self.sheet.text(_PAD + 15, y - 16, "truth", size=_SMALL, color=self.muted)
            self.sheet.text(_PAD + 15, y, "found", size=_SMALL, color=self.muted)
        kinds = {layout.kinds[place]: kind_color(layout.kinds[place]) for layout in given for place in in_space(layout)}
        for row, (kind, color) in enumerate(sorted(kinds.items(), reverse=True)):
            self.sheet.dot(self.width - _PAD - 3, y - 15 * row, radius=3.2, color=color)
            self.sheet.text(self.width - _PAD - 11, y - 15 * row, kind, size=_SMALL, color=self.muted, anchor="r")


def _unit(way: np.ndarray) -> np.ndarray:
    """The direction (2,), or 0 where there is none."""
    return way / max(float(np.hypot(*way)), 1e-9)


def _between(one: RGB, other: RGB, share: float) -> RGB:
    """A mixture of two colors: `share` of the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
