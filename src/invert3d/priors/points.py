"""Priors on clouds (B, N, 3): what point sets drawn from surfaces have in common. All are means, so that their
weights carry over between point counts. Neighbors are constants of the derivative."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.ops.points import gather, knn, nearest_others
from invert3d.registry import plain


def neighbor_distances(x: Tensor, k: int) -> Tensor:
    """The distances (B, N, k) of each point of x (B, N, 3) from the k nearest others."""
    near = gather(x, nearest_others(x.detach(), k))
    return (near - x.unsqueeze(2)).square().sum(-1).clamp_min(1e-12).sqrt()


@plain("prior", "repulsion")
class Repulsion(Objective):
    """Points nearer than ``h`` to one of their ``k`` nearest push apart: mean of relu(h - d) * exp(-(d / h)^2).

    PU-Net (Yu et al. 2018), equation 3, divided by h.
    """

    spaces = frozenset({"points"})

    k: int = 5
    h: float = 0.05

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        distance = neighbor_distances(state.x, self.k) / self.h
        return (F.relu(1 - distance) * torch.exp(-distance.square())).mean((1, 2))


@plain("prior", "uniformity")
class Uniformity(Objective):
    """Variance of the distance to the k-th nearest neighbor over the points, divided by its squared mean."""

    spaces = frozenset({"points"})

    k: int = 8

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        distance = neighbor_distances(state.x, self.k)[:, :, -1]
        return distance.var(1) / distance.mean(1).square()


@plain("prior", "symmetry")
class Symmetry(Objective):
    """Mean squared distance from each point to the mirror image of the cloud in the plane where ``axis`` is 0."""

    spaces = frozenset({"points"})

    axis: str = "x"

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        flip = torch.ones(3, dtype=state.x.dtype, device=state.x.device)
        flip["xyz".index(self.axis)] = -1
        mirrored = state.x * flip
        nearest = gather(mirrored, knn(state.x.detach(), mirrored.detach(), 1))[:, :, 0]
        return (state.x - nearest).square().sum(-1).mean(1)
