"""Figures 6 and 7 of *Inverting and Understanding Object Detectors*, remade: which pixels each head depends on.

Figure 6 shows Grad-CAM inside the box, figure 7 the half of the object that keeps the evidence of a head highest. Here
both are of real pictures of rooms, in which it is known where the object and its outline are: the table counts how much
of the evidence lies on them.
"""

from collections.abc import Mapping
from typing import Any

import torch

from invert3d.evaluate.layouts import match
from invert3d.jobs.execute import execute
from invert3d.jobs.job import Made, Unit
from invert3d.ops.layouts import Layout
from invert3d.registry import register
from invert3d.study.explaining.detections_job import Asked, detections_job, map_name
from invert3d.study.explaining.detections_report import draw_detections
from invert3d.study.explaining.evidence import ANY, shares_of, table_of
from invert3d.study.layouts.flat_scenes import flat_scenes
from invert3d.study.layouts.score import short
from invert3d.study.papers.figure import FigureOptions
from invert3d.study.papers.layout_inversion import FIRST, PAPER, finished, with_most_heads

BAND = 3.0  # pixels on either side of an outline


@register("figure", "layout-inversion/fig6")
def figure6(options: FigureOptions) -> dict[str, Any]:
    """Grad-CAM of the heads for classes and boxes."""
    return _heads(options, "figure 6", "grad_cam", "Grad-CAM")


@register("figure", "layout-inversion/fig7")
def figure7(options: FigureOptions) -> dict[str, Any]:
    """The half of each box that keeps the evidence of a head highest."""
    return _heads(options, "figure 7", "extremal", "Extremal masks")


def _heads(options: FigureOptions, figure: str, method: str, words: str) -> dict[str, Any]:
    """The maps of the best detections in a few rooms, and where the evidence for the right ones lies."""
    name, detector = with_most_heads(options)
    scenes = flat_scenes(detector, rooms=options.pictures or 3, first=FIRST)
    outcome = execute(detections_job(detector, scenes.originals, Asked(methods=[method]), model=name), options.run)
    truths = dict(zip(scenes.names, scenes.layouts, strict=True))
    shares = [each for unit, made in outcome.whole().each() for each in counted(unit, made, truths)]
    title = f"{words} of {short(name)}"
    draw_detections(outcome, f"{title}: {PAPER}, {figure}", options.folder / "figure.png")
    note = f"Shares of what is positive in the box: on the object, and within {BAND:g} pixels of its outline."
    rows = [row for row in table_of(shares, least=1) if row["categories"] == ANY]
    return finished(options, figure, title, rows, note)


def counted(unit: Unit, made: Made, truths: Mapping[str, Layout]) -> list[dict[str, Any]]:
    """Where the evidence for the right detections of a picture lies, of class and box."""
    truth, found = truths[unit.values["label"]], unit.values["layout"]
    if truth.masks is None:
        return []
    rows = []
    for i, j in match(truth, found).tolist():
        mine = [row for row in made.facts["rows"] if row["detection"] == j and row["about"] in ("class", "box")]
        maps = {(row["method"], row["about"]): made.arrays[map_name(row["method"], row["head"])][j] for row in mine}
        one = found.select(torch.tensor([j]))
        rows += [{"category": truth.kinds[i], **each} for each in shares_of(maps, one, truth.masks[i], BAND)]
    return rows
