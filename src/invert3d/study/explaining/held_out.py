"""Shapes that a network has not seen: procedural ones of another seed, ModelNet10's test grids, or somebody's data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invert3d.data.worlds.shapes import CATEGORIES, cloud_with_edges, grid_with_edges
from invert3d.engine.space import Points, Voxels
from invert3d.opening.networks import Network
from invert3d.ops.seeds import EXPLAINED_SHAPES


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


def held_out(network: Network, per_class: int | None = None, seed: int = 0, data: str | None = None) -> HeldOut:
    """Shapes of each class that a network was not trained on; all there are, 20 of each procedural one, by default.

    Args:
        network: bundled, or yours.
        per_class: the first so many shapes of each class.
        seed: of procedural shapes.
        data: ``shapes`` (procedural), ``modelnet10-voxels``, the path of a ModelNet folder (its test split), or of an
            ``.npz`` as ``invert3d data make shapes`` writes it. By default what a bundled network's card says.

    Raises ValueError where the network knows none of the classes, takes other inputs, or the data is not here.
    """
    space = network.frozen.space
    real = network.card is not None and "ModelNet10" in network.card.data
    if data == "modelnet10-voxels" or (data is None and real):
        return modelnet10_test(network, per_class)
    if data not in (None, "shapes"):
        return from_path(network, Path(data), per_class)
    names = [name for name in network.categories if name in CATEGORIES]
    if not names or not isinstance(space, (Points, Voxels)):
        raise ValueError(f"{network.name} knows none of the procedural classes: there is nothing to measure it on")
    size = space.points if isinstance(space, Points) else space.size
    make = cloud_with_edges if isinstance(space, Points) else grid_with_edges
    made = [make(name, i, size, EXPLAINED_SHAPES + seed) for name in names for i in range(per_class or 20)]
    if network.facing == "stored":
        made = [stored(*each, name) for each, name in zip(made, np.repeat(names, per_class or 20), strict=True)]
    x = torch.from_numpy(np.stack([each for each, _ in made])).float()
    return HeldOut(
        x=x if isinstance(space, Points) else x[:, None],
        target=torch.tensor([network.index(name) for name in names for _ in range(per_class or 20)]),
        edges=[torch.from_numpy(edges).double() for _, edges in made],
    )


def stored(shape: np.ndarray, edges: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A cloud, or a grid with edges (E, 2, 3) in voxels, of a class and its edges in ModelNet's own frame."""
    from invert3d.data.voxels import TURNED, as_stored, refaced

    if name not in TURNED:
        return shape, edges
    if shape.ndim == 2:
        turned, moved = (refaced(each[None], [name], "front", "stored")[0] for each in (shape, edges.reshape(-1, 3)))
        return turned, moved.reshape(edges.shape)
    x, y, z = np.moveaxis(edges, -1, 0)
    return as_stored(shape, name), np.stack([y, len(shape) - x, z], -1)


def from_path(network: Network, path: Path, per_class: int | None) -> HeldOut:
    """Shapes in a ModelNet folder or an ``.npz``, of the classes that the network knows."""
    from invert3d.data.arrays import read_arrays
    from invert3d.data.modelnet import read_modelnet
    from invert3d.data.voxels import padded

    space = network.frozen.space
    if path.suffix == ".npz":
        arrays, name = read_arrays(path), "clouds" if isinstance(space, Points) else "voxels"
        if missing := [each for each in (name, "labels", "classes") if each not in arrays]:
            raise ValueError(f"{path} has no {', '.join(missing)}; {network.name} takes {network.takes}")
        x, labels, names = arrays[name], arrays["labels"], [str(each) for each in arrays["classes"]]
        if isinstance(space, Points) and x.shape[1] < space.points:
            raise ValueError(f"{path} has clouds of {x.shape[1]} points; {network.name} takes {network.takes}")
        x = x[:, : space.points, :3] if isinstance(space, Points) else padded(x, space.shape[-1])[:, None]
    elif isinstance(space, Points):
        there = [name for name in network.categories if (path / name).is_dir()]
        x, labels, names = read_modelnet(path, "test", points=space.points, classes=there or 40, limit=per_class)
    else:
        raise ValueError(
            f"{path}: folders of ModelNet are read for networks of clouds; {network.name} takes {network.takes}"
        )
    known = [i for i, name in enumerate(names) if name in network.categories]
    if not known:
        raise ValueError(f"{network.name} knows none of the classes of {path}: {', '.join(names)}")
    rows = np.concatenate([np.flatnonzero(labels == i)[:per_class] for i in known])
    target = torch.tensor([network.index(names[int(labels[row])]) for row in rows])
    return HeldOut(x=torch.from_numpy(np.asarray(x[rows], np.float32)), target=target)


def modelnet10_test(network: Network, per_class: int | None) -> HeldOut:
    """The test shapes of ModelNet10 whose grid equals no training grid, the first of each class."""
    from invert3d.data.voxels import padded, read_modelnet10_grids, surface_points
    from invert3d.training.data import modelnet10_file

    space = network.frozen.space
    splits = read_modelnet10_grids(modelnet10_file(None), facing=network.facing)
    fresh = splits.fresh
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
