"""What the public code of *Inverting and Understanding Object Detectors* asks of a detector."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.models.detectors.published_rule import PublishedRule
from invert3d.objectives.detection import weighted_heads
from invert3d.registry import plain

#: those that the public code uses. It is configured with 30 for ``box_reg``, but uses the weight of ``classifier``
WEIGHTS = {
    "classification": 30.0,
    "bbox_regression": 30.0,
    "objectness": 10.0,
    "rpn_box_reg": 30.0,
    "classifier": 10.0,
    "box_reg": 10.0,
    "mask": 10.0,
}


@plain("objective", "published_layout")
class PublishedLayout(Objective):
    """Ordinary training losses of a detector on the picture, with targets that also look at what it says now.

    Which candidates become what, and the loss of each head, is the detector's ``published_rule``:
    ``models.detectors.dense_rule`` for dense detectors, ``rcnn_rule`` for those of two stages. Cao & Johnson 2021,
    sections 3.2 and 3.3.

    Attributes:
        weights: of the heads. Those that the detector does not have, or that the target says nothing for, are left out.
        foreground: weight of minus the logits of the objects' own classes, if the head of classes has a weight.
        kept: the score above which a candidate of a dense detector is seen.
        levels: weights of the candidates of each level of the pyramid: P3 to P7, or P2 to P6 of two stages.
    """

    spaces = frozenset({"image"})

    weights: Mapping[str, float] | tuple[tuple[str, float], ...] = tuple(WEIGHTS.items())
    foreground: float = 1.0
    kept: float = 0.5
    levels: tuple[float, ...] = (0.125, 0.5, 1.0, 2.0, 8.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(dict(self.weights).items()))  # hashable, and one form in a repr
        if not self.levels:
            raise ValueError("levels needs at least one weight")

    def rule(self, model: Any) -> PublishedRule:
        """The rule of a detector. Raises ValueError for one that has none."""
        if not hasattr(model, "published_rule"):
            raise ValueError(f"there is no published rule for {type(model).__name__}: use another recipe")
        return model.published_rule(detector=model, kept=self.kept, levels=self.levels)

    def check(self, model: Any) -> None:
        self.rule(model)

    def update(self, state: State) -> None:
        state.memory_of(self).update(self.rule(state.model).assign(state.outputs, state.view_target))

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        rule, weights = self.rule(state.model), dict(self.weights)
        losses = rule.losses(state.outputs, state.memory_of(self))
        foreground = losses.pop("foreground")
        total = weighted_heads(losses, weights)
        return total + self.foreground * foreground if weights.get(rule.classifier) else total
