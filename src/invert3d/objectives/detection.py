"""What is asked of a detector: a layout. One objective for all detectors (``models.detectors``)."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.registry import plain, unknown


@plain("objective", "detection_loss")
class DetectionLoss(Objective):
    """The weighted sum of a detector's own losses, against what its candidates should be (``Detector.assign``).

    What they should be is worked out anew at every step, without gradient, from what they are: the alternation of Cao &
    Johnson 2021, *Inverting and Understanding Object Detectors*, section 3.2. For a center heatmap network it is its
    training loss (*Inverting 3D Deep Learning Architectures*, equation 2).

    Attributes:
        weights: of the heads that are asked anything, a table or pairs; by default those the detector is trained with.
            Heads for which the target says nothing (``mask``, without masks) are left out, unless none is left.
        per: a sum over objects is divided by their number (``object``), or, as CenterNet does, by 50 (``slot``).
    """

    spaces = frozenset({"image"})

    weights: Mapping[str, float] | tuple[tuple[str, float], ...] = ()
    per: Literal["object", "slot"] = "object"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(dict(self.weights).items()))  # hashable, and one form in a repr
        if self.per not in ("object", "slot"):
            raise ValueError(f"per is object or slot, not {self.per!r}")

    def update(self, state: State) -> None:
        state.memory_of(self).update(state.model.assign(state.outputs, state.view_target))

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        losses = state.model.losses(state.outputs, state.memory_of(self), self.per)
        weights = dict(self.weights) or {name: state.model.heads[name] for name in losses}
        check_heads(weights, state.model.heads)
        return weighted_heads(losses, weights)


def weighted_heads(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Float[Tensor, "b"]:
    """The weighted sum of the losses of heads, (B,) each. Raises ValueError where no head with a weight has a loss."""
    told = {name: weight for name, weight in weights.items() if weight and name in losses}
    if not told:
        raise ValueError(
            f"the target says nothing for {', '.join(name for name, weight in weights.items() if weight)}: ask for "
            f"layouts that do (every one with masks, for mask), or for another head: {', '.join(losses)}"
        )
    return torch.stack([weight * losses[name] for name, weight in told.items()]).sum(0)


@plain("objective", "layout_contrast")
class LayoutContrast(Objective):
    """How much worse a detector fits one layout than another: why this one rather than that? ``Contrast`` of detectors.

    The target has both, ``asked`` and ``against``, each a target of the detector. The difference of their losses has a
    derivative where the detector says exactly something between the two, as the loss of a box has not: it is lowest
    there.

    Attributes:
        weights: of the heads, as in ``DetectionLoss``.
    """

    spaces = frozenset({"image"})

    weights: Mapping[str, float] | tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(dict(self.weights).items()))

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return self._of(state, "asked") - self._of(state, "against")

    def _of(self, state: State, which: str) -> Float[Tensor, "b"]:
        """The loss of one of the layouts."""
        told, loss = (
            replace(state, view_target=state.view_target[which], memory={}),
            DetectionLoss(weights=self.weights),
        )
        with torch.no_grad():
            loss.update(told)
        return loss(told)


def check_heads(names: Collection[str], heads: Collection[str]) -> None:
    """Raise ValueError for no head, or one that a detector does not have."""
    if not names:
        raise ValueError(f"name at least one head of {', '.join(heads)}")
    for name in names:
        if name not in heads:
            raise ValueError(unknown("head", name, heads))
