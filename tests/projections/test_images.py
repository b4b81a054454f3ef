"""Projections of pictures: the two ranges of the paper, and blur as SciPy does it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from invert3d.parameterizations.images import Normalized
from invert3d.projections.images import Blur, ClipContributions, ClipImage, blurred
from invert3d.testing import blank_state


def moved(projection, x: Tensor, step: int = 0) -> Tensor:
    state = blank_state(x, range(len(x)))
    state.step = step
    return projection(state)


def test_the_legal_range_is_that_of_pictures() -> None:
    x = 3 * torch.randn(2, 3, 5, 6)
    assert torch.equal(moved(ClipImage(), x), x.clamp(0, 1))


def test_the_range_of_the_authors_is_washed_out() -> None:
    """In normalized units about [-0.008, 4.36] for the first channel, where [-2.12, 2.25] is right (reference, 1B)."""
    extreme = torch.tensor([-9.0, 9.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    found = moved(ClipImage(range="authors"), extreme)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (Normalized().mean, Normalized().std))
    low, high = ((found[0] - mean) / std)[0, 0].tolist()
    assert low == pytest.approx(-0.008, abs=5e-4) and high == pytest.approx(4.36, abs=5e-3)
    for channel, average in enumerate((0.485, 0.456, 0.406)):
        darkest, brightest = found[0, channel, 0].tolist()
        assert darkest == pytest.approx(average, abs=2e-3), "never darker than the mean"
        assert 1.40 < brightest < 1.49, "up to 1.48 times white"
    legal = ((moved(ClipImage(), extreme)[0] - mean) / std)[0, 0].tolist()
    assert legal == pytest.approx([-2.12, 2.25], abs=5e-3)


def test_swapped_means_are_those_of_the_other_order() -> None:
    x = torch.randn(1, 3, 4, 4)
    found = moved(ClipImage(range="authors", swapped=True), x)
    assert torch.equal(found, moved(ClipImage(range="authors"), x.flip(1)).flip(1))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3, 5.0])
@pytest.mark.parametrize("size", [(20, 33), (6, 9)])
def test_blur_is_that_of_scipy(sigma: float, size: tuple[int, int]) -> None:
    """Also where the kernel is wider than the picture and is reflected more than once."""
    x = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = np.stack([[gaussian_filter(plane, sigma, mode="reflect") for plane in each] for each in x.numpy()])
    assert np.allclose(blurred(x, sigma).numpy(), wanted, atol=1e-12)


def test_blur_follows_the_published_schedule() -> None:
    """5 pixels after the fifth step, times 0.985 each time; 153 falls bring it to half a pixel, where it stays."""
    x = torch.rand(1, 3, 24, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for number, sigma in ((1, 5.0), (2, 4.925), (11, 5 * 0.985**10), (153, 5 * 0.985**152), (154, 0.5), (400, 0.5)):
        assert torch.allclose(moved(Blur(), x, step=5 * number - 1), blurred(x, sigma)), number
        assert all(torch.equal(moved(Blur(), x, step=5 * number - 1 + rest), x) for rest in (1, 2, 3, 4))
    assert 5 * 0.985**152 > 0.5 > 5 * 0.985**153


def test_a_blurred_picture_keeps_its_mean_and_its_range() -> None:
    x = torch.rand(2, 3, 12, 17)
    found = blurred(x, 3.0)
    assert torch.allclose(found.mean((2, 3)), x.mean((2, 3)), atol=1e-5)
    assert found.min() >= x.min() - 1e-6 and found.max() <= x.max() + 1e-6


@pytest.mark.parametrize("settings", [{"period": 0}, {"sigma": 0.0}, {"floor": -1.0}])
def test_a_blur_that_is_none_is_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match="period of at least 1 and sigmas above 0"):
        Blur(**settings)


def test_pixels_that_contribute_little_become_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    x, gradient = torch.rand(2, 3, 5, 4, generator=generator), torch.randn(2, 3, 5, 4, generator=generator)
    mean = (0.4, 0.5, 0.6)
    state = blank_state(x, range(2))
    state.gradient = gradient
    found = ClipContributions(percentile=25, mean=mean)(state)
    for k in range(2):
        table = {}
        for i in range(5):
            for j in range(4):
                parts = [float(gradient[k, c, i, j] * (x[k, c, i, j] - mean[c])) for c in range(3)]
                table[i, j] = abs(sum(parts))
        least = sorted(table, key=table.__getitem__)[:5]  # a quarter of 20
        for (i, j), _ in table.items():
            kept = torch.equal(found[k, :, i, j], x[k, :, i, j])
            assert kept != ((i, j) in least)
            assert kept or torch.allclose(found[k, :, i, j], torch.tensor(mean))


def test_a_percentile_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        ClipContributions(percentile=120)
