"""Pruning a trained network and training what is left: table 1 of *3D Point Cloud Feature Explanations*.

``surgery`` is dynamic network surgery with one threshold a layer, from the weights as they are at first; as with its
authors, the masks change in the first part of the training (here half) and the rest is trained with them. ``magnitude``
cuts the smallest weights of all layers together, once. ``gradual`` cuts ever more of them in the first part of the
training (Zhu & Gupta 2017), the smallest as seen from their own layer (LAMP, Lee et al. 2021), and lets all of them go
on learning, as surgery does, so that a weight can return.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from invert3d.methods.pruning import LAYERS, Operation, Surgery, prune_by_magnitude, rate_for
from invert3d.ops.seeds import seed_of
from invert3d.registry import unknown
from invert3d.training.classifiers import TrainSettings, accuracy_by_class, train
from invert3d.training.data import Data

Way = Literal["surgery", "magnitude", "gradual"]


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What came of it: accuracies (shares) and densities (shares of all weights and biases that can be pruned)."""

    model: nn.Module
    accuracy_full: float
    accuracy_pruned: float
    density_pruned: float
    accuracy_after: float
    fresh_full: float
    fresh_after: float
    density_after: float
    conv_weights: int
    layers: dict[str, float]
    layer: str  # the first convolution that lost half of its weights or more
    filters: dict[str, Tensor]  # its weights: whole, pruned, trained


def prune(
    model: nn.Module,
    data: Data,
    density: float,
    way: Way = "gradual",
    *,
    epochs: float = 1.0,
    settings: TrainSettings | None = None,
    report: Callable[[int, float], None] | None = None,
    begun: Callable[[str], None] = print,
) -> Pruned:
    """Prune a copy of a model to a share of its weights, train it, and measure it before, between and after.

    Args:
        model: a trained classifier; it is left as it is.
        data: what it was trained on, and what it is measured on.
        density: the share of the weights that stays, 0 to 1.
        way: ``surgery``, ``magnitude`` or ``gradual``.
        epochs: how long it is trained afterwards; one is as many shapes as there are to train on.
        settings: batch, rate and seed; ``steps`` comes from ``epochs``.
        report: called with the step and the running loss.
        begun: told the accuracies as they are measured.

    Raises:
        ValueError: the density is not between 0 and 1, epochs are not positive, the way is unknown, or nothing can be
            pruned.
    """
    if way not in get_args(Way):
        raise ValueError(unknown("way", way, get_args(Way)))
    if not 0 < density < 1:
        raise ValueError(f"density must lie between 0 and 1, not {density}")
    if not 0 < epochs <= 10_000:
        raise ValueError(f"epochs must be above 0 and at most 10000, not {epochs}")
    chosen = settings or TrainSettings(batch=32, rate=1e-3)
    steps = steps_of(epochs, data, chosen)
    patient = copy.deepcopy(model).eval()
    full = accuracy_by_class(patient, data, chosen.points)
    begun(f"whole: {full['all']:.2%}")
    c = rate_for(patient, density) if way == "surgery" else 0.0
    with Operation(patient, Surgery(c=c, stop=max(1, steps // 2))) as operation:
        if way == "surgery":
            operation.update(0)
        else:
            prune_by_magnitude(operation, density, adaptive=way == "gradual")
        cut, left = accuracy_by_class(patient, data, chosen.points)["all"], operation.density()
        begun(f"pruned to {left:.2%}: {cut:.2%}")
        layer = shown_layer(patient)
        filters = {"whole": weights_of(model, layer), "pruned": weights_of(patient, layer)}

        def after(step: int) -> None:
            if way == "surgery":
                generator = torch.Generator().manual_seed(seed_of(chosen.seed, "surgery", step))
                operation.update(step + 1, generator)
            elif way == "gradual" and step % 4 == 0:
                prune_by_magnitude(operation, scheduled(density, (step + 1) / steps), adaptive=True)

        if way == "gradual":
            prune_by_magnitude(operation, scheduled(density, 0.0), adaptive=True)
        train(patient, data, replace(chosen, steps=steps), report=report, after=after)
        if way == "gradual":
            prune_by_magnitude(operation, density, adaptive=True)
        layers = {name: float(mask.mask.double().mean()) for name, mask, _ in operation.masks() if "bias" not in name}
        remaining = operation.density()
        operation.finish()
    ready = accuracy_by_class(patient, data, chosen.points)
    begun(f"after {epochs:g} epochs, {remaining:.2%} of the weights: {ready['all']:.2%}")
    return Pruned(
        model=patient,
        accuracy_full=full["all"],
        accuracy_pruned=cut,
        density_pruned=left,
        accuracy_after=ready["all"],
        fresh_full=full["fresh"],
        fresh_after=ready["fresh"],
        density_after=remaining,
        conv_weights=sum(int(m.weight.count_nonzero()) for m in patient.modules() if isinstance(m, nn.Conv3d)),
        layers=layers,
        layer=layer,
        filters={**filters, "trained": weights_of(patient, layer)},
    )


def steps_of(epochs: float, data: Data, settings: TrainSettings) -> int:
    """How many batches there are in so many epochs."""
    return max(1, round(epochs * len(data.train) / settings.batch))


def shown_layer(model: nn.Module) -> str:
    """The first layer with kernels, not points, that lost half of its weights or more; else the first layer."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}
    thin = [
        name
        for name in layers
        if (w := weights_of(model, name)).dim() > 2 and w[0, 0].numel() > 1 and w.count_nonzero() <= 0.5 * w.numel()
    ]
    return (thin or list(layers))[0]


def weights_of(model: nn.Module, layer: str) -> Tensor:
    """The weights of a layer as they act now."""
    return model.get_submodule(layer).weight.detach().clone()  # type: ignore[union-attr, operator]


def scheduled(density: float, progress: float, until: float = 0.4, start: float = 0.3) -> float:
    """The share that stays at a place 0 to 1 of the training: from ``start`` down to ``density``, cubically."""
    left = max(0.0, 1 - progress / until)
    return density + (max(start, density) - density) * left**3
