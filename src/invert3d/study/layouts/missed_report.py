"""Pictures of what must change until a missed object is seen, beside the control."""

from pathlib import Path

import numpy as np
from torch import Tensor

from invert3d.ops.layouts import Layout
from invert3d.study.layouts.files import levels_between, pixels
from invert3d.study.layouts.missed import Missed
from invert3d.study.layouts.score import sure
from invert3d.view.boxes import difference_map, draw_layout
from invert3d.view.figures import Panel, contact_sheet, save_png

WIDE = 210  # design pixels of a picture


def draw_missed(path: Path, found: Missed, title: str, most: int = 4) -> Path:
    """A row for each of the first pairs: the picture, the changed one and the change; and both for the control."""
    sheet = contact_sheet(
        [_row(found, i) for i in range(min(most, len(found.pairs)))],
        column_titles=["missed", "until it is seen", "what changed", "control: not there", "what changed"],
        row_titles=[f"{pair.missed.kinds[0]} in {pair.name.rpartition('-')[0]}" for pair in found.pairs[:most]],
        title=title,
        note="White: what is asked for. Color: the detections that overlap it. Changes: red is lighter, blue darker, "
        "full color the largest change of the picture.",
        panel_size=(WIDE, WIDE),
    )
    return save_png(sheet, path)


def _row(found: Missed, pair: int) -> list[Panel]:
    """The panels of one pair."""
    one, panels = found.pairs[pair], []
    kind, nothing = one.missed.kinds[0], one.missed.of_kinds(())
    before = pixels(one.picture)
    for which in (0, 1):
        after, asked, read = found.changed(which, pair)
        asked, place = asked.of_kinds((kind,)), found.place(which, pair)
        if which == 0:
            panels.append(Panel(image=_drawn(before, nothing, asked), caption=kind))
        near = sure(read).select(_overlaps(sure(read), asked) > 0.25)
        word = "seen" if found.seen[place, which, pair] else "not seen"
        largest, usual = levels_between(one.picture, after)
        panels += [
            Panel(image=_drawn(pixels(after), near, asked), caption=f"within {found.radii[place]:g}/255: {word}"),
            Panel(
                image=difference_map(before, pixels(after))[0], caption=f"at most {largest:.0f}/255, RMS {usual:.1f}"
            ),
        ]
    return panels


def _drawn(picture: np.ndarray, found: Layout, asked: Layout) -> np.ndarray:
    return draw_layout(picture, found, faint=asked, scale=None, labels=False, weight=2)


def _overlaps(found: Layout, asked: Layout) -> Tensor:
    """(n,): the overlap of each detection with the one box that is asked."""
    from torchvision.ops import box_iou

    return box_iou(found.boxes, asked.boxes)[:, 0]
