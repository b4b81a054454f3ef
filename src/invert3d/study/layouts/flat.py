"""``invert3d.invert_layouts``: from a 2-D detector and layouts to pictures.

A finished run folder has the saved pictures in ``images`` (8 bit), what was asked in ``asked.json`` (COCO instances),
what the detector reads from the saved pictures in ``found.json`` (COCO results), and real pictures in ``original``.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from invert3d.jobs.options import RunOptions
from invert3d.methods.stages import Recipe
from invert3d.models.detectors import Detector
from invert3d.ops.files import write_bytes
from invert3d.ops.layouts import Layout
from invert3d.study.layouts.files import BoxesRun, png
from invert3d.study.layouts.flat_checks import check_flat
from invert3d.study.layouts.job import asked_of, inverted


def invert_layouts(
    detector: Detector,
    layouts: Sequence[Layout],
    *,
    recipe: str | Recipe = "layouts/ours",
    names: Sequence[str] | None = None,
    start: Tensor | None = None,
    originals: Mapping[str, Tensor] | None = None,
    model: str = "a detector",
    bf16: bool = False,
    out: str | Path | None = None,
    options: RunOptions = RunOptions(),
) -> BoxesRun:
    """Ask a frozen 2-D detector for the picture of a layout (Cao & Johnson 2021, *Inverting and Understanding Object
    Detectors*).

    Args:
        detector: see ``open_box_detector``.
        layouts: what is asked, of pictures of any size: they are moved to the detector's.
        recipe: ``layouts/ours``, ``layouts/published``, ``layouts/published_as_configured``, or what ``layout_recipe``
            makes of one.
        names: of the pictures.
        start: pictures (A, 3, h, w) to begin with, in the detector's size.
        originals: real pictures, by name, to be shown beside.
        model: what the detector is called in the run folder.
        bf16: run the detector in half precision where a recipe sees its picture in views.
        out: a run folder to write, in place of that of the options; nothing is kept without one.
        options: the seed, workers, and whether a run is gone on with.

    Raises:
        ValueError: nothing is asked; an object is of a kind that the detector does not know, its box is not in the
            picture or has no area, or its mask is of another size; two boxes of a kind overlap so much that the
            detector would remove one of them; the recipe is not for such a detector; or the start has another size.
        KeyboardInterrupt: it was interrupted before there was anything.
    """
    for layout, name in zip(layouts, names or [f"layout {i}" for i in range(len(layouts))], strict=False):
        check_flat(layout, detector.kinds, name)
    asked = asked_of(detector, layouts, names, recipe, start, model)
    folder, run = inverted(asked, options.into(out), originals or {}, bf16)
    if folder is not None:
        write_flat_files(folder, run, detector.kinds)
    return run


def write_flat_files(folder: Path, run: BoxesRun, kinds: Sequence[str]) -> None:
    """A run as a folder in COCO's form: pictures, what was asked, what is read, and the real pictures."""
    for i, name in enumerate(run.names):
        write_bytes(folder / "images" / f"{name}.png", png(run.pictures[i]))
        if name in run.originals:
            write_bytes(folder / "original" / f"{name}.png", png(run.originals[name]))
    sizes = [{"height": each.height, "width": each.width} for each in run.asked]
    table = {
        "images": [{"id": i, "file_name": f"{name}.png", **sizes[i]} for i, name in enumerate(run.names)],
        "categories": [{"id": k, "name": kind} for k, kind in enumerate(kinds)],
        "annotations": [
            {"id": k + 1, **row, "iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3]}
            for k, row in enumerate(row for i, each in enumerate(run.asked) for row in _rows(i, each, kinds))
        ],
    }
    found = [row for i, each in enumerate(run.found) for row in _rows(i, each, kinds)]
    for file, content in {"asked.json": table, "found.json": found}.items():
        write_bytes(folder / file, json.dumps(content).encode())


def _rows(number: int, layout: Layout, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The objects of a picture as COCO writes boxes."""
    rows = []
    for kind, box, score in zip(layout.kinds, layout.boxes.tolist(), layout.scores.tolist(), strict=True):
        if kind in kinds:
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            row = {"image_id": number, "category_id": kinds.index(kind), "bbox": [round(side, 3) for side in sides]}
            rows.append(row if score != score else {**row, "score": round(score, 5)})
    return rows
