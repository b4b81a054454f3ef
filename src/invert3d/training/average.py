"""The running average of the weights of a network that is trained, which is often better than they are."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def averaged(model: nn.Module, before: dict[str, Tensor], step: int, decay: float) -> dict[str, Tensor]:
    """The average (CPU) with the weights after a step taken into it; ``before`` is that of the step before, empty at
    first, and is changed. Early steps count more: the decay is at most (1 + step) / (10 + step)."""
    own = {name: value.cpu() for name, value in model.state_dict().items()}
    before = before or {name: value.clone() for name, value in own.items()}
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in own.items():
        if value.is_floating_point():
            before[name].lerp_(value, 1 - decay)
        else:
            before[name].copy_(value)
    return before
