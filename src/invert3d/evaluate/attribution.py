"""Whether an explanation is true: does the score fall when what it names is taken away, does it hold still under noise,
and does it lie on the edges, as *3D Point Cloud Feature Explanations* says?

All functions take one number a point (B, N), or a voxel (B, D, H, W), larger for what matters more, so that any method
can be measured. Of a grid only the filled voxels are looked at.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_erosion
from scipy.stats import ConstantInputWarning, bootstrap, spearmanr
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.transform import Transform
from invert3d.ops.points import gather, nearest_others

Removal = Literal["center", "resample", "empty", "blur", "mean"]


def occupied(x: Tensor) -> Tensor:
    """Which elements of x are there: all points of clouds (B, N, C), the filled voxels of grids (B, 1, D, H, W), all
    pixels of images (B, 3, H, W)."""
    return x[:, 0] != 0 if x.dim() == 5 else torch.ones_like(x[..., 0] if x.dim() == 3 else x[:, 0], dtype=torch.bool)


def removed(x: Tensor, keep: Tensor, how: Removal, seed: int = 0) -> Tensor:
    """Inputs without the elements that ``keep`` is false for.

    Clouds (B, N, C), ``keep`` (B, N) with as many kept in each. ``center``: the others move into the mean of the cloud,
    where they say least (Zheng et al. 2019). ``resample``: they become copies of points that are kept, drawn at random.
    Grids (B, 1, D, H, W), ``keep`` (B, D, H, W). ``empty``: the
    others are emptied. ``blur``: they take the mean of the 5^3 voxels around them. Images (B, 3, H, W), ``keep``
    (B, H, W). ``blur``: the others take the mean of the pixels around them, an eighth of the longer side across.
    ``mean``: they take the mean color of the image.

    Raises ValueError for a way that does not fit the input.
    """
    if x.dim() == 5:
        if how not in ("empty", "blur"):
            raise ValueError(f"voxels are removed by empty or blur, not by {how}")
        rest = torch.zeros_like(x) if how == "empty" else F.avg_pool3d(x, 5, 1, 2)
        return torch.where(keep[:, None], x, rest)
    if x.dim() == 4:
        if how not in ("blur", "mean"):
            raise ValueError(f"pixels are removed by blur or mean, not by {how}")
        reach = max(1, max(x.shape[2:]) // 16)
        near = F.avg_pool2d(x, 2 * reach + 1, 1, reach, count_include_pad=False)
        return torch.where(keep[:, None], x, near if how == "blur" else x.mean((2, 3), keepdim=True))
    if how not in ("center", "resample"):
        raise ValueError(f"points are removed by center or resample, not by {how}")
    if how == "center":
        return torch.where(keep[..., None], x, x.mean(1, keepdim=True))
    order = keep.int().argsort(dim=1, descending=True, stable=True)
    count = int(keep[0].sum())
    drawn = Draws.seeded(seed, range(len(x))).uniform(x, 0, max(1, count), x.shape[1])
    copies = gather(x, order.gather(1, drawn.long().clamp_max(max(0, count - 1))))
    return torch.where(keep[..., None], x, copies)


def named(x: Tensor, values: Tensor, share: float) -> Tensor:
    """Which elements are the ``share`` of those that are there with the largest values: booleans like ``values``."""
    there = occupied(x)
    known = values.masked_fill(~there, -torch.inf).flatten(1)
    rank = known.argsort(1, descending=True).argsort(1).view(values.shape)
    return rank < (share * there.flatten(1).sum(1).view(-1, *[1] * (values.dim() - 1))).round()


def without(x: Tensor, values: Tensor, share: float, how: Removal, most_first: bool = True) -> Tensor:
    """Inputs without the ``share`` of their elements with the largest values, or, not ``most_first``, those alone."""
    gone = named(x, values, share)
    return removed(x, ~gone if most_first else gone, how)


def removal_curve(
    model: Frozen,
    x: Tensor,
    target: Tensor,
    values: Tensor,
    *,
    shares: Sequence[float],
    how: Removal = "center",
    most_first: bool = True,
) -> Tensor:
    """Probability (B, S) of the target class after the ``shares`` of the elements with the largest values are removed.

    With ``most_first`` false, after all but those are removed: what they do alone.
    """
    curve = []
    with torch.no_grad():
        for share in shares:
            chances = model(without(x, values, share, how, most_first)).softmax(-1).to(target.device)
            curve.append(chances.gather(1, target[:, None])[:, 0])
    return torch.stack(curve, 1)


HALF = tuple(0.05 * i for i in range(1, 11))


def deletion(model: Frozen, x: Tensor, target: Tensor, values: Tensor, how: Removal = "center") -> Tensor:
    """Mean probability (B,) while up to half of the points are removed, the most important first: lower is better."""
    return removal_curve(model, x, target, values, shares=HALF, how=how).mean(1)


def insertion(model: Frozen, x: Tensor, target: Tensor, values: Tensor, how: Removal = "center") -> Tensor:
    """Mean probability (B,) with only the most important 5 to 50 % of the points there: higher is better."""
    return removal_curve(model, x, target, values, shares=HALF, how=how, most_first=False).mean(1)


def infidelity(
    model: Frozen,
    x: Tensor,
    target: Tensor,
    values: Tensor,
    *,
    contributions: bool,
    how: Removal = "center",
    tries: int = 16,
    seed: int = 0,
) -> Tensor:
    """How badly the attributions predict what the logit loses when random elements are removed, (B,): 0 is best.

    ``mean (b I.a + c - (F(x) - F(x - I)))^2 / var (F(x) - F(x - I))`` over ``tries`` removals I of a tenth of the
    elements, with the b >= 0 and c that fit best: the infidelity of Yeh et al. 2019 (equation 2) without the scale of
    the attributions. It is 1 for attributions that predict nothing, 0.97 for chance with 16 tries.

    With ``contributions`` the values (like x) say what an element did, so that I.a is their sum over what is removed;
    otherwise they are derivatives, and I.a their product with the change.
    """
    draws, there = Draws.seeded(seed, range(len(x))), occupied(x)
    with torch.no_grad():
        whole = model(x).to(target.device).gather(1, target[:, None])[:, 0]
        predicted, lost = [], []
        for _ in range(tries):
            lot = draws.uniform(x, 0, 1, *there.shape[1:]).masked_fill(~there, 2).flatten(1)
            count = (0.1 * there.flatten(1).sum(1)).round().clamp_min(1)
            keep = (lot.argsort(1).argsort(1) >= count[:, None]).view(there.shape)
            less = removed(x, keep, how)
            kept = keep[..., None] if x.dim() == 3 else keep[:, None]
            parts = values.masked_fill(kept, 0) if contributions else values * (x - less)
            predicted.append(parts.flatten(1).sum(1))
            lost.append(whole - model(less).to(target.device).gather(1, target[:, None])[:, 0])
    a, f = (torch.stack(each, 1).double() for each in (predicted, lost))
    a, f = a - a.mean(1, keepdim=True), f - f.mean(1, keepdim=True)
    both, alone = a.square().sum(1) * f.square().sum(1), (a * f).sum(1).clamp_min(0).square()
    return torch.where(both > 0, 1 - alone / both.clamp_min(1e-30), 1.0)


def max_sensitivity(
    explain: Callable[[Tensor], Tensor], x: Tensor, view: Transform, tries: int = 4, seed: int = 0
) -> Tensor:
    """Largest relative change (B,) of the values (B, N) over random views of x (Yeh et al. 2019): lower is better.

    The view must keep the order of the points (jitter, rotation).
    """
    draws, still = Draws.seeded(seed, range(len(x))), explain(x)
    return torch.stack([relative_change(explain(view(x, None, draws)[0]), still) for _ in range(tries)]).amax(0)


def shift_sensitivity(explain: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Largest relative change (B,) of the values (B, D, H, W) when a grid moves by one voxel along an axis."""
    there = occupied(x)
    still, moved = explain(x) * there, (torch.roll(explain(torch.roll(x, 1, i + 2)), -1, i + 1) for i in range(3))
    return torch.stack([relative_change(each * there, still) for each in moved]).amax(0)


