"""Pictures of what must change until a question is answered, beside the control."""

from pathlib import Path

import numpy as np
from torch import Tensor

from invert3d.ops.layouts import Layout
from invert3d.study.layouts.changes import Changes
from invert3d.study.layouts.files import levels_between, pixels
from invert3d.study.layouts.score import sure
from invert3d.view.boxes import difference_map, draw_layout
from invert3d.view.figures import Panel, contact_sheet, save_png

WIDE = 210  # design pixels of a picture


def draw_changes(path: Path, found: Changes, title: str, most: int = 4) -> Path:
    """A row for each of the first pairs: the picture, the changed one and the change; and the same of the control."""
    words = found.words
    sheet = contact_sheet(
        [_row(found, i) for i in range(min(most, len(found.pairs)))],
        column_titles=[words.question, f"until it is {words.done}", "what changed"]
        + [f"control: {words.control}", f"until it is {words.done}", "what changed"],
        row_titles=[f"{pair.question.about.kinds[0]} in {pair.name.rpartition('-')[0]}" for pair in found.pairs[:most]],
        title=title,
        note="White: the object in question. Color: the detections that overlap it. Changes: red is lighter, blue "
        "darker, full color the largest change of the picture.",
        panel_size=(WIDE, WIDE),
    )
    return save_png(sheet, path)


def _row(found: Changes, pair: int) -> list[Panel]:
    """The panels of one pair."""
    panels = []
    for which, one in enumerate(found.pairs[pair].both):
        (after, read), place = found.changed(which, pair), found.place(which, pair)
        before, changed, kind = pixels(one.picture), pixels(after), one.about.kinds[0]
        near = sure(read).select(_overlaps(sure(read), one.about) > 0.25)
        word = found.words.done if found.answered[place, which, pair] else f"not {found.words.done}"
        largest, usual = levels_between(one.picture, after)
        panels += [
            Panel(image=_drawn(before, one.about.of_kinds(()), one.about), caption=kind),
            Panel(image=_drawn(changed, near, one.about), caption=f"within {found.radii[place]:g}/255: {word}"),
            Panel(image=difference_map(before, changed)[0], caption=f"at most {largest:.0f}/255, RMS {usual:.1f}"),
        ]
    return panels


def _drawn(picture: np.ndarray, found: Layout, asked: Layout) -> np.ndarray:
    return draw_layout(picture, found, faint=asked, scale=None, labels=False, weight=2)


def _overlaps(found: Layout, asked: Layout) -> Tensor:
    """(n,): the overlap of each detection with the one box that is asked."""
    from torchvision.ops import box_iou

    return box_iou(found.boxes, asked.boxes)[:, 0]
