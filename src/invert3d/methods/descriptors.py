"""Inversion of a representation: an input that a layer describes in the same way as a given one.

    wanted = describe(model, x, "fc5")
    result, _ = run_stages(model, wanted, at_layer(load_recipe("ours", "descriptors", family="image"), "fc5"))

As published (*The Essence of Pose*, equation 2, after Mahendran & Vedaldi 2015) pixels are free, Adam minimizes the
distance of the descriptors with total variation and the sixth power of the pixels, and pixels that contribute little
become the mean. (The paper prints a norm; with its weight of 1.95e-15 only the sixth power does anything.) Ours draws a
spectrum. Both are recipes (``recipes/descriptors``), for any layer of any network.
"""

from dataclasses import replace

import torch
from torch import Tensor

from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Recorder
from invert3d.engine.state import State
from invert3d.methods.recipes import filled
from invert3d.methods.stages import Recipe
from invert3d.objectives.features import relative_loss
from invert3d.registry import plain


@plain("stop", "alike")
class Alike(Recorder):
    """A sample is done once the relative loss of its descriptor (*The Essence of Pose*, equation 3) is at most
    ``loss``; with random transforms, of the view. An objective must read the same ``layer``."""

    loss: float = 0.04
    layer: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= 1:
            raise ValueError(f"a relative loss is between 0 and 1, not {self.loss}")

    def finished(self, state: State) -> Tensor:
        return relative_loss(state.features[self.layer], state.view_target) <= self.loss


def at_layer(recipe: Recipe, layer: str) -> Recipe:
    """A recipe whose objectives read a layer, wherever it leaves that open or names another."""
    return filled(recipe, {"layer": lambda _: layer})


def until(recipe: Recipe, loss: float) -> Recipe:
    """A recipe each of whose stages ends for a sample once its relative loss is so small, and for no other reason.
    Raises ValueError for one that is not between 0 and 1."""
    return replace(recipe, stages=tuple(replace(stage, stop=Alike(loss=loss)) for stage in recipe.stages))


@torch.no_grad()
def describe(model: Frozen, x: Tensor, layer: str) -> Tensor:
    """What a layer makes of inputs (B, *space.shape): (B, ...).

    Raises ValueError for a layer that is not there, with the nearest names, that the model never calls, or that returns
    no tensor with one row an input.
    """
    with model:
        model.tap([layer])
        found = model.outputs(x.to(model.device, model.dtype))[1][layer]
    if not isinstance(found, Tensor) or found.shape[:1] != x.shape[:1] or not found.is_floating_point():
        kind = f"{tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"{layer} returns {kind} for {len(x)} inputs: a tensor ({len(x)}, ...) is needed")
    return found
