"""Scores of generated shapes against other libraries, slow loops and cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from invert3d.evaluate.generation import (
    Shapes,
    chamfer_distances,
    frechet_distance,
    inception_score,
    kernel_distance,
    matching,
    mean_scores,
    nearest_neighbor_accuracy,
    overlaps,
    pairwise_overlap,
    precision_recall,
    scores_of_class,
)


def drawn(count: int, width: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def grids(count: int, seed: int, share: float = 0.3, size: int = 6) -> Tensor:
    return torch.rand(count, size, size, size, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize(("count", "width"), [(60, 5), (12, 30)])
def test_the_frechet_distance_is_that_of_torch_fidelity(count: int, width: int) -> None:
    """Also where there are fewer samples than features."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = drawn(count, width, 0), 1.5 * drawn(count + 7, width, 1, 0.3)
    theirs = fid_statistics_to_metric(fid_features_to_statistics(a), fid_features_to_statistics(b), False)
    (value,) = theirs.values()
    assert frechet_distance(a, b) == pytest.approx(value, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, a + 2.0) == pytest.approx(4.0 * width, rel=1e-9)
    with pytest.raises(ValueError, match="at least two samples"):
        frechet_distance(a[:1], b)


def test_the_kernel_distance_is_the_unbiased_mmd_of_a_cubic_kernel() -> None:
    a, b = drawn(20, 4, 0), drawn(20, 4, 1, 1.0)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    own = sum((kernel(x, x).sum() - kernel(x, x).trace()) / (20 * 19) for x in (a, b))
    assert kernel_distance(a, b, subsets=1) == pytest.approx(float(own - 2 * kernel(a, b).mean()), rel=1e-6)
    same = [kernel_distance(drawn(40, 4, 2 * k), drawn(40, 4, 2 * k + 1), subsets=1) for k in range(40)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(40), "of one distribution it is 0 on average"


def test_the_inception_score_of_sure_balanced_answers_is_the_number_of_classes() -> None:
    logits = 100 * torch.eye(10).repeat(40, 1)
    assert inception_score(logits, splits=1)[0] == pytest.approx(10.0, rel=1e-4)
    assert inception_score(torch.zeros(400, 10))[0] == pytest.approx(1.0)
    assert inception_score(torch.zeros(3, 10))[0] == pytest.approx(1.0)


def test_precision_and_recall_see_what_is_missing_and_what_is_too_much() -> None:
    real = torch.cat([drawn(60, 3, 0), drawn(60, 3, 1, 20.0)])
    few, wild = drawn(60, 3, 2), torch.cat([drawn(60, 3, 3), drawn(60, 3, 4, -30.0)])
    found = precision_recall(real, few)
    assert found["precision"] > 0.9 and found["recall"] < 0.6 and found["coverage"] < 0.6
    assert precision_recall(real, wild)["precision"] < 0.6
    assert precision_recall(real, real) == {"precision": 1, "recall": 1, "density": pytest.approx(1), "coverage": 1}
    with pytest.raises(ValueError, match="5 neighbors need at least 7 samples"):
        precision_recall(real, few[:6])


def test_overlaps_are_those_of_a_slow_loop() -> None:
    a, b = grids(3, 0), torch.cat([grids(2, 1), torch.zeros(1, 6, 6, 6, dtype=torch.bool)])
    found = overlaps(a, b)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            assert found[i, j] == pytest.approx(float((x & y).sum() / (x | y).sum()))
    assert overlaps(b[2:], b[2:]).item() == 0
    assert pairwise_overlap(a[[0, 0, 0]]) == 1 and math.isnan(pairwise_overlap(a[:1]))


def test_chamfer_distances_are_those_of_nearest_neighbors() -> None:
    a, b = grids(3, 0, 0.05), grids(2, 1, 0.05)
    found = chamfer_distances(a, b)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            p, q = x.nonzero().double().numpy(), y.nonzero().double().numpy()
            assert found[i, j] == pytest.approx(cKDTree(q).query(p)[0].mean() + cKDTree(p).query(q)[0].mean())
    nothing = torch.zeros(1, 6, 6, 6, dtype=torch.bool)
    assert chamfer_distances(nothing, a)[0, 0] == pytest.approx(2 * math.sqrt(3) * 6)


def test_a_nearest_neighbor_tells_nothing_of_two_halves_and_all_of_two_kinds() -> None:
    x = torch.cat([drawn(200, 2, 0), drawn(200, 2, 1)])
    made = torch.arange(400) < 200
    assert 0.4 < nearest_neighbor_accuracy(torch.cdist(x, x), made) < 0.6
    x[:200] += 50
    assert nearest_neighbor_accuracy(torch.cdist(x, x), made) == 1
    copies = torch.cat([x[200:], x[200:] + 1e-6])
    assert nearest_neighbor_accuracy(torch.cdist(copies, copies), made) == 0, "copies are nearest to what they copy"


def test_matching_is_that_of_a_slow_loop() -> None:
    distances = torch.rand(7, 9, generator=torch.Generator().manual_seed(0))
    found = matching(distances)
    assert found["MMD"] == pytest.approx(np.mean([min(distances[:, j].tolist()) for j in range(9)]))
    assert found["COV"] == len({int(row.argmin()) for row in distances}) / 9


def shapes(seed: int, count: int = 8) -> Shapes:
    logits = torch.zeros(count, 3)
    logits[:, 1] = 2
    return Shapes(
        grids=grids(count, seed), labels=torch.ones(count).long(), features=drawn(count, 4, seed), logits=logits
    )


def test_all_scores_of_a_class() -> None:
    made, real = shapes(0), shapes(1)
    found = scores_of_class(made, real, made.grids)
    longer = scores_of_class(made, shapes(1, 30), made.grids)
    assert longer.keys() == found.keys() and longer["COV"] <= 1
    first = shapes(1, 30).rows(torch.arange(8))
    assert longer == scores_of_class(made, first, made.grids), "as many real ones are looked at as were made"
    assert found["nearest training IoU"] == 1 and found["called right"] == 1
    assert found["class probability"] == pytest.approx(math.e**2 / (math.e**2 + 2))
    assert all(math.isfinite(value) for value in found.values())
    assert mean_scores([{"a": 1.0}, {"a": 4.0}]) == {"a": 2.5}
    assert len(made.of(0)) == 0 and len(made.of(1)) == 8
