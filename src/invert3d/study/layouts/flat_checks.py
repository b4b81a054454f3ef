"""What no picture can show to a 2-D detector, refused before any work starts."""

from collections.abc import Sequence

from invert3d.ops.layouts import Layout
from invert3d.registry import unknown

SLACK = 0.02  #: pixels that a box may reach beyond the picture: COCO rounds position and size of a box to two digits


def check_flat(layout: Layout, kinds: Sequence[str], source: str) -> None:
    """Raise ValueError, with the ``source`` and the number of the object, for what cannot be asked for.

    That is: nothing; a kind that is not in the list; a box that is not in the picture, or has no area; and masks that
    are not of the picture's size, or not as many as there are objects.
    """
    count, size = len(layout), f"{layout.width} x {layout.height} pixels"
    if not count:
        raise ValueError(f"{source} has no object in it, so there is nothing to invert")
    if layout.boxes.shape != (count, 4):
        raise ValueError(f"{source} names {count} objects, but its boxes are {tuple(layout.boxes.shape)}")
    for i, (kind, box) in enumerate(zip(layout.kinds, layout.boxes.tolist(), strict=True)):
        if kind not in kinds and kind != "DontCare":
            raise ValueError(f"{source}, object {i + 1}: {unknown('kind', kind, kinds)}")
        left, top, right, bottom = box
        words = f"{source}, object {i + 1} ({kind}): its box {left:g}, {top:g}, {right:g}, {bottom:g}"
        if not (right > left and bottom > top):
            raise ValueError(f"{words} has no area: a box is left, top, right, bottom")
        if min(left, top) < -SLACK or right > layout.width + SLACK or bottom > layout.height + SLACK:
            raise ValueError(f"{words} is not inside the picture of {size}")
    if layout.masks is not None and layout.masks.shape != (count, layout.height, layout.width):
        raise ValueError(
            f"{source}: its masks are {tuple(layout.masks.shape)}; those of {count} objects in a picture of {size} are "
            f"{(count, layout.height, layout.width)}"
        )