def relative_change(a: Tensor, b: Tensor) -> Tensor:
    """The norm of a - b over that of b, sample by sample."""
    return (a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1).clamp_min(1e-12)


def randomized_layers(model: nn.Module, share: float, seed: int = 0) -> nn.Module:
    """A copy of a model in which the weights of its last layers, a ``share`` of all layers, are drawn again with the
    deviation they had: the cascade of Adebayo et al. 2018."""
    shuffled = copy.deepcopy(model)
    layers = [m for m in shuffled.modules() if any(p.dim() > 1 for p in m.parameters(recurse=False))]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers[len(layers) - round(share * len(layers)) :]:
            for parameter in (each for each in layer.parameters(recurse=False) if each.dim() > 1):
                drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.copy_(drawn * parameter.std())
    return shuffled


def closeness_to_edges(points: Tensor, edges: Tensor, reach: float = 0.05) -> Tensor:
    """``exp(-d / reach)`` (N,) with d the distance of points (N, 3) from the nearest of edges (E, 2, 3)."""
    start, along = edges[:, 0], edges[:, 1] - edges[:, 0]
    square = along.square().sum(-1).clamp_min(1e-18)
    nearest = points.new_full((len(points),), torch.inf)
    for some in torch.arange(len(edges)).split(512):
        off = points[:, None] - start[some]
        place = ((off * along[some]).sum(-1) / square[some]).clamp(0, 1)
        nearest = torch.minimum(nearest, (off - place[..., None] * along[some]).norm(dim=-1).amin(1))
    return torch.exp(-nearest / reach)


