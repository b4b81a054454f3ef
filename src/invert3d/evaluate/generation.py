"""How good are generated voxel shapes? Scores of a set of them beside a set of real ones of the same class.

No score is enough by itself: a class mean with noise has a high class probability, and a copy of the training set
passes all but the overlap with its nearest training shape. What libraries compute comes from the extra ``generation``.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEIGHBORS = 5  # of precision, recall, density and coverage


def check_extra() -> None:
    """Raise ModuleNotFoundError, saying what to install, unless the extra ``generation`` is there."""
    try:
        import prdc  # noqa: F401
        import torch_fidelity  # noqa: F401
    except ModuleNotFoundError as error:
        words = "scores of generated shapes need the extra generation: pip install 'invert3d[generation]'"
        raise ModuleNotFoundError(words) from error


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Voxel shapes, and what a reference network makes of them.

    Attributes:
        grids: occupancy (N, S, S, S).
        labels: the class of each, or the one that was asked for (N,).
        features: of the reference network (N, d).
        logits: of the reference network (N, K).
    """

    grids: Bool[Tensor, "n s s s"]
    labels: Int[Tensor, "n"]
    features: Float[Tensor, "n d"]
    logits: Float[Tensor, "n k"]

    def __len__(self) -> int:
        return len(self.grids)

    def of(self, label: int) -> "Shapes":
        """Those of one class."""
        return self.rows((self.labels == label).nonzero()[:, 0])

    def rows(self, rows: Tensor) -> "Shapes":
        """Some of them (n,)."""
        parts = (self.grids, self.labels, self.features, self.logits)
        grids, labels, features, logits = (each[rows] for each in parts)
        return Shapes(grids=grids, labels=labels, features=features, logits=logits)


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """``|mean_a - mean_b|^2 + Tr(C_a + C_b - 2 sqrt(C_a C_b))`` of two sets of features (Heusel et al. 2017).

    Exact where there are fewer samples than features: with A and B the centered rows over sqrt(n - 1), the trace of
    the root is the nuclear norm of A B^T. Raises ValueError for fewer than two samples.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("a Fréchet distance needs at least two samples on each side")
    means = [each.double().mean(0) for each in (a, b)]
    rows = [(each.double() - mean) / (len(each) - 1) ** 0.5 for each, mean in zip((a, b), means, strict=True)]
    spread = sum(each.square().sum() for each in rows) - 2 * torch.linalg.svdvals(rows[0] @ rows[1].T).sum()
    return float((means[0] - means[1]).square().sum() + spread)


def kernel_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, subsets: int = 100, seed: int = 0) -> float:
    """Kernel Inception distance (Binkowski et al. 2018), unbiased: the squared MMD of a cubic polynomial kernel, the
    mean over random subsets of at most 1,000."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    size = min(1000, len(a), len(b))
    found = kid_features_to_metric(
        a.double(), b.double(), kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False
    )
    return float(found[KEY_METRIC_KID_MEAN])


def inception_score(logits: Float[Tensor, "n k"], splits: int = 10) -> tuple[float, float]:
    """``exp(mean KL(p(y|x) || p(y)))`` (Salimans et al. 2016): mean and standard deviation over the splits, at most as
    many as there are samples."""
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    found = isc_features_to_metric(logits, splits=min(splits, len(logits)))
    return float(found[KEY_METRIC_ISC_MEAN]), float(found[KEY_METRIC_ISC_STD])


