"""Priors on pictures against loops over pixels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invert3d.priors.images import IsotropicVariation, Nearness, PublishedVariation, TotalVariation
from invert3d.testing import blank_state


def pictures(batch: int = 3, height: int = 6, width: int = 9) -> Tensor:
    return torch.rand(batch, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def value(prior, x: Tensor) -> Tensor:
    return prior(blank_state(x, range(len(x))))


def slow_variation(x: Tensor, power: float) -> float:
    """Differences of neighbors of one picture (3, h, w), summed."""
    total = 0.0
    for plane in x.tolist():
        for y, row in enumerate(plane):
            for i, pixel in enumerate(row):
                if i + 1 < len(row):
                    total += abs(row[i + 1] - pixel) ** power
                if y + 1 < len(plane):
                    total += abs(plane[y + 1][i] - pixel) ** power
    return total


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_total_variation_is_the_loop_over_neighbors_a_pixel(power: float) -> None:
    x = pictures()
    wanted = [slow_variation(each, power) / (6 * 9) for each in x]
    assert torch.allclose(value(TotalVariation(power=power), x), torch.tensor(wanted, dtype=torch.float64))


def test_published_variation_is_a_sum_of_squares_of_normalized_pixels() -> None:
    x = pictures()
    wanted = [slow_variation(each / 0.226, 2) for each in x]
    assert torch.allclose(value(PublishedVariation(), x), torch.tensor(wanted, dtype=torch.float64))


def test_only_the_mean_carries_over_between_sizes() -> None:
    """A picture of the same stripes, larger: the mean stays but for the border, the published sum grows."""
    small = torch.tensor([0.0, 1.0]).repeat(8).expand(1, 3, 16, 16).double()
    large = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 3, 64, 64).double()
    mean, total = TotalVariation(), PublishedVariation()
    assert float(value(mean, large) / value(mean, small)) == pytest.approx(1, rel=0.1)
    assert float(value(total, large) / value(total, small)) == pytest.approx(16, rel=0.1)


def test_an_even_picture_costs_nothing_and_pulls_nowhere() -> None:
    for prior in (TotalVariation(), TotalVariation(power=2.0), PublishedVariation()):
        x = torch.full((2, 3, 5, 5), 0.3, requires_grad=True)
        (gradient,) = torch.autograd.grad(value(prior, x).sum(), x)
        assert value(prior, x).eq(0).all() and gradient.isfinite().all() and not gradient.any()


def test_nearness_is_the_mean_change_since_the_start() -> None:
    state = blank_state(pictures(), range(3))
    state.start = state.x + torch.tensor([0.1, -0.2, 0.0], dtype=torch.float64)[:, None, None, None]
    assert torch.allclose(Nearness()(state), torch.tensor([0.1, 0.2, 0.0], dtype=torch.float64))


def test_isotropic_variation_is_equation_1_of_the_essence_of_pose() -> None:
    x = pictures()
    for picture, found in zip(x, value(IsotropicVariation(floor=0.0), x), strict=True):
        expected = 0.0
        for channel in picture.tolist():
            for i in range(5):
                for j in range(8):
                    right, below = channel[i][j + 1] - channel[i][j], channel[i + 1][j] - channel[i][j]
                    expected += (right**2 + below**2) ** 0.5
        assert float(found) == pytest.approx(expected, rel=1e-5)
    flat = torch.full((1, 3, 6, 9), 0.5, requires_grad=True)
    (slope,) = torch.autograd.grad(value(IsotropicVariation(), flat).sum(), flat)
    assert slope.isfinite().all()
