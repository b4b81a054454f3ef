"""Inversion transfer of 2-D detectors: what each reads from the pictures inverted from every other.

Table 1 of *Inverting and Understanding Object Detectors* (Cao & Johnson 2021), from the saved 8-bit pictures, beside
what the detectors read from the real pictures of the same layouts, and beside the control, whose weights are shuffled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invert3d.engine.progress import Meter
from invert3d.evaluate.coco import coco_ap
from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.models.detectors import categories
from invert3d.opening.box_detectors import open_box_detector, parts_of
from invert3d.ops.layouts import Layout
from invert3d.study.controls import randomized_detector
from invert3d.study.layouts.job import How, asked_of, layouts_job, redetected, run_of
from invert3d.study.layouts.scenes import Scenes
from invert3d.study.layouts.score import sure
from invert3d.study.transfer import Matrix

#: what the column of the masks of a detector is called, after its name
MASKS = " masks"


@dataclass(frozen=True, kw_only=True)
class FlatTransfer:
    """COCO's AP in percent: of every detector (columns) on the pictures inverted from every other (rows).

    A detector that makes masks has a second column, ``NAME masks``.

    Attributes:
        matrix: of boxes and masks.
        rooms: the number of layouts.
        real: the AP on the real pictures, by column.
        as_trained: the AP of masks that are what the detector is trained to say, as post-processing pastes them.
        agreement: the mean over pairs of the AP on the real pictures with what another detector finds there as truth.
        steps: the mean number of steps, by the detector that is inverted.
        above: the share of cells that are higher than those of each other way, by its label, on the layouts that both
            were asked for.
    """

    matrix: Matrix
    rooms: int
    real: dict[str, float]
    as_trained: dict[str, float]
    agreement: float
    steps: dict[str, float]
    above: dict[str, float]

    @property
    def diagonal(self) -> list[float]:
        """The AP of boxes of each detector on pictures inverted from it, alone or with others."""
        return self._cells(own=True)

    @property
    def apart(self) -> list[float]:
        """The AP of boxes of every detector on pictures inverted from others."""
        return self._cells(own=False)

    def _cells(self, own: bool) -> list[float]:
        return [
            value
            for inverted, line in zip(self.matrix.rows, self.matrix.values, strict=True)
            for reader, value in zip(self.matrix.columns, line, strict=True)
            if not reader.endswith(MASKS) and (reader in parts_of(inverted)) == own
        ]

    def rows(self) -> list[dict[str, Any]]:
        """Plain values, a row for each set of pictures."""
        table = self.matrix.table(rooms=self.rooms)
        for row in table:
            row["steps"] = round(self.steps[row["inverted"]], 1)
        others = {"real pictures": self.real} | ({"masks as trained": self.as_trained} if self.as_trained else {})
        return [*table, *({"recipe": k, "inverted": "-", "rooms": self.rooms, **row} for k, row in others.items())]


def flat_transfer(
    names: Sequence[str],
    scenes: Scenes,
    options: RunOptions,
    *,
    readers: Sequence[str] | None = None,
    ways: Sequence[How] = (How(),),
    rooms: Sequence[int] | None = None,
    device: str = "cpu",
) -> list[FlatTransfer]:
    """Invert layouts from each detector in one or more ways, in one job, and let all detectors read the saved pictures.

    Args:
        names: detectors to invert, see ``open_box_detector``.
        scenes: layouts with their real pictures, of the size that all detectors take.
        options: how the job is run; ``resume`` goes on from its folder.
        readers: detectors that read the pictures; by default those that are inverted, and all parts of those that are
            inverted together (``a+b``).
        ways: how pictures are made. A control has its batch norms measured again on real pictures.
        rooms: how many of the layouts are inverted in each way, from the first on; by default all.
        device: where the detectors are.

    Raises:
        ValueError: the detectors take pictures of different sizes.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    inverted = {name: open_box_detector(name, device=device) for name in names}
    parts = readers or [part for name in names for part in parts_of(name)]
    if together := [part for part in parts if len(parts_of(part)) > 1]:
        raise ValueError(f"pictures are read by one detector at a time, not by {together[0]}")
    detectors = {called(part): open_box_detector(part, device=device) for part in parts}
    sizes = sorted({(each.height, each.width) for each in [*inverted.values(), *detectors.values()]})
    if len(sizes) > 1:
        raise ValueError(f"detectors that read each other's pictures must take the same size, not {sizes}")
    real = [scenes.originals[name] for name in scenes.names]
    labels, counts = [how.label for how in ways], list(rooms or [len(real)] * len(ways))
    sources = {}
    for how, count in zip(ways, counts, strict=True):
        for name, detector in inverted.items():
            asked = randomized_detector(detector, torch.stack(real[:16]), options.seed) if how.control else detector
            recipe = how.recipe_for(asked)
            made = asked_of(asked, scenes.layouts[:count], scenes.names[:count], recipe, model=name)
            sources[f"{how.label}-{name}"] = made
    outcome = execute(layouts_job(sources, any(how.bf16 for how in ways)), options).whole()
    runs = {key: run_of(outcome, asked, {}, key, reads=False) for key, asked in sources.items()}

    @cache
    def matrix(label: str, count: int) -> Matrix:
        cells = [ap_of(detectors, list(runs[f"{label}-{name}"].pictures[:count]), scenes.layouts) for name in names]
        values = tuple(tuple(line.values()) for line in cells)
        return Matrix(label=label, rows=tuple(map(called, names)), columns=tuple(cells[0]), values=values)

    found = []
    with Meter("reading the pictures", show=options.progress):
        for label, count in zip(labels, counts, strict=True):
            shared = {other: min(count, most) for other, most in zip(labels, counts, strict=True) if other != label}
            one = FlatTransfer(
                matrix=matrix(label, count),
                rooms=count,
                real={name: round(value, 2) for name, value in ap_of(detectors, real[:count], scenes.layouts).items()},
                as_trained=as_trained(detectors, scenes.layouts[:count]),
                agreement=agreement(detectors, real[:count], scenes.layouts[:count]),
                steps={called(name): float(np.mean(runs[f"{label}-{name}"].steps)) for name in names},
                above={other: higher(matrix(label, most), matrix(other, most)) for other, most in shared.items()},
            )
            found.append(one)
    return found


