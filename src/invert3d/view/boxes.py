"""Boxes in space drawn into the picture they are seen in, and what changed between two pictures.

The front face of a box is filled and crossed, so that its heading is seen. A kind has one color everywhere: in
pictures, seen from above and on pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from invert3d.view.color import RGB, colorize, palette
from invert3d.view.sheet import face
from invert3d.view.wires import FRONT, half_spaces, pixels_of, polygon_in, segments_in

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from invert3d.ops.layouts import Layout

#: places in the categorical palette that stay apart for the color-blind
_PLACES = {"Car": 1, "Pedestrian": 5, "Cyclist": 3, "Van": 0}
#: the color of a picture where there is none to draw on
EMPTY: RGB = (30, 32, 40)
_OTHER: RGB = (154, 157, 165)
_HALO = (10, 11, 15, 190)
_FAINT: RGB = (255, 255, 255)
_FINE = 3  # lines are drawn this much larger and shrunk
_WIDE = 960  # pixels that a picture should have at least for its lines to be thin
_LUMA = np.array([0.2126, 0.7152, 0.0722])


def kind_color(kind: str) -> RGB:
    """The color of a kind of object: Car, Van, Pedestrian and Cyclist have one of their own, others are gray."""
    if kind not in _PLACES:
        return _OTHER
    red, green, blue = palette("categorical")[_PLACES[kind]].tolist()
    return red, green, blue


def in_space(layout: Layout) -> list[int]:
    """Places of the objects that have a box in space: DontCare and others without numbers have none."""
    numbers = np.concatenate([array(layout.centers), array(layout.sizes), array(layout.yaws)[:, None]], axis=1)
    known = np.flatnonzero(np.isfinite(numbers).all(axis=1)).tolist()
    return [place for place in known if layout.kinds[place] != "DontCare"]


def array(tensor: Any) -> np.ndarray:
    """A tensor of a layout, on any device, as float64."""
    return np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor, np.float64)


def draw_layout(
    image: np.ndarray,
    layout: Layout,
    *,
    faint: Layout | None = None,
    scale: int | None = 1,
    labels: bool = True,
    weight: float = 1.0,
) -> np.ndarray:
    """A picture with the boxes of a layout in it: (H * scale, W * scale, 3) uint8.

    Args:
        image: (H, W, 3) uint8, of the size that the layout is for.
        layout: what is drawn, the farthest first. What has no box in space is a dashed rectangle.
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
            raise ValueError(
                f"{name}: is for a picture of {given.height} x {given.width}, but the image has "
                f"{image.shape[0]} x {image.shape[1]}; Layout.resized moves it"
            )
    canvas = _Canvas.of(image, fitting_scale(image) if scale is None else scale, weight)
    if faint is not None:
        for place in _far_to_near(faint):
            canvas.box(faint, place, faint=True)
    for place in _far_to_near(layout):
        canvas.box(layout, place)
    for place in sorted(set(range(len(layout))) - set(in_space(layout))):
        canvas.dashed(array(layout.boxes)[place])
    picture = canvas.finished()
    if labels:
        _label(picture, layout, canvas.scale, weight)
    return np.asarray(picture).copy()


