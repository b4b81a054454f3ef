"""Distances between clouds, and how much of one moved."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def chamfer_distance(a: Float[Tensor, "n 3"], b: Float[Tensor, "m 3"]) -> float:
    """Mean distance from each point of a to its nearest of b, plus the same from b to a, in the clouds' units.

    The symmetric Chamfer distance of Fan et al. 2017, with distances not squared.
    """
    from scipy.spatial import KDTree

    first, second = np.asarray(a.detach().cpu()), np.asarray(b.detach().cpu())
    there, back = KDTree(second).query(first)[0], KDTree(first).query(second)[0]
    return float(there.mean() + back.mean())


def nearest_shape(x: Float[Tensor, "n 3"], shapes: Float[Tensor, "m p 3"]) -> tuple[int, float]:
    """Index of the shape nearest to x by Chamfer distance, and that distance."""
    distances = [chamfer_distance(x, shape) for shape in shapes]
    best = int(np.argmin(distances))
    return best, distances[best]


def yardstick(shapes: Float[Tensor, "m p 3"], others: Float[Tensor, "k p 3"]) -> tuple[float, float]:
    """How far, in the median, one of the shapes is from the nearest of the rest, and one of the others from the nearest
    of them, by Chamfer distance: what distances of ``nearest_shape`` are to be compared with.

    Raises ValueError where there are not two shapes, or no others.
    """
    if len(shapes) < 2 or not len(others):
        raise ValueError(f"shapes, others: got {len(shapes)} and {len(others)}, accepted are 2 and 1 at least")
    rest = [torch.cat([shapes[:i], shapes[i + 1 :]]) for i in range(len(shapes))]
    own = [nearest_shape(shape, several)[1] for shape, several in zip(shapes, rest, strict=True)]
    return float(np.median(own)), float(np.median([nearest_shape(other, shapes)[1] for other in others]))


def moved_share(start: Float[Tensor, "b n 3"], end: Float[Tensor, "b n 3"], tolerance: float = 1e-2) -> Tensor:
    """Share of the points of each cloud, (B,), that end farther than ``tolerance`` from where they started."""
    return ((end - start).norm(dim=-1) > tolerance).float().mean(1)