def called(name: str) -> str:
    """What a detector is called in a table: without the folder and ending of its card."""
    return "+".join(Path(part).stem if part.endswith(".json") else part for part in parts_of(name))


def higher(one: Matrix, other: Matrix) -> float:
    """The share of the cells of a matrix that are higher than the same cells of another."""
    return float(np.mean(np.array(one.values) > np.array(other.values)))


def ap_of(detectors: dict[str, Any], pictures: Sequence[torch.Tensor], truth: Sequence[Layout]) -> dict[str, float]:
    """The AP of every detector on pictures of the first layouts, by column (see ``FlatTransfer``)."""
    cells = {name: scored(each, pictures, truth[: len(pictures)]) for name, each in detectors.items()}
    return {name + kind: value for name, cell in cells.items() for kind, value in cell.items()}


def scored(detector: Any, pictures: Sequence[torch.Tensor], truth: Sequence[Layout]) -> dict[str, float]:
    """The AP of boxes ("") and, where there are masks on both sides, of masks (``MASKS``)."""
    found = redetected(detector, pictures, truth)
    kinds = categories(detector)
    scores = {"": coco_ap(truth, found, kinds)["AP"]}
    if any(each.masks is not None for each in found) and all(each.masks is not None for each in truth):
        scores[MASKS] = coco_ap(truth, found, kinds, "masks")["AP"]
    return scores


def as_trained(detectors: dict[str, Any], truth: Sequence[Layout]) -> dict[str, float]:
    """The AP of masks that are what detectors are trained to say, by column (see ``MaskRCNNDetector.as_trained``)."""
    able = {name: each for name, each in detectors.items() if hasattr(each, "as_trained")}
    if any(each.masks is None for each in truth):
        return {}
    scores = {
        name + MASKS: coco_ap(truth, [each.as_trained(layout) for layout in truth], categories(each), "masks")["AP"]
        for name, each in able.items()
    }
    return {name: round(value, 2) for name, value in scores.items()}


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
