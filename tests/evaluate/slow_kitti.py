"""KITTI's evaluation once more, one object at a time, from the words of the development kit. Slow, for tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import overlaps

LIMITS = {"easy": (40, 0, 0.15), "moderate": (25, 1, 0.30), "hard": (25, 2, 0.50)}
ALIKE = {("Car", "Van"), ("Pedestrian", "Person_sitting")}


@dataclass
class Thing:
    """An object or a detection."""

    layout: Layout
    place: int
    state: str = ""  # counts, ignored or other
    taken: bool = False
    box: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.box = self.layout.boxes[self.place].tolist()
        self.kind = self.layout.kinds[self.place]
        self.score = float(self.layout.scores[self.place])
        self.alpha = float(self.layout.alphas[self.place])
        self.height = self.box[3] - self.box[1]

    @property
    def triple(self):
        rows = slice(self.place, self.place + 1)
        return self.layout.sizes[rows], self.layout.centers[rows], self.layout.yaws[rows]


def picture_overlap(a: list[float], b: list[float], of_first: bool = False) -> float:
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or tall <= 0:
        return 0.0
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return wide * tall / (areas[0] if of_first else areas[0] + areas[1] - wide * tall)


def overlap_in(view: str, one: Thing, other: Thing) -> float:
    if view == "2d":
        return picture_overlap(one.box, other.box)
    return float(overlaps(one.triple, other.triple)[view == "3d"])


def sort_out(truth: Layout, found: Layout, kind: str, difficulty: str) -> tuple[list[Thing], list[Thing], list[Thing]]:
    """Objects, detections and DontCare regions, each with what it is to this kind and difficulty."""
    height, occlusion, truncation = LIMITS[difficulty]
    objects = [Thing(truth, i) for i in range(len(truth))]
    for each in objects:
        hard = each.height <= height
        hard |= float(truth.occlusions[each.place]) > occlusion or float(truth.truncations[each.place]) > truncation
        if each.kind == kind:
            each.state = "ignored" if hard else "counts"
        else:
            each.state = "ignored" if (kind, each.kind) in ALIKE else "other"
    detections = [Thing(found, i) for i in range(len(found))]
    for each in detections:
        each.state = "ignored" if abs(each.height) < height else "counts" if each.kind == kind else "other"
    return objects, detections, [each for each in objects if each.kind == "DontCare"]


def recall_scores(frames, measure: Callable, least: float) -> list[float]:
    scores = []
    for objects, detections, _ in frames:
        for one in objects:
            if one.state == "other":
                continue
            best = None
            for each in detections:
                fits = each.state != "other" and not each.taken and measure(one, each) > least
                if fits and (best is None or each.score > best.score):
                    best = each
            if best is not None:
                best.taken = True
                if one.state == best.state == "counts":
                    scores.append(best.score)
    return scores


def tally(frames, measure: Callable, least: float, threshold: float, stuff_counts: bool) -> tuple[int, int, int, float]:
    """Found, false, missed, and the sum of similarities at one threshold."""
    right = wrong = missed = 0
    similar = 0.0
    for objects, detections, regions in frames:
        there = [each for each in detections if each.state != "other" and each.score >= threshold]
        for each in there:
            each.taken = False
        for one in objects:
            if one.state == "other":
                continue
            fits = [each for each in there if not each.taken and measure(one, each) > least]
            proper = [each for each in fits if each.state == "counts"]
            choice = max(proper, key=lambda each: measure(one, each)) if proper else (fits[0] if fits else None)
            if choice is not None:
                choice.taken = True
            if one.state == "counts":
                if choice is None:
                    missed += 1
                elif choice.state == "counts":
                    right += 1
                    similar += (1 + math.cos(one.alpha - choice.alpha)) / 2
        for each in there:
            if each.state == "counts" and not each.taken:
                swallowed = stuff_counts and any(picture_overlap(each.box, r.box, True) > least for r in regions)
                wrong += not swallowed
    return right, wrong, missed, similar


def slow_ap(truth: list[Layout], found: list[Layout], kind: str, view: str, difficulty: str, least: float) -> dict:
    """AP in percent with 40 and 11 points, of precision and of orientation."""
    frames = [sort_out(t, f, kind, difficulty) for t, f in zip(truth, found, strict=True)]
    total = sum(one.state == "counts" for objects, _, _ in frames for one in objects)
    if total == 0:
        return {}
    cache: dict[tuple[int, int], float] = {}

    def measure(one: Thing, other: Thing) -> float:
        key = (id(one), id(other))
        if key not in cache:
            cache[key] = overlap_in(view, one, other)
        return cache[key]

    scores = sorted(recall_scores(frames, measure, least), reverse=True)
    thresholds, recall = [], 0.0
    for i, score in enumerate(scores):
        left = (i + 1) / total
        right = (i + 2) / total if i + 1 < len(scores) else left
        if right - recall < recall - left and i + 1 < len(scores):
            continue
        thresholds.append(score)
        recall += 1 / 40
    precision, similarity = [0.0] * 41, [0.0] * 41
    for i, threshold in enumerate(thresholds):
        good, bad, _, similar = tally(frames, measure, least, threshold, view == "2d")
        if good + bad:
            precision[i], similarity[i] = good / (good + bad), similar / (good + bad)
    for curve in (precision, similarity):
        for i in range(41):
            curve[i] = max(curve[i:])
    return {
        "ap40": 100 * sum(precision[1:]) / 40,
        "ap11": 100 * sum(precision[::4]) / 11,
        "aos40": 100 * sum(similarity[1:]) / 40,
    }
