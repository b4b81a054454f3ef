"""What classifiers are trained on: procedural shapes, ModelNet10's voxels, both, or somebody's ModelNet folder.

The same shapes come as dense ``Clouds`` or as occupancy ``Grids``; training asks either for augmented batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from invert3d.data.modelnet import read_modelnet
from invert3d.data.sources import locate
from invert3d.data.voxels import Facing, VoxelSplits, padded, read_modelnet10_grids, read_modelnet10_voxels, refaced
from invert3d.engine.draws import Draws
from invert3d.engine.space import Points, Space, Voxels
from invert3d.engine.transform import (
    Abstract,
    DropPoints,
    Jitter,
    Normalize,
    Rotate,
    Scale,
    Shift,
    Transform,
    Warp,
    chained,
)
from invert3d.ops.points import gather
from invert3d.ops.seeds import HELD_OUT

CLUTTER_A_CLASS = 8  # clouds of clutter for each cloud of a class

AUGMENTATION = (
    Warp(strength=0.06),
    Rotate(degrees=15, tilt=6),
    Scale(low=1, high=1, stretch=0.2),
    Normalize(),
    Scale(low=0.75, high=1.15),
    Shift(distance=0.08),
    Jitter(sigma=0.03),
    DropPoints(share=0.5),
)
#: for real shapes: a dresser that is stretched by half is a night stand
GENTLE = (Warp(strength=0.04), Rotate(degrees=15, tilt=6), Scale(low=1, high=1, stretch=0.1), *AUGMENTATION[3:])


@dataclass(frozen=True, kw_only=True)
class Data:
    """Training and held-out shapes with their labels (M,), and where they come from.

    ``repeats`` are the rows of ``test`` that equal a training shape: leave them out of an honest accuracy. ``facing``
    says where fronts face: to -y, or as ModelNet stores each class.
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    source: str
    licence: str = "Apache-2.0"
    repeats: tuple[int, ...] = ()
    facing: Facing = "front"

    @property
    def space(self) -> Space:
        """The input of a network trained on this."""
        raise NotImplementedError

    def views(self, rows: Tensor, draws: Draws, points: int, abstract: float) -> Tensor:
        """Augmented training inputs (B, *space.shape) of the shapes ``rows`` (B,), as the model takes them.

        For clouds: of ``points`` points, a share ``abstract`` of them redrawn as a few lumps.
        """
        raise NotImplementedError

    def held_out(self, points: int) -> Tensor:
        """The held-out inputs (M, *space.shape), as the model takes them."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Clouds(Data):
    """Dense clouds (M, P, 3) in the unit sphere.

    Views are drawn from their points with a density proportional to ``exp(k <x, d>)``, d a random direction and k
    uniform up to ``uneven``: at 2 the near side of a scan may have 50 times the points of the far side.
    """

    uneven: float = 0.0
    augmentation: Sequence[Transform] = AUGMENTATION

    @property
    def space(self) -> Points:
        return Points()

    def views(self, rows: Tensor, draws: Draws, points: int, abstract: float) -> Tensor:
        dense = torch.from_numpy(self.train)[rows]
        keys = draws.uniform(dense, 0, 1, dense.shape[1])
        if self.uneven:  # Efraimidis and Spirakis 2006: the largest of log(u) / w are drawn with weights w
            toward = F.normalize(draws.normal(dense, 3, 1), dim=1) * draws.uniform(dense, 0, self.uneven, 1, 1)
            keys = keys.log() / (dense @ toward)[..., 0].exp()
        x = gather(dense, keys.topk(points).indices)
        return chained((Abstract(share=abstract), *self.augmentation), x, None, draws)[0]

    def held_out(self, points: int) -> Tensor:
        return torch.from_numpy(self.test[:, :points])


@dataclass(frozen=True, kw_only=True)
class Grids(Data):
    """Occupancy grids (M, S, S, S) of 0 and 1, indexed [x, y, z], and the ``Voxels`` that they are fed as.

    Views are shifted by up to two voxels along each axis and mirrored along x or y, with probability 0.2 each, as
    Brock et al. 2016 do it.
    """

    voxels: Voxels

    @property
    def space(self) -> Voxels:
        return self.voxels

    def views(self, rows: Tensor, draws: Draws, points: int, abstract: float) -> Tensor:
        return self.voxels.encode(self.augmented(rows, draws))

    def unlabeled(self) -> "Grids":
        """The same shapes, all of one class, ``shape``."""
        alike = {name: np.zeros_like(getattr(self, name)) for name in ("train_labels", "test_labels")}
        return replace(self, classes=("shape",), **alike)

    def augmented(self, rows: Tensor, draws: Draws) -> Tensor:
        """Views (B, 1, S, S, S) of the shapes ``rows`` (B,), of 0 and 1."""
        x = torch.from_numpy(self.train[rows.numpy()]).float()
        moves = draws.uniform(x, -2, 3, 3).floor().long().tolist()
        flips = (draws.uniform(x, 0, 1, 2) < 0.2).tolist()
        seen = [
            torch.roll(grid, move, (0, 1, 2)).flip([axis for axis in (0, 1) if flip[axis]])
            for grid, move, flip in zip(x, moves, flips, strict=True)
        ]
        return torch.stack(seen)[:, None]

    def held_out(self, points: int) -> Tensor:
        return self.voxels.encode(torch.from_numpy(self.test)[:, None].float())


def eight_bits(x: Tensor) -> Tensor:
    """Occupancies in [0, 1] as whole numbers of 0 to 255; what lies outside is clipped."""
    return (255 * x).round().clamp(0, 255).to(torch.uint8)


def training_data(
    name: str, *, per_class: int = 400, seed: int = 0, clutter: bool = True, voxels: Voxels | None = None
) -> Data:
    """Shapes by name: ``shapes``, ``modelnet10-voxels``, ``modelnet10-voxels+shapes``, or the path of a ModelNet folder
    or voxel file.

    They come as clouds, or where ``voxels`` says how, as grids.

    Raises ValueError, saying where to get it, if the data is not there.
    """
    file = name if Path(name).suffix == ".npz" else None
    if voxels and name == "shapes":
        return shapes_grids(voxels, per_class, seed=seed)
    if voxels:
        if name != "modelnet10-voxels" and not file:
            raise ValueError(f"networks of voxels are trained on shapes, modelnet10-voxels or an .npz, not on {name!r}")
        return modelnet10_grids(file, voxels)
    if name == "shapes":
        return shapes_data(per_class, seed=seed, clutter=clutter)
    if name == "modelnet10-voxels+shapes":
        return mixed_data(per_class, seed=seed, clutter=clutter)
    if name == "modelnet10-voxels" or file:
        return voxels_data(file, seed=seed, clutter=clutter)
    return modelnet_data(Path(name), seed=seed, clutter=clutter)


def held_out_shapes(per_class: int = 50, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Procedural shapes (M, 2048, 3) and labels (M,) that no network with this seed was trained on."""
    from invert3d.data.worlds.shapes import CATEGORIES, make_clouds

    return make_clouds(CATEGORIES, per_class, 2048, seed + HELD_OUT)


