"""The derivative of losses of samples, where several are compared."""

import torch
from jaxtyping import Float
from torch import Tensor


def slope_of(loss: Float[Tensor, "b"], x: Float[Tensor, "b ..."]) -> Float[Tensor, "b n"]:
    """The derivative of losses in x, flat; 0 where they do not depend on it. The graph is kept."""
    return torch.autograd.grad(loss.sum() + 0 * x.sum(), x, retain_graph=True)[0].flatten(1)
