"""How little must change in a real picture until a detector sees an object that it missed? And one that is not there?

For each missed object the picture is changed within balls of growing radius around it, until the detector sees the
object (feature accentuation: Hamblin et al., *Feature Accentuation*, 2024). The control asks for the same category and
box at a random empty place of the same picture. Only where the missed object needs less does the change say anything of
the object; where both need the same, it is an adversarial example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe, within_ball
from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout, area
from invert3d.ops.seeds import seed_of
from invert3d.study.layouts.context import only
from invert3d.study.layouts.files import BoxesRun
from invert3d.study.layouts.job import asked_of, layouts_job, redetected, run_of
from invert3d.study.layouts.scenes import Scenes
from invert3d.study.layouts.score import SHOWN, sure
from invert3d.study.layouts.texture import said_of

TRIES = 200  # places that are looked at for an empty one
RADII = (1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An object that a detector missed in a picture (3, h, w), and the same box at an empty place of it; nothing is
    asked of the rest of the picture."""

    name: str
    picture: Tensor
    missed: Layout
    empty: Layout


@dataclass(frozen=True, kw_only=True)
class Missed:
    """What became of M pairs in balls of R ``radii``, in levels of 255.

    ``seen`` (R, 2, M): whether the detector then sees the missed object (0), and the one that is not there (1).
    ``runs``: of each radius, the M missed objects first and then the M empty places.
    """

    pairs: tuple[Pair, ...]
    radii: tuple[float, ...]
    norm: str
    seen: np.ndarray
    runs: tuple[BoxesRun, ...]

    @property
    def smallest(self) -> np.ndarray:
        """(2, M): the smallest radius in which each is seen; infinite where it is in none."""
        return np.where(self.seen, np.array(self.radii)[:, None, None], np.inf).min(0)

    def place(self, which: int, pair: int) -> int:
        """The number of the radius that shows a pair best: the smallest in which it is seen, or the largest."""
        column = self.seen[:, which, pair]
        return int(column.argmax()) if column.any() else len(self.radii) - 1

    def changed(self, which: int, pair: int) -> tuple[Tensor, Layout, Layout]:
        """That picture, what was asked of it, and what is found in it."""
        run, i = self.runs[self.place(which, pair)], which * len(self.pairs) + pair
        return run.pictures[i], run.asked[i], run.found[i]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each radius: the shares that are seen."""
        return [
            {
                "change": f"{radius:g}/255" + (" on average" if self.norm == "l2" else ""),
                "objects": len(self.pairs),
                "missed objects seen": round(float(seen[0].mean()), 3),
                "empty places seen": round(float(seen[1].mean()), 3),
            }
            for radius, seen in zip(self.radii, self.seen, strict=True)
        ]

    def comparison(self) -> dict[str, Any]:
        """Pair by pair: how often the missed object needs less than the empty place, as much, more; the probability of
        that by chance (sign test, two-sided); and how much of the squared change lies inside the box, against the share
        of the picture that the box has: medians."""
        missed, empty = self.smallest
        less, more = int((missed < empty).sum()), int((missed > empty).sum())
        inside = [[self._inside(which, i) for i in range(len(self.pairs))] for which in (0, 1)]
        share = [float(area(pair.missed.boxes[0])) / pair.picture[0].numel() for pair in self.pairs]
        return {
            "less than the empty place": less,
            "as much": len(self.pairs) - less - more,
            "more": more,
            "p": round(float(binomtest(less, less + more).pvalue), 4) if less + more else 1.0,
            "change inside, missed": round(float(np.median(inside[0])), 3),
            "change inside, empty": round(float(np.median(inside[1])), 3),
            "share of the picture": round(float(np.median(share)), 4),
        }

    def _inside(self, which: int, pair: int) -> float:
        """The share of the squared change that lies inside the requested box."""
        after, asked, _ = self.changed(which, pair)
        change = (after - self.pairs[pair].picture).square().sum(0)
        left, top, right, bottom = asked.boxes[0].round().int().tolist()
        return float(change[top:bottom, left:right].sum() / change.sum().clamp_min(1e-12))


def missed_pairs(detector: Detector, scenes: Scenes, most: int, seed: int = 0) -> list[Pair]:
    """Labeled objects that no detection above ``SHOWN`` overlaps by half, whatever its category, each with an empty
    place; at most ``most``, in order. Those for which no place is empty are left out.

    Raises ValueError if there is none.
    """
    from torchvision.ops import box_iou

    real, pairs = scenes.real(), []
    if real is None:
        raise ValueError("missed objects are looked for in real pictures: these layouts have none")
    for name, picture, layout, found in zip(
        scenes.names, real, scenes.layouts, redetected(detector, list(real), scenes.layouts), strict=True
    ):
        there = sure(found)
        overlaps = box_iou(layout.boxes, there.boxes)
        for row, kind in enumerate(layout.kinds):
            if kind == "DontCare" or (len(there) and float(overlaps[row].max()) >= 0.5):
                continue
            rng = np.random.default_rng(seed_of(seed, "empty", name, row))
            place = empty_place(rng, layout.boxes[row], torch.cat([layout.boxes, there.boxes]), layout)
            if place is not None:
                asked = [
                    only(Layout.of_boxes([kind], box[None], layout.height, layout.width))
                    for box in (layout.boxes[row], place)
                ]
                pairs.append(Pair(name=f"{name}-{row}", picture=picture, missed=asked[0], empty=asked[1]))
    if not pairs:
        raise ValueError(f"the detector misses nothing in {len(scenes.names)} pictures that has room elsewhere")
    return pairs[:most]


def empty_place(rng: np.random.Generator, box: Tensor, others: Tensor, layout: Layout) -> Tensor | None:
    """A box (4,) of the same size somewhere in the picture that touches none of the others; None if 200 do."""
    wide, high = (box[2:] - box[:2]).tolist()
    for _ in range(TRIES):
        left, top = rng.uniform(0, layout.width - wide), rng.uniform(0, layout.height - high)
        place = box.new_tensor([left, top, left + wide, top + high])
        apart = (others[:, :2] >= place[2:]) | (others[:, 2:] <= place[:2])
        if apart.any(1).all():
            return place
    return None


def measure_missed(
    detector: Detector,
    pairs: Sequence[Pair],
    options: RunOptions,
    *,
    radii: Sequence[float] = RADII,
    norm: Literal["linf", "l2"] = "linf",
    recipe: str = "accentuate",
    steps: int | None = None,
    model: str = "a detector",
) -> Missed:
    """Change the pictures of pairs within balls of each radius, in one job, and read the saved pictures.

    Args:
        detector, pairs: see ``missed_pairs``.
        options: how the job is run; ``resume`` goes on from its folder.
        radii: in levels of 255: of each value (``linf``), or as a root mean square of all (``l2``).
        norm: of the balls.
        recipe, steps: of ``recipes/layouts``: ``accentuate``, whose change survives views, or ``smallest_change``.
        model: what the detector is called.

    Raises:
        ValueError: no radius, or one that is not positive.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    if not radii:
        raise ValueError("give at least one radius")
    base = layout_recipe(f"layouts/{recipe}", detector, steps=steps)
    layouts = [pair.missed for pair in pairs] + [pair.empty for pair in pairs]
    names = [f"{pair.name}-{which}" for which in ("missed", "empty") for pair in pairs]
    start, sources = torch.stack([pair.picture for pair in pairs] * 2), {}
    for radius in sorted(radii):
        stays = within_ball(base, norm, radius, start[0].numel())
        sources[f"{radius:g}"] = asked_of(detector, layouts, names, stays, start, model)
    outcome = execute(layouts_job(sources), options).whole()
    runs = tuple(run_of(outcome, asked, {}, key) for key, asked in sources.items())
    seen = [
        [said_of(found, asked, 0)[0] > SHOWN for found, asked in zip(run.found, run.asked, strict=True)] for run in runs
    ]
    return Missed(
        pairs=tuple(pairs),
        radii=tuple(sorted(radii)),
        norm=norm,
        seen=np.array(seen).reshape(len(runs), 2, len(pairs)),
        runs=runs,
    )