def precision_recall(real: Float[Tensor, "n d"], made: Float[Tensor, "m d"], k: int = NEIGHBORS) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), by k nearest
    neighbors. Raises ValueError for fewer than k + 2 samples."""
    from joblib import parallel_config
    from prdc import compute_prdc

    if min(len(real), len(made)) < k + 2:
        raise ValueError(f"{k} neighbors need at least {k + 2} samples on each side")
    with parallel_config(backend="sequential"), contextlib.redirect_stdout(io.StringIO()):  # it prints, and forks
        found = compute_prdc(real.numpy(force=True), made.numpy(force=True), nearest_k=k)
    return {name: float(value) for name, value in found.items()}


def overlaps(a: Bool[Tensor, "n s s s"], b: Bool[Tensor, "m s s s"]) -> Float[Tensor, "n m"]:
    """Intersection over union of every pair of grids; 0 of two empty ones."""
    x, y = a.flatten(1).float(), b.flatten(1).float()
    both = x @ y.T
    return both / (x.sum(1)[:, None] + y.sum(1)[None] - both).clamp_min(1)


def chamfer_distances(a: Bool[Tensor, "n s s s"], b: Bool[Tensor, "m s s s"]) -> Float[Tensor, "n m"]:
    """Chamfer distance in voxels of every pair of grids: how far the full voxels of each are from the nearest full one
    of the other, on average, both ways together. Where one of the two is empty it is twice the diagonal.

    Exact, with one distance transform a grid and two matrix products.
    """
    far = float(np.sqrt(3) * a.shape[-1])

    def one_way(full: Tensor, other: Tensor) -> Tensor:
        reach = torch.stack([_distance_to(each, far) for each in other])
        x = full.flatten(1).double()
        return torch.where(x.any(1)[:, None], x @ reach.flatten(1).T / x.sum(1, keepdim=True).clamp_min(1), far)

    return one_way(a, b) + one_way(b, a).T


def _distance_to(grid: Tensor, far: float) -> Tensor:
    """How far each cell of a grid is from the nearest full one."""
    from scipy.ndimage import distance_transform_edt

    if not grid.any():
        return torch.full(grid.shape, far, dtype=torch.float64)
    return torch.from_numpy(np.asarray(distance_transform_edt(~grid.numpy(force=True))))


def nearest_neighbor_accuracy(distances: Float[Tensor, "n n"], made: Bool[Tensor, "n"]) -> float:
    """1-NNA (Yang et al. 2019): how often the nearest other shape of a mixed set tells whether a shape is real or made,
    by the distances of all pairs. A half is ideal; the sets should be of one size."""
    apart = distances.clone()
    apart.fill_diagonal_(torch.inf)
    return float((made[apart.argmin(1)] == made).double().mean())


def matching(distances: Float[Tensor, "n m"]) -> dict[str, float]:
    """MMD and COV (Achlioptas et al. 2018) of made shapes (rows) and real ones: the mean over real shapes of the
    distance to the nearest made one, and the share of real shapes that are the nearest of some made one."""
    return {"MMD": float(distances.amin(0).mean()), "COV": len(distances.argmin(1).unique()) / distances.shape[1]}


def pairwise_overlap(grids: Bool[Tensor, "n s s s"]) -> float:
    """The mean intersection over union of two different grids of a set: high where all look alike. NaN for one."""
    found, count = overlaps(grids, grids), len(grids)
    return float((found.sum() - found.diagonal().sum()) / (count * (count - 1))) if count > 1 else float("nan")


def scores_of_class(made: Shapes, real: Shapes, train: Bool[Tensor, "m s s s"]) -> dict[str, float]:
    """All scores of shapes of one class, beside real ones of which as many are looked at as there are made ones, or the
    other way round, and the grids that were trained on: most scores depend on how many there are."""
    count = min(len(made), len(real))
    made, real = made.rows(torch.arange(count)), real.rows(torch.arange(count))
    mixed = torch.cat([made.grids, real.grids])
    apart = chamfer_distances(mixed, mixed)
    chances = made.logits.softmax(-1).gather(1, made.labels[:, None])[:, 0]
    return {
        "class probability": float(chances.mean()),
        "called right": float((made.logits.argmax(-1) == made.labels).double().mean()),
        "Fréchet distance": frechet_distance(made.features, real.features),
        "KID": kernel_distance(made.features, real.features),
        **precision_recall(real.features, made.features),
        "1-NNA": nearest_neighbor_accuracy(apart, torch.arange(2 * count) < count),
        **matching(apart[:count, count:]),
        "pairwise IoU": pairwise_overlap(made.grids),
        "nearest training IoU": float(overlaps(made.grids, train).amax(1).mean()),
        "occupied": float(made.grids.double().mean()),
    }


def mean_scores(by_class: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each score over the classes."""
    return {name: float(np.mean([each[name] for each in by_class])) for name in by_class[0]}
