"""Whether an explanation is true: does the score fall when what it names is taken away, does it hold still under noise,
and does it lie on the edges, as *3D Point Cloud Feature Explanations* says?

All functions take one number a point, (B, N), larger for what matters more, so that any method can be measured.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.transform import Transform
from invert3d.ops.points import gather, nearest_others

Removal = Literal["center", "resample", "drop"]


def removed(x: Tensor, keep: Tensor, how: Removal, seed: int = 0) -> Tensor:
    """Clouds (B, N, C) without the points that ``keep`` (B, N) is false for; as many are kept in each cloud.

    ``center``: the others move into the mean of the cloud, where they say least (Zheng et al. 2019). ``resample``: they
    become copies of points that are kept, drawn at random. ``drop``: they are gone, and the cloud is smaller.
    """
    if how == "center":
        return torch.where(keep[..., None], x, x.mean(1, keepdim=True))
    order = keep.int().argsort(dim=1, descending=True, stable=True)
    count = int(keep[0].sum())
    if how == "drop":
        return gather(x, order[:, :count])
    draws = Draws.seeded(seed, range(len(x)))
    picks = (draws.uniform(x, 0, max(1, count), x.shape[1]).long()).clamp_max(max(0, count - 1))
    copies = gather(x, order.gather(1, picks))
    return torch.where(keep[..., None], x, copies)


def removal_curve(
    model: Frozen, x: Tensor, target: Tensor, values: Tensor, *, shares: Sequence[float], how: Removal = "center",
    most_first: bool = True,
) -> Tensor:  # fmt: skip
    """Probability (B, S) of the target class after the ``shares`` of the points with the largest values are removed.

    With ``most_first`` false, after all but those are removed: what they do alone.
    """
    rank = values.argsort(1, descending=True).argsort(1)
    curve = []
    with torch.no_grad():
        for share in shares:
            count = round(share * x.shape[1])
            keep = rank >= count if most_first else rank < count
            chances = model(removed(x, keep, how)).softmax(-1)
            curve.append(chances.gather(1, target[:, None])[:, 0])
    return torch.stack(curve, 1)


def deletion(model: Frozen, x: Tensor, target: Tensor, values: Tensor, how: Removal = "center") -> Tensor:
    """Mean probability (B,) while up to half of the points are removed, the most important first: lower is better."""
    return removal_curve(model, x, target, values, shares=[0.05 * i for i in range(1, 11)], how=how).mean(1)


def insertion(model: Frozen, x: Tensor, target: Tensor, values: Tensor, how: Removal = "center") -> Tensor:
    """Mean probability (B,) with only the most important 5 to 50 % of the points there: higher is better."""
    shares = [0.05 * i for i in range(1, 11)]
    return removal_curve(model, x, target, values, shares=shares, how=how, most_first=False).mean(1)


def max_sensitivity(
    explain: Callable[[Tensor], Tensor], x: Tensor, view: Transform, tries: int = 4, seed: int = 0
) -> Tensor:
    """Largest relative change (B,) of the values (B, N) over random views of x (Yeh et al. 2019): lower is better.

    The view must keep the order of the points (jitter, rotation).
    """
    draws, still = Draws.seeded(seed, range(len(x))), explain(x)
    changes = [
        (explain(view(x, None, draws)[0]) - still).norm(dim=1) / still.norm(dim=1).clamp_min(1e-12)
        for _ in range(tries)
    ]  # fmt: skip
    return torch.stack(changes).amax(0)


def surface_variation(x: Tensor, k: int = 16) -> Tensor:
    """How far each point is from a plane through its k neighbors, (B, N) in [0, 1/3]: 0 on planes, large on edges.

    The smallest eigenvalue of the covariance of the neighborhood over the sum of all three (Pauly et al. 2002).
    """
    near = torch.cat([x[:, :, None, :3], gather(x[..., :3], nearest_others(x[..., :3], k))], 2).double()
    off = near - near.mean(2, keepdim=True)
    spread = torch.linalg.eigvalsh(off.transpose(2, 3) @ off).clamp_min(0)
    return spread[..., 0] / spread.sum(-1).clamp_min(1e-12)


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's correlation (B,) of a (B, N) and b (B, N), sample by sample; 0 where one of them is constant."""
    ranks = [torch.from_numpy(rankdata(each.double().numpy(force=True), axis=1)) for each in (a, b)]
    x, y = (each - each.mean(1, keepdim=True) for each in ranks)
    return (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp_min(1e-12)


def interval(numbers: Tensor, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """The mean of numbers (M,) and its 95 % bootstrap interval."""
    table, generator = numbers.double().numpy(force=True), np.random.default_rng(seed)
    means = table[generator.integers(0, len(table), (draws, len(table)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(table.mean()), float(low), float(high)
