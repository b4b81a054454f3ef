"""Boxes in space drawn into the picture they are seen in, and what changed between two pictures.

The front face of a box is filled and crossed, so that its heading is seen. A kind has one color everywhere: in
pictures, seen from above and on pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from invert3d.view.color import RGB, code_of, colorize, palette
from invert3d.view.style import Sheet, checked_picture, text_width
from invert3d.view.wires import FRONT, half_spaces, pixels_of, polygon_in, segments_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

    from invert3d.ops.layouts import Layout

#: places in the categorical palette that stay apart for the color-blind
_PLACES = {"Car": 1, "Pedestrian": 5, "Cyclist": 3, "Van": 0}
#: the color of a picture where there is none to draw on
EMPTY: RGB = (30, 32, 40)
_HALO = "#0a0b0f"
WEIGHT = 1.4  # of lines and letters in pictures that are shrunk
_WIDE = 960  # pixels that a picture should have at least for its lines to be thin
_LUMA = np.array([0.2126, 0.7152, 0.0722])


def kind_color(kind: str) -> RGB:
    """The color of a kind of object, the same everywhere: Car, Van, Pedestrian and Cyclist have one of their own, other
    kinds share the eight of the categorical palette."""
    colors = palette("categorical")
    return tuple(colors[_PLACES.get(kind, crc32(kind.encode()) % len(colors))].tolist())


def in_space(layout: "Layout") -> list[int]:
    """Places of the objects that have a box in space: DontCare and others without numbers have none."""
    numbers = np.concatenate([array(layout.centers), array(layout.sizes), array(layout.yaws)[:, None]], axis=1)
    known = np.flatnonzero(np.isfinite(numbers).all(axis=1)).tolist()
    return [place for place in known if layout.kinds[place] != "DontCare"]


def array(tensor: Any) -> np.ndarray:
    """A tensor of a layout, on any device, as float64."""
    return np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor, np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneFrame:
    """One scene: pictures (H, W, 3) uint8 and what a detector finds in them."""

    name: str  # its headline
    truth: "Layout"  # what was asked for
    original: np.ndarray | None = None  # the picture that `truth` is for, if there is one
    on_original: "Layout | None" = None  # what is found in it
    inverted: np.ndarray | None = None  # the picture that was made, of any size
    on_inverted: "Layout | None" = None  # what is found in it
    points: np.ndarray | None = None  # (N, 3) meters, of a LiDAR: x to the right of the camera, y down, z forward
    caption: str = ""  # a sentence below the headline
    badges: Mapping[str, str] = field(default_factory=dict)  # a few facts by name

    @property
    def founds(self) -> dict[str, "Layout"]:
        """What was found, by where."""
        both = {"inverted": self.on_inverted, "original": self.on_original}
        return {name: layout for name, layout in both.items() if layout is not None}

    def shots(self) -> dict[str, np.ndarray]:
        """The pictures by name, as far as there are any: "asked", "on original", "inverted", "on inverted".

        What was asked for is drawn on the original, else on an empty picture, and faintly below what was found.
        """
        ground = np.full((self.truth.height, self.truth.width, 3), EMPTY, np.uint8)
        if self.original is not None:
            ground = checked_picture(self.original, "original")
        seen = {"asked": draw_found(ground, self.truth)}
        if self.original is not None and self.on_original is not None:
            seen["on original"] = draw_found(ground, self.on_original, self.truth)
        if self.inverted is not None:
            seen["inverted"] = checked_picture(self.inverted, "inverted")
            if self.on_inverted is not None:
                seen["on inverted"] = draw_found(self.inverted, self.on_inverted, self.truth)
        return seen


def draw_found(image: np.ndarray, found: "Layout", truth: "Layout | None" = None) -> np.ndarray:
    """A picture with what was found in it, the truth faintly below, for figures in which it is shrunk."""
    below = None if truth is None else truth.resized(*image.shape[:2])
    return draw_layout(image, found, faint=below, scale=None, weight=WEIGHT)


def draw_layout(
    image: np.ndarray,
    layout: "Layout",
    *,
    faint: "Layout | None" = None,
    scale: int | None = 1,
    labels: bool = True,
    weight: float = 1.0,
) -> np.ndarray:
    """A picture with the boxes of a layout in it: (H * scale, W * scale, 3) uint8.

    Args:
        image: (H, W, 3) uint8, of the size that the layout is for.
        layout: what is drawn, the farthest first. What has no box in space is a rectangle, dashed for DontCare.
        faint: drawn below in thin white lines, such as the truth below what was found.
        scale: pixels of the result for each of the image; None makes small pictures at least 960 pixels wide.
        labels: whether each object is named, with its score if it has one, else with its depth in meters. A name that
            finds no room among the others is left out.
        weight: how much wider lines and larger letters are than suits a picture shown at its own size.

    Raises:
        ValueError: the image is no picture, a layout is for another size, or `scale` is not a whole number >= 1.
    """
    image = checked_picture(image)
    for name, given in (("layout", layout), ("faint", faint)):
        if given is not None and (given.height, given.width) != image.shape[:2]:
            size = f"{image.shape[0]} x {image.shape[1]}; Layout.resized moves it"
            raise ValueError(f"{name}: is for a picture of {given.height} x {given.width}, but the image has {size}")
    scale = fitting_scale(image) if scale is None else scale
    if not isinstance(scale, int) or scale < 1:
        raise ValueError(f"scale: got {scale!r}, accepted is None or a whole number >= 1")
    height, width = image.shape[0] * scale, image.shape[1] * scale
    sheet = Sheet(width, height, scale=1, top=0)
    sheet.picture(0, 0, width, height, image)
    axes = sheet.plot(0, 0, width, height)
    axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5), zorder=1)
    axes.set_axis_off()
    line = max(1.6, width / 500) * weight
    for drawn, pale in ([] if faint is None else [(faint, True)]) + [(layout, False)]:
        for place in _far_to_near(drawn):
            _draw_box(axes, drawn, place, line, faint=pale)
        for place in _flat(drawn):
            _draw_flat(axes, array(drawn.boxes)[place], line, drawn.kinds[place], faint=pale)
    if labels:
        _label(sheet, layout, scale, weight)
    return np.asarray(sheet.image()).copy()


def fitting_scale(image: np.ndarray) -> int:
    """The whole number by which an image (H, W, ...) is enlarged so that thin lines in it are thin."""
    return max(1, -(-_WIDE // image.shape[1]))


def difference_map(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, float]:
    """What became darker (blue) and lighter (red) between two pictures, all (H, W, 3) uint8, and the largest change of
    luminance, 0 black to 1 white, which has the full color.

    Raises:
        ValueError: a picture has another shape or type, or the two differ in size.
    """
    before, after = checked_picture(before, "before"), checked_picture(after, "after")
    if before.shape != after.shape:
        raise ValueError(f"after: got {after.shape}, accepted is {before.shape}, as before")
    change = (after.astype(np.float64) - before) @ _LUMA / 255
    reach = float(np.abs(change).max())
    return colorize(change, vmax=reach or 1.0, kind="diverging"), reach


def _far_to_near(layout: "Layout") -> list[int]:
    """Places of the boxes in space in the order in which they are painted."""
    depth = array(layout.centers)[:, 2]
    return sorted(in_space(layout), key=lambda place: -depth[place])


def _flat(layout: "Layout") -> list[int]:
    """Places of what is known in the picture only."""
    return sorted(set(range(len(layout))) - set(in_space(layout)))


def _draw_box(axes: "Axes", layout: "Layout", place: int, line: float, *, faint: bool = False) -> None:
    """One box: the front face, dark lines, and the colored ones on them, `line` pixels wide. The axes count in pixels
    of the layout's picture."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Polygon

    from invert3d.ops.boxes import EDGES

    projection = array(layout.projection)
    scale = axes.bbox.width / layout.width
    planes = half_spaces(projection, layout.height, layout.width, margin=4 * line)
    corners = array(layout.corners)[place]
    color = "#ffffff" if faint else code_of(kind_color(layout.kinds[place]))
    front = polygon_in(corners[list(FRONT)], planes)
    whole = pixels_of(front, projection)
    if len(front) and not faint:
        axes.add_patch(Polygon(whole, facecolor=color, alpha=0.29, linewidth=0))
    large = len(front) > 0 and float(np.ptp(whole, axis=0).min()) * scale > 14 * line
    cross = [(FRONT[0], FRONT[2]), (FRONT[1], FRONT[3])] if large and not faint else []
    pairs = np.array([*EDGES, *cross])
    line *= min(1.0, max(0.6, float(np.ptp(array(layout.boxes)[place, 1::2])) * scale / 64))
    widths = 0.55 if faint else np.where(np.isin(pairs, FRONT).all(axis=1), 1.0, 0.72)
    widths = np.where(np.arange(len(pairs)) < len(EDGES), widths, 0.45)
    parts, seen = segments_in(corners[pairs], planes)
    places, widths = list(pixels_of(parts[seen], projection)), widths[seen] * line
    halo = widths + (0.7 if faint else 1.0) * line
    axes.add_collection(LineCollection(places, linewidths=halo, colors=_HALO, alpha=0.35 if faint else 0.75))
    alpha = 0.8 if faint else 1.0
    axes.add_collection(LineCollection(places, linewidths=widths, colors=color, alpha=alpha, capstyle="round"))


