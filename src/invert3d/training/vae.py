"""A variational autoencoder of the shapes of classes: what a network of 3DWINN has to beat in the same time.

The evidence lower bound of Kingma & Welling 2014 in model M2 of Kingma et al. 2014, where all labels are known:

    loss = CE(q(y | x'), y) + (BCE(x, p(x | y, z)) + KL(q(z | x, y) | N(0, 1))) / 1000,  z ~ q(z | x, y)

The cross entropy of voxels is a sum over all of them; x' is x in an augmented view.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.models.voxel_vae import VoxelVAE
from invert3d.ops.seeds import seed_of
from invert3d.training.data import Grids
from invert3d.training.fit import Batches, Checkpoints, FitSettings, Parts, fit


@dataclass(frozen=True, kw_only=True)
class VAESettings(FitSettings):
    """How an autoencoder is trained; the classes take turns."""

    steps: int = 2400
    batch: int = 20
    rate: float = 1e-3


class Bound(nn.Module):
    """What the loss is made of."""

    def __init__(self, model: VoxelVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, shown: Parts) -> dict[str, Tensor]:
        real, labels = shown["real"], shown["labels"]
        features, seen = self.model.features(torch.cat([real, shown["views"]])).chunk(2)
        mean, logarithm = (each.float() for each in self.model.posterior(features, labels))
        z = mean + torch.randn_like(mean) * (logarithm / 2).exp()
        voxels = F.binary_cross_entropy_with_logits(
            self.model.starts.logits(labels, z).float(), real[:, 0], reduction="none"
        )
        return {
            "scores": self.model.fc(seen),
            "voxels": voxels.flatten(1).sum(1),
            "divergence": 0.5 * (mean**2 + logarithm.exp() - 1 - logarithm).sum(1),
        }


def bound(found: dict[str, Tensor], labels: Tensor) -> Tensor:
    """The loss above."""
    return F.cross_entropy(found["scores"], labels) + (found["voxels"] + found["divergence"]).mean() / 1000


def vae_batches(data: Grids, settings: VAESettings) -> Batches:
    """Real shapes and views of them (B, 1, S, S, S), of 0 and 1, and their labels (B,): the classes take turns."""
    labels = torch.from_numpy(data.train_labels)
    rows = [(labels == label).nonzero()[:, 0] for label in range(len(data.classes))]

    def batch(step: int) -> tuple[Parts, Tensor]:
        generator = torch.Generator().manual_seed(seed_of(settings.seed, "batch", step))
        turn = (torch.arange(settings.batch) + step * settings.batch) % len(rows)
        chosen = torch.stack([rows[i][torch.randint(len(rows[i]), (), generator=generator)] for i in turn.tolist()])
        real = torch.from_numpy(data.train[chosen.numpy()]).float()[:, None]
        views = data.augmented(chosen, Draws.seeded(settings.seed, ["views"], step))
        return Parts(real=real, views=views, labels=turn), turn

    return batch


def train_vae(
    model: VoxelVAE,
    data: Grids,
    settings: VAESettings,
    *,
    keep: Checkpoints | None = None,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Train an autoencoder in place; see ``fit``. The grids are of 0 and 1. Then its decoder learns where the codes of
    each class lie."""
    fit(Bound(model), vae_batches(data, settings), bound, settings, keep=keep, report=report)
    settle(model, data)


@torch.no_grad()
def settle(model: VoxelVAE, data: Grids) -> None:
    """Fit the Gaussians of the decoder to the codes of the training shapes."""
    labels, device = torch.from_numpy(data.train_labels), next(model.parameters()).device
    parts = []
    for rows in torch.arange(len(labels)).split(50):
        x = torch.from_numpy(data.train[rows.numpy()]).float()[:, None].to(device)
        parts.append(torch.stack(model.posterior(model.features(x), labels[rows].to(device))))
    mean, logarithm = torch.cat(parts, 1)
    model.starts.settled(mean, logarithm.exp(), labels.to(device))
