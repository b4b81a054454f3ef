"""Inversion of a representation: an input that a layer describes in the same way as a given one.

    wanted = describe(model, x, "fc5")
    result, _ = run_stages(model, wanted, descriptor_recipe("ours", "fc5"))

As published (*The Essence of Pose*, equation 2, after Mahendran & Vedaldi 2015) pixels are free, Adam minimizes the
distance of the descriptors with total variation and the sixth power of the pixels, and pixels that contribute little
become the mean. Both are recipes (``recipes/descriptors``) for any layer of any network.
"""

from typing import Any

import torch
from torch import Tensor

from invert3d.engine.model import Frozen
from invert3d.methods.recipes import filled, load_recipe, overridden
from invert3d.methods.stages import Recipe


def descriptor_recipe(recipe: str | Recipe, layer: str, *, family: str | None = None, **overrides: Any) -> Recipe:
    """A recipe that inverts a layer: one by name or from a TOML file, with the settings that it has for a family of
    inputs (``points``, ``voxels``, ``image``), or one that is given; with some plain values replaced.

    Raises ValueError for an unknown recipe or value.
    """
    if isinstance(recipe, str):
        chosen = load_recipe(recipe, "descriptors", family=family, **overrides)
    else:
        chosen = overridden(recipe, overrides)
    return filled(chosen, {"layer": lambda _: layer})


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