def fitting_scale(image: np.ndarray) -> int:
    """The whole number by which an image (H, W, ...) is enlarged so that thin lines in it are thin."""
    return max(1, -(-_WIDE // image.shape[1]))


def difference_map(before: np.ndarray, after: np.ndarray, *, reach: float | None = None) -> tuple[np.ndarray, float]:
    """What became darker (blue) and lighter (red) between two pictures, (H, W, 3) uint8, and the end of the color map.

    The number is the change of luminance, 0 black to 1 white, that has the full color: by default the largest there is.

    Args:
        before: (H, W, 3) uint8.
        after: (H, W, 3) uint8.
        reach: the end of the color map, where several pictures share one.

    Raises:
        ValueError: a picture has another shape or type, the two differ in size, or `reach` is not positive.
    """
    before, after = checked_picture(before, "before"), checked_picture(after, "after")
    if before.shape != after.shape:
        raise ValueError(f"after: got {after.shape}, accepted is {before.shape}, as before")
    if reach is not None and not 0 < reach < np.inf:
        raise ValueError(f"reach: got {reach}, accepted is a positive number")
    change = (after.astype(np.float64) - before) @ _LUMA / 255
    reach = float(np.abs(change).max()) if reach is None else reach
    return colorize(change, vmax=reach or 1.0, kind="diverging"), reach


def checked_picture(image: np.ndarray, name: str = "image") -> np.ndarray:
    """The array itself, once it is seen to be a picture (H, W, 3) uint8; else a ValueError that names it."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"{name}: got {image.shape} {image.dtype}, accepted is (H, W, 3) uint8")
    return image


def _far_to_near(layout: Layout) -> list[int]:
    """Places of the boxes in space in the order in which they are painted."""
    depth = array(layout.centers)[:, 2]
    return sorted(in_space(layout), key=lambda place: -depth[place])


@dataclass(frozen=True, kw_only=True)
class _Canvas:
    """A picture enlarged to draw on it. Lengths are pixels of the result, places pixels of the image."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    scale: int
    line: float

    @classmethod
    def of(cls, image: np.ndarray, scale: int, weight: float) -> _Canvas:
        from PIL import Image, ImageDraw

        if not isinstance(scale, int) or scale < 1:
            raise ValueError(f"scale: got {scale!r}, accepted is None or a whole number >= 1")
        size = (image.shape[1] * scale, image.shape[0] * scale)
        whole = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS if scale > 1 else None)
        fine = whole.resize((size[0] * _FINE, size[1] * _FINE), Image.Resampling.NEAREST)
        return cls(image=fine, draw=ImageDraw.Draw(fine, "RGBA"), scale=scale, line=max(1.6, size[0] / 500) * weight)

    def finished(self) -> Image.Image:
        """The picture with what was drawn."""
        return self.image.reduce(_FINE)

    def box(self, layout: Layout, place: int, *, faint: bool = False) -> None:
        """One box: the front face, dark lines, and the colored ones on them."""
        from invert3d.ops.boxes import EDGES

        projection = array(layout.projection)
        planes = half_spaces(projection, layout.height, layout.width, margin=4 * self.line)
        corners = array(layout.corners)[place]
        color = _FAINT if faint else kind_color(layout.kinds[place])
        front = polygon_in(corners[list(FRONT)], planes)
        whole = pixels_of(front, projection) if len(front) else np.zeros((0, 2))
        if len(front) and not faint:
            self.draw.polygon(self._places(whole), fill=(*color, 74))
        large = len(front) > 0 and float(np.ptp(whole, axis=0).min()) * self.scale > 14 * self.line
        cross = [(FRONT[0], FRONT[2]), (FRONT[1], FRONT[3])] if large and not faint else []
        pairs = [*EDGES, *cross]
        thick = self.line * min(1.0, max(0.6, float(np.ptp(array(layout.boxes)[place, 1::2])) * self.scale / 64))
        widths = [0.55 if faint else 1.0 if set(pair) <= set(FRONT) else 0.72 for pair in pairs]
        widths[len(EDGES) :] = [0.45] * len(cross)
        parts, seen = segments_in(corners[np.array(pairs)], planes)
        lines = [self._places(pixels_of(part, projection)) for part in parts[seen]]
        kept = [width * thick for width, shown in zip(widths, seen, strict=True) if shown]
        for ends, width in zip(lines, kept, strict=True):
            self._stroke(ends, width + (0.7 if faint else 1.0) * thick, _HALO[:3], 90 if faint else _HALO[3])
        for ends, width in zip(lines, kept, strict=True):
            self._stroke(ends, width, color, 205 if faint else 255)

    def dashed(self, box: np.ndarray) -> None:
        """A rectangle (left, top, right, bottom) in dashes."""
        left, top, right, bottom = box.tolist()
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])
        for start, end in zip(corners[:-1], corners[1:], strict=True):
            length = float(np.abs(end - start).max()) * self.scale
            count = max(1, round(length / (7 * self.line)))
            shares = [((i + low) / count) for i in range(count) for low in (0.0, 0.55)]
            for first, last in zip(shares[::2], shares[1::2], strict=True):
                ends = self._places(np.stack([start + first * (end - start), start + last * (end - start)]))
                self._stroke(ends, 1.6 * self.line, _HALO[:3], _HALO[3])
                self._stroke(ends, 0.8 * self.line, (222, 224, 230), 255)

    def _places(self, pixels: np.ndarray) -> list[tuple[float, float]]:
        """Pixels (n, 2) of the image, the middle of the first one at (0, 0), on the canvas."""
        return [(x, y) for x, y in ((pixels + 0.5) * self.scale * _FINE - 0.5).tolist()]

    def _stroke(self, ends: Sequence[tuple[float, float]], width: float, color: RGB, opacity: int) -> None:
        """A line with round ends, which only solid lines need."""
        wide = max(1, round(width * _FINE))
        self.draw.line(ends, fill=(*color, opacity), width=wide)
        if opacity == 255:
            for x, y in ends:
                self.draw.ellipse([x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2], fill=color)


