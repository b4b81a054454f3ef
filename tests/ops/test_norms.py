"""The gradient of batch norms before tokens, against its formula: torch's own is wrong for a batch of one on CPUs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from invert3d.ops.norms import contiguous_gradients

SIDES = {nn.BatchNorm1d: (6,), nn.BatchNorm2d: (2, 3), nn.BatchNorm3d: (2, 3, 2)}


def tokens(maps: Tensor) -> Tensor:
    """Maps (B, C, ...) as tokens (B, N, C)."""
    return maps.flatten(2).transpose(1, 2).contiguous()


@pytest.mark.parametrize("kind", SIDES)
@pytest.mark.parametrize("count", [1, 2])
def test_the_gradient_before_tokens_is_right(kind: type[nn.Module], count: int) -> None:
    norm = kind(16).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 1.5)
    nn.init.normal_(norm.weight)
    x = torch.randn(count, 16, *SIDES[kind], requires_grad=True)
    with contiguous_gradients(nn.Sequential(norm)):
        said = tokens(norm(x))
    weights = torch.randn_like(said)
    (found,) = torch.autograd.grad(said, x, weights)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    assert torch.allclose(found, (weights * scale).transpose(1, 2).reshape(x.shape), atol=1e-5)


def test_hooks_are_removed_also_after_an_exception_and_values_stay() -> None:
    model, x = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)).eval(),
        torch.rand(1, 3, 8, 8),
    )
    with pytest.raises(KeyError, match="on purpose"), contiguous_gradients(model):
        assert model[1]._forward_hooks
        raise KeyError("on purpose")
    assert not model[1]._forward_hooks
    with contiguous_gradients(model):
        inside = model(x)
    assert torch.equal(inside, model(x))
