"""Layout inversion: which picture would this detector take for exactly that scene?

As published (*Inverting 3D Deep Learning Architectures*, section 3.1, after Cao & Johnson 2021) the pixels are free:
Gaussian noise under the training loss of the detector and total variation, clipped at every step and blurred at every
fifth. Ours asks for the boxes as they are decoded, sees the picture in random views that move the boxes with them,
draws it from a spectrum, coarse first, and stops once the detector reads the asked layout from the picture in 8 bits.
All are recipes (``recipes/boxes``).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.hooks import Taps
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Recorder
from invert3d.engine.space import Image
from invert3d.engine.state import State
from invert3d.methods.recipes import filled, load_recipe
from invert3d.methods.stages import Recipe
from invert3d.objectives.detection import check_heads
from invert3d.priors.statistics import norm_layers
from invert3d.projections.bounds import Ball
from invert3d.registry import plain

#: what papers call the heads of 2-D detectors, and what torchvision and transformers call them in each family
SHORT: Mapping[str, tuple[str, ...]] = {
    "cls": ("classification", "classifier", "loss_ce", "loss_vfl", "loss_vfl_enc"),
    "reg": ("bbox_regression", "box_reg", "loss_bbox", "loss_giou", "loss_bbox_enc", "loss_giou_enc"),
    "mask": ("mask",),
    "ctr": ("bbox_ctrness",),
    "rpn": ("objectness", "rpn_box_reg"),
}


def short_heads(known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The short names that stand for some of a detector's heads, and for which."""
    found = {name: tuple(head for head in heads if head in known) for name, heads in SHORT.items()}
    return {name: heads for name, heads in found.items() if heads}


def named_heads(names: Sequence[str], known: Collection[str]) -> list[str]:
    """The heads that names stand for: a detector's own, or short ones (``cls``, ``reg``, ``mask``, ``ctr``, ``rpn``).

    Raises ValueError for none, or one that the detector does not have.
    """
    whole = short_heads(known) | {name: (name,) for name in known}
    check_heads(names, whole)
    return list(dict.fromkeys(head for name in names for head in whole[name]))


def layout_recipe(name: str, detector: Any, *, heads: Sequence[str] | None = None, **overrides: Any) -> Recipe:
    """A layout recipe, by name or from a TOML file, with what depends on the detector filled in wherever it is a field.

    That is: the settings for its family (its attribute ``network``); whether colors are ``swapped``; the batch norms
    (``layers``) where the recipe names none; and the ``weights`` of the heads it has, or of the ``heads`` that are
    asked (``named_heads``). ``overrides`` replace plain values (``load_recipe``): with ``starts``, each picture begins
    so many times at once with other draws and one is kept, of those that were done early, or of all if none was, the
    one that costs least.

    Raises ValueError for unknown names or heads.
    """
    known: dict[str, Callable[[Any], Any]] = {
        "swapped": lambda _: getattr(detector, "order", "rgb") == "bgr",
        "layers": lambda names: names or reached_norms(detector),
        "weights": lambda weights: _weights(dict(weights), heads, detector.heads),
    }
    family = getattr(detector, "network", "")
    return filled(load_recipe(name, "boxes", family=family, **overrides), known)


def within_ball(recipe: Recipe, norm: str, levels: float, size: int) -> Recipe:
    """The recipe with another ball that pictures of ``size`` values stay in: of no value more than ``levels`` of 255
    away from the start (``linf``), or that far on average, as a root mean square (``l2``).

    Raises ValueError for a recipe without a ball, an unknown norm, or a radius that is not positive.
    """
    ball = Ball(norm=norm, radius=levels / 255 * (size**0.5 if norm == "l2" else 1.0))
    if not any(isinstance(each, Ball) for stage in recipe.stages for each in stage.projections):
        raise ValueError(f"the recipe {recipe.name} keeps pictures in no ball: smallest_change does")
    return replace(
        recipe,
        stages=tuple(
            replace(stage, projections=tuple(ball if isinstance(each, Ball) else each for each in stage.projections))
            for stage in recipe.stages
        ),
    )


def _weights(weights: dict[str, float], heads: Sequence[str] | None, known: Mapping[str, float]) -> dict[str, float]:
    """The weights of these heads only; the corners of a box in space stay if all are asked that make one.

    A recipe may name heads of several families: those that the detector does not have are left out.
    """
    own = {name: weight for name, weight in weights.items() if name in known}
    if heads is None and not weights:
        return {}
    if weights and not own:
        theirs, here = (", ".join(names) for names in (weights, known))
        raise ValueError(f"the recipe weighs {theirs}, and this detector has other heads: {here}")
    asked = list(own) if heads is None else named_heads(heads, known)
    if "corners" in own and {"dep", "rot", "dim", "reg"} <= set(asked):
        asked.append("corners")
    return {name: own.get(name, known[name]) for name in dict.fromkeys(asked)}


def reached_norms(detector: Any) -> tuple[str, ...]:
    """The batch norms that a detector's pictures go through: DLA-34 has some that only checkpoints know."""
    names, taps = norm_layers(detector), Taps(detector)
    taps.set(names)
    space = Image(height=64, width=64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    with Frozen(detector, space) as model, torch.no_grad():
        detector.raw(torch.zeros(1, 3, 64, 64, dtype=model.dtype, device=model.device))
    reached = tuple(name for name in names if name in taps.values)
    taps.remove()
    return reached


def quantized(x: Tensor) -> Tensor:
    """The picture as an 8-bit file holds it."""
    return (x.clamp(0, 1) * 255).round() / 255


@plain("stop", "agrees")
class Agrees(Recorder):
    """A sample is done once the detector reads exactly the asked layout from its 8-bit picture.

    It looks at every ``every``-th step, in full precision, and the answer must be yes ``patience`` times in a row:
    detections above ``threshold`` are the objects and nothing else, each corner ``within`` diagonals on average. See
    ``Detector.agrees``.
    """

    every: int = 10
    patience: int = 1
    threshold: float = 0.3
    within: float = 0.02

    def __post_init__(self) -> None:
        if self.every < 1 or self.patience < 1:
            raise ValueError(f"every and patience must be at least 1, not {self.every} and {self.patience}")

    @torch.no_grad()
    def record(self, state: State) -> None:
        if (state.step + 1) % self.every:
            return
        raw = state.model.raw(quantized(state.x))
        right = state.model.agrees(raw, state.target, self.threshold, self.within)
        memory = state.memory_of(self)
        before = memory.get("times", torch.zeros(len(right), device=right.device))
        memory["times"] = torch.where(right, before + 1, torch.zeros_like(before))

    def finished(self, state: State) -> Tensor | None:
        times = state.memory_of(self).get("times")
        return None if times is None else times >= self.patience
