"""Runs of inverted layouts on one sheet: a row each, a column for each layout."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from invert3d.ops.layouts import Layout
from invert3d.study.layouts.files import BoxesRun, pixels
from invert3d.study.layouts.scenes import real_objects
from invert3d.study.layouts.score import sure
from invert3d.view.boxes import draw_layout
from invert3d.view.figures import Panel, contact_sheet, save_png

WIDE = 230  # design pixels of a square picture

Caption = Callable[[str, BoxesRun, int], str]


def run_sheet(
    path: Path,
    runs: Mapping[str, BoxesRun],
    caption: Caption,
    *,
    title: str,
    note: str = "",
    columns: Sequence[str] = (),
    most: int = 4,
    shown: Callable[[Layout, Layout], Layout] = lambda found, _: sure(found),
) -> Path:
    """The first pictures of some runs of the same layouts, with what was asked in white and what is found in color.

    Args:
        path: a name that ends in .png.
        runs: by the title of their row. Where the first has real pictures, these are the first row.
        caption: what is said of a picture, from the title of its row, its run and its place.
        title, note: as of ``contact_sheet``.
        columns: their titles, by default the names of the layouts.
        most: pictures of each run, half of them where they are wide.
        shown: which detections are drawn, from all that were found and what was asked.
    """
    first = next(iter(runs.values()))
    across = first.pictures.shape[3] / first.pictures.shape[2]
    count = min(len(first.names), most if across < 1.5 else max(1, most // 2))
    rows, titles = [], []
    if all(name in first.originals for name in first.names):
        titles.append("the picture itself")
        rows.append([_panel(first.originals[first.names[i]], first.asked[i]) for i in range(count)])
    for name, run in runs.items():
        titles.append(name)
        found = [shown(*each) for each in zip(run.found[:count], run.asked, strict=False)]
        rows.append([_panel(run.pictures[i], found[i], run.asked[i], caption(name, run, i)) for i in range(count)])
    width = WIDE if across < 1.5 else 2 * WIDE
    sheet = contact_sheet(
        rows,
        column_titles=[*(columns or first.names)][:count],
        row_titles=titles,
        title=title,
        note=note,
        panel_size=(width, round((width - 12) / across + 12)),
    )
    return save_png(sheet, path)


def _panel(picture: torch.Tensor, shown: Layout, asked: Layout | None = None, caption: str = "") -> Panel:
    faint = None if asked is None else real_objects(asked)
    image = draw_layout(pixels(picture), shown, faint=faint, scale=None, labels=False, weight=2)
    return Panel(image=image, caption=caption)


def every(run: BoxesRun, step: int) -> BoxesRun:
    """Every ``step``-th picture of a run: the first of each group of so many."""
    return replace(
        run,
        names=run.names[::step],
        pictures=run.pictures[::step],
        asked=run.asked[::step],
        found=run.found[::step],
        steps=run.steps[::step],
        losses=run.losses[::step],
        trace={},
    )
