"""Edges drawn over a picture, each in the color of its direction."""

import numpy as np

from invert3d.view.color import palette

#: pixels of the drawing for one of the picture
SCALE = 4


def draw_edges(
    picture: np.ndarray, places: np.ndarray, angles: np.ndarray, colors: np.ndarray, weight: int = 2
) -> np.ndarray:
    """A picture (H, W, 3) uint8, dimmed and enlarged, with short strokes on it.

    Args:
        places: (M, 2) column and row of their middles.
        angles: (M,) radians from the horizontal, clockwise.
        colors: (M,) numbers of colors of the categorical set.
        weight: of the strokes, in pixels of the drawing.
    """
    from PIL import Image, ImageDraw

    size = (picture.shape[1] * SCALE, picture.shape[0] * SCALE)
    dim = Image.fromarray((picture * 0.45).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    pen, known = ImageDraw.Draw(dim), palette("categorical")
    half = 0.6 * np.stack([np.cos(angles), np.sin(angles)], 1)
    ends = np.concatenate([places - half, places + half], 1) * SCALE + (SCALE - 1) / 2
    for line, color in zip(ends.tolist(), known[colors % len(known)].tolist(), strict=True):
        pen.line(line, fill=tuple(color), width=weight)
    return np.array(dim)
