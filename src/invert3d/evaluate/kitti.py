"""KITTI's object evaluation: average precision in the picture, from above and in space, and of orientation.

Written after the rules of the official development kit (``evaluate_object.cpp``, 2012 to 2017; 40 recall points since
October 2019), its oddities included. ``evaluate.assignment`` has those for a frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invert3d.evaluate.assignment import DIFFICULTIES, Flat, Frames, count, found_scores, frames_of
from invert3d.ops.layouts import Layout
from invert3d.registry import unknown

KINDS = ("Car", "Pedestrian", "Cyclist")
#: what is measured, and what it is called in tables
VIEWS = {"2d": "2-D", "aos": "AOS", "bev": "BEV", "3d": "3-D"}
COLUMNS = ("AP in percent, at overlap", *DIFFICULTIES)
SAMPLES = 41


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """How much a detection must overlap an object to be it (strictly more), by kind: KITTI's own values."""

    car: float = 0.7
    pedestrian: float = 0.5
    cyclist: float = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < 1:
                raise ValueError(f"overlaps: {name} is {value}, accepted is more than 0 and less than 1")

    def of(self, kind: str) -> float:
        """The threshold of a kind."""
        return getattr(self, kind.lower())


#: the second set that papers report, from above and in space
LOOSE = Overlaps(car=0.5, pedestrian=0.25, cyclist=0.25)


@dataclass(frozen=True, kw_only=True)
class KittiScores:
    """Precision curves of kinds, views and difficulties.

    Attributes:
        curves: by (kind, view, difficulty), (41,) precision (orientation similarity for ``aos``) at recalls of 0, 1/40,
            ..., 1, each the greatest from there on. NaN if there is no such object, or an alpha is missing for ``aos``.
        objects: by (kind, difficulty), how many there were to find.
        overlaps, picture: thresholds in ``bev`` and ``3d``, and in ``2d`` and ``aos``.
    """

    curves: Mapping[tuple[str, str, str], np.ndarray]
    objects: Mapping[tuple[str, str], int]
    overlaps: Overlaps
    picture: Overlaps
    frames: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that were asked for."""
        return tuple(dict.fromkeys(kind for kind, _ in self.objects))

    def ap(self, kind: str, view: str = "3d", difficulty: str = "moderate", points: int = 40) -> float:
        """Average precision in percent: the mean over recalls 1/40, ..., 1 (KITTI since 2019), or 0, 0.1, ..., 1 with
        11 points (before). NaN if there was nothing to find.

        Raises:
            ValueError: a name is not known, or ``points`` is not 40 or 11.
        """
        asked = {"kind": (kind, self.kinds), "view": (view, VIEWS), "difficulty": (difficulty, DIFFICULTIES)}
        for what, (given, known) in asked.items():
            if given not in known:
                raise ValueError(unknown(what, given, known))
        if points not in (40, 11):
            raise ValueError(f"points: got {points}, accepted are 40 and 11")
        curve = self.curves[kind, view, difficulty]
        return 100 * float((curve[1:] if points == 40 else curve[::4]).mean())

    def mean(self, view: str = "3d", difficulty: str = "moderate", points: int = 40) -> float:
        """The mean of ``ap`` over the kinds that occur; NaN if none does."""
        values = [self.ap(kind, view, difficulty, points) for kind in self.kinds]
        known = [value for value in values if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")

    def table(self, points: int = 40) -> list[list[float | str]]:
        """Rows for ``COLUMNS``: what and at which overlap, then percent by difficulty, of the kinds that occur."""
        rows: list[list[float | str]] = []
        for kind in self.kinds:
            if not any(self.objects[kind, difficulty] for difficulty in DIFFICULTIES):
                continue
            for view, name in VIEWS.items():
                overlap = (self.picture if view in ("2d", "aos") else self.overlaps).of(kind)
                values = [self.ap(kind, view, difficulty, points) for difficulty in DIFFICULTIES]
                rows.append([f"{kind} {name} {overlap:.2f}", *("–" if np.isnan(value) else value for value in values)])
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Everything but the curves as plain values for JSON; None for NaN."""
        found: dict[str, Any] = {}
        for kind, view, difficulty in self.curves:
            values = {f"ap{points}": self.ap(kind, view, difficulty, points) for points in (40, 11)}
            plain = {name: None if np.isnan(value) else round(value, 4) for name, value in values.items()}
            found.setdefault(kind, {}).setdefault(view, {})[difficulty] = plain
        objects = {kind: {each: self.objects[kind, each] for each in DIFFICULTIES} for kind in self.kinds}
        overlaps = {"bev and 3d": dict(vars(self.overlaps)), "2d and aos": dict(vars(self.picture))}
        return {"frames": self.frames, "objects": objects, "overlaps": overlaps, "ap": found}


