"""How little must change in a real picture until a detector answers a question in another way?

The picture is changed within balls of growing radius around it, until the detector sees an object that it did not see,
or no longer sees one (feature accentuation: Hamblin et al., *Feature Accentuation*, 2024). A detector can be made to
see almost anything almost anywhere, so each question has a control. Only where the question needs less does the change
say anything of it; where both need the same, it is an adversarial example.
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
from invert3d.methods.layouts import within_ball
from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout, area
from invert3d.study.layouts.files import BoxesRun
from invert3d.study.layouts.job import How, asked_of, layouts_job, run_of
from invert3d.study.layouts.score import SHOWN, sure
from invert3d.study.layouts.texture import said_of

RADII = (1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a picture (3, h, w) is to be changed for: ``asked``, after which one object, ``about``, is seen or not."""

    picture: Tensor
    asked: Layout
    about: Layout

    def answered(self, found: Layout, seen: bool) -> bool:
        """Whether the object is now seen, or, if it is not to be ``seen``, nothing is: no detection above ``SHOWN``,
        whatever its category, overlaps it by half."""
        score, overlap, _ = said_of(found if seen else sure(found), self.about, 0)
        return score > SHOWN if seen else overlap < 0.5


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A question and its control."""

    name: str
    question: Question
    control: Question

    @property
    def both(self) -> tuple[Question, Question]:
        """The question and the control."""
        return self.question, self.control


@dataclass(frozen=True, kw_only=True)
class Words:
    """What questions and controls are called, one and several, and what becomes of them."""

    question: str
    control: str
    questions: str
    controls: str
    seen: bool  # whether they are to be seen
    table: str  # what the recorded table is called

    @property
    def done(self) -> str:
        """What became of an answered one."""
        return "seen" if self.seen else "gone"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What became of M pairs in balls of R ``radii``, in levels of 255.

    ``answered`` (R, 2, M): whether the question (0) and the control (1) are. ``runs``: of each radius, the M questions
    first and then the M controls.
    """

    words: Words
    pairs: tuple[Pair, ...]
    radii: tuple[float, ...]
    norm: str
    answered: np.ndarray
    runs: tuple[BoxesRun, ...]

    @property
    def smallest(self) -> np.ndarray:
        """(2, M): the smallest radius in which each is answered; infinite where it is in none."""
        return np.where(self.answered, np.array(self.radii)[:, None, None], np.inf).min(0)

    def place(self, which: int, pair: int) -> int:
        """The number of the radius that shows a pair best: the smallest in which it is answered, or the largest."""
        column = self.answered[:, which, pair]
        return int(column.argmax()) if column.any() else len(self.radii) - 1

    def changed(self, which: int, pair: int) -> tuple[Tensor, Layout]:
        """That picture, and what is found in it."""
        run, i = self.runs[self.place(which, pair)], which * len(self.pairs) + pair
        return run.pictures[i], run.found[i]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each radius: the shares that are answered."""
        words = self.words
        return [
            {
                "change": f"{radius:g}/255" + (" on average" if self.norm == "l2" else ""),
                "pairs": len(self.pairs),
                f"{words.questions} {words.done}": round(float(answered[0].mean()), 3),
                f"{words.controls} {words.done}": round(float(answered[1].mean()), 3),
            }
            for radius, answered in zip(self.radii, self.answered, strict=True)
        ]

    def comparison(self) -> dict[str, Any]:
        """Pair by pair: how often the question needs less than its control, as much, more; the probability of that by
        chance (sign test, two-sided); and medians of the share of the squared change that lies inside the box of the
        object, and of the share of the picture that the box has."""
        words, (question, control) = self.words, self.smallest
        less, more = int((question < control).sum()), int((question > control).sum())
        inside, share = (
            [float(np.median([of(which, i) for i in range(len(self.pairs))])) for which in (0, 1)]
            for of in (self._inside, self._share)
        )
        return {
            f"less than the {words.control}": less,
            "as much": len(self.pairs) - less - more,
            "more": more,
            "p": round(float(binomtest(less, less + more).pvalue), 4) if less + more else 1.0,
            f"change inside, {words.questions}": round(inside[0], 3),
            f"area, {words.questions}": round(share[0], 3),
            f"change inside, {words.controls}": round(inside[1], 3),
            f"area, {words.controls}": round(share[1], 3),
        }

    def _share(self, which: int, pair: int) -> float:
        """The share of the picture that the box of the object has."""
        one = self.pairs[pair].both[which]
        return float(area(one.about.boxes[0])) / one.picture[0].numel()

    def _inside(self, which: int, pair: int) -> float:
        """The share of the squared change that lies inside the box of the object."""
        one = self.pairs[pair].both[which]
        change = (self.changed(which, pair)[0] - one.picture).square().sum(0)
        left, top, right, bottom = one.about.boxes[0].round().int().tolist()
        return float(change[top:bottom, left:right].sum() / change.sum().clamp_min(1e-12))


def measure_changes(
    detector: Detector,
    pairs: Sequence[Pair],
    words: Words,
    options: RunOptions,
    *,
    radii: Sequence[float] = RADII,
    norm: Literal["linf", "l2"] = "linf",
    how: How = How(recipe="accentuate"),
    model: str = "a detector",
) -> Changes:
    """Change the pictures of pairs within balls of each radius, in one job, and read the saved pictures.

    Args:
        detector, pairs, words: see ``missed_pairs`` and ``false_pairs``.
        options: how the job is run; ``resume`` goes on from its folder.
        radii: in levels of 255: of each value (``linf``), or as a root mean square of all (``l2``).
        norm: of the balls.
        how: the pictures are changed: by ``accentuate``, whose change survives views, or ``smallest_change``.
        model: what the detector is called.

    Raises:
        ValueError: no radius, or one that is not positive.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    if not radii:
        raise ValueError("give at least one radius")
    radii = sorted(set(radii))
    base = how.recipe_for(detector)
    asked = [pair.question for pair in pairs] + [pair.control for pair in pairs]
    names = [f"{pair.name}-{which}" for which in ("question", "control") for pair in pairs]
    start, sources = torch.stack([each.picture for each in asked]), {}
    for radius in radii:
        stays = within_ball(base, norm, radius, start[0].numel())
        sources[f"{radius:g}"] = asked_of(detector, [each.asked for each in asked], names, stays, start, model)
    outcome = execute(layouts_job(sources, how.bf16), options).whole()
    runs = tuple(run_of(outcome, each, {}, key) for key, each in sources.items())
    answered = [[q.answered(found, words.seen) for q, found in zip(asked, run.found, strict=True)] for run in runs]
    return Changes(
        words=words,
        pairs=tuple(pairs),
        radii=tuple(radii),
        norm=norm,
        answered=np.array(answered).reshape(len(runs), 2, len(pairs)),
        runs=runs,
    )
