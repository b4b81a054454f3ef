"""Inversion transfer of 2-D detectors: what each reads from the pictures inverted from every other.

Table 1 of *Inverting and Understanding Object Detectors* (Cao & Johnson 2021), from the saved 8-bit pictures, beside
what the detectors read from the real pictures of the same layouts, and beside the control, whose weights are shuffled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import torch

from invert3d.engine.progress import Meter
from invert3d.evaluate.coco import coco_ap
from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe
from invert3d.models.detectors import categories
from invert3d.opening.box_detectors import open_box_detector
from invert3d.ops.layouts import Layout
from invert3d.study.controls import randomized_detector
from invert3d.study.layouts.job import asked_of, layouts_job, redetected, run_of
from invert3d.study.layouts.scenes import Scenes
from invert3d.study.layouts.score import sure
from invert3d.study.transfer import Matrix


@dataclass(frozen=True, kw_only=True)
class FlatTransfer:
    """COCO's AP in percent: of every detector (columns) on the pictures inverted from every other (rows).

    A detector that makes masks has a second column, ``NAME masks``. ``real`` is the AP on the real pictures, by column;
    ``agreement`` the mean over pairs of the AP on the real pictures with what another detector finds there as truth.
    """

    matrix: Matrix
    real: dict[str, float]
    agreement: float
    steps: dict[str, float]

    @property
    def diagonal(self) -> list[float]:
        """The AP of boxes of each detector on its own pictures."""
        return [self._cell(name, name) for name in self.matrix.rows]

    @property
    def apart(self) -> list[float]:
        """The AP of boxes of every detector on every other's pictures."""
        return [self._cell(*pair) for pair in permutations(self.matrix.rows, 2)]

    def _cell(self, inverted: str, reader: str) -> float:
        row, column = self.matrix.rows.index(inverted), self.matrix.columns.index(reader)
        return self.matrix.values[row][column]

    def rows(self) -> list[dict[str, Any]]:
        """Plain values, a row for each set of pictures."""
        table = self.matrix.table()
        for row in table:
            row["steps"] = round(self.steps[row["inverted"]], 1)
        return [*table, {"recipe": "real pictures", "inverted": "-", **self.real}]


def flat_transfer(
    names: Sequence[str],
    scenes: Scenes,
    options: RunOptions,
    *,
    recipe: str = "ours",
    control: bool = False,
    steps: int | None = None,
    device: str = "cpu",
) -> FlatTransfer:
    """Invert layouts from each detector, in one job, and let all of them read the saved pictures.

    Args:
        names: detectors, see ``open_box_detector``.
        scenes: layouts with their real pictures, of the size that all detectors take.
        options: how the job is run; ``resume`` goes on from its folder.
        recipe: of ``recipes/layouts``.
        control: shuffle the weights of those that are inverted, with their batch norms measured again on real pictures.
        steps: override the recipe's.
        device: where the detectors are.

    Raises:
        ValueError: the detectors take pictures of different sizes.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    detectors = {name: open_box_detector(name, device=device) for name in names}
    sizes = sorted({(each.height, each.width) for each in detectors.values()})
    if len(sizes) > 1:
        raise ValueError(f"detectors that read each other's pictures must take the same size, not {sizes}")
    real = [scenes.originals[name] for name in scenes.names]
    sources = {}
    for name, detector in detectors.items():
        inverted = randomized_detector(detector, torch.stack(real[:16]), options.seed) if control else detector
        chosen = layout_recipe(f"layouts/{recipe}", inverted, steps=steps)
        sources[name] = asked_of(inverted, scenes.layouts, scenes.names, chosen, model=name)
    outcome = execute(layouts_job(sources), options).whole()
    lines, taken = [], {}
    with Meter("reading the pictures", show=options.progress):
        for name, asked in sources.items():
            run = run_of(outcome, asked, {}, name, reads=False)
            taken[name] = float(np.mean(run.steps))
            cells = [scored(each, list(run.pictures), scenes.layouts) for each in detectors.values()]
            lines.append([value for cell in cells for value in cell.values()])
        read = {name: scored(each, real, scenes.layouts) for name, each in detectors.items()}
        agreed = agreement(detectors, real, scenes.layouts)
    columns = [name + kind for name, cell in read.items() for kind in cell]
    values = tuple(tuple(line) for line in lines)
    label = f"{recipe} on shuffled weights" if control else recipe
    return FlatTransfer(
        matrix=Matrix(label=label, rows=tuple(names), columns=tuple(columns), values=values),
        real={name + kind: round(value, 2) for name, cell in read.items() for kind, value in cell.items()},
        agreement=agreed,
        steps=taken,
    )


def scored(detector: Any, pictures: Sequence[torch.Tensor], truth: Sequence[Layout]) -> dict[str, float]:
    """The AP of boxes ("") and, where there are masks on both sides, of masks (" masks")."""
    found = redetected(detector, pictures, truth)
    kinds = categories(detector)
    scores = {"": coco_ap(truth, found, kinds)["AP"]}
    if any(each.masks is not None for each in found) and all(each.masks is not None for each in truth):
        scores[" masks"] = coco_ap(truth, found, kinds, "masks")["AP"]
    return scores


def agreement(detectors: dict[str, Any], real: Sequence[torch.Tensor], asked: Sequence[Layout]) -> float:
    """The mean AP of one detector with the sure detections of another as truth, on real pictures; NaN for one."""
    read = {name: redetected(each, real, asked) for name, each in detectors.items()}
    pairs = [
        coco_ap([unscored(sure(each)) for each in read[a]], read[b], categories(detectors[b]))["AP"]
        for a, b in permutations(read, 2)
    ]
    return float(np.mean(pairs)) if pairs else float("nan")


def unscored(layout: Layout) -> Layout:
    """Detections as if they were labels."""
    return replace(layout, scores=torch.full_like(layout.scores, torch.nan))
