"""What a run of inverted 2-D layouts shows: a figure for each picture, a table and a page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invert3d.evaluate.layouts import errors
from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout
from invert3d.ops.shares import share
from invert3d.study.layouts.files import BoxesRun, pixels
from invert3d.study.layouts.job import agreeing, redetected
from invert3d.study.layouts.report import about_run, write_differences
from invert3d.study.layouts.score import SHOWN, short, sure
from invert3d.view.boxfigures import strip
from invert3d.view.page import Table, write_page

MOST = 24  # pictures with a figure
MOST_BOXES = 30  # of a picture that are drawn


def flat_report(
    run: BoxesRun,
    folder: Path,
    *,
    readers: Mapping[str, Detector],
    model: str,
    title: str = "Inverted layouts",
    tables: Sequence[Table] = (),
) -> Path:
    """Write the figures and the page of a run into its folder, and return the page.

    ``readers`` are the detectors that were asked, by name: one, or those that were inverted together. ``tables`` come
    before those of what they read.
    """
    read = {name: read_by(run, detector) for name, detector in readers.items()}
    agrees = [all(each) for each in zip(*(seen for _, seen in read.values()), strict=True)]
    words_of = _words if len(readers) == 1 else _words_of_all
    figures = [
        (words_of(run, i, agrees[i]), _figure(run, i, folder, readers)) for i in range(min(len(run.names), MOST))
    ]
    figures += [("What must change", path) for path in write_differences(run, folder)[:MOST]]
    about, recipe = about_run(folder, model)
    words = " ".join(f"{short(name)}: {judgment(own, seen)}" for name, (own, seen) in read.items())
    return write_page(
        folder,
        title=title,
        subtitle=f"Detections in the saved 8-bit pictures. {words}",
        pictures=figures,
        tables=[
            *tables,
            *(
                Table(title=f"Pictures, as {short(name)} reads them", columns=HEADER, rows=table_rows(own, seen))
                for name, (own, seen) in read.items()
            ),
        ],
        recipe=recipe,
        provenance=about,
        notes=[
            f"The detector sees the requested layout if the detections above a score of {SHOWN} are exactly the "
            "requested objects, with corners on average within 2 % of a diagonal. An object counts as found if a "
            "detection of its category overlaps it by at least half.",
            "A picture that only its own detector understands is an adversarial example: show it to another detector.",
        ],
    )


def read_by(run: BoxesRun, detector: Detector) -> tuple[BoxesRun, tuple[bool, ...]]:
    """The run with what a detector finds in its pictures, and where that is exactly what was asked."""
    pictures, asked = list(run.pictures), list(run.asked)
    return replace(run, found=tuple(redetected(detector, pictures, asked))), agreeing(detector, pictures, asked)


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


def _words_of_all(run: BoxesRun, i: int, agreed: bool) -> str:
    seen = "see the requested layout" if agreed else "do not all see the requested layout exactly"
    return f"{run.names[i]}: the detectors {seen}"


def _figure(run: BoxesRun, i: int, folder: Path, readers: Mapping[str, Detector]) -> Path:
    """The real picture with what is asked, the inverted picture, and what each reader finds in both."""
    name, inverted, asked = run.names[i], pixels(run.pictures[i]), run.asked[i]
    said = [f"detections of {short(each)}" if len(readers) > 1 else "detections" for each in readers]

    def found_in(picture: Tensor) -> list[Layout]:
        return [drawn(redetected(each, [picture], [asked])[0]) for each in readers.values()]

    rows: list[tuple[np.ndarray, Layout | None, str]] = []
    if (real := run.originals.get(name)) is not None:
        rows.append((pixels(real), asked, "real picture, requested layout"))
        rows += [(pixels(real), each, f"{w} in the real picture") for each, w in zip(found_in(real), said, strict=True)]
    else:
        rows.append((inverted, asked, "requested layout"))
    rows.append((inverted, None, "inverted"))
    rows += [(inverted, each, f"{w} in it") for each, w in zip(found_in(run.pictures[i]), said, strict=True)]
    columns = len(rows) // 2 if real is not None else len(rows)
    return strip(folder / "figures" / f"{name}.png", *map(list, zip(*rows, strict=True)), columns=columns, title=name)
