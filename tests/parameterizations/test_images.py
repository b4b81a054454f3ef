"""What is optimized where x is a picture: noise as the network sees it, or a spectrum."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.space import Image
from invert3d.parameterizations.images import Fourier, Normalized

SPACE = Image(height=24, width=40)
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def begun(parameterization, space: Image = SPACE, samples=range(4), dtype=torch.float64) -> tuple[dict, Tensor]:
    draws = Draws.seeded(0, samples)
    theta = parameterization.initialize(torch.empty(len(samples), 0, dtype=dtype), space, draws)
    return theta, parameterization(theta, space, draws)


def frequencies(height: int, width: int) -> Tensor:
    """Cycles a picture of the longer side of each entry of a half spectrum, by a loop."""
    longest, table = max(height, width), torch.zeros(height, width // 2 + 1)
    for i in range(height):
        for j in range(width // 2 + 1):
            fy = (i if i <= (height - 1) // 2 else i - height) / height * longest
            table[i, j] = (fy**2 + (j / width * longest) ** 2) ** 0.5
    return table


@pytest.mark.parametrize("swapped", [False, True])
def test_normalized_pixels_are_noise_of_a_deviation_as_published(swapped: bool) -> None:
    parameterization = Normalized(swapped=swapped)
    theta, x = begun(parameterization, Image(height=96, width=128))
    assert abs(float(theta["z"].std()) - 0.2) < 0.005
    mean, std = (MEAN.flip(0), STD.flip(0)) if swapped else (MEAN, STD)
    assert torch.allclose(x, theta["z"] * std[:, None, None].double() + mean[:, None, None].double(), atol=1e-7)


def test_what_is_assigned_to_normalized_pixels_is_what_they_show() -> None:
    for parameterization in (Normalized(), Normalized(swapped=True)):
        theta, _ = begun(parameterization)
        wanted = torch.rand(4, 3, 24, 40, dtype=torch.float64)
        parameterization.assign(theta, wanted)
        assert torch.allclose(parameterization(theta, SPACE, Draws.seeded(1, range(4))), wanted)


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (7, 9), (16, 15)])
def test_a_picture_goes_through_its_spectrum_and_back(size: tuple[int, int]) -> None:
    space = Image(height=size[0], width=size[1])
    x = 0.01 + 0.98 * torch.rand(3, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for parameterization in (Fourier(), Fourier(power=1.5)):
        theta = parameterization.encode(x, space)
        again = parameterization(theta, space, Draws.seeded(0, range(3)))
        assert torch.allclose(again, x, atol=1e-9)
        single = parameterization(parameterization.encode(x.float(), space), space, Draws.seeded(0, range(3)))
        assert torch.allclose(single.double(), x, atol=2e-5)


def test_black_and_white_are_softened_to_what_eight_bits_still_hold() -> None:
    x = torch.tensor([0.0, 1.0]).repeat(12)[:24].view(1, 1, 24, 1).expand(1, 3, 24, 40).contiguous()
    again = Fourier()(Fourier().encode(x, SPACE), SPACE, Draws.seeded(0, [0]))
    assert (again - x).abs().max() < 1 / 510 + 1e-5
    assert torch.equal((again * 255).round(), x * 255), "the file is the same"


def test_a_spectrum_is_legal_whatever_it_is() -> None:
    theta, x = begun(Fourier())
    SPACE.validate(x)
    wild = Fourier()({"spectrum": 50 * theta["spectrum"]}, SPACE, Draws.seeded(0, range(4)))
    SPACE.validate(wild)
    assert 0 < wild.min() < 0.05 and 0.95 < wild.max() < 1 and wild.std() > 2 * x.std(), "black and white, not cut off"


@pytest.mark.parametrize(
    ("spread", "finest", "size"), [(0.3, 1.0, (96, 128)), (0.6, 0.25, (96, 128)), (0.3, 1.0, (64, 200))]
)
def test_a_spectrum_begins_with_the_deviation_that_was_asked_for(spread: float, finest: float, size) -> None:
    _, x = begun(Fourier(spread=spread, finest=finest), Image(height=size[0], width=size[1]), range(12))
    gray = torch.logit(x).mean(1)
    assert float(gray.flatten(1).std(1).mean()) == pytest.approx(spread, rel=0.35)
    assert abs(float(gray.mean())) < spread


def test_coarse_frequencies_are_as_strong_as_in_natural_pictures() -> None:
    """Amplitude falls as one over the frequency."""
    _, x = begun(Fourier(power=1.0), Image(height=64, width=64), range(40))
    power = torch.fft.rfft2(torch.logit(x).mean(1)).abs().mean(0).float()
    f = frequencies(64, 64)
    near, far = (power[(f > low) & (f < high)].mean() for low, high in ((3.5, 4.5), (15.5, 16.5)))
    assert float(near / far) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("size", [(24, 40), (40, 24)])
def test_the_first_stage_holds_coarse_frequencies_only(size: tuple[int, int]) -> None:
    space = Image(height=size[0], width=size[1])
    coarse = Fourier(finest=0.25)
    theta, x = begun(coarse, space)
    spectrum = torch.fft.rfft2(torch.logit(x).mean(1)).abs()
    f = frequencies(*size)
    limit = 0.25 * 20 * 2**0.5
    assert spectrum[:, f > limit + 0.01].max() < 1e-9 and spectrum[:, f < limit - 0.01].min() > 1e-9
    whole = Fourier()(theta, space, Draws.seeded(0, range(4)))
    low = torch.fft.rfft2(torch.logit(whole).mean(1))
    assert torch.allclose(low[:, f < limit - 0.01], torch.fft.rfft2(torch.logit(x).mean(1))[:, f < limit - 0.01])
    leaf = theta["spectrum"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(coarse({"spectrum": leaf}, space, Draws.seeded(0, range(4))).sum(), leaf)
    assert gradient[:, :, f > limit + 0.01].abs().max() == 0, "the rest waits for the second stage"


def test_noise_is_mostly_gray() -> None:
    _, x = begun(Fourier(), Image(height=48, width=48), range(8))
    gray = x.mean(1, keepdim=True)
    assert float((x - gray).std()) < 0.6 * float(gray.std())
