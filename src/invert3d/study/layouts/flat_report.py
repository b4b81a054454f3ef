"""What a run of inverted 2-D layouts shows: a figure for each picture, a table and a page."""

from collections.abc import Sequence
from pathlib import Path

import torch

from invert3d.evaluate.layouts import errors
from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout
from invert3d.ops.shares import share
from invert3d.study.layouts.files import BoxesRun, pixels
from invert3d.study.layouts.job import agreeing, redetected
from invert3d.study.layouts.report import about_run, write_differences
from invert3d.study.layouts.score import SHOWN, sure
from invert3d.view.boxfigures import strip
from invert3d.view.page import Table, write_page

MOST = 24  # pictures with a figure
MOST_BOXES = 30  # of a picture that are drawn


def flat_report(run: BoxesRun, folder: Path, *, detector: Detector, model: str) -> Path:
    """Write the figures and the page of a run into its folder, and return the page."""
    agrees = agreeing(detector, list(run.pictures), list(run.asked))
    figures = [(_words(run, i, agrees[i]), _figure(run, i, folder, detector)) for i in range(min(len(run.names), MOST))]
    figures += [("What must change", path) for path in write_differences(run, folder)[:MOST]]
    about, recipe = about_run(folder, model)
    return write_page(
        folder,
        title="Inverted layouts",
        subtitle=f"Detections of {Path(model).stem} in the saved 8-bit pictures. {judgment(run, agrees)}",
        pictures=figures,
        tables=[Table(title="Pictures", columns=HEADER, rows=table_rows(run, agrees))],
        recipe=recipe,
        provenance=about,
        notes=[
            f"The detector sees the requested layout if the detections above a score of {SHOWN} are exactly the "
            "requested objects, with corners on average within 2 % of a diagonal. An object counts as found if a "
            "detection of its category overlaps it by at least half.",
            "A picture that only its own detector understands is an adversarial example: show it to another detector.",
        ],
    )


HEADER = ["picture", "objects", "found", "mean overlap", "extra objects", "requested layout seen", "steps"]


def table_rows(run: BoxesRun, agrees: Sequence[bool]) -> list[list[str]]:
    """One row a picture: what was asked, and what is read."""
    rows = []
    for i, name in enumerate(run.names):
        read = errors(run.asked[i], sure(run.found[i]))
        mean = f"{read.iou2d.mean():.2f}" if len(read.pairs) else "-"
        seen = "yes" if agrees[i] else "no"
        counts = [str(len(read.pairs) + read.missed), str(len(read.pairs)), mean, str(read.false)]
        rows.append([name, *counts, seen, str(run.steps[i])])
    return rows


def judgment(run: BoxesRun, agrees: Sequence[bool]) -> str:
    """What the detector reads of what was asked in all pictures, in words."""
    each = [errors(asked, sure(found)) for asked, found in zip(run.asked, run.found, strict=True)]
    read, extra = sum(len(one.pairs) for one in each), sum(one.false for one in each)
    return (
        f"It sees the requested layout in {share(sum(agrees), len(agrees))} pictures; "
        f"{share(read, read + sum(one.missed for one in each))} objects found; {extra or 'no'} extra objects."
    )


def drawn(found: Layout) -> Layout:
    """The detections that a figure shows: those above ``SHOWN``, the best of many."""
    return sure(found).select(torch.arange(min(MOST_BOXES, len(sure(found)))))


def _words(run: BoxesRun, i: int, agreed: bool) -> str:
    read = errors(run.asked[i], sure(run.found[i]))
    seen = "the requested layout is seen" if agreed else "the requested layout is not seen exactly"
    mean = f", mean overlap {read.iou2d.mean():.2f}" if len(read.pairs) else ""
    found = share(len(read.pairs), len(read.pairs) + read.missed)
    return f"{run.names[i]}: {seen}; {found} objects found{mean}, {read.false or 'no'} extra"


def _figure(run: BoxesRun, i: int, folder: Path, detector: Detector) -> Path:
    """The real picture with what is asked, the inverted picture, and what the detector reads from it."""
    name, inverted = run.names[i], pixels(run.pictures[i])
    images, layouts, captions = [inverted, inverted], [None, drawn(run.found[i])], ["inverted", "detections in it"]
    if name in run.originals:
        original = pixels(run.originals[name])
        seen = redetected(detector, [run.originals[name]], [run.asked[i]])[0]
        images = [original, original, *images]
        layouts = [run.asked[i], drawn(seen), *layouts]
        captions = ["real picture, requested layout", "detections in the real picture", *captions]
    else:
        images, layouts, captions = [inverted, *images], [run.asked[i], *layouts], ["requested layout", *captions]
    return strip(
        folder / "figures" / f"{name}.png", images, layouts, captions, columns=2 if len(images) == 4 else 3, title=name
    )
