"""Pictures of what a detector expects beside an object."""

from pathlib import Path

import numpy as np

from invert3d.study.layouts.context import SURE, Context
from invert3d.study.layouts.files import BoxesRun, pixels
from invert3d.view.boxes import draw_found
from invert3d.view.boxfigures import picture_sheet
from invert3d.view.figures import save_png
from invert3d.view.matrix import matrix_plot


def draw_context(folder: Path, context: Context, run: BoxesRun, planted: np.ndarray | None) -> None:
    """together.png, and planted.png where that is known: the matrices; singles.png: a picture of each category with
    the detections in it."""
    for name, table, title in (
        ("together", context.together, "What appears beside a single object"),
        ("planted", planted, "Probability as planted that both are in a picture"),
    ):
        if table is not None:
            picture = matrix_plot(
                table,
                rows=list(context.kinds),
                columns=list(context.kinds),
                span=(0, 1),
                title=title,
                note="Rows: the object. Columns: what else.",
            )
            save_png(picture, folder / f"{name}.png")
    first = range(0, len(run.names), context.pictures)
    images = [draw_found(pixels(run.pictures[i]), run.found[i].select(run.found[i].scores > SURE)) for i in first]
    picture_sheet(
        folder / "singles.png",
        images,
        [run.asked[i].kinds[0] for i in first],
        5,
        title="One object is asked for, and nothing of the rest",
        note="Boxes: what the detector finds.",
    )
