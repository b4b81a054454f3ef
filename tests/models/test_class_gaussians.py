"""A Gaussian of each class: its moments, and what is refused."""

from __future__ import annotations

import pytest
import torch

from invert3d.models.class_gaussians import ClassGaussians


def test_samples_have_the_mean_and_the_covariance_of_the_class() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 3, 3, 3, generator=generator)
    labels = torch.arange(12) % 2
    made = ClassGaussians.fitted(x, labels, 2, components=10)
    z = torch.randn(20000, 10, generator=generator)
    for label in (0, 1):
        own = x[labels == label].flatten(1)
        drawn = made(torch.full((20000,), label), z).flatten(1)
        assert torch.allclose(drawn.mean(0), own.mean(0), atol=0.02)
        assert torch.allclose(torch.cov(drawn.T), torch.cov(own.T), atol=0.02), (
            "two times six shapes span ten components"
        )


def test_components_are_orthonormal_span_most_and_missing_ones_are_zero() -> None:
    x = torch.rand(6, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    made = ClassGaussians.fitted(x, labels, 2, components=7)
    rows = made.components.flatten(1)
    assert torch.allclose(rows @ rows.T, torch.diag(torch.tensor([1.0, 1, 1, 1, 0, 0, 0])), atol=1e-4)
    apart = (x - made.means[labels]).flatten(1) / labels.bincount()[labels, None].sqrt()
    spread = (apart @ rows.T).square().sum(0)
    assert (spread.diff() <= 1e-6).all(), "the first vary most, all classes counted the same"
    assert spread.sum().item() == pytest.approx(apart.square().sum().item(), rel=1e-4)
    again = ClassGaussians.blank(2, 7, 2)
    again.load_state_dict(made.state_dict())
    z = torch.randn(2, 7)
    assert torch.equal(again(torch.tensor([0, 1]), z), made(torch.tensor([0, 1]), z))


def test_what_cannot_be_fitted_or_sampled_is_refused() -> None:
    x, labels = torch.rand(3, 2, 2, 2), torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match="class 1 has 1 shapes: two are needed"):
        ClassGaussians.fitted(x, labels, 2)
    with pytest.raises(ValueError, match="at least one component"):
        ClassGaussians.fitted(x, labels, 1, components=0)
    with pytest.raises(ValueError, match="a code has 64 numbers, not 3"):
        ClassGaussians.fitted(x[:2], labels[:2], 1)(torch.tensor([0]), torch.zeros(1, 3))
