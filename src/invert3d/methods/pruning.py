"""Dynamic network surgery (Guo et al. 2016): prune small weights, and splice back those that grow while training.

For the weights W of a layer, with mu and sigma the mean and the deviation of |w| at the beginning and t = mu + c sigma:

    mask <- 0 where |w| <= 0.9 t and mask is 1          (prune)
    mask <- 1 where |w| >  1.1 t and mask is 0          (splice)
    forward: W * mask         backward: the gradient goes to all of W, as if there were no mask

so a pruned weight goes on learning and can return. As in the authors' code, the weight and the bias of a layer share
their threshold, layers with a mask change it at iteration i with probability (1 + gamma i)^-power, and not after
``stop``. Pruning is a parametrization of the layers: it works with any optimizer and undoes itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True, kw_only=True)
class Surgery:
    """The numbers of the method: ``c`` says how much is pruned, the rest when and how steadily (authors' defaults)."""

    c: float = 3.0
    low: float = 0.9
    high: float = 1.1
    gamma: float = 0.001
    power: float = 1.0
    stop: int = 10_000

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise ValueError(f"the band needs 0 < low <= high, not {self.low} and {self.high}")

    def chance(self, iteration: int) -> float:
        """How likely the mask of a layer changes at an iteration."""
        return (1 + self.gamma * iteration) ** -self.power if iteration < self.stop else 0.0


class Masked(torch.autograd.Function):
    """``weight * mask``, with the gradient of ``weight`` (straight through)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, mask: Tensor) -> Tensor:
        return weight * mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class Mask(nn.Module):
    """A parametrization that hides some entries of a tensor. ``threshold`` belongs to the layer and stays."""

    mask: Tensor
    threshold: Tensor

    def __init__(self, like: Tensor, threshold: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(like, dtype=torch.bool))
        self.register_buffer("threshold", threshold.clone())

    def forward(self, weight: Tensor) -> Tensor:
        return Masked.apply(weight, self.mask.to(weight.dtype))

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight

    def cut(self, weight: Tensor, low: float, high: float) -> None:
        """Prune and splice by the size of the hidden weights."""
        size = weight.detach().abs()
        self.mask = torch.where(self.mask, size > low * self.threshold, size > high * self.threshold)


class Operation:
    """A model under surgery: a context that takes the masks off again, unless ``finish`` made them permanent.

    Its ``LAYERS`` are pruned, or those named. Raises ValueError if there are none, or a name is not that of a layer.
    """

    def __init__(self, model: nn.Module, surgery: Surgery, names: Sequence[str] | None = None) -> None:
        modules = dict(model.named_modules())
        wanted = list(names) if names is not None else [n for n, m in modules.items() if isinstance(m, LAYERS)]
        strange = [name for name in wanted if not isinstance(modules.get(name), LAYERS)]
        if strange or not wanted:
            raise ValueError(f"{strange[0] if strange else type(model).__name__!r} has no weights that can be pruned")
        self.model, self.surgery = model, surgery
        self.layers = {name: modules[name] for name in wanted}
        for layer in self.layers.values():
            threshold = threshold_of(layer, surgery.c)
            for part in parts_of(layer):
                parametrize.register_parametrization(layer, part, Mask(getattr(layer, part), threshold))

    def __enter__(self) -> "Operation":
        return self

    def __exit__(self, *exception: object) -> None:
        self._take_off(keep_masks=False)

    def masks(self) -> Iterator[tuple[str, Mask, Tensor]]:
        """Name, mask and hidden weights of every pruned tensor."""
        for name, layer in self.layers.items():
            if parametrize.is_parametrized(layer):
                for part, parametrization in layer.parametrizations.items():  # type: ignore[union-attr]
                    yield f"{name}.{part}", parametrization[0], parametrization.original

    def update(self, iteration: int, generator: Generator | None = None) -> None:
        """Prune and splice, layer by layer as chance has it. Call it once a training iteration, the first is 0."""
        chance = self.surgery.chance(iteration)
        for name in self.layers:
            if chance and float(torch.rand((), generator=generator)) < chance:
                for full, mask, hidden in self.masks():
                    if full.rpartition(".")[0] == name:
                        mask.cut(hidden, self.surgery.low, self.surgery.high)

    def density(self) -> float:
        """The share of the weights that is there."""
        kept = [(int(mask.mask.sum()), mask.mask.numel()) for _, mask, _ in self.masks()]
        return sum(a for a, _ in kept) / max(1, sum(b for _, b in kept))

    def finish(self) -> nn.Module:
        """Make the zeros permanent and take the masks off. Returns the model."""
        self._take_off(keep_masks=True)
        return self.model

    def _take_off(self, keep_masks: bool) -> None:
        for layer in self.layers.values():
            for part in list(getattr(layer, "parametrizations", {})):
                parametrize.remove_parametrizations(layer, part, leave_parametrized=keep_masks)


def parts_of(layer: nn.Module) -> list[str]:
    """The tensors of a layer that are pruned."""
    return ["weight"] + (["bias"] if getattr(layer, "bias", None) is not None else [])


def threshold_of(layer: nn.Module, c: float) -> Tensor:
    """``max(mu + c sigma, 0)`` over the sizes of the non-zero weights and biases of a layer together."""
    size = torch.cat([getattr(layer, part).detach().abs().flatten() for part in parts_of(layer)])
    size = size[size > 0]
    mu = size.mean()
    sigma = (size.square().mean() - mu.square()).clamp_min(0).sqrt()
    return (mu + c * sigma).clamp_min(0)


def rate_for(model: nn.Module, density: float) -> float:
    """The ``c`` at which the first cut leaves a share ``density`` of the weights of all layers together.

    Raises ValueError if the share is not between 0 and 1.
    """
    if not 0 < density < 1:
        raise ValueError(f"density must lie between 0 and 1, not {density}")
    least, most = -5.0, 20.0
    for _ in range(50):
        c = (least + most) / 2
        with Operation(model, Surgery(c=c)) as operation:
            operation.update(0)
            least, most = (c, most) if operation.density() > density else (least, c)
    return (least + most) / 2


def prune_by_magnitude(operation: Operation, density: float, *, adaptive: bool = False) -> None:
    """Hide all but the largest weights of all layers together (Han et al. 2015): the baseline.

    ``adaptive`` makes layers comparable, whose scale a norm behind them makes meaningless: a weight counts by its
    square over the sum of the squares that are no smaller in its tensor (LAMP, Lee et al. 2021).
    """
    size_of = lamp if adaptive else torch.abs
    tables = [(mask, size_of(hidden.detach())) for _, mask, hidden in operation.masks()]
    sizes = torch.cat([size.flatten() for _, size in tables])
    limit = sizes.topk(max(1, round(density * len(sizes)))).values[-1]
    for mask, size in tables:
        mask.mask = (size >= limit) & (size > 0)


def lamp(weight: Tensor) -> Tensor:
    """The squares of weights, each over the sum of those in the tensor that are no smaller: like weight, 0 to 1."""
    square = weight.double().square().flatten()
    order = square.argsort()
    rest = square[order].flip(0).cumsum(0).flip(0)
    score = torch.empty_like(square)
    score[order] = square[order] / rest.clamp_min(1e-300)
    return score.view_as(weight)