def shapes_data(per_class: int = 400, held_out: int = 50, *, seed: int = 0, clutter: bool = True) -> Clouds:
    """The procedural shapes, 2,048 points each; the held-out ones have another seed, and none of them is clutter."""
    from invert3d.data.worlds.shapes import CATEGORIES, make_clouds

    train, labels = make_clouds(CATEGORIES, per_class, 2048, seed)
    test, test_labels = held_out_shapes(held_out, seed=seed)
    data = Clouds(
        train=train,
        train_labels=labels,
        test=test,
        test_labels=test_labels,
        classes=CATEGORIES,
        source=f"procedural shapes, {per_class} a class, seed {seed}",
    )
    return with_clutter(data, per_class, seed) if clutter else data


def shapes_grids(voxels: Voxels, per_class: int = 400, held_out: int = 50, *, seed: int = 0) -> Grids:
    """The procedural shapes as solid grids, the longest side 24 voxels; the held-out ones have another seed."""
    from invert3d.data.worlds.shapes import CATEGORIES, make_grids

    train, labels = make_grids(CATEGORIES, per_class, voxels.size, seed)
    test, test_labels = make_grids(CATEGORIES, held_out, voxels.size, seed + HELD_OUT)
    return Grids(
        train=train,
        train_labels=labels,
        test=test,
        test_labels=test_labels,
        classes=CATEGORIES,
        voxels=voxels,
        source=f"procedural shapes, {per_class} a class, seed {seed}, solid, 24 in {voxels.size} voxels",
    )


MODELNET_LICENCE = "weights Apache-2.0; trained on ModelNet10, which is for research use"


