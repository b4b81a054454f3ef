"""Projections that smooth x."""

import torch
from torch import Tensor

from invert3d.engine.projection import Projection
from invert3d.engine.state import State
from invert3d.ops.points import gather, nearest_others
from invert3d.registry import plain


@plain("projection", "knn_smooth")
class KnnSmooth(Projection):
    """``p_i <- p_i + lambda / K * sum over its K nearest neighbors of (p_j - p_i)``.

    *Inverting 3D Deep Learning Architectures*, equation 6; ``strength`` is lambda. By the paper's words a point is not
    its own neighbor; in the authors' code it is, so that their "top 2" is K = 1 with lambda = 1 of twice the published
    denominator: every point moves to the midpoint with its nearest. ``including_self`` does as their code does.

    Raises ValueError where K is not smaller than the number of points.
    """

    spaces = frozenset({"points"})

    k: int = 8
    strength: float = 1.0
    including_self: bool = False

    def __post_init__(self) -> None:
        if self.k < 1 or not 0 <= self.strength <= 1:
            raise ValueError(f"k must be at least 1 and strength in [0, 1], not {self.k} and {self.strength}")

    def __call__(self, state: State) -> Tensor:
        x = state.x
        if self.k >= x.shape[1]:
            raise ValueError(f"K = {self.k} neighbors in a cloud of {x.shape[1]} points")
        near = gather(x, nearest_others(x, self.k))
        if self.including_self:
            near = torch.cat([x.unsqueeze(2), near], 2)
        return x + self.strength * (near.mean(2) - x)
