"""Steppers: any ``torch.optim.Optimizer``, and the two that torch lacks: the sign of the gradient, and Langevin's."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.registry import unknown


class SignGradient(torch.optim.Optimizer):
    """``x <- x - lr * sign(gradient)``: the step of the fast gradient sign method (Goodfellow et al. 2015)."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad.sign(), alpha=group["lr"])


class Langevin(torch.optim.Optimizer):
    """``x <- x - lr / 2 * gradient + noise * sqrt(lr) * N(0, 1)``: a chain that samples exp(-loss).

    Welling & Teh 2011. The loop hands it the ``draws`` of the samples: a chain does not depend on its batch-mates.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, noise: float = 1.0) -> None:
        super().__init__(params, {"lr": lr, "noise": noise})
        self.draws = Draws.seeded(0, ["langevin"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    drawn = self.draws.normal(p, *p.shape[1:])
                    p.sub_(p.grad, alpha=group["lr"] / 2).add_(drawn, alpha=group["noise"] * math.sqrt(group["lr"]))


KINDS = ("adam", "sgd", "sign", "langevin")
DECAYS = ("cosine", "quarters", "constant")


@dataclass(frozen=True, kw_only=True)
class Stepper:
    """A stepper in plain values. ``decay`` lets the rate fall over the run: ``cosine`` to zero, or ``quarters``, to 0.6
    of itself after each quarter (500 of 2,000 steps in the published layout inversions), or not (``constant``).

    Wherever a Stepper is accepted, so is any function of parameters that returns a ``torch.optim.Optimizer``.
    """

    kind: str = "adam"
    rate: float = 0.05
    momentum: float = 0.9
    decay: Literal["cosine", "quarters", "constant"] = "constant"
    noise: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(unknown("stepper", self.kind, KINDS))
        if self.decay not in DECAYS:
            raise ValueError(unknown("decay", self.decay, DECAYS))
        if not self.rate > 0:
            raise ValueError(f"the rate must be positive, not {self.rate}")

    def __call__(self, params: list[Tensor]) -> torch.optim.Optimizer:
        if self.kind == "adam":
            return torch.optim.Adam(params, lr=self.rate, betas=(self.momentum, 0.999))
        if self.kind == "sgd":
            return torch.optim.SGD(params, lr=self.rate, momentum=self.momentum)
        if self.kind == "sign":
            return SignGradient(params, lr=self.rate)
        return Langevin(params, lr=self.rate, noise=self.noise)

    def rate_at(self, progress: float) -> float:
        """The rate at a progress in [0, 1]."""
        if self.decay == "quarters":
            return self.rate * 0.6 ** min(3, int(4 * progress))
        return self.rate * (0.5 * (1 + math.cos(math.pi * progress)) if self.decay == "cosine" else 1.0)


AnyStepper = Stepper | Callable[[list[Tensor]], torch.optim.Optimizer]


def fresh(value: Tensor) -> Tensor:
    """An entry of theta cut off from its past: a leaf, or a constant if it is not floating point."""
    return value.detach().clone().requires_grad_(value.is_floating_point())


def learned(theta: dict[str, Tensor]) -> list[Tensor]:
    """The entries of theta that are optimized."""
    return [value for value in theta.values() if value.is_floating_point()]


def keep_rows(optimizer: torch.optim.Optimizer, theta: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """Theta for the given rows of the batch only; what the optimizer remembers of the others is forgotten."""
    kept = {name: fresh(old[rows]) for name, old in theta.items()}
    for name, old in theta.items():
        memory = optimizer.state.pop(old, {})
        optimizer.state[kept[name]] = {
            key: value[rows] if isinstance(value, Tensor) and value.shape == old.shape else value
            for key, value in memory.items()
        }
    replaced = {old: kept[name] for name, old in theta.items()}
    for group in optimizer.param_groups:
        group["params"] = [replaced.get(each, each) for each in group["params"]]
    return kept