def evaluate_kitti(
    truth: Sequence[Layout],
    found: Sequence[Layout],
    *,
    overlaps: Overlaps | None = None,
    picture: Overlaps | None = None,
    kinds: Sequence[str] = KINDS,
    interpolate: bool = False,
) -> KittiScores:
    """Evaluate detections against labels, frame by frame, as KITTI does.

    The official sampling needs many objects: its samples are detections, one each, so of n < 41 objects all found
    exactly the average precision is not 100 but (n - 1) / 40 (with 40 points). ``interpolate`` mends that by reading
    the same curve at recalls of 0, 1/40, ..., 1; with many objects it makes next to no difference.

    Args:
        truth: labels. Van objects are ignored for Car, Person_sitting for Pedestrian; DontCare regions are used.
        found: detections of the same frames, with scores. NaN sizes or centers (2-D only) overlap nothing in space; an
            alpha of NaN anywhere leaves out the orientation.
        overlaps, picture: thresholds, by default KITTI's, and other ones in the picture.

    Raises:
        ValueError: the numbers of frames differ, there are none, a detection has no score, or a kind is not known.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(unknown("kind", kind, KINDS))
    if len(truth) != len(found) or not truth:
        given = f"{len(truth)} frames of labels and {len(found)} of detections"
        raise ValueError(f"got {given}, accepted is as many of both and at least one")
    for i, layout in enumerate(found):
        if layout.scores.isnan().any():
            accepted = "accepted are detections with a score each (are they labels?)"
            raise ValueError(f"found[{i}]: scores are NaN, {accepted}")
    labels, answers = [Flat.of(each) for each in truth], [Flat.of(each) for each in found]
    oriented = not any(bool(layout.alphas.isnan().any()) for layout in found)
    overlaps = overlaps or Overlaps()
    picture = picture or overlaps
    curves: dict[tuple[str, str, str], np.ndarray] = {}
    objects: dict[tuple[str, str], int] = {}
    for kind in kinds:
        frames = list(frames_of(labels, answers, kind.lower()))
        for difficulty in DIFFICULTIES:
            objects[kind, difficulty] = sum(int(each.rules(difficulty).wanted.sum()) for each in frames)
            for view, least in (("2d", picture), ("bev", overlaps), ("3d", overlaps)):
                both = _curves(frames, difficulty, view, least.of(kind), interpolate)
                curves[kind, view, difficulty] = both[0]
                if view == "2d":
                    curves[kind, "aos", difficulty] = both[1] if oriented else np.full(SAMPLES, np.nan)
    return KittiScores(curves=curves, objects=objects, overlaps=overlaps, picture=picture, frames=len(truth))


def _curves(
    frames: Sequence[Frames], difficulty: str, view: str, overlap: float, interpolate: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and orientation similarity (41,) at equally spaced recalls."""
    rules = [each.rules(difficulty) for each in frames]
    objects = sum(int(each.wanted.sum()) for each in rules)
    if not objects:
        return np.full(SAMPLES, np.nan), np.full(SAMPLES, np.nan)
    pairs = list(zip(frames, rules, strict=True))
    scores = np.concatenate([found_scores(each, rule, view, overlap) for each, rule in pairs])
    thresholds = sampled(scores, objects)
    if not len(thresholds):
        return np.zeros(SAMPLES), np.zeros(SAMPLES)
    counts = (count(each, rule, view, overlap, thresholds) for each, rule in pairs)
    right, false, missed, similarity = sum(counts, np.zeros((4, len(thresholds))))
    held, recall = np.maximum(right + false, 1e-9), right / np.maximum(right + missed, 1e-9)
    return _spread(right / held, recall, interpolate), _spread(similarity / held, recall, interpolate)


def _spread(values: np.ndarray, recall: np.ndarray, interpolate: bool) -> np.ndarray:
    """Values at thresholds as 41 samples, each the greatest from there on."""
    if interpolate:
        return np.array([values[recall >= i / (SAMPLES - 1) - 1e-9].max(initial=0) for i in range(SAMPLES)])
    whole = np.zeros(SAMPLES)
    whole[: len(values)] = np.maximum.accumulate(values[::-1])[::-1]
    return whole


def sampled(scores: np.ndarray, objects: int) -> np.ndarray:
    """The scores at which recall is nearest to 0, 1/40, ..., 1: at most 41, from high to low.

    ``scores`` are those of the detections that are found objects, of ``objects`` there were to find.
    """
    ordered = np.sort(scores)[::-1]
    kept: list[float] = []
    recall = 0.0
    for i, score in enumerate(ordered):
        here, last = (i + 1) / objects, i == len(ordered) - 1
        if not last and (i + 2) / objects - recall < recall - here:
            continue  # the next one is nearer
        kept.append(float(score))
        recall += 1 / (SAMPLES - 1.0)
    return np.array(kept[:SAMPLES])