def surface_variation(x: Tensor, k: int = 16) -> Tensor:
    """How far each point is from a plane through its k neighbors, (B, N) in [0, 1/3]: 0 on planes, large on edges.

    The smallest eigenvalue of the covariance of the neighborhood over the sum of all three (Pauly et al. 2002).
    """
    near = torch.cat([x[:, :, None, :3], gather(x[..., :3], nearest_others(x[..., :3], k))], 2).double()
    off = near - near.mean(2, keepdim=True)
    spread = torch.linalg.eigvalsh(off.transpose(2, 3) @ off).clamp_min(0)
    return spread[..., 0] / spread.sum(-1).clamp_min(1e-12)


def boundary_voxels(grid: Tensor) -> Tensor:
    """The filled voxels of a grid (D, H, W) that have an empty one beside them, bool."""
    filled = grid.numpy(force=True) != 0
    return torch.from_numpy(filled & (binary_erosion(filled) == 0)).to(grid.device)


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's correlation (B,) of a (B, N) and b (B, N), sample by sample; 0 where one of them is constant."""
    rows = zip(a.double().numpy(force=True), b.double().numpy(force=True), strict=True)
    with warnings.catch_warnings(action="ignore", category=ConstantInputWarning):
        return torch.tensor([spearmanr(*pair)[0] for pair in rows], dtype=torch.float64).nan_to_num(0)


def interval(numbers: Tensor, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """The mean of numbers (M,) and its 95 % bootstrap interval; of one number, three times the number."""
    table = numbers.double().numpy(force=True)
    mean, generator = float(table.mean()), np.random.default_rng(seed)
    if len(table) < 2:
        return mean, mean, mean
    ends = bootstrap((table,), np.mean, n_resamples=draws, method="percentile", rng=generator).confidence_interval
    return mean, float(ends.low), float(ends.high)
