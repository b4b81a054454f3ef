"""Which detections are which objects, as KITTI's own program decides it, for many frames and score thresholds at once.

The rules. An object is ignored (neither found nor missed) if it is harder than the difficulty, or of a neighboring
kind. A detection is ignored if it is smaller than the difficulty allows, and then its kind does not matter. Objects
choose in the order of the file, among detections that overlap more than the threshold and are not taken: to find the
thresholds the one with the highest score, to count the one with the largest overlap, an ignored one only if there is no
other. In the picture, a detection that lies in a DontCare region is not held against the detector.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import intersection_over_first
from invert3d.ops.overlaps import overlaps as boxes_overlap

#: least height in pixels, greatest occlusion and truncation of each difficulty
DIFFICULTIES = {"easy": (40.0, 0.0, 0.15), "moderate": (25.0, 1.0, 0.3), "hard": (25.0, 2.0, 0.5)}
#: kinds too like another to be held against a detector of it
NEIGHBORS = {"car": "van", "pedestrian": "person_sitting"}

_FRAMES = 128  # worked on together; more need memory and are not faster
_BOX, _SIZE, _CENTER = slice(0, 4), slice(4, 7), slice(7, 10)
_YAW, _ALPHA, _TRUNCATION, _OCCLUSION, _SCORE = range(10, 15)


@dataclass(frozen=True)
class Flat:
    """A layout as its kinds in lower case and one float64 array (n, 15)."""

    kinds: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, layout: Layout) -> "Flat":
        """The objects of a layout. A float32 that is compared with a limit is read as the decimal it stands for: 0.3,
        not 0.30000001."""
        names = ("boxes", "sizes", "centers", "yaws", "alphas", "truncations", "occlusions", "scores")
        parts = (getattr(layout, name) for name in names)
        columns = [part[:, None] if part.ndim == 1 else part for part in parts]
        values = torch.cat([column.detach().cpu().double() for column in columns], 1).numpy()
        if layout.boxes.dtype != torch.float64:
            values[:, _BOX] = values[:, _BOX].round(3)
            values[:, _TRUNCATION] = values[:, _TRUNCATION].round(5)
        return cls(np.array([kind.lower() for kind in layout.kinds], dtype=object), values)

    @property
    def heights(self) -> np.ndarray:
        """Of the boxes in the picture, in pixels."""
        return np.abs(self.values[:, 3] - self.values[:, 1])


@dataclass(frozen=True)
class Frames:
    """Some frames as seen by one kind: f frames with up to g objects and d detections that matter to it."""

    truth: np.ndarray  # (f, g, 15), NaN where there is none
    neighbor: np.ndarray  # (f, g) of a neighboring kind
    found: np.ndarray  # (f, d, 15)
    own: np.ndarray  # (f, d) of the kind itself, not only too small to be of any
    overlaps: dict[str, np.ndarray]  # (f, g, d) by view
    stuff: np.ndarray  # (f, d) share in a DontCare region

    def rules(self, difficulty: str) -> "Rules":
        """What counts at a difficulty."""
        height, occlusion, truncation = DIFFICULTIES[difficulty]
        tall = self.truth[..., 3] - self.truth[..., 1]
        hard = (self.truth[..., _OCCLUSION] > occlusion) | (self.truth[..., _TRUNCATION] > truncation)
        small = np.abs(self.found[..., 3] - self.found[..., 1]) < height
        return Rules(~(hard | self.neighbor | np.isnan(tall) | (tall <= height)), small, self.own | small)


@dataclass(frozen=True)
class Rules:
    """What counts: objects (f, g) that must be found, detections (f, d) that are too small, those that take part."""

    wanted: np.ndarray
    small: np.ndarray
    part: np.ndarray


def frames_of(truth: Sequence[Flat], found: Sequence[Flat], kind: str) -> Iterator[Frames]:
    """The frames in which a kind (in lower case) is, or is detected, those with as many objects together."""
    tallest = max(height for height, _, _ in DIFFICULTIES.values())
    near = NEIGHBORS.get(kind)
    rows = []
    for objects, detections in zip(truth, found, strict=True):
        which = ((objects.kinds == kind) | (objects.kinds == near)).nonzero()[0]
        own = (detections.kinds == kind) | (detections.heights < tallest)
        rows.append((objects, which, detections, own.nonzero()[0]))
    rows = [row for row in rows if len(row[1]) or len(row[3])]
    rows.sort(key=lambda row: (len(row[1]), len(row[3])))
    for start in range(0, len(rows), _FRAMES):
        yield _stacked(rows[start : start + _FRAMES], kind)


def found_scores(frames: Frames, rules: Rules, view: str, overlap: float) -> np.ndarray:
    """The scores of detections that are found objects if each object takes the one with the highest score."""
    scores = np.nan_to_num(frames.found[..., _SCORE], nan=-np.inf)
    free = rules.part.copy()[:, None]
    kept = []
    for g in range(frames.truth.shape[1]):
        near = frames.overlaps[view][:, g] > overlap
        rows, picked, taken = _take(np.where(near, scores, -np.inf), free)
        there = taken & rules.wanted[rows, g][:, None] & ~np.take_along_axis(rules.small[rows], picked, 1)
        kept.append(np.take_along_axis(scores[rows], picked, 1)[there])
    return np.concatenate(kept)


def count(frames: Frames, rules: Rules, view: str, overlap: float, thresholds: np.ndarray) -> np.ndarray:
    """Counts (4, t) if detections with scores below a threshold are left out, for each threshold: objects found, false
    detections, objects missed, and the sum over those found of (1 + cos(difference of alpha)) / 2."""
    found, missed, similarity = np.zeros((3, len(thresholds)))
    free = rules.part[:, None] & (frames.found[..., _SCORE][:, None] >= thresholds[:, None])
    for g in range(frames.truth.shape[1]):
        shares = frames.overlaps[view][:, g]
        rows, picked, taken = _take(np.where(shares > overlap, np.where(rules.small, -1, shares), -np.inf), free)
        wanted = rules.wanted[rows, g][:, None]
        hit = taken & wanted & ~np.take_along_axis(rules.small[rows], picked, 1)
        turned = frames.truth[rows, g, _ALPHA][:, None] - np.take_along_axis(frames.found[rows, :, _ALPHA], picked, 1)
        found += hit.sum(0)
        missed += rules.wanted[:, g].sum() - (taken & wanted).sum(0)
        similarity += np.where(hit, (1 + np.cos(turned)) / 2, 0).sum(0)
    held = ~rules.small & (~(frames.stuff > overlap) if view == "2d" else True)
    return np.stack([found, (free & held[:, None]).sum((0, 2)), missed, similarity])


def _take(wishes: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An object of each frame takes the free detection (f, t, d) that it wishes for most (f, d; -inf: not at all).

    Returns the frames (r,) with a wish, which detection is picked (r, t), and whether it is taken: there may be none.
    """
    rows = np.flatnonzero((wishes > -np.inf).any(1))
    granted = np.where(free[rows], wishes[rows][:, None], -np.inf)
    picked, taken = granted.argmax(-1), granted.max(-1, initial=-np.inf) > -np.inf
    row, step = np.nonzero(taken)
    free[rows[row], step, picked[row, step]] = False
    return rows, picked, taken


