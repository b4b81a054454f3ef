"""The autoencoder of voxel shapes: its bound, against the integral, and what it learns in a few steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from invert3d.models.voxel_vae import VoxelVAE, unfolded
from invert3d.models.winn3d import folded
from invert3d.training.vae import Bound, VAESettings, bound, settle, train_vae, vae_batches
from tests.training.test_introspective import data

SETTINGS = VAESettings(steps=4, batch=4, bf16=False, rate=3e-3)


def network(size: int = 16) -> VoxelVAE:
    torch.manual_seed(0)
    return VoxelVAE(2, width=2, size=size, codes=3)


@pytest.mark.parametrize("size", [16, 32])
def test_shapes_have_the_size_of_grids(size: int) -> None:
    model = network(size)
    made = model.starts(torch.tensor([0, 1]), torch.zeros(2, 3))
    assert made.shape == (2, size, size, size) and made.min() > 0 and made.max() < 0.5, "most voxels are empty"
    assert model(torch.rand(2, 1, size, size, size)).shape == (2, 2)


def test_unfolding_undoes_folding_and_other_sizes_are_refused() -> None:
    x = torch.rand(2, 1, 8, 8, 8)
    assert torch.equal(unfolded(folded(x)), x[:, 0])
    with pytest.raises(ValueError, match="grids of 32 or 16 voxels a side, not 24"):
        VoxelVAE(2, size=24)


def test_the_loss_is_the_evidence_lower_bound_and_the_cross_entropy() -> None:
    model = network()
    shown, labels = vae_batches(data(), SETTINGS)(0)
    assert labels.tolist() == [0, 1, 0, 1]
    torch.manual_seed(5)
    found = Bound(model)(shown)
    features, seen = model.features(torch.cat([shown["real"], shown["views"]])).chunk(2)
    mean, logarithm = model.posterior(features, labels)
    torch.manual_seed(5)
    posterior = Normal(mean, (logarithm / 2).exp())
    z = mean + torch.randn_like(mean) * posterior.stddev
    divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    voxels = F.binary_cross_entropy(model.starts(labels, z), shown["real"][:, 0], reduction="none").flatten(1).sum(1)
    assert torch.allclose(found["divergence"], divergence, atol=1e-4)
    assert torch.allclose(found["voxels"], voxels, rtol=1e-4)
    expected = F.cross_entropy(model.fc(seen), labels) + (voxels + divergence).mean() / 1000
    assert bound(found, labels).item() == pytest.approx(expected.item(), rel=1e-5)


def test_codes_of_a_class_are_those_that_its_shapes_have() -> None:
    model, boxes = network(), data()
    x, labels = torch.from_numpy(boxes.train).float()[:, None], torch.from_numpy(boxes.train_labels)
    with torch.no_grad():
        mean, logarithm = model.posterior(model.features(x), labels)
        settle(model, boxes)
        z = torch.randn(40000, 3, generator=torch.Generator().manual_seed(0))
        for label in (0, 1):
            own, spread = mean[labels == label], logarithm.exp()[labels == label]
            moved = model.starts.means[label] + z @ model.starts.factors[label].T
            assert torch.allclose(moved.mean(0), own.mean(0), atol=0.03)
            expected = torch.cov(own.T, correction=0) + spread.mean(0).diag()
            assert torch.allclose(torch.cov(moved.T), expected, atol=0.05)


def test_it_learns_boxes() -> None:
    model, boxes = network(), data()
    losses: list[float] = []
    train_vae(model, boxes, replace(SETTINGS, steps=60), report=lambda step, loss: losses.append(loss))
    assert losses[-1] < 0.6 * losses[0]
    x = torch.from_numpy(boxes.train).float()
    made = model.starts(torch.tensor([0, 1]), torch.zeros(2, 3)).detach()
    means = torch.stack([x[::2].mean(0), x[1::2].mean(0)])
    own, other = ((made - each).abs().mean() for each in (means, means.flip(0)))
    assert own < 0.6 * other, "what it makes of a class is near the mean of that class"
