"""KITTI's evaluation on cases worked out by hand, and on random scenes against a slow one written apart from it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from invert3d.data.kitti import usual_projection
from invert3d.data.scenes import MEAN_SIZES
from invert3d.evaluate.kitti import LOOSE, VIEWS, KittiScores, Overlaps, evaluate_kitti, sampled
from invert3d.ops.layouts import Layout
from tests.evaluate.slow_kitti import slow_ap

CAMERA = usual_projection(375, 1242).double()
#: (kind, x, z) that are apart from each other, in the image, more than 40 pixels tall
ROW = tuple(("Car", x, 15.0) for x in (-8.0, -4.0, 0.0, 4.0, 8.0))


def scene(*things: tuple, scores: list[float] | None = None) -> Layout:
    """A layout of (kind, x, z) or (kind, x, z, yaw), on the road."""
    rows = [(*thing, 0.3)[:4] for thing in things]
    sizes = torch.tensor([MEAN_SIZES.get(row[0], (1, 1, 1)) for row in rows], dtype=torch.float64).reshape(-1, 3)
    centers = torch.tensor([(row[1], 1.65, row[2]) for row in rows], dtype=torch.float64).reshape(-1, 3)
    yaws = torch.tensor([row[3] for row in rows], dtype=torch.float64)
    given = None if scores is None else torch.tensor(scores, dtype=torch.float64)
    return Layout.of([row[0] for row in rows], sizes, centers, yaws, CAMERA, 375, 1242, scores=given)


def stuff(layout: Layout, box: list[float]) -> Layout:
    """A layout with a DontCare region before its objects, as NaN in space."""
    whole = torch.cat([torch.tensor([box], dtype=torch.float64), layout.boxes])
    rows = {"boxes": whole, "kinds": ("DontCare", *layout.kinds)}
    for name in ("sizes", "centers", "yaws", "alphas", "scores", "truncations", "occlusions"):
        value = getattr(layout, name)
        rows[name] = torch.cat([torch.full_like(value.new_empty(1, *value.shape[1:]), torch.nan), value])
    return replace(layout, **rows)


def aps(scores: KittiScores, kind: str = "Car", difficulty: str = "moderate", points: int = 40) -> list[float]:
    return [scores.ap(kind, view, difficulty, points) for view in VIEWS]


def test_exact_detections_of_few_objects_reach_what_the_official_sampling_lets_them():
    """Each detection that is found is a threshold (recalls are further apart than 1/40), so of n objects the samples
    0 ... n - 1 have precision 1, the others 0. Of 40 points, without sample 0: (n - 1) / 40. Of 11 points, samples
    0, 4, ..., 40: ceil(n / 4) / 11. Of one object that is 0 and 1 / 11."""
    for n in (1, 3, 5):
        found = scene(*ROW[:n], scores=[0.9 - i / 10 for i in range(n)])
        scores = evaluate_kitti([scene(*ROW[:n])], [found])
        assert aps(scores) == pytest.approx([100 * (n - 1) / 40] * 4)
        assert aps(scores, points=11) == pytest.approx([100 * math.ceil(n / 4) / 11] * 4)
        whole = evaluate_kitti([scene(*ROW[:n])], [found], interpolate=True)
        assert aps(whole) == pytest.approx([100] * 4) and aps(whole, points=11) == pytest.approx([100] * 4)


def test_exact_detections_of_many_objects_are_100():
    """200 objects: 41 thresholds, and precision is 1 at each."""
    scores = evaluate_kitti([scene(*ROW)] * 40, [scene(*ROW, scores=[0.1, 0.5, 0.3, 0.9, 0.7])] * 40)
    assert aps(scores) == pytest.approx([100] * 4) and aps(scores, points=11) == pytest.approx([100] * 4)
    assert scores.objects["Car", "easy"] == 200 and scores.frames == 40
    assert math.isnan(scores.ap("Cyclist")) and scores.mean() == pytest.approx(100)


@pytest.mark.parametrize(
    ("score", "of_five", "of_four"), [(0.95, 400 * 5 / 6 / 40, 6.0), (0.75, 8.75, 6.5), (0.1, 10.0, 7.5)]
)
def test_a_false_positive_counts_by_its_score(score, of_five, of_four):
    """Five objects found at 0.9, 0.8, 0.7, 0.6, 0.5 make five thresholds. A false one above all of them: precisions
    1/2, 2/3, 3/4, 4/5, 5/6, of which 5/6 is the greatest from each one on; samples 1-4 of 40: 4 * 5/6 / 40 = 8.33 %.
    Between the second and the third: 1, 1, 3/4, 4/5, 5/6 become 1, 1, 5/6, 5/6, 5/6, so (1 + 3 * 5/6) / 40 = 8.75 %.
    Below all: nothing, 4 / 40 = 10 %.

    With the fifth object missed, four thresholds. Above: 4/5 from each on, 3 * 4/5 / 40 = 6 %; between: 1, 1, 4/5, 4/5,
    so (1 + 2 * 4/5) / 40 = 6.5 %; below: 3 / 40 = 7.5 %.
    """
    five = scene(*ROW, ("Car", 0.0, 30.0), scores=[0.9, 0.8, 0.7, 0.6, 0.5, score])
    four = scene(*ROW[:4], ("Car", 0.0, 30.0), scores=[0.9, 0.8, 0.7, 0.6, score])
    for found, value in ((five, of_five), (four, of_four)):
        assert aps(evaluate_kitti([scene(*ROW)], [found])) == pytest.approx([value] * 4)


def test_a_van_is_neither_a_car_nor_held_against_a_detector_of_cars():
    """Five cars and a van, all found as cars, the van first: (5 - 1) / 40, as if it were not there."""
    truth = scene(("Van", 0.0, 30.0), *ROW)
    big = scene(("Van", 0.0, 30.0), *ROW, scores=[0.95, 0.9, 0.8, 0.7, 0.6, 0.5])
    found = replace(big, kinds=("Car",) * 6)
    assert aps(evaluate_kitti([truth], [found])) == pytest.approx([10.0] * 4)
    truck = replace(truth, kinds=("Truck", *truth.kinds[1:]))
    assert aps(evaluate_kitti([truck], [found])) == pytest.approx([400 * 5 / 6 / 40] * 4), "a truck is"


def test_dont_care_swallows_a_false_positive_in_the_picture_only():
    """The false one from above: 8.33 % where it counts, 10 % where it lies in the region."""
    found = scene(*ROW, ("Car", 0.0, 30.0), scores=[0.9, 0.8, 0.7, 0.6, 0.5, 0.95])
    left, top, right, bottom = found.boxes[-1].tolist()
    scores = evaluate_kitti([stuff(scene(*ROW), [left - 5, top - 5, right + 5, bottom + 5])], [found])
    assert aps(scores) == pytest.approx([10.0, 10.0, 400 * 5 / 6 / 40, 400 * 5 / 6 / 40])
    half = evaluate_kitti([stuff(scene(*ROW), [left, top, (left + right) / 2, bottom])], [found])
    assert half.ap("Car", "2d") == pytest.approx(400 * 5 / 6 / 40), "half of it is not more than 0.7"


def test_difficulties_say_what_must_be_found():
    """Five cars; the first is occluded 1 (moderate), the second 2 (hard), the third truncated 0.3 (moderate: not more
    than 0.3). The last two are found. Wanted are 2, 4 and 5 objects; those that are not wanted are not missed."""
    truth = scene(*ROW)
    truth = replace(
        truth,
        occlusions=torch.tensor([1.0, 2, 0, 0, 0]).double(),
        truncations=torch.tensor([0, 0, 0.3, 0, 0], dtype=torch.float64),
    )
    found = scene(*ROW[3:], scores=[0.9, 0.8])
    for labels in (truth, truth.to("cpu")):  # 0.3 as a float32 is 0.30000001
        scores = evaluate_kitti([labels], [found], interpolate=True)
        assert [scores.objects["Car", each] for each in ("easy", "moderate", "hard")] == [2, 4, 5]
        assert scores.ap("Car", "3d", "easy") == pytest.approx(100)
        assert scores.ap("Car", "3d", "moderate") == pytest.approx(50), "recalls up to 2/4: samples 1-20 of 40"
        assert scores.ap("Car", "3d", "hard") == pytest.approx(40), "recalls up to 2/5: samples 1-16 of 40"


def test_small_objects_are_ignored_and_small_detections_are_not_false():
    """At z = 38 a car is 29 pixels tall: not wanted when easy. A false one there is not held against it when easy; if
    moderate 5/6 each at five of the six objects (the sixth is missed)."""
    truth = scene(*ROW, ("Car", 0.0, 38.0))
    tall = truth.boxes[:, 3] - truth.boxes[:, 1]
    assert 25 < float(tall[-1]) < 40 < float(tall[:-1].min())
    found = scene(*ROW, ("Car", 9.0, 38.0), scores=[0.9, 0.8, 0.7, 0.6, 0.5, 0.95])
    scores = evaluate_kitti([truth], [found])
    assert scores.objects["Car", "easy"] == 5 and scores.objects["Car", "moderate"] == 6
    assert aps(scores, difficulty="easy") == pytest.approx([10.0] * 4)
    assert aps(scores) == pytest.approx([400 * 5 / 6 / 40] * 4)


def test_orientation_the_wrong_way_round_is_0_and_a_quarter_turn_is_half():
    for turn, share in ((0, 1.0), (math.pi / 2, 0.5), (math.pi, 0.0)):
        found = scene(*ROW, scores=[0.9, 0.8, 0.7, 0.6, 0.5])
        found = replace(found, alphas=found.alphas + turn)
        scores = evaluate_kitti([scene(*ROW)], [found])
        assert scores.ap("Car", "2d") == pytest.approx(10) and scores.ap("Car", "aos") == pytest.approx(10 * share)
    missing = replace(found, alphas=torch.full_like(found.alphas, torch.nan))
    scores = evaluate_kitti([scene(*ROW)], [missing])
    assert math.isnan(scores.ap("Car", "aos")) and scores.ap("Car", "2d") == pytest.approx(10)


def test_detections_without_a_box_in_space_are_found_in_the_picture_only():
    found = scene(*ROW, scores=[0.9, 0.8, 0.7, 0.6, 0.5])
    flat = replace(found, sizes=found.sizes * torch.nan, centers=found.centers * torch.nan)
    assert aps(evaluate_kitti([scene(*ROW)], [flat])) == pytest.approx([10, 10, 0, 0])


def test_overlaps_are_thresholds():
    """Cars of 3.88 x 1.63 m, 1 m further: from above they overlap less than 0.5 and more than 0.1."""
    moved = scene(*((kind, x, z + 1.0) for kind, x, z in ROW), scores=[0.9, 0.8, 0.7, 0.6, 0.5])
    truth = scene(*ROW)
    assert evaluate_kitti([truth], [moved]).ap("Car", "bev") == 0
    assert evaluate_kitti([truth], [moved], overlaps=Overlaps(car=0.1)).ap("Car", "bev") == pytest.approx(10)
    loose = evaluate_kitti([truth], [moved], overlaps=LOOSE, picture=Overlaps())
    assert loose.table()[2][0] == "Car BEV 0.50" and loose.table()[0][0] == "Car 2-D 0.70"


def random_frames(count: int, seed: int, odd: bool = False) -> tuple[list[Layout], list[Layout]]:
    """Crowded scenes with hard objects, regions, doubles, wrong kinds, equal scores."""
    draw = np.random.default_rng(seed)
    truth, found = [], []
    kinds = ["Car", "Car", "Van", "Pedestrian", "Person_sitting", "Cyclist", "Truck"]
    for _ in range(count):
        n, m = int(draw.integers(0, 7)), int(draw.integers(0, 12))
        z = draw.uniform(6, 45, n)
        rows = [
            (kinds[draw.integers(7)], float(draw.uniform(-0.4, 0.4) * d), float(d), float(draw.uniform(-3, 3)))
            for d in z
        ]
        labels = scene(*rows)
        labels = replace(
            labels,
            occlusions=torch.tensor(draw.integers(0, 4, n)).double(),
            truncations=torch.tensor(draw.choice([0, 0, 0.15, 0.2, 0.4, 0.6], n)).double(),
        )
        guesses = []
        for _ in range(m if n else 0):
            kind, x, depth, yaw = rows[draw.integers(n)]
            kind = kind if draw.random() < 0.7 else kinds[draw.integers(7)]
            shift = draw.normal(0, 0.15, 2)
            guesses.append((kind, x + shift[0], depth + shift[1], yaw + draw.normal(0, 0.3)))
        answers = scene(*guesses, scores=draw.integers(1, 12, len(guesses)).astype(float).tolist())
        if draw.random() < 0.5:
            x, y = draw.uniform(0, 900), draw.uniform(120, 200)
            labels = stuff(labels, [x, y, x + 300, y + 120])
        truth.append(at_the_limits(labels, draw) if odd else labels)
        found.append(strange(answers, draw) if odd else answers)
    return truth, found


def at_the_limits(layout: Layout, draw: np.random.Generator) -> Layout:
    """Some boxes become exactly as tall as a difficulty asks."""
    boxes = layout.boxes.clone()
    for i in range(len(boxes)):
        if draw.random() < 0.1:
            boxes[i, 3] = boxes[i, 1] + float(draw.choice([25, 40]))
    return replace(layout, boxes=boxes)


def strange(layout: Layout, draw: np.random.Generator) -> Layout:
    """Some detections are upside down, and some have no size in space."""
    boxes, sizes = layout.boxes.clone(), layout.sizes.clone()
    for i in range(len(boxes)):
        if draw.random() < 0.05:
            boxes[i] = boxes[i, [0, 3, 2, 1]]
        elif draw.random() < 0.05:
            sizes[i] = 0
    return replace(layout, boxes=boxes, sizes=sizes)


@pytest.mark.parametrize(("seed", "odd"), [(0, False), (1, False), (2, False), (0, True), (3, True)])
def test_it_is_the_slow_evaluation(seed, odd):
    truth, found = random_frames(20, seed, odd)
    scores = evaluate_kitti(truth, found, overlaps=LOOSE)
    occurred = 0
    for kind, difficulty, view in (
        (k, d, v) for k in scores.kinds for d in ("easy", "moderate", "hard") for v in ("2d", "bev", "3d")
    ):
        wanted = slow_ap(truth, found, kind, view, difficulty, LOOSE.of(kind))
        got = {"ap40": scores.ap(kind, view, difficulty), "ap11": scores.ap(kind, view, difficulty, 11)}
        if not wanted:
            assert math.isnan(got["ap40"])
            continue
        occurred += wanted["ap40"] > 0
        assert got == pytest.approx({name: wanted[name] for name in got})
        if view == "2d":
            assert scores.ap(kind, "aos", difficulty) == pytest.approx(wanted["aos40"])
    assert occurred > (6 if odd else 12)
    if not odd:
        return
    tall = torch.cat([layout.boxes[:, 3] - layout.boxes[:, 1] for layout in truth])
    assert ((tall == 25) | (tall == 40)).any()
    assert any((layout.sizes == 0).any() for layout in found)
    assert any((layout.boxes[:, 3] < layout.boxes[:, 1]).any() for layout in found)


def test_thresholds_are_where_recall_is_nearest():
    """Of 4 objects recalls are 1/4 apart, so all are kept. Of 400 all found, every tenth from about the first."""
    assert sampled(np.array([0.1, 0.4, 0.2]), 4).tolist() == [0.4, 0.2, 0.1]
    ordered = np.arange(400, 0, -1.0)
    kept = sampled(ordered, 400)
    assert len(kept) == 41 and kept[0] == 400 and kept[-1] == 1
    recall = [(400 - score + 1) / 400 for score in kept]
    assert np.abs(np.array(recall[1:]) - np.arange(1, 41) / 40).max() <= 1 / 400


def test_tables_and_dictionaries():
    scores = evaluate_kitti([scene(*ROW), scene()], [scene(*ROW, scores=[0.5] * 5), scene(scores=[])])
    assert [row[0] for row in scores.table()] == ["Car 2-D 0.70", "Car AOS 0.70", "Car BEV 0.70", "Car 3-D 0.70"]
    plain = json.loads(json.dumps(scores.as_dict()))
    assert plain["objects"]["Car"]["easy"] == 5 and plain["ap"]["Cyclist"]["3d"]["easy"]["ap40"] is None
    assert plain["frames"] == 2 and plain["overlaps"]["2d and aos"]["cyclist"] == 0.5
    nothing = evaluate_kitti([scene(*ROW)], [scene(scores=[])])
    assert aps(nothing) == [0, 0, 0, 0] and nothing.mean() == 0, "cars were missed; of the others there was none"
    both = evaluate_kitti([scene(*ROW, ("Cyclist", 0.0, 30.0))], [scene(*ROW, scores=[0.5] * 5)], interpolate=True)
    assert both.mean() == pytest.approx((both.ap("Car") + both.ap("Cyclist")) / 2) == pytest.approx(50)
    assert math.isnan(evaluate_kitti([scene()], [scene(scores=[])]).mean()), "there was nothing to find"


def test_bad_input_is_refused():
    one, answer = scene(*ROW), scene(*ROW, scores=[0.5] * 5)
    scores = evaluate_kitti([one], [answer])
    for call, says in (
        (lambda: evaluate_kitti([one], []), "got 1 frames of labels and 0 of detections"),
        (lambda: evaluate_kitti([], []), "at least one"),
        (lambda: evaluate_kitti([one], [one]), r"found\[0\]: scores are NaN"),
        (lambda: evaluate_kitti([one], [answer], kinds=["Cars"]), "unknown kind 'Cars'; did you mean Car"),
        (lambda: Overlaps(car=70), "overlaps: car is 70"),
        (lambda: scores.ap("Car", "bve"), "unknown view 'bve'; did you mean bev"),
        (lambda: scores.ap("Van"), "unknown kind"),
        (lambda: scores.ap("Car", "3d", "medium"), "unknown difficulty"),
        (lambda: scores.ap("Car", points=41), "points: got 41, accepted are 40 and 11"),
    ):
        with pytest.raises(ValueError, match=says):
            call()
