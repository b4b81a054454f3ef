"""A Gaussian of each class: its moments, and what is refused."""

from __future__ import annotations

import pytest
import torch

from invert3d.models.class_gaussians import ClassGaussians


def test_samples_have_the_mean_and_the_covariance_of_the_class() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 3, 3, 3, generator=generator)
    labels = torch.arange(12) % 2
    made = ClassGaussians.fitted(x, labels, 2, components=5)
    z = torch.randn(20000, 5, generator=generator)
    for label in (0, 1):
        own = x[labels == label].flatten(1)
        drawn = made(torch.full((20000,), label), z).flatten(1)
        assert torch.allclose(drawn.mean(0), own.mean(0), atol=0.02)
        assert torch.allclose(torch.cov(drawn.T), torch.cov(own.T), atol=0.02), "six shapes span five components"


def test_the_first_components_vary_most_and_missing_ones_are_zero() -> None:
    x = torch.rand(6, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    made = ClassGaussians.fitted(x, torch.tensor([0, 0, 0, 0, 1, 1]), 2, components=4)
    sizes = made.components.flatten(2).norm(dim=2)
    assert (sizes.diff(dim=1) <= 1e-6).all() and sizes[1, 1:].abs().max() == 0 and sizes[1, 0] > 0
    again = ClassGaussians(torch.zeros_like(made.means), torch.zeros_like(made.components))
    again.load_state_dict(made.state_dict())
    z = torch.randn(2, 4)
    assert torch.equal(again(torch.tensor([0, 1]), z), made(torch.tensor([0, 1]), z))


def test_what_cannot_be_fitted_or_sampled_is_refused() -> None:
    x, labels = torch.rand(3, 2, 2, 2), torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match="class 1 has 1 shapes: two are needed"):
        ClassGaussians.fitted(x, labels, 2)
    with pytest.raises(ValueError, match="at least one component"):
        ClassGaussians.fitted(x, labels, 1, components=0)
    with pytest.raises(ValueError, match="a code has 16 numbers, not 3"):
        ClassGaussians.fitted(x[:2], labels[:2], 1)(torch.tensor([0]), torch.zeros(1, 3))
