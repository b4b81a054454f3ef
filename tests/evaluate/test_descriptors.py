"""What is left of a picture: edges, color and sky, on pictures where it is known."""

from __future__ import annotations

import math

import pytest
import torch

from invert3d.evaluate.descriptors import (
    color_correlation,
    edges_found,
    overlap,
    perceptual_distance,
    shown_edges,
    sky_overlap,
    slopes,
    strengths,
    tint_correlation,
)


def step_at(column: int, size: int = 60) -> torch.Tensor:
    """Dark on the left of a column, light on its right."""
    picture = torch.full((3, size, size), 0.2)
    picture[:, :, column:] = 0.8
    return picture


def vertical(column: float, count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Places on a vertical edge and their angles."""
    rows = torch.arange(count) + 15.0
    return torch.stack([torch.full((count,), column), rows], 1), torch.full((count,), math.pi / 2)


def test_slopes_are_those_of_a_slow_loop() -> None:
    picture = torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(0))
    gray = 0.299 * picture[0] + 0.587 * picture[1] + 0.114 * picture[2]
    weights = torch.tensor([1.0, 2, 1]) / 8
    expected = sum(weights[k] * (gray[3 + k - 1, 6] - gray[3 + k - 1, 4]) for k in range(3))
    assert torch.isclose(slopes(picture)[0, 3, 5], expected)
    expected = sum(weights[k] * (gray[4, 4 + k] - gray[2, 4 + k]) for k in range(3))
    assert torch.isclose(slopes(picture)[1, 3, 5], expected)


def test_an_edge_is_found_in_its_direction_only() -> None:
    places, angles = vertical(29.5)
    assert (strengths(step_at(30), places, angles) > 0.2).all()
    assert strengths(step_at(30), places, torch.zeros_like(angles)).abs().max() < 1e-6
    assert edges_found(step_at(30), places, angles).all()
    assert not edges_found(step_at(30), places, torch.zeros_like(angles)).any()
    assert not edges_found(step_at(40), places, angles).any()
    assert not edges_found(torch.full((3, 60, 60), 0.5), places, angles).any()
    assert not len(edges_found(step_at(30), places[:0], angles[:0]))


def test_the_edges_of_a_picture_run_where_its_brightness_changes() -> None:
    places, angles = shown_edges(step_at(30))
    assert set(places[:, 0].tolist()) == {29.0, 30.0} and set(places[:, 1].tolist()) == set(map(float, range(60)))
    assert torch.allclose(angles, torch.tensor(math.pi / 2))
    row, column = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")
    for turn in (0.3, 1.2, 2.5):  # of an edge through the middle
        beyond = (row - 30) * math.cos(turn) - (column - 30) * math.sin(turn)
        picture = (0.5 + 0.4 * torch.tanh(beyond / 2)).expand(3, -1, -1)
        places, angles = shown_edges(picture)
        inside = ((places > 2) & (places < 57)).all(1)
        assert len(places) > 40 and (angles[inside] - turn).abs().max() < 0.05
        assert (((places[:, 1] - 30) * math.cos(turn) - (places[:, 0] - 30) * math.sin(turn)).abs() < 1.1).all()
        assert edges_found(picture, places, angles).float().mean() > 0.95
    assert not len(shown_edges(torch.full((3, 20, 20), 0.5))[0])


def test_in_noise_a_tenth_is_found() -> None:
    generator = torch.Generator().manual_seed(1)
    places = 100 * torch.rand(4000, 2, generator=generator) - 0.5
    angles = math.pi * torch.rand(4000, generator=generator)
    found = edges_found(torch.rand(3, 100, 100, generator=generator), places.clamp(0, 99), angles)
    assert abs(found.float().mean() - 0.1) < 0.02


def test_color_is_compared_without_brightness() -> None:
    picture = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    assert color_correlation(picture, 0.5 * picture + 0.2) > 0.999
    assert abs(color_correlation(picture, picture.mean(0, keepdim=True).expand(3, -1, -1))) < 1e-6
    assert color_correlation(picture, 1 - picture) < -0.999


def test_mean_colors_are_compared_over_pictures() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(9, 3, 6, 6, generator=generator)
    means = pictures.mean((2, 3)).double()
    tints = torch.stack([means[:, 0] - means[:, 1], means[:, 2] - (means[:, 0] + means[:, 1]) / 2])
    other = torch.rand(9, 3, 6, 6, generator=generator)
    others = other.mean((2, 3)).double()
    wanted = torch.stack([others[:, 0] - others[:, 1], others[:, 2] - (others[:, 0] + others[:, 1]) / 2])
    expected = sum(float(torch.corrcoef(torch.stack([a, b]))[0, 1]) for a, b in zip(tints, wanted, strict=True)) / 2
    assert tint_correlation(pictures, other) == pytest.approx(expected, abs=1e-5)
    assert tint_correlation(pictures, pictures.flip(3)) == pytest.approx(1)
    assert tint_correlation(pictures[:1], other[:1]) == 0


def test_a_bright_or_a_dark_sky_is_found() -> None:
    sky = torch.zeros(40, 40, dtype=torch.bool)
    sky[:15] = True
    for bright in (0.9, 0.1):
        picture = torch.where(sky, torch.tensor(bright), torch.tensor(0.5)).expand(3, -1, -1)
        assert sky_overlap(picture, sky) == 1
    assert overlap(sky, ~sky) == 0 and overlap(sky & False, sky & False) == 0


def test_a_perceptual_distance_is_that_of_a_slow_loop() -> None:
    torch.manual_seed(0)
    one, other = ([torch.rand(2, 4, 3, 5), torch.rand(2, 6, 2, 2)] for _ in range(2))
    means = []
    for a, b in zip(one, other, strict=True):
        apart = [
            sum(
                (a[1, c, i, j] / a[1, :, i, j].norm() - b[1, c, i, j] / b[1, :, i, j].norm()) ** 2
                for c in range(a.shape[1])
            )
            for i in range(a.shape[2])
            for j in range(a.shape[3])
        ]
        means.append(sum(apart) / len(apart))
    assert math.isclose(float(perceptual_distance(one, other)[1]), float(sum(means) / 2), rel_tol=1e-5)
    assert perceptual_distance(one, [3 * each for each in one]).abs().max() < 1e-6