def _draw_flat(axes: "Axes", box: np.ndarray, line: float, kind: str, *, faint: bool = False) -> None:
    """A rectangle (left, top, right, bottom), in dashes around what is no object; faint, thin and white."""
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box.tolist()
    real, thin = kind != "DontCare", 0.55 if faint else 1.0
    color = "#ffffff" if faint else code_of(kind_color(kind)) if real else "#dee0e6"
    for paint, width in ((_HALO, 1.8 * thin), (color, thin)):
        dashes = (0, () if real else (3.85 / width, 3.15 / width))  # in widths of the line
        style = {"fill": False, "color": paint, "linestyle": dashes, "linewidth": width * line}
        style |= {"alpha": 0.8} if faint else {}
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, **style))


def _label(sheet: Sheet, layout: "Layout", scale: int, weight: float) -> None:
    """Names at the boxes, the nearest first, moved up or down until they are clear of each other."""
    sheet.axes.set_zorder(2)
    size = round(max(10.5, sheet.width / 88) * weight, 1)
    high, pad = round(size * 1.42), round(size * 0.38)
    taken: list[Bbox] = []
    scores, depths = array(layout.scores), array(layout.centers)[:, 2]
    for place in [*reversed(_far_to_near(layout)), *_flat(layout)]:
        left, top, right, bottom = ((array(layout.boxes)[place] + 0.5) * scale).tolist()
        if right - left < 1 or bottom - top < 1 or layout.kinds[place] == "DontCare":
            continue
        score, depth = scores[place], depths[place]
        fact = f" {score:.2f}" if np.isfinite(score) else f" {depth:.0f} m" if np.isfinite(depth) else ""
        text = layout.kinds[place] + fact
        wide = round(text_width(text, size, bold=True)) + 2 * pad
        spot = _free_spot((left, top, right, bottom), (wide, high), sheet.size, taken)
        if spot is None:
            continue
        taken.append(spot)
        color = np.array(kind_color(layout.kinds[place]))
        middle = min(max((left + right) / 2, spot.x0 + 4), spot.x1 - 4)
        if spot.y1 < top - high:
            sheet.axes.plot([middle, middle], [spot.y1, top], color=code_of(color), linewidth=max(1, round(size / 11)))
        sheet.box(spot.x0, spot.y0, wide, high, fill="#0e0f14cd", corner=high * 0.24)
        lighter = code_of(np.rint(color + (255 - color) * 0.42))
        sheet.text(spot.x0 + pad, spot.y0 + high / 2, text, size=size, color=lighter, bold=True)


def _free_spot(
    box: tuple[float, float, float, float], size: tuple[int, int], picture: tuple[int, int], taken: Sequence["Bbox"]
) -> "Bbox | None":
    """Where a name has room, y down: above the box, below it, further up or down, else inside; None without any."""
    from matplotlib.transforms import Bbox

    (left, top, right, bottom), (wide, high) = box, size
    gap, rise = 3, high + 2
    rises = [top - gap - high, bottom + gap]
    rises += [rises[0] - rise * row for row in range(1, 6)] + [rises[1] + rise * row for row in range(1, 4)]
    spots = [(x, y) for y in rises for x in (left, right - wide, (left + right - wide) / 2)]
    spots.append((left + gap, min(max(top + gap, 0), picture[1] - high)))  # a box as high as the picture
    for x, y in spots:
        spot = Bbox.from_bounds(min(max(round(x), 1), picture[0] - wide - 1), round(y), wide, high)
        if min(spot.x0, spot.y0) >= 0 and spot.y1 <= picture[1] and not spot.padded(-0.5).count_overlaps(taken):
            return spot
    return None
