"""Objectives on what a layer of the model says: inversion of representations.

In all of them phi is the output of a ``layer`` and phi_0 (B, ...), the target, is what it shall be. Recipes leave the
layer open (``methods.descriptors``).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.registry import plain


@plain("objective", "feature_match")
class FeatureMatch(Objective):
    """``|phi(x) - phi_0|^2 / |phi_0|^2`` (Mahendran & Vedaldi 2015, equation 3)."""

    layer: str

    @property
    def taps(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.layer,)

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        wanted = state.view_target.flatten(1)
        found = state.features[self.layer].flatten(1)
        return (found - wanted).square().sum(1) / wanted.square().sum(1).clamp_min(1e-12)


@plain("objective", "feature_distance")
class FeatureDistance(Objective):
    """``|phi(x) - phi_0|``, the first term of equation 2 of *The Essence of Pose*."""

    layer: str = ""

    @property
    def taps(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.layer,)

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return (state.features[self.layer] - state.view_target).flatten(1).norm(dim=1)


@plain("objective", "relative_loss")
class RelativeLoss(Objective):
    """``|phi(x) - phi_0| / (|phi(x)| + |phi_0|)``, from 0 to 1 (*The Essence of Pose*, equation 3)."""

    layer: str = ""

    @property
    def taps(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.layer,)

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return relative_loss(state.features[self.layer], state.view_target)


def relative_loss(found: Float[Tensor, "b ..."], wanted: Float[Tensor, "b ..."]) -> Float[Tensor, "b"]:
    """Equation 3 of *The Essence of Pose*, of features and what they shall be."""
    found, wanted = found.flatten(1), wanted.flatten(1)
    whole = torch.linalg.vector_norm(found, dim=1) + torch.linalg.vector_norm(wanted, dim=1)
    return torch.linalg.vector_norm(found - wanted, dim=1) / whole.clamp_min(1e-12)
