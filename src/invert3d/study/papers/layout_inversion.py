"""The figures and the table of *Inverting and Understanding Object Detectors* (Cao & Johnson 2021), remade on rooms.

Layouts of several objects: figures 4 and 5 and table 1. Figures 6 and 7 are in ``layout_inversion_attribution``, 8 to
13 in ``layout_inversion_objects``. All bundled 2-D detectors are inverted unless some are named.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from invert3d.evaluate.layouts import errors
from invert3d.jobs.execute import execute
from invert3d.jobs.report import report
from invert3d.methods.layouts import layout_recipe
from invert3d.models.detectors import Detector
from invert3d.models.weights import bundled
from invert3d.opening.box_detectors import open_box_detector
from invert3d.ops.layouts import Layout
from invert3d.registry import register
from invert3d.study.layouts.files import BoxesRun
from invert3d.study.layouts.flat_scenes import flat_scenes
from invert3d.study.layouts.flat_transfer import flat_transfer
from invert3d.study.layouts.heads import draw_heads, head_reader, head_table, usual_subsets
from invert3d.study.layouts.job import How, agreeing, asked_of, layouts_job, run_of
from invert3d.study.layouts.score import short, sure
from invert3d.study.layouts.sheets import run_sheet
from invert3d.study.papers.figure import FigureOptions

PAPER = "Inverting and Understanding Object Detectors"
FIRST = 100  # rooms before this one are for choosing recipes


def opened(options: FigureOptions) -> dict[str, Detector]:
    """The detectors that are asked for, or all bundled ones."""
    names = options.model.split(",") if options.model else list(bundled("2-D detector"))
    return {name.strip(): open_box_detector(name.strip(), device=options.device) for name in names}


def with_most_heads(options: FigureOptions) -> tuple[str, Detector]:
    """The one of them that has the most heads, for figures of heads: Mask R-CNN, where it is there."""
    return max(opened(options).items(), key=lambda pair: len(pair[1].heads))


def inverted(
    options: FigureOptions, layouts: Mapping[str, Layout], originals: Mapping[str, torch.Tensor]
) -> dict[str, BoxesRun]:
    """The same layouts inverted from each detector, in one job."""
    sources = {}
    for name, detector in opened(options).items():
        recipe = layout_recipe("layouts/ours", detector, steps=options.steps)
        sources[short(name)] = asked_of(detector, list(layouts.values()), list(layouts), recipe, None, name)
    outcome = execute(layouts_job(sources), options.run).whole()
    return {name: run_of(outcome, asked, originals, name) for name, asked in sources.items()}


def finished(
    options: FigureOptions, figure: str, title: str, rows: list[dict[str, Any]], note: str = ""
) -> dict[str, Any]:
    """The table and the page, with the pictures that were drawn."""
    drawn = [(path.stem, path) for path in sorted(options.folder.glob("*.png"))]
    return report(options.folder, f"{title} ({PAPER}, {figure})", rows, note, drawn)


@register("figure", "layout-inversion/fig4")
def figure4(options: FigureOptions) -> dict[str, Any]:
    """Layouts of held-out rooms, inverted from each detector."""
    detectors = opened(options)
    scenes = flat_scenes(next(iter(detectors.values())), rooms=options.pictures or 3, first=FIRST)
    runs = inverted(options, dict(zip(scenes.names, scenes.layouts, strict=True)), scenes.originals)
    rows = []
    for (name, run), detector in zip(runs.items(), detectors.values(), strict=True):
        each = [errors(asked, sure(found)) for asked, found in zip(run.asked, run.found, strict=True)]
        agrees = agreeing(detector, list(run.pictures), list(run.asked))
        read = sum(len(one.pairs) for one in each)
        overlap = torch.cat([one.iou2d for one in each])
        rows.append(
            {
                "inverted": name,
                "layouts seen exactly": f"{sum(agrees)} of {len(agrees)}",
                "objects found": f"{read} of {read + sum(one.missed for one in each)}",
                "extra": sum(one.false for one in each),
                "mean IoU": round(float(overlap.mean()), 3) if len(overlap) else "–",
                "steps": round(float(np.mean(run.steps)), 1),
            }
        )
    run_sheet(
        options.folder / "figure.png",
        runs,
        found_words,
        title="Layouts of rooms, inverted",
        note=f"{PAPER}, figure 4. White: the requested boxes. Color: what the detector finds in its picture.",
    )
    return finished(options, "figure 4", "Layouts, inverted", rows)


def found_words(_: str, run: BoxesRun, i: int) -> str:
    """How many of the requested objects are found in a picture, and how many others."""
    read = errors(run.asked[i], sure(run.found[i]))
    return f"{len(read.pairs)} of {len(read.pairs) + read.missed} found, {read.false or 'no'} extra"


@register("figure", "layout-inversion/fig5")
def figure5(options: FigureOptions) -> dict[str, Any]:
    """Rooms inverted for some heads only."""
    name, detector = with_most_heads(options)
    reader = head_reader(detector)
    scenes = flat_scenes(detector, rooms=options.pictures or 2, first=FIRST)
    subsets = usual_subsets(detector.heads)
    rows, runs = head_table(
        reader, scenes, options.run, recipe="layouts/ours", subsets=subsets, model=name, steps=options.steps
    )
    draw_heads(options.folder / "figure.png", reader, runs, f"Some heads of {short(name)} only: {PAPER}, figure 5")
    note = "Medians over the requested objects. What is read in the pictures of other layouts is chance."
    return finished(options, "figure 5", f"Some heads of {short(name)} only", rows, note)


@register("figure", "layout-inversion/table1")
def table1(options: FigureOptions) -> dict[str, Any]:
    """Inversion transfer: what each detector reads from the pictures of every other."""
    detectors = opened(options)
    scenes = flat_scenes(next(iter(detectors.values())), rooms=options.pictures or 3, first=FIRST)
    found = flat_transfer(list(detectors), scenes, options.run, ways=[How(steps=options.steps)], device=options.device)[
        0
    ]
    found.matrix.draw(options.folder / "figure.png", most=100.0, note=f"COCO's AP, percent. {PAPER}, table 1.")
    note = f"COCO's AP in percent on {len(scenes.names)} rooms. Below: the real pictures of the same layouts."
    return finished(options, "table 1", "Inversion transfer", found.rows(), note)
