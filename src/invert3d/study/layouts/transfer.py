"""Do inverted layouts mean anything? What each detector reads from the pictures made for the other, with the control.

Rows are the detectors inverted, columns those that read, from the saved 8-bit pictures. The control inverts the same
detectors with their weights shuffled: what others read from that, the recipe drew and not the detector.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from invert3d.evaluate.inversion import randomize
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.ops.seeds import HELD_OUT
from invert3d.study.detectors import open_detector
from invert3d.study.layouts.job import BoxesRun, invert_boxes, redetected
from invert3d.study.layouts.score import SHOWN, BoxScore, read_boxes_run, score, short
from invert3d.training.frames import Frames, street_frames

DETECTORS = ("centernet3d-small", "centernet3d-resnet18")


@dataclass(frozen=True)
class LayoutTransfer:
    """3-D AP (percent, moderate) of every detector (columns) on the pictures inverted from every other (rows).

    ``originals`` is what each reads from the streets themselves, against the labels; ``agreement`` the same against
    what each *other* detector reads there: how far two networks agree on pictures that neither was inverted for.
    """

    recipe: str
    detectors: tuple[str, ...]
    scores: tuple[tuple[BoxScore, ...], ...]
    originals: tuple[BoxScore, ...]
    agreement: tuple[BoxScore, ...]
    steps: tuple[float, ...]
    frames: int

    @property
    def matrix(self) -> np.ndarray:
        """(D, D) 3-D AP."""
        return np.array([[each.ap3d for each in row] for row in self.scores])

    @property
    def transfer(self) -> float:
        """The mean off the diagonal; NaN for one detector."""
        if len(self.detectors) < 2:
            return math.nan
        off = ~np.eye(len(self.detectors), dtype=bool)
        return float(self.matrix[off].mean())

    @property
    def agreed(self) -> float:
        """The mean agreement on the streets themselves; NaN for one detector."""
        return float(np.mean([each.ap3d for each in self.agreement])) if self.agreement else math.nan

    def rows(self) -> list[dict[str, Any]]:
        """Plain values, a row for each set of pictures and reader."""
        table = [
            {"inverted": short(one), **each.as_dict()}
            for one, row in zip(self.detectors, self.scores, strict=True)
            for each in row
        ]
        return table + [{"inverted": "–", **each.as_dict()} for each in (*self.originals, *self.agreement)]


def shuffled(detector: CenterNet3D, seed: int = 0) -> CenterNet3D:
    """The detector with its weights shuffled and its batch norms measured again on streets."""
    copied = copy.deepcopy(detector)
    streets = street_frames(8, detector.height, detector.width, seed=seed + 77)
    randomize(copied, streets.pictures.to(copied.mean.device), seed)
    return copied.eval()


def layout_transfer(
    recipe: str,
    frames: Frames,
    out: Path,
    *,
    names: Sequence[str] = DETECTORS,
    control: bool = False,
    steps: int | None = None,
    seed: int = 0,
    bf16: bool = False,
    device: str = "cpu",
) -> LayoutTransfer:
    """Invert the layouts of frames from each detector, and let all of them read the saved pictures.

    Args:
        recipe: see ``invert_boxes``.
        frames: whose layouts are asked for; their pictures are read too.
        out: a folder of run folders, one a detector; an interrupted call goes on.
        names: detectors, see ``open_detector``.
        control: shuffle the weights of those that are inverted.
        steps, seed, bf16: see ``invert_boxes``.

    Raises ValueError for detectors that take pictures of different sizes.
    """
    detectors = [open_detector(name, device=device) for name in names]
    sizes = sorted({(each.height, each.width) for each in detectors})
    if len(sizes) > 1:
        raise ValueError(f"detectors that read each other's pictures must take the same size, not {sizes}")
    label = f"{recipe} of shuffled weights" if control else recipe
    scores, steps_taken = [], []
    for name, detector in zip(names, detectors, strict=True):
        folder = out / f"{recipe}-{short(name)}{'-shuffled' if control else ''}"
        asked = shuffled(detector, seed) if control else detector
        _run(asked, frames, folder, recipe, name, steps, seed, bf16).whole()
        saved = read_boxes_run(folder)
        pictures = f"{label}, {short(name)}"
        taken = float(np.mean(saved.steps))
        row = [
            score(pictures, short(own), frames.layouts, redetected(each, saved.pictures, frames.layouts))
            for own, each in zip(names, detectors, strict=True)
        ]
        scores.append(tuple(replace(each, steps=taken) for each in row))
        steps_taken.append(taken)
    read = [redetected(each, list(frames.pictures), frames.layouts) for each in detectors]
    originals = tuple(
        score("the streets themselves", short(name), frames.layouts, found)
        for name, found in zip(names, read, strict=True)
    )
    sure = [[layout.select(layout.scores > SHOWN) for layout in found] for found in read]
    agreement = tuple(
        score(f"streets as {short(names[i])} reads them", short(names[j]), sure[i], read[j])
        for i, j in permutations(range(len(names)), 2)
    )
    return LayoutTransfer(label, tuple(names), tuple(scores), originals, agreement, tuple(steps_taken), len(frames))


def _run(
    detector: CenterNet3D,
    frames: Frames,
    folder: Path,
    recipe: str,
    name: str,
    steps: int | None,
    seed: int,
    bf16: bool,
) -> BoxesRun:
    pictures = dict(zip(frames.names, frames.pictures, strict=True))
    return invert_boxes(
        detector,
        frames.layouts,
        names=frames.names,
        recipe=recipe,
        steps=steps,
        originals=pictures,
        model=name,
        out=folder,
        seed=seed,
        bf16=bf16,
        resume=(folder / "run.json").is_file(),
    )


def streets_with_objects(count: int, detector: CenterNet3D, clutter: bool = False) -> Frames:
    """The first ``count`` held-out streets in which there is something to ask the detector for."""
    made = street_frames(count + count // 5 + 2, detector.height, detector.width, seed=HELD_OUT, clutter=clutter)
    fit = [
        i
        for i, layout in enumerate(made.layouts)
        if detector.codec.count_assignable(layout, detector.height, detector.width)
    ][:count]
    return Frames(
        made.images[fit],
        tuple(made.layouts[i] for i in fit),
        tuple(made.names[i] for i in fit),
        made.source,
        made.licence,
    )
