"""Held-out pictures of the procedural worlds, by the name of a world and a number."""

from collections.abc import Callable

import numpy as np

from invert3d.ops.seeds import HELD_OUT
from invert3d.registry import unknown


def terrace(number: int, size: int) -> np.ndarray:
    """A street of houses (``worlds.two_views``)."""
    from invert3d.data.worlds.two_views import make_views

    return make_views(number, 1, size=size, seed=HELD_OUT)[0].image


def car(number: int, size: int) -> np.ndarray:
    """The car that looks largest in a street (``worlds.streets``), a square around it; without one, the middle."""
    from PIL.Image import Resampling, fromarray

    from invert3d.data.worlds.streets import make_frame

    frame = make_frame(number, height=384, width=1280, seed=HELD_OUT)
    high, wide, _ = frame.image.shape
    boxes = [box for kind, box in zip(frame.layout.kinds, frame.layout.boxes.numpy(), strict=True) if kind == "Car"]
    left, top, right, bottom = max(boxes, key=lambda b: (b[2] - b[0]) * (b[3] - b[1]), default=(0, 0, wide, high))
    side = int(min(high, max(64, 1.3 * max(right - left, bottom - top))))
    x = int(np.clip((left + right - side) / 2, 0, wide - side))
    y = int(np.clip((top + bottom - side) / 2, 0, high - side))
    cut = fromarray(frame.image[y : y + side, x : x + side])
    return np.array(cut.resize((size, size), Resampling.BILINEAR))


def room(number: int, size: int) -> np.ndarray:
    """A room (``worlds.rooms``)."""
    from invert3d.data.worlds.rooms import make_room

    return make_room(number, size=size, seed=HELD_OUT).image


WORLDS: dict[str, Callable[[int, int], np.ndarray]] = {"terraces": terrace, "cars": car, "rooms": room}


def picture(world: str, number: int, size: int) -> np.ndarray:
    """Picture (size, size, 3) uint8 ``number`` of a world that nothing bundled was trained on.

    Raises ValueError for an unknown world, or a size that it refuses.
    """
    if world not in WORLDS:
        raise ValueError(unknown("world", world, WORLDS))
    return WORLDS[world](number, size)
