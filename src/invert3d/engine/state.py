"""What a step of the loop knows: handed to objectives, projections and recorders, which themselves remember nothing."""

from dataclasses import dataclass, field, is_dataclass
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.tree import Tree


@dataclass
class State:
    """One step. B counts the samples still running; ``rows`` (B,) are their places in the whole batch.

    Targets, outputs and features are tensors (B, ...) or dictionaries of them (``engine.tree``).
    """

    step: int
    steps: int
    rows: Tensor
    theta: dict[str, Tensor]
    draws: Draws
    taken: int = 0  # steps that theta has behind it
    target: Any = None  # what is asked of each sample, or None
    x: Tensor = field(default_factory=lambda: torch.empty(0))  # (B, *space.shape): what is scored
    start: Tensor = field(default_factory=lambda: torch.empty(0))  # the x that the run began with
    view: Tensor = field(default_factory=lambda: torch.empty(0))  # what a random transform makes of x
    view_target: Any = None  # the target, moved with the view
    outputs: Any = field(default_factory=lambda: torch.empty(0))  # of the model on the view, e.g. logits (B, K)
    model: Any = None  # the model itself, a module: its own losses, what it reads from a picture
    features: dict[str, Any] = field(default_factory=dict)  # outputs of the tapped layers, by name
    layers: dict[str, Any] = field(default_factory=dict)  # the tapped layers themselves, to read what they have learned
    loss: Tensor = field(default_factory=lambda: torch.empty(0))  # (B,)
    gradient: Tensor = field(default_factory=lambda: torch.empty(0))  # of the loss in x, where something needs it
    memory: dict[str, Any] = field(default_factory=dict)  # see ``memory_of``

    def memory_of(self, term: Any) -> dict[str, Tensor]:
        """What an objective, projection or recorder remembers between steps, by names of its own: (B, ...) each.

        Terms of other hyper-parameters remember apart: a term's place is its repr if it is a dataclass, else its type.
        """
        return self.memory.setdefault(repr(term) if is_dataclass(term) else type(term).__qualname__, {})

    @property
    def progress(self) -> float:
        """0 at the first step, 1 at the last."""
        return self.step / max(1, self.steps - 1)


def are_classes(target: Any, outputs: Tree) -> bool:
    """Whether outputs are class scores (B, K) and the target says a class (B,) of each sample."""
    if not isinstance(target, Tensor) or not isinstance(outputs, Tensor) or target.is_floating_point():
        return False
    return target.dim() == 1 and outputs.dim() == 2 and outputs.shape[1] > 0
