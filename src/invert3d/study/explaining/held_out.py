"""Shapes that a bundled network has not seen: procedural ones of another seed, or the test shapes of ModelNet10."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invert3d.data.worlds.shapes import CATEGORIES, cloud_with_edges, grid_with_edges
from invert3d.engine.space import Points, Voxels
from invert3d.ops.seeds import EXPLAINED_SHAPES
from invert3d.study.networks import Network


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Inputs (M, *space.shape), the outputs (M,) that are right, and the sharp edges (E, 2, 3) of each if known."""

    x: Tensor
    target: Tensor
    edges: list[Tensor] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, chosen: Tensor) -> "HeldOut":
        """Some of them, by a mask (M,)."""
        places = chosen.nonzero()[:, 0].tolist()
        edges = None if self.edges is None else [self.edges[i] for i in places]
        return HeldOut(x=self.x[places], target=self.target[places], edges=edges)


def held_out(network: Network, per_class: int | None = None, seed: int = 0) -> HeldOut:
    """Shapes of each class that a network was not trained on; all there are, 20 of each procedural one, by default.

    Raises ValueError for a network that knows neither the procedural classes nor ModelNet10, or if ModelNet10 is not
    here.
    """
    space = network.frozen.space
    if network.card is not None and "ModelNet10" in network.card.data:
        return modelnet10_test(network, per_class)
    names = [name for name in network.categories if name in CATEGORIES]
    if not names or not isinstance(space, (Points, Voxels)):
        raise ValueError(f"{network.name} knows none of the procedural classes: there is nothing to measure it on")
    size = space.points if isinstance(space, Points) else space.size
    make = cloud_with_edges if isinstance(space, Points) else grid_with_edges
    made = [make(name, i, size, EXPLAINED_SHAPES + seed) for name in names for i in range(per_class or 20)]
    x = torch.from_numpy(np.stack([each for each, _ in made])).float()
    return HeldOut(
        x=x if isinstance(space, Points) else x[:, None],
        target=torch.tensor([network.index(name) for name in names for _ in range(per_class or 20)]),
        edges=[torch.from_numpy(edges).double() for _, edges in made],
    )


def modelnet10_test(network: Network, per_class: int | None) -> HeldOut:
    """The test shapes of ModelNet10 whose grid equals no training grid, the first of each class."""
    from invert3d.data.voxels import padded, read_modelnet10_grids, surface_points
    from invert3d.training.data import modelnet10_file

    space = network.frozen.space
    splits = read_modelnet10_grids(modelnet10_file(None), facing="stored" if isinstance(space, Voxels) else "front")
    fresh = np.setdiff1d(np.arange(len(splits.test)), splits.repeats)
    labels = splits.test_labels[fresh]
    rows = np.concatenate([fresh[labels == label][:per_class] for label in range(len(splits.names))])
    if isinstance(space, Voxels):
        x = torch.from_numpy(padded(splits.test[rows], space.size)).float()[:, None]
    else:
        clouds = [
            surface_points(splits.test[row], network.space.points, np.random.default_rng(row), smooth=0.5)
            for row in rows
        ]
        x = torch.from_numpy(np.stack(clouds))
    return HeldOut(x=x, target=torch.tensor([network.index(splits.names[i]) for i in splits.test_labels[rows]]))


@torch.no_grad()
def probabilities(network: Network, x: Tensor, batch: int = 32) -> Tensor:
    """What the network makes of inputs (M, *space.shape): (M, classes), on the CPU."""
    device = network.frozen.device
    return torch.cat([network.frozen(part.to(device)).softmax(-1).cpu() for part in x.split(batch)])
