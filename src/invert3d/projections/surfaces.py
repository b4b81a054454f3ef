"""Projections of clouds (B, N, 3) that lie on a surface."""

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.projection import Projection
from invert3d.engine.state import State
from invert3d.ops.points import gather, nearest_others
from invert3d.registry import plain


@plain("projection", "tangent_plane")
class TangentPlane(Projection):
    """Every point back into the plane that is tangent to the surface where the point was at the start.

    The normal of a point is the direction in which it and its ``k`` nearest neighbors of the start vary least. A cloud
    attacked so keeps its surface (after Huang et al. 2022, SI-Adv). Raises ValueError where k is not smaller than N.
    """

    spaces = frozenset({"points"})

    k: int = 16

    def __post_init__(self) -> None:
        if self.k < 3:
            raise ValueError(f"a plane needs at least 3 neighbors, not {self.k}")

    def __call__(self, state: State) -> Float[Tensor, "b n 3"]:
        memory = state.memory_of(self)
        if "normals" not in memory:
            memory["normals"] = normals_of(state.start, self.k)
        normals = memory["normals"]
        away = ((state.x - state.start) * normals).sum(-1, keepdim=True)
        return state.x - away * normals


def normals_of(x: Float[Tensor, "b n 3"], k: int) -> Float[Tensor, "b n 3"]:
    """The unit normals of points: the eigenvector of the smallest eigenvalue of their neighborhood's covariance."""
    if k >= x.shape[1]:
        raise ValueError(f"K = {k} neighbors in a cloud of {x.shape[1]} points")
    near = torch.cat([x.unsqueeze(2), gather(x, nearest_others(x, k))], 2)
    spread = near - near.mean(2, keepdim=True)
    return torch.linalg.eigh(spread.transpose(-1, -2) @ spread).eigenvectors[..., 0]


@plain("projection", "remove_points")
class RemovePoints(Projection):
    """Remove the ``count`` points whose absence lowers the loss most, to first order.

    As a point moves to the center c of its cloud, where it says little, the loss changes by about ``<g, c - x>``, g its
    gradient (Zheng et al. 2019). A cloud keeps its number of points: a removed one becomes a copy of its nearest
    neighbor, which for a network that takes the maximum over points is the same as its absence. The gradient of a copy
    is counted for the point that it is a copy of.
    """

    spaces = frozenset({"points"})
    needs_gradient = True

    count: int = 5

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"at least 1 point must be removed, not {self.count}")

    def __call__(self, state: State) -> Float[Tensor, "b n 3"]:
        x, memory = state.x, state.memory_of(self)
        own = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
        gone, host = memory.get("gone", torch.zeros_like(own, dtype=torch.bool)), memory.get("host", own)
        gradient = torch.zeros_like(x).scatter_add(1, host[..., None].expand_as(x), state.gradient)
        change = (gradient * (x.median(1, keepdim=True).values - x)).sum(-1).masked_fill(gone, torch.inf)
        gone = gone.scatter(1, change.topk(min(self.count, x.shape[1] - 1), largest=False).indices, True)
        nearest = torch.cdist(state.start, state.start).masked_fill(gone[:, None], torch.inf).argmin(-1)
        memory["gone"], memory["host"] = gone, torch.where(gone, nearest, own)
        return gather(x, memory["host"])
