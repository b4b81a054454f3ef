"""Steppers: any ``torch.optim.Optimizer``, and those that torch lacks: steps of attacks, and Langevin's."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.schedule import Constant, Schedule
from invert3d.registry import lookup, register


def with_gradients(optimizer: torch.optim.Optimizer) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
    """The parameters of an optimizer that have a gradient, with it and their group."""
    for group in optimizer.param_groups:
        yield from ((p, p.grad, group) for p in group["params"] if p.grad is not None)


class SignGradient(torch.optim.Optimizer):
    """``x <- x - lr * sign(gradient)``: the step of the fast gradient sign method (Goodfellow et al. 2015)."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p, gradient, group in with_gradients(self):
            p.sub_(gradient.sign(), alpha=group["lr"])


class MomentumSign(torch.optim.Optimizer):
    """``g <- momentum * g + gradient / |gradient|_1`` of each sample, ``x <- x - lr * sign(g)``.

    The step of the momentum iterative fast gradient sign method (Dong et al. 2018, equations 6 and 7).
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 1.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p, gradient, group in with_gradients(self):
            before = self.state[p].get("velocity", torch.zeros_like(p))
            velocity = self.state[p]["velocity"] = group["momentum"] * before + unit(gradient, 1)
            p.sub_(velocity.sign(), alpha=group["lr"])


class UnitGradient(torch.optim.Optimizer):
    """``x <- x - lr * gradient / |gradient|_2`` of each sample: every step is ``lr`` long.

    The step of projected gradient descent in an L2 ball (Madry et al. 2018).
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p, gradient, group in with_gradients(self):
            p.sub_(unit(gradient, 2), alpha=group["lr"])


def unit(gradient: Tensor, order: int) -> Tensor:
    """A gradient (B, ...) over its norm of an order, sample by sample; zero where it is zero."""
    axes = tuple(range(1, gradient.dim()))
    largest = gradient.abs().amax(axes, keepdim=True)  # first, because squares of small numbers vanish
    scaled = torch.where(largest > 0, gradient / largest, torch.zeros_like(gradient))
    length = torch.linalg.vector_norm(scaled, order, axes, keepdim=True)
    return torch.where(largest > 0, scaled / length, scaled)


class Langevin(torch.optim.Optimizer):
    """``x <- x - lr / 2 * gradient + noise * sqrt(lr) * N(0, 1)``: a chain that samples exp(-loss).

    Welling & Teh 2011. The loop hands it the ``draws`` of the samples: a chain does not depend on its batch-mates.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, noise: float = 1.0) -> None:
        super().__init__(params, {"lr": lr, "noise": noise})
        self.draws = Draws.seeded(0, ["langevin"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p, gradient, group in with_gradients(self):
            drawn = self.draws.normal(p, *p.shape[1:])
            p.sub_(gradient, alpha=group["lr"] / 2).add_(drawn, alpha=group["noise"] * math.sqrt(group["lr"]))


class Still(torch.optim.Optimizer):
    """No step at all: what a search finds without the derivative is compared with what it finds with it."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        super().__init__(params, {})

    def step(self, closure: Any = None) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Stepper:
    """A registered stepper by its ``kind``, in plain values. ``schedule`` lets its rate fall over the run.

    Wherever a Stepper is accepted, so is any function of parameters that returns a ``torch.optim.Optimizer``. Those
    that are registered are functions of parameters and a Stepper, and take from it what they need.
    """

    kind: str = "adam"
    rate: float = 0.05
    momentum: float = 0.9
    schedule: Schedule = Constant()
    noise: float = 1.0
    decay: float = 0.999

    def __post_init__(self) -> None:
        lookup("stepper", self.kind)
        if not 0 < self.rate < math.inf:
            raise ValueError(f"the rate must be positive and finite, not {self.rate}")

    def __call__(self, params: list[Tensor]) -> torch.optim.Optimizer:
        return lookup("stepper", self.kind)(params, self)

    def rate_at(self, progress: float) -> float:
        """The rate at a progress in [0, 1]."""
        return self.rate * self.schedule(progress)


@register("stepper", "adam")
def adam(params: list[Tensor], settings: Stepper) -> torch.optim.Optimizer:
    """``torch.optim.Adam``; the momentum is its first beta, the decay its second."""
    return torch.optim.Adam(params, lr=settings.rate, betas=(settings.momentum, settings.decay))


@register("stepper", "sgd")
def sgd(params: list[Tensor], settings: Stepper) -> torch.optim.Optimizer:
    """``torch.optim.SGD`` with momentum."""
    return torch.optim.SGD(params, lr=settings.rate, momentum=settings.momentum)


@register("stepper", "sign")
def sign(params: list[Tensor], settings: Stepper) -> torch.optim.Optimizer:
    """Every value moves by the rate, against the sign of its gradient."""
    return SignGradient(params, lr=settings.rate)


@register("stepper", "momentum_sign")
def momentum_sign(params: list[Tensor], settings: Stepper) -> torch.optim.Optimizer:
    """Every value moves by the rate, against the sign of the running sum of its gradients, each of norm 1."""
    return MomentumSign(params, lr=settings.rate, momentum=settings.momentum)


@register("stepper", "unit")
def unit_gradient(params: list[Tensor], settings: Stepper) -> torch.optim.Optimizer:
    """Every sample moves by the rate, against its gradient."""
    return UnitGradient(params, lr=settings.rate)


@register("stepper", "langevin")
def langevin(params: list[Tensor], settings: Stepper) -> torch.optim.Optimizer:
    """A Langevin chain; ``noise`` scales what is added at each step."""
    return Langevin(params, lr=settings.rate, noise=settings.noise)


@register("stepper", "none")
def none(params: list[Tensor], settings: Stepper) -> torch.optim.Optimizer:
    """Theta stays as it was drawn."""
    return Still(params)


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
        if old not in optimizer.state:  # a constant, or nothing was learned yet
            continue
        memory = optimizer.state.pop(old)
        optimizer.state[kept[name]] = {
            key: value[rows] if isinstance(value, Tensor) and value.shape == old.shape else value
            for key, value in memory.items()
        }
    replaced = {old: kept[name] for name, old in theta.items()}
    for group in optimizer.param_groups:
        group["params"] = [replaced.get(each, each) for each in group["params"]]
    return kept
