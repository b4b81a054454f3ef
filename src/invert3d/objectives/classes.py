"""Objectives on class scores (B, K). The target is the class (B,) of each sample, from the state."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.registry import plain


@plain("objective", "cross_entropy")
class CrossEntropy(Objective):
    """Minus the log-probability of the target class (*Inverting 3D Deep Learning Architectures*, equation 5)."""

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return F.cross_entropy(state.outputs, state.view_target, reduction="none")


@plain("objective", "class_score")
class ClassScore(Objective):
    """Minus the logit of the target class (Simonyan et al. 2014)."""

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return -state.outputs.gather(1, state.view_target[:, None])[:, 0]


@plain("objective", "contrast")
class Contrast(Objective):
    """Minus the logit of the target class, plus that of the class ``against``: why the one rather than the other?"""

    against: int = 0

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return state.outputs[:, self.against] - state.outputs.gather(1, state.view_target[:, None])[:, 0]


@plain("objective", "margin")
class Margin(Objective):
    """How far the target's logit falls short of being ``margin`` above the largest other (Carlini & Wagner 2017)."""

    margin: float = 5.0

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return F.relu(gap(state) + self.margin)


@plain("objective", "logit_gap")
class LogitGap(Objective):
    """The largest other logit less that of the target class: below 0 where the target class is predicted.

    The loss of Carlini & Wagner 2017 without its floor. Its gradient does not vanish where the network is certain, as
    that of cross-entropy does.
    """

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return gap(state)


def gap(state: State) -> Float[Tensor, "b"]:
    """The largest other logit less that of the target class."""
    wanted = state.outputs.gather(1, state.view_target[:, None])
    mask = torch.zeros_like(state.outputs).scatter(1, state.view_target[:, None], torch.inf)
    return (state.outputs - mask).amax(1) - wanted[:, 0]