def modelnet10_grids(file: str | None, voxels: Voxels) -> Grids:
    """Real shapes: ModelNet10's solid grids, 24 voxels in ``voxels.size``, in the frame of ModelNet.

    Held out are all published test grids that are not empty, ``repeats`` among them.
    """
    splits = read_modelnet10_grids(modelnet10_file(file), facing="stored")
    return Grids(
        train=padded(splits.train, voxels.size),
        train_labels=splits.train_labels,
        test=padded(splits.test, voxels.size),
        test_labels=splits.test_labels,
        classes=splits.names,
        voxels=voxels,
        repeats=tuple(splits.repeats.tolist()),
        facing="stored",
        licence=MODELNET_LICENCE,
        source=f"ModelNet10's grids, solid, 24 in {voxels.size} voxels",
    )


def modelnet10_file(file: str | None) -> Path:
    """Where ModelNet10's voxel grids are. Raises ValueError, saying where to get them, if they are not here."""
    path = locate("modelnet10-voxels", file)
    if path is None:
        raise ValueError("ModelNet10's voxel grids are not here: see invert3d data where modelnet10-voxels")
    return path


def voxels_data(file: str | None, *, seed: int = 0, clutter: bool = True) -> Clouds:
    """Real shapes: 2,048 points on the surface of each of ModelNet10's voxel grids.

    Held out are the published test shapes, without those whose grid equals a training grid bit for bit.
    """
    splits = real_clouds(file, seed, "front")
    data = Clouds(
        train=splits.train,
        train_labels=splits.train_labels,
        test=splits.test,
        test_labels=splits.test_labels,
        classes=splits.names,
        licence=MODELNET_LICENCE,
        source="points on the surfaces of ModelNet10's 30-voxel grids",
    )
    return with_clutter(data, 160, seed) if clutter else data


def real_clouds(file: str | None, seed: int, facing: Facing) -> VoxelSplits:
    """2,048 points on the surface of each of ModelNet10's voxel grids, without the test shapes that repeat a training
    shape. Raises ValueError if the grids are not here."""
    splits = read_modelnet10_voxels(modelnet10_file(file), points=2048, seed=seed, smooth=0.5, facing=facing)
    fresh = splits.fresh
    return replace(splits, test=splits.test[fresh], test_labels=splits.test_labels[fresh], repeats=splits.repeats[:0])


def mixed_data(per_class: int = 150, *, seed: int = 0, clutter: bool = True) -> Clouds:
    """ModelNet10's shapes and the procedural ones, each facing as ModelNet stores its class.

    Real and procedural shapes of a class are one class. Held out are the real test shapes of ``voxels_data``.
    """
    from invert3d.data.worlds.shapes import CATEGORIES, make_clouds

    real = real_clouds(None, seed, "stored")
    made, labels = make_clouds(CATEGORIES, per_class, 2048, seed)
    made = refaced(made, [CATEGORIES[label] for label in labels], "front", "stored")
    place = np.array([CATEGORIES.index(name) for name in real.names])
    data = Clouds(
        train=np.concatenate([real.train, made]),
        train_labels=np.concatenate([place[real.train_labels], labels]),
        test=real.test,
        test_labels=place[real.test_labels],
        classes=CATEGORIES,
        facing="stored",
        uneven=2.0,
        augmentation=GENTLE,
        licence=MODELNET_LICENCE,
        source=f"points on the surfaces of ModelNet10's 30-voxel grids + procedural shapes, {per_class} a class",
    )
    return with_clutter(data, per_class, seed) if clutter else data


def modelnet_data(root: Path, *, seed: int = 0, clutter: bool = True) -> Clouds:
    """Somebody's ModelNet10 or ModelNet40 folder in any of its layouts; the test split is held out."""
    train, labels, names = read_modelnet(root, "train", points=2048, seed=seed)
    test, test_labels, _ = read_modelnet(root, "test", points=2048, seed=seed)
    data = Clouds(
        train=train,
        train_labels=labels,
        test=test,
        test_labels=test_labels,
        classes=names,
        source=f"ModelNet{len(names)} ({root.name})",
        facing="stored",
        licence="trained on ModelNet, which is for research use",
    )
    return with_clutter(data, len(train) // len(names), seed) if clutter else data


def with_clutter(data: Clouds, per_class: int, seed: int) -> Clouds:
    """The same clouds to train on and one class more, of things that are none of the others."""
    from invert3d.data.worlds.clutter import make_clutter_clouds

    extra = make_clutter_clouds(per_class * CLUTTER_A_CLASS, data.train.shape[1], seed)
    return replace(
        data,
        train=np.concatenate([data.train, extra]),
        train_labels=np.concatenate([data.train_labels, np.full(len(extra), len(data.classes))]),
        classes=(*data.classes, "clutter"),
        source=f"{data.source} + clutter",
    )
