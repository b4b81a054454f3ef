"""How rectifiers are written in the wild, and the slow, obvious rule that all of them must follow."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Rule(torch.autograd.Function):
    """The slow, obvious rectifier whose derivative is the rule itself."""

    @staticmethod
    def forward(ctx, x: Tensor, rule: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rule, ctx.function = rule, function
        return function(x)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x,), g = ctx.saved_tensors, gradients[0]
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            slope = torch.autograd.grad(ctx.function(leaf).sum(), leaf)[0]
        return {"guided": slope * g.clamp_min(0), "deconvolution": g.clamp_min(0)}[ctx.rule], None, None


def cleared(x: Tensor) -> Tensor:
    return x.clone().relu_()


#: how rectifiers are written in the wild: (hidden, rectifier) -> next hidden
PATTERNS: dict[str, Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]] = {
    "one": lambda h, f: f(h),
    "residual on the same tensor": lambda h, f: f(h) + h,
    "used on h and on -h": lambda h, f: f(h) - 0.5 * f(-h),
    "twice in a row": lambda h, f: f(f(h) - 0.3),
}
#: the same function, called in other ways
RECTIFIERS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "F.relu": (F.relu, F.relu),
    "method": (lambda x: x.relu(), F.relu),
    "in place": (cleared, F.relu),
    "module": (nn.ReLU(), F.relu),
    "module in place": (lambda x: nn.ReLU(inplace=True)(x + 0), F.relu),
    "clamp(min=0)": (lambda x: x.clamp(min=0), F.relu),
    "clamp_min": (lambda x: x.clamp_min(0), F.relu),
    "threshold": (lambda x: F.threshold(x, 0.0, 0.0), F.relu),
    "leaky": (lambda x: F.leaky_relu(x, 0.1), lambda x: F.leaky_relu(x, 0.1)),
    "elu": (F.elu, F.elu),
    "silu": (F.silu, F.silu),
    "gelu": (F.gelu, F.gelu),
    "softplus": (F.softplus, F.softplus),
    "relu6": (F.relu6, F.relu6),
}


class Written(nn.Module):
    """Clouds (B, 16, 3) -> (B, 4) through a pattern and a rectifier."""

    def __init__(self, pattern: str, rectifier: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.inner, self.outer = nn.Linear(48, 20), nn.Linear(20, 4)
        self.pattern, self.rectifier = PATTERNS[pattern], rectifier

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.pattern(self.inner(x.flatten(1)), self.rectifier))