def _label(picture: Image.Image, layout: Layout, scale: int, weight: float) -> None:
    """Names at the boxes, the nearest first, moved up or down until they are clear of each other."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture, "RGBA")
    size = max(10.5, picture.width / 88) * weight
    letters = face(round(size, 1), True)
    high, pad = round(size * 1.42), round(size * 0.38)
    taken: list[tuple[float, float, float, float]] = []
    scores, depths = array(layout.scores), array(layout.centers)[:, 2]
    for place in reversed(_far_to_near(layout)):
        left, top, right, bottom = ((array(layout.boxes)[place] + 0.5) * scale).tolist()
        if right - left < 1 or bottom - top < 1:
            continue
        known = np.isfinite(scores[place])
        text = f"{layout.kinds[place]} {scores[place]:.2f}" if known else f"{layout.kinds[place]} {depths[place]:.0f} m"
        wide = round(letters.getlength(text)) + 2 * pad
        spot = _free_spot((left, top, right, bottom), (wide, high), picture.size, taken)
        if spot is None:
            continue
        taken.append(spot)
        color = kind_color(layout.kinds[place])
        middle = min(max((left + right) / 2, spot[0] + 4), spot[2] - 4)
        if spot[3] < top - high:
            draw.line([(middle, spot[3]), (middle, top)], fill=(*color, 220), width=max(1, round(size / 11)))
        draw.rounded_rectangle(spot, radius=high * 0.24, fill=(14, 15, 20, 205))
        draw.text((spot[0] + pad, spot[1] + high * 0.5), text, fill=_lighter(color), font=letters, anchor="lm")


def _lighter(color: RGB) -> RGB:
    """The color for letters on a dark ground."""
    red, green, blue = (round(part + (255 - part) * 0.42) for part in color)
    return red, green, blue


def _free_spot(
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    picture: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float] | None:
    """The rectangle for a name: above the box, below it, else further up or down; None where all is taken."""
    left, top, right, bottom = box
    wide, high = size
    gap = 3
    rises = [top - gap - high, bottom + gap]
    rises += [top - gap - high - rise * (high + 2) for rise in range(1, 6)]
    rises += [bottom + gap + rise * (high + 2) for rise in range(1, 4)]
    for y in rises:
        for x in (left, right - wide, (left + right - wide) / 2):
            x = min(max(round(x), 1), picture[0] - wide - 1)
            spot = (x, round(y), x + wide, round(y) + high)
            inside = spot[0] >= 0 and spot[1] >= 0 and spot[3] <= picture[1]
            if inside and not any(_overlap(spot, other) for other in taken):
                return spot
    y = min(max(round(top) + gap, 0), picture[1] - high)  # a box as high as the picture: inside of it
    spot = (min(max(round(left) + gap, 1), picture[0] - wide - 1), y)
    whole = (spot[0], y, spot[0] + wide, y + high)
    return None if spot[0] < 0 or y < 0 or any(_overlap(whole, other) for other in taken) else whole


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two rectangles (left, top, right, bottom) touch."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
