"""Point operations against obvious loops, scipy and fancy indexing; gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.autograd import gradcheck

from invert3d.ops.choices import recorded, replayed
from invert3d.ops.points import ball_query, farthest_point_sample, gather, knn, nearest_others, square_distances


def slow_farthest(cloud: np.ndarray, count: int) -> list[int]:
    """One cloud (N, 3): walk to the point farthest from all visited ones; the first of equals."""
    visited = [0]
    while len(visited) < count:
        best, best_distance = -1, -1.0
        for i, p in enumerate(cloud):
            nearest = min(sum((p - cloud[j]) ** 2) for j in visited)
            if nearest > best_distance:
                best, best_distance = i, nearest
        visited.append(best)
    return visited


def slow_ball(center: np.ndarray, cloud: np.ndarray, radius: float, count: int) -> list[int]:
    """The first ``count`` points by index within the radius, padded with the first of them."""
    inside = [i for i, p in enumerate(cloud) if ((p - center) ** 2).sum() <= radius**2]
    if not inside:
        inside = [int(((cloud - center) ** 2).sum(1).argmin())]
    return (inside + inside[:1] * count)[:count]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_farthest_points_are_those_of_the_obvious_loop(clouds, dtype: torch.dtype) -> None:
    x = clouds(2, 60, dtype=dtype)
    assert farthest_point_sample(x, 20).tolist() == [slow_farthest(cloud, 20) for cloud in x.numpy()]


def test_farthest_points_of_duplicates_and_of_the_whole_cloud(clouds) -> None:
    x = clouds(1, 24)
    assert sorted(farthest_point_sample(x, 24)[0].tolist()) == list(range(24))
    twice = torch.cat([x, x], 1)
    assert sorted(i % 24 for i in farthest_point_sample(twice, 24)[0].tolist()) == list(range(24))


@pytest.mark.parametrize("k", [1, 5, 48])
def test_nearest_neighbors_are_those_of_scipy(clouds, k: int) -> None:
    points, queries = clouds(3, 48, dtype=torch.float64), clouds(3, 10, seed=1, dtype=torch.float64)
    found = knn(queries, points, k)
    for b in range(3):
        _, wanted = cKDTree(points[b].numpy()).query(queries[b].numpy(), k=k)
        assert np.array_equal(found[b].numpy(), wanted.reshape(10, k))


def test_nearest_neighbors_in_single_precision_are_as_near_as_those_of_scipy(clouds) -> None:
    x = clouds(2, 100)
    found = knn(x, x, 8)
    for b in range(2):
        wanted, _ = cKDTree(x[b].numpy()).query(x[b].numpy(), k=8)
        near = (gather(x, found)[b] - x[b][:, None]).norm(dim=-1)
        assert np.abs(near.numpy() - wanted).max() < 1e-3
        assert torch.equal(found[b, :, 0], torch.arange(100)), "a point is its own nearest"


@pytest.mark.parametrize(("radius", "count"), [(0.2, 4), (0.45, 16), (5.0, 8), (1e-3, 3)])
def test_balls_are_those_of_the_obvious_loop(clouds, radius: float, count: int) -> None:
    points, centers = clouds(2, 50, dtype=torch.float64), clouds(2, 12, seed=1, dtype=torch.float64)
    centers[:, :6] = points[:, :6]
    found = ball_query(centers, points, radius, count)
    for b in range(2):
        for m in range(12):
            wanted = slow_ball(centers[b, m].numpy(), points[b].numpy(), radius, count)
            assert found[b, m].tolist() == wanted


def test_gathering_is_fancy_indexing(clouds) -> None:
    values = clouds(3, 20)
    flat, deep = torch.randint(20, (3, 7)), torch.randint(20, (3, 7, 4))
    rows = torch.arange(3)
    assert torch.equal(gather(values, flat), values[rows[:, None], flat])
    assert torch.equal(gather(values, deep), values[rows[:, None, None], deep])


def test_gradients_in_double_precision(clouds) -> None:
    values = clouds(2, 6, dtype=torch.float64).requires_grad_()
    other = clouds(2, 4, seed=1, dtype=torch.float64).requires_grad_()
    indices = torch.tensor([[[0, 0], [5, 3]], [[1, 2], [2, 2]]])
    assert gradcheck(lambda v: gather(v, indices), values)
    assert gradcheck(square_distances, (values, other))


def test_square_distances_are_the_squares_of_distances(clouds) -> None:
    a, b = clouds(2, 9, dtype=torch.float64), clouds(2, 5, seed=1, dtype=torch.float64)
    assert torch.allclose(square_distances(a, b), torch.cdist(a, b).square(), atol=1e-12)


def test_no_choice_depends_on_the_batch(clouds) -> None:
    x = clouds(5, 64)
    order = torch.tensor([3, 0, 4, 1, 2])
    for choose in (
        lambda x: farthest_point_sample(x, 16),
        lambda x: knn(x[:, :10], x, 5),
        lambda x: ball_query(x[:, :10], x, 0.3, 8),
    ):
        chosen = choose(x)
        assert torch.equal(choose(x[order]), chosen[order])
        assert torch.equal(choose(x[2:3]), chosen[2:3])


class Grouped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        centers = gather(x, farthest_point_sample(x, 8))
        groups = gather(x, ball_query(centers, x, 0.4, 6)) - centers[:, :, None]
        return torch.cat([groups.amax(2), gather(x, knn(centers, x, 3)).mean(2)], -1)


def test_with_groups_held_it_is_the_same_function_at_x_and_a_smooth_one(clouds) -> None:
    x, grouped = clouds(2, 40, dtype=torch.float64), Grouped()
    with recorded(grouped, 2) as choices:
        there = grouped(x)
    assert len(choices.taken) == 3

    def frozen(x: Tensor) -> Tensor:
        with replayed(grouped, choices):
            return grouped(x)

    assert torch.equal(frozen(x), there)
    far = clouds(2, 40, seed=9, dtype=torch.float64)
    assert not torch.equal(frozen(far), grouped(far)), "the groups are those of x"
    assert gradcheck(frozen, x.clone().requires_grad_(), fast_mode=True)


sizes = st.integers(1, 12)


@settings(max_examples=30, deadline=None)
@given(points=sizes, more=st.integers(1, 5))
def test_more_points_than_there_are_is_refused(points: int, more: int) -> None:
    x = torch.rand(2, points, 3)
    with pytest.raises(ValueError, match=f"{points + more} points out of {points}"):
        farthest_point_sample(x, points + more)
    with pytest.raises(ValueError, match=f"between 1 and the number of points {points}"):
        knn(x, x, points + more)


@settings(max_examples=30, deadline=None)
@given(k=st.integers(-3, 0), radius=st.floats(-2, 0), count=st.integers(-3, 0))
def test_counts_and_radii_must_be_positive(k: int, radius: float, count: int) -> None:
    x = torch.rand(1, 5, 3)
    with pytest.raises(ValueError, match="k must be between"):
        knn(x, x, k)
    with pytest.raises(ValueError, match="must be positive"):
        ball_query(x, x, radius, 4)
    with pytest.raises(ValueError, match="must be positive"):
        ball_query(x, x, 0.5, count)
    with pytest.raises(ValueError, match="cannot sample"):
        farthest_point_sample(x, k)


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 3), points=st.integers(1, 20), data=st.data())
def test_shapes_and_ranges_of_indices(batch: int, points: int, data: st.DataObject) -> None:
    x = torch.rand(batch, points, 3)
    count, k = data.draw(st.integers(1, points)), data.draw(st.integers(1, points))
    members, radius = data.draw(st.integers(1, 2 * points)), data.draw(st.floats(1e-3, 2.0))
    for indices, shape in (
        (farthest_point_sample(x, count), (batch, count)),
        (knn(x, x, k), (batch, points, k)),
        (ball_query(x, x, radius, members), (batch, points, members)),
    ):
        assert indices.shape == shape and indices.min() >= 0 and indices.max() < points
    picked = farthest_point_sample(x, count)
    assert all(len(set(row)) == count for row in picked.tolist()), "no point twice, as all are distinct"


def test_a_point_is_never_its_own_other_however_close_the_others_are(clouds) -> None:
    x = 1 + 1e-6 * clouds(2, 30)
    found = nearest_others(x, 4)
    assert not (found == torch.arange(30)[:, None]).any()
    x = clouds(2, 30, dtype=torch.float64)
    assert torch.equal(nearest_others(x, 4), knn(x, x, 5)[..., 1:])
    for k in (0, 30):
        with pytest.raises(ValueError, match="between 1 and the number of other points 29"):
            nearest_others(x, k)