def _stacked(rows: list[tuple[Flat, np.ndarray, Flat, np.ndarray]], kind: str) -> Frames:
    """Frames of rows (objects, which of them, detections, which of them)."""
    from torchvision.ops import box_iou

    regions = [objects.values[objects.kinds == "dontcare"] for objects, *_ in rows]
    truth = _padded([objects.values[which] for objects, which, _, _ in rows])
    found = _padded([detections.values[which] for _, _, detections, which in rows])
    neighbor, own = np.zeros(truth.shape[:2], dtype=bool), np.zeros(found.shape[:2], dtype=bool)
    for i, (objects, which, detections, near) in enumerate(rows):
        neighbor[i, : len(which)] = objects.kinds[which] != kind
        own[i, : len(near)] = detections.kinds[near] == kind
    a, b, stuff = (torch.from_numpy(each) for each in (truth, found, _padded(regions)))
    in_space = ((each[..., _SIZE], each[..., _CENTER], each[..., _YAW]) for each in (a, b))
    bev, space = (each.numpy() for each in boxes_overlap(*in_space))
    picture = torch.vmap(box_iou)(a[..., _BOX], b[..., _BOX]).nan_to_num(0.0)
    overlaps = {"2d": picture.numpy(), "bev": bev, "3d": space}
    shares = intersection_over_first(b[..., _BOX], stuff[..., _BOX]).numpy()
    return Frames(truth, neighbor, found, own, overlaps, shares.max(-1))


def _padded(tables: list[np.ndarray]) -> np.ndarray:
    """Tables (n_i, 15) as one (f, n, 15) with NaN behind the shorter ones, n at least 1."""
    whole = np.full((len(tables), max(1, *map(len, tables)), 15), np.nan)
    for row, table in zip(whole, tables, strict=True):
        row[: len(table)] = table
    return whole
