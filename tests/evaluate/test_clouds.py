"""Distances between clouds, against slow obvious loops."""

import pytest
import torch

from invert3d.evaluate.clouds import chamfer_distance, moved_share, nearest_shape, yardstick


def test_chamfer_is_the_mean_of_nearest_distances_both_ways():
    a, b = torch.rand(40, 3), torch.rand(30, 3)
    apart = [[float((p - q).norm()) for q in b] for p in a]
    there = sum(min(row) for row in apart) / 40
    back = sum(min(apart[i][j] for i in range(40)) for j in range(30)) / 30
    assert abs(chamfer_distance(a, b) - (there + back)) < 1e-5


def test_chamfer_of_a_cloud_to_itself_is_zero_whatever_the_order():
    a = torch.rand(50, 3)
    assert chamfer_distance(a, a[torch.randperm(50)]) < 1e-6


def test_nearest_shape_finds_the_one_it_was_made_from():
    shapes = torch.rand(6, 64, 3)
    index, distance = nearest_shape(shapes[4] + 1e-3, shapes)
    assert index == 4
    assert distance < 0.01


def test_moved_share_counts_points_beyond_the_tolerance():
    start = torch.zeros(2, 4, 3)
    end = start.clone()
    end[0, :3, 0] = 0.5
    assert moved_share(start, end).tolist() == [0.75, 0.0]


def test_a_yardstick_says_how_far_two_of_a_class_are_apart_and_how_far_another_class_is() -> None:
    base = torch.rand(1, 40, 3, generator=torch.Generator().manual_seed(0))
    shapes = torch.cat([base, base + 0.001, base + 0.003])
    alike, apart = yardstick(shapes, shapes + 5)
    each = [nearest_shape(shapes[i], shapes[[j for j in range(3) if j != i]])[1] for i in range(3)]
    assert alike == sorted(each)[1] and apart > 5
    with pytest.raises(ValueError, match="got 1 and 3"):
        yardstick(shapes[:1], shapes)
