"""How what a detector expects changes with the size of an object: single objects of several lengths.

Figure 12 and section 4.4.2 of *Inverting and Understanding Object Detectors* (Cao & Johnson 2021): small objects are
said to be recognized by shape and context, large ones as parts and texture. What can be counted is what else the
detector finds in the picture, and how surely it finds the object itself.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe
from invert3d.models.detectors import Detector, categories
from invert3d.ops.layouts import Layout
from invert3d.registry import unknown
from invert3d.study.layouts.context import SURE, context_of, single_layouts
from invert3d.study.layouts.files import BoxesRun
from invert3d.study.layouts.job import asked_of, layouts_job, run_of
from invert3d.study.layouts.sheets import every, run_sheet
from invert3d.study.layouts.texture import said_of


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """What was read from pictures of single objects, by category (K) and length (S), ``pictures`` of each.

    Attributes:
        kinds: the categories that were asked. shares: lengths as shares of the picture's side.
        score, overlap: (K, S) means of the highest score for the object itself (0 where it is not found), and of the
            largest IoU of any detection with it.
        others: (K, S) mean number of other objects that are found with a score above 1/2.
        runs: of each length: the pictures of all categories.
    """

    kinds: tuple[str, ...]
    shares: tuple[float, ...]
    pictures: int
    score: np.ndarray
    overlap: np.ndarray
    others: np.ndarray
    runs: tuple[BoxesRun, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each length: means over the categories. ``others per free picture`` divides by the share of the
        picture that the object leaves free."""
        return [
            {
                "length": f"{share:.0%} of the picture",
                "pictures": len(self.kinds) * self.pictures,
                "score": round(float(self.score[:, s].mean()), 3),
                "IoU": round(float(self.overlap[:, s].mean()), 3),
                "other objects": round(float(self.others[:, s].mean()), 2),
                "others per free picture": round(float(self.others[:, s].mean() / max(1 - share**2, 1e-6)), 2),
            }
            for s, share in enumerate(self.shares)
        ]


def measure_scales(
    detector: Detector,
    options: RunOptions,
    *,
    kinds: Sequence[str],
    shares: Sequence[float],
    seeds: int = 2,
    model: str = "a detector",
    recipe: str = "ours",
    steps: int | None = None,
) -> Scaled:
    """Invert single objects of some categories and lengths, in one job, and read them.

    Args:
        detector: of square pictures.
        options: how the job is run; ``resume`` goes on from its folder.
        kinds: categories.
        shares: lengths, as shares of the picture's side.
        seeds: pictures of each category and length.
        model: what the detector is called.
        recipe, steps: of ``recipes/layouts``.

    Raises:
        ValueError: a category that the detector does not know, or no length between 0 and 1.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    known = categories(detector)
    for kind in kinds:
        if kind not in known:
            raise ValueError(unknown("category", kind, known))
    if not kinds or not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"lengths are shares of the picture's side, above 0 and at most 1, not {list(shares)}")
    chosen, sources = layout_recipe(f"layouts/{recipe}", detector, steps=steps), {}
    for share in shares:
        layouts = single_layouts(kinds, seeds, detector.height, share)
        sources[f"{share:g}"] = asked_of(detector, list(layouts.values()), list(layouts), chosen, None, model)
    outcome = execute(layouts_job(sources), options).whole()
    runs = tuple(run_of(outcome, asked, {}, key) for key, asked in sources.items())
    said = np.array([[said_of(*pair, 0)[:2] for pair in zip(run.found, run.asked, strict=True)] for run in runs])
    said = said.reshape(len(shares), len(kinds), seeds, 2).mean(2).transpose(2, 1, 0)
    return Scaled(
        kinds=tuple(kinds),
        shares=tuple(shares),
        pictures=seeds,
        score=said[0],
        overlap=said[1],
        others=np.stack([others_beside(run, known, kinds, seeds) for run in runs], 1),
        runs=runs,
    )


def others_beside(run: BoxesRun, known: Sequence[str], kinds: Sequence[str], seeds: int) -> np.ndarray:
    """(K,): how many other objects a detector finds on average in the pictures of single objects of each category."""
    counts = context_of(run, known, seeds).sides.sum((1, 2)) / seeds
    return np.array([counts[list(known).index(kind)] for kind in kinds])


def draw_scales(path: Path, scaled: Scaled, title: str, most: int = 5) -> Path:
    """Lengths down the side, categories across the top: the first picture of each, with what is found in it."""
    runs = {
        f"{share:.0%} of the side": every(run, scaled.pictures)
        for share, run in zip(scaled.shares, scaled.runs, strict=True)
    }
    return run_sheet(
        path,
        runs,
        lambda _, run, i: beside(run, i),
        title=title,
        note="One object is asked for (white), and nothing of the rest. Color: what the detector finds with a score "
        "above one half. Below: the score of the object itself, and what else is found.",
        columns=scaled.kinds,
        most=most,
        shown=confident,
    )


def confident(found: Layout, asked: Layout) -> Layout:
    """The detections that count as something that appears."""
    return found.select(found.scores > SURE)


def beside(run: BoxesRun, i: int) -> str:
    """What a detector finds in a picture of a single object: the object's score, and the others by category."""
    from torchvision.ops import box_iou

    sure, asked = confident(run.found[i], run.asked[i]), run.asked[i].boxes[:1]
    others = Counter(sure.kinds[j] for j in (box_iou(sure.boxes, asked) < 0.5).nonzero()[:, 0].tolist())
    names = ", ".join(f"{kind} {count}" if count > 1 else kind for kind, count in others.most_common())
    score = f"score {said_of(run.found[i], run.asked[i], 0)[0]:.2f}"
    return f"{score}; {names}" if names else score
