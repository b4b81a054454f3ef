"""Attacks on 2-D detectors: a picture changes a little, and an object vanishes from what is detected, or one appears.

The picture is inverted from the layout that is wanted, beginning with itself and staying in a ball around it: all other
detections are to stay. What counts is what the detector reads from the saved 8-bit picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe, within_ball
from invert3d.methods.stages import Recipe
from invert3d.models.detectors import Detector, categories
from invert3d.ops.layouts import Layout
from invert3d.registry import unknown
from invert3d.study.explaining.detections import prepared
from invert3d.study.layouts.changes import Question
from invert3d.study.layouts.false_positives import all_found, gone
from invert3d.study.layouts.files import BoxesRun, levels_between
from invert3d.study.layouts.flat import write_flat_files
from invert3d.study.layouts.flat_report import flat_report
from invert3d.study.layouts.job import asked_of, layouts_job, run_of
from invert3d.study.layouts.score import sure
from invert3d.study.layouts.texture import said_of
from invert3d.view.page import Table

TITLE = "What becomes of the detections"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What shall be detected that is not, or the other way round: one of the two.

    Attributes:
        vanish: the number of a detection that shall go; 0 has the highest score.
        appear: a category and the box (left, top, right, bottom), in pixels of the picture, where it shall be seen.
    """

    vanish: int | None = None
    appear: tuple[str, tuple[float, float, float, float]] | None = None

    def __post_init__(self) -> None:
        if (self.vanish is None) == (self.appear is None):
            raise ValueError("say either which detection shall vanish or what shall appear")
        if self.vanish is not None and self.vanish < 0:
            raise ValueError(f"detections are counted from 0, not {self.vanish}")


def appearing(text: str) -> tuple[str, tuple[float, float, float, float]]:
    """A category and a box from ``KIND:LEFT,TOP,RIGHT,BOTTOM``. Raises ValueError for other words."""
    kind, _, numbers = text.rpartition(":")
    try:
        left, top, right, bottom = (float(each) for each in numbers.split(","))
    except ValueError:
        raise ValueError(f"what shall appear is KIND:LEFT,TOP,RIGHT,BOTTOM, not {text!r}") from None
    return kind, (left, top, right, bottom)


def question_of(detector: Detector, name: str, picture: np.ndarray, wanted: Wanted) -> Question:
    """A picture (H, W, 3) uint8 as the detector takes it, and the layout that is wanted of it.

    Raises ValueError for a detection that is not there, a category that the detector does not know, or a box that is
    not in the picture.
    """
    image, _ = prepared(detector, picture)
    found = all_found(detector, image)
    there = sure(found)
    if wanted.appear is None:
        row = int(wanted.vanish or 0)
        if row >= len(there):
            kinds = ", ".join(there.kinds) or "nothing"
            raise ValueError(f"{name}: there is no detection {row}; {kinds} {'are' if len(there) > 1 else 'is'} found")
        return gone(image, found, row)
    kind, box = wanted.appear
    if kind not in categories(detector):
        raise ValueError(f"{name}: {unknown('category', kind, categories(detector))}")
    height, width = picture.shape[:2]
    left, top, right, bottom = box
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(f"{name}: the box {left:g},{top:g},{right:g},{bottom:g} is not in {width} x {height} pixels")
    new = detector.prepare_layout(Layout.of_boxes([kind], torch.tensor([box]), height, width))
    weak = found.select(torch.arange(len(found)) >= len(there))
    boxes = torch.cat([there.boxes, new.boxes, weak.boxes])
    kinds = [*there.kinds, kind, *["DontCare"] * len(weak)]
    return Question(picture=image, asked=Layout.of_boxes(kinds, boxes, image.shape[1], image.shape[2]), about=new)


def attack_detector(
    detector: Detector,
    pictures: Mapping[str, np.ndarray],
    *,
    vanish: int | None = None,
    appear: tuple[str, tuple[float, float, float, float]] | None = None,
    levels: float = 8.0,
    steps: int | None = None,
    model: str = "a detector",
    options: RunOptions = RunOptions(),
) -> tuple[BoxesRun, list[dict[str, Any]]]:
    """Change pictures (H, W, 3) uint8, by name, until a detection has vanished from each, or one has appeared.

    Args:
        detector: see ``open_box_detector``.
        vanish: the number of the detection that shall go; 0 has the highest score.
        appear: or a category and the box (left, top, right, bottom), in pixels of the picture, where it shall be seen.
        levels: no value changes by more, of 255.
        steps: at most, in place of the recipe's.
        model: what the detector is called in the run folder.
        options: the run folder, the seed, workers.

    Returns the pictures and what is found in them, and a row each: what the detector said of the object before and
    after, and how many of the other detections are as they were.

    Raises:
        ValueError: as ``question_of``, and for a detector that cannot be inverted.
        KeyboardInterrupt: what was done is in the run folder.
    """
    wanted = Wanted(vanish=vanish, appear=appear)
    if not pictures:
        raise ValueError("name at least one picture")
    asked = {name: question_of(detector, name, picture, wanted) for name, picture in pictures.items()}
    recipe = recipe_of(detector, levels, steps)
    start = torch.stack([each.picture for each in asked.values()])
    job = asked_of(detector, [each.asked for each in asked.values()], list(asked), recipe, start, model)
    outcome = execute(layouts_job({"": job}), options)
    run = run_of(outcome, job, dict(zip(asked, start, strict=True)))
    parts = zip(run.names, run.pictures, run.found, strict=True)
    rows = [row_of(detector, name, asked[name], after, found, wanted) for name, after, found in parts]
    if options.out is not None and rows:
        write_flat_files(outcome.path, run, detector.kinds)
        found = Table(title=TITLE, columns=list(rows[0]), rows=[list(row.values()) for row in rows])
        flat_report(run, outcome.path, readers={model: detector}, model=model, title="An attack", tables=[found])
    outcome.whole()
    return run, rows


def recipe_of(detector: Detector, levels: float, steps: int | None) -> Recipe:
    """Steps by the sign of the gradient, in a ball of so many levels of 255."""
    recipe = layout_recipe("layouts/attack", detector, steps=steps)
    return within_ball(recipe, "linf", levels, 3 * detector.height * detector.width)


def row_of(
    detector: Detector, name: str, question: Question, after: Tensor, found: Layout, wanted: Wanted
) -> dict[str, Any]:
    """What became of a picture: a row of the table."""
    before = all_found(detector, question.picture)
    others = [row for row, kind in enumerate(question.asked.kinds) if kind != "DontCare"]
    others = others if wanted.appear is None else others[:-1]
    kept = [said_of(sure(found), question.asked, row)[:2] for row in others]
    scores = [said_of(each, question.about, 0)[0] for each in (before, found)]
    return {
        "picture": name,
        "object": question.about.kinds[0],
        "score before": round(scores[0], 3),
        "score after": round(scores[1], 3),
        "appeared" if wanted.appear else "vanished": question.answered(found, wanted.appear is not None),
        "others kept": f"{sum(score > 0 for score, _ in kept)} of {len(others)}",
        "largest change": f"{levels_between(question.picture, after)[0]:g}/255",
    }
