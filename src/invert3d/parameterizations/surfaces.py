"""What all surface parameterizations share: unit-sphere scaling, and points drawn in proportion to area."""

import torch
from torch import Tensor


def unit_sphere(x: Tensor) -> Tensor:
    """Center clouds (B, N, 3) on their mean and divide by the largest norm: what point networks are trained on."""
    x = x - x.mean(1, keepdim=True)
    return x / x.norm(dim=-1, keepdim=True).amax(1, keepdim=True).clamp_min(1e-6)


def choose_in_proportion(weights: Tensor, u: Tensor) -> Tensor:
    """Indices (B, N) of items with weights (B, K) >= 0, chosen by numbers u (B, N) in [0, 1)."""
    edges = weights.cumsum(-1)
    edges = edges / edges[:, -1:].clamp_min(1e-12)
    return torch.searchsorted(edges.contiguous(), u.contiguous()).clamp_max(weights.shape[-1] - 1)


def take(values: Tensor, which: Tensor) -> Tensor:
    """Rows of values (B, K, C) at which (B, N): (B, N, C)."""
    return values.gather(1, which[..., None].expand(-1, -1, values.shape[-1]))
