"""The control of a comparison: the same architecture with its weights shuffled.

What others recognize in what was inverted from it, the recipe drew and not the network.
"""

import copy
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from invert3d.evaluate.inversion import randomize
from invert3d.opening.networks import Network
from invert3d.ops.seeds import seed_of

T = TypeVar("T", bound=nn.Module)


def randomized(network: Network, seed: int = 0) -> Network:
    """A classifier of clouds with its weights shuffled and its batch norms measured again on procedural clutter."""
    from invert3d.data.worlds.clutter import make_clutter_clouds

    clouds = torch.from_numpy(make_clutter_clouds(32, network.space.points, seed_of(seed, "control", "clutter")))
    frozen = network.frozen
    model = copy.deepcopy(frozen.model)
    randomize(model, frozen.space.encode(clouds.to(frozen.device)), seed_of(seed, "control", "weights"))
    return replace(network, name=f"{network.name} shuffled", frozen=frozen.on(network.space, model), card=None)


def randomized_detector(detector: T, pictures: Tensor, seed: int = 0) -> T:
    """A detector with its weights shuffled and its batch norms measured again on pictures (B, 3, h, w)."""
    model = copy.deepcopy(detector)
    device = next(model.parameters()).device
    randomize(model, pictures.to(device), seed_of(seed, "control", "weights"))
    return model.eval()
