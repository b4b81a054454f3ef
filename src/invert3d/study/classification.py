"""How well networks of voxels classify ModelNet10, how sure they are when they err, and what their features are worth.

The protocol of 3DWINN (Huang et al. 2019, tables 5 and 6): accuracy on the published test split, and that of a linear
support vector machine (L2 penalty, squared hinge, C = 0.5, one class against the rest) on the features of the last
convolution, each of mean 0 and variance 1 on the training split. 71 test grids repeat a training grid bit for bit:
``fresh`` is without them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from invert3d.engine.space import Voxels
from invert3d.jobs.job import Job
from invert3d.jobs.provenance import digest, fingerprint
from invert3d.jobs.rows import rows_job
from invert3d.opening.networks import Network, open_network
from invert3d.training.data import Grids, modelnet10_grids
from invert3d.training.introspective import coarse

BINS = 15  # of the calibration error


def calibration_error(probabilities: Float[Tensor, "m k"], labels: Int[Tensor, "m"], bins: int = BINS) -> float:
    """The expected calibration error (Guo et al. 2017, equation 3): how far the probability of the predicted class is
    from the share that is right, the mean over bins of that probability, each weighed by what is in it."""
    sure, said = probabilities.double().max(1)
    apart = (said == labels).double() - sure
    place = (sure * bins).ceil().long().clamp(1, bins)
    return float(sum(apart[place == k].sum().abs() for k in place.unique().tolist()) / len(labels))


def linear_machine(x: Tensor, labels: Tensor, other: Tensor, seed: int = 0) -> np.ndarray:
    """Classes (N,) of ``other`` features (N, d), by the machine above, fitted to x (M, d) of ``labels`` (M,)."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    machine = make_pipeline(StandardScaler(), LinearSVC(C=0.5, dual="auto", random_state=seed))
    return machine.fit(x.numpy(), labels.numpy()).predict(other.numpy())


def classification_row(*, model: str, data: str | None, device: str, seed: int) -> dict[str, Any]:
    """The row of a network. Raises ValueError as ``classification_job``."""
    network = open_network(model, device=device)
    grids, net = fitting(network, data), network.frozen.model
    labels, fresh = torch.from_numpy(grids.test_labels), torch.ones(len(grids.test_labels), dtype=torch.bool)
    fresh[list(grids.repeats)] = False
    row: dict[str, Any] = {"weights": network.name, "test shapes": len(labels)}
    if len(network.classes) > 1:  # trained with labels
        chances = passed(network, net, grids.held_out(0)).softmax(-1)
        right = chances.argmax(1) == labels
        row |= {
            "accuracy": share(right),
            "accuracy, fresh": share(right[fresh]),
            "calibration error": round(calibration_error(chances, labels), 4),
        }
    if features := getattr(net, "features", None):
        train = grids.voxels.encode(torch.from_numpy(grids.train)[:, None].float())
        x, other = (passed(network, features, each).flatten(1) for each in (train, grids.held_out(0)))
        found = torch.from_numpy(linear_machine(x, torch.from_numpy(grids.train_labels), other, seed)) == labels
        row |= {"SVM on features": share(found), "SVM on features, fresh": share(found[fresh])}
    return row


@torch.no_grad()
def passed(network: Network, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of inputs as the model takes them (M, ...), batch by batch on its device; on the CPU again."""
    with network.frozen:
        return torch.cat([function(part.to(network.frozen.device)).cpu() for part in x.split(50)])


def share(right: Tensor) -> float:
    """How many are true."""
    return round(right.double().mean().item(), 4)


def fitting(network: Network, data: str | None) -> Grids:
    """ModelNet10's grids as a network takes them. Raises ValueError if it takes others, or knows other classes."""
    space = network.frozen.space
    if not isinstance(space, Voxels):
        raise ValueError(f"{network.name} takes {network.takes}: ModelNet10's grids are for networks of voxels")
    whole = modelnet10_grids(data, replace(space, size=max(32, space.size)))
    grids = coarse(whole) if space.size == 16 else whole
    if tuple(network.classes) not in (grids.classes, grids.unlabeled().classes):
        raise ValueError(f"{network.name} knows other classes than ModelNet10: {', '.join(network.classes)}")
    return grids


def classification_job(models: Sequence[str], data: str | None = None, device: str = "cpu") -> Job:
    """A job of one row a network. Raises ValueError for an unknown network, one of other classes or inputs, or data
    that is not there."""
    networks = [open_network(model, device=device) for model in models]
    grids = [fitting(network, data) for network in networks]
    rows = [{"model": each} for each in models]
    job = rows_job("classification", classification_row, rows, data=data, device=device)
    prints = [fingerprint(network.frozen.model) for network in networks]
    digests = [digest(torch.from_numpy(part)) for each in grids for part in (each.train, each.test)]
    return replace(job, settings={**job.settings, "weights": prints, "inputs": digests})
