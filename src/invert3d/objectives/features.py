"""Objectives on what a layer of the model says: inversion of representations."""

from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.registry import plain


@plain("objective", "feature_match")
class FeatureMatch(Objective):
    """``|phi(x) - phi_0|^2 / |phi_0|^2`` at one layer, phi_0 (B, ...) being the target (Mahendran & Vedaldi 2015)."""

    layer: str

    @property
    def taps(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.layer,)

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        wanted = state.view_target.flatten(1)
        found = state.features[self.layer].flatten(1)
        return (found - wanted).square().sum(1) / wanted.square().sum(1).clamp_min(1e-12)
