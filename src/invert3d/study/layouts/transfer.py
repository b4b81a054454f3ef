"""Do inverted layouts mean anything? What each detector reads from the pictures made for the other, with the control.

Rows are the detectors inverted, columns those that read, from the saved 8-bit pictures. The control inverts the same
detectors with their weights shuffled: what others read from that comes from the recipe and not from the detector.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

from invert3d.engine.progress import Meter
from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe
from invert3d.models.detectors import Detector
from invert3d.opening.detectors import open_detector
from invert3d.ops.seeds import HELD_OUT, seed_of
from invert3d.study.controls import randomized_detector
from invert3d.study.layouts.job import asked_of, layouts_job, redetected, run_of
from invert3d.study.layouts.score import BoxScore, score, short, sure
from invert3d.study.transfer import Matrix
from invert3d.training.frames import Frames
from invert3d.training.streets import street_frames

DETECTORS = ("centernet3d-small", "centernet3d-resnet18")


@dataclass(frozen=True)
class LayoutTransfer:
    """3-D AP (percent, moderate) of every detector (columns) on the pictures inverted from every other (rows).

    ``originals`` is what each reads from the streets themselves, against the labels; ``agreement`` the same against
    what each *other* detector reads there: how far two networks agree on pictures that neither was inverted for.
    """

    matrix: Matrix
    scores: tuple[tuple[BoxScore, ...], ...]
    originals: tuple[BoxScore, ...]
    agreement: tuple[BoxScore, ...]
    steps: tuple[float, ...]

    @property
    def agreed(self) -> float:
        """The mean agreement on the streets themselves; NaN for one detector."""
        return float(np.mean([each.ap3d for each in self.agreement])) if self.agreement else float("nan")

    def rows(self) -> list[dict[str, Any]]:
        """Plain values, a row for each set of pictures and reader."""
        pairs = zip(self.matrix.rows, self.scores, strict=True)
        table = [{"inverted": short(one), **each.as_dict()} for one, row in pairs for each in row]
        return table + [{"inverted": "–", **each.as_dict()} for each in (*self.originals, *self.agreement)]


def layout_transfer(
    recipe: str,
    frames: Frames,
    options: RunOptions,
    *,
    names: Sequence[str] = DETECTORS,
    control: bool = False,
    steps: int | None = None,
    bf16: bool = False,
    device: str = "cpu",
) -> LayoutTransfer:
    """Invert the layouts of frames from each detector, in one job, and let all of them read the saved pictures.

    Args:
        recipe: by name, see ``layout_recipe``.
        frames: whose layouts are asked for; their pictures are read too.
        options: how the job is run; ``resume`` goes on from its folder.
        names: detectors, see ``open_detector``.
        control: shuffle the weights of those that are inverted.
        steps: override the recipe's.
        bf16, device: see ``invert_boxes``, ``open_detector``.

    Raises:
        ValueError: the detectors take pictures of different sizes.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    detectors = [open_detector(name, device=device) for name in names]
    sizes = sorted({(each.height, each.width) for each in detectors})
    if len(sizes) > 1:
        raise ValueError(f"detectors that read each other's pictures must take the same size, not {sizes}")
    label = f"{recipe} of shuffled weights" if control else recipe
    asked_of_these, sources = detectors, {}
    if control:
        fed = street_frames(8, *sizes[0], seed=seed_of(options.seed, "control", "streets")).pictures
        asked_of_these = [randomized_detector(each, fed, options.seed) for each in detectors]
    for name, inverted in zip(names, asked_of_these, strict=True):
        sources[short(name)] = asked_of(
            inverted, frames.layouts, frames.names, layout_recipe(recipe, inverted, steps=steps), model=name
        )
    outcome = execute(layouts_job(sources, bf16), options).whole()
    scores, taken = [], []
    with Meter("reading the pictures", show=options.progress):
        for key, asked in sources.items():
            run = run_of(outcome, asked, {}, key, reads=False)
            taken.append(float(np.mean(run.steps)))
            row = [
                score(
                    f"{label}, {key}", short(name), frames.layouts, redetected(each, list(run.pictures), frames.layouts)
                )
                for name, each in zip(names, detectors, strict=True)
            ]
            scores.append(tuple(replace(each, steps=taken[-1]) for each in row))
        originals, agreement = on_streets(frames, names, detectors)
    values = tuple(tuple(each.ap3d for each in row) for row in scores)
    matrix = Matrix(label=label, rows=tuple(names), columns=tuple(names), values=values)
    return LayoutTransfer(matrix, tuple(scores), originals, agreement, tuple(taken))


def on_streets(
    frames: Frames, names: Sequence[str], detectors: Sequence[Detector]
) -> tuple[tuple[BoxScore, ...], tuple[BoxScore, ...]]:
    """What each detector reads from the streets themselves, against the labels and against what each other reads."""
    read = [redetected(each, list(frames.pictures), frames.layouts) for each in detectors]
    originals = tuple(
        score("the streets themselves", short(name), frames.layouts, found)
        for name, found in zip(names, read, strict=True)
    )
    agreement = tuple(
        score(f"streets as {short(names[i])} reads them", short(names[j]), [sure(each) for each in read[i]], read[j])
        for i, j in permutations(range(len(names)), 2)
    )
    return originals, agreement


def streets_with_objects(
    count: int, detector: Detector, clutter: bool = False, options: RunOptions = RunOptions()
) -> Frames:
    """The first ``count`` held-out streets in which there is something to ask the detector for."""
    enough, size = count + count // 5 + 2, (detector.height, detector.width)
    made = street_frames(enough, *size, seed=HELD_OUT, clutter=clutter, options=options)
    fit = [i for i, layout in enumerate(made.layouts) if detector.count_assignable(layout)][:count]
    layouts, names = tuple(made.layouts[i] for i in fit), tuple(made.names[i] for i in fit)
    return Frames(made.images[fit], layouts, names, made.source, made.licence)
