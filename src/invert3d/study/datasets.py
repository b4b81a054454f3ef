"""Clouds to train classifiers on: procedural shapes, ModelNet10's voxels, or somebody's ModelNet folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLUTTER_A_CLASS = 8  # clouds of clutter for each cloud of a class


@dataclass(frozen=True, kw_only=True)
class Clouds:
    """Dense training and held-out clouds (M, P, 3) in the unit sphere, labels (M,), and where they come from."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    source: str
    up: str = "z"
    licence: str = "Apache-2.0"


def training_data(name: str, *, per_class: int = 400, seed: int = 0, clutter: bool = True) -> Clouds:
    """Clouds by name: ``shapes``, ``modelnet10-voxels``, or the path of a ModelNet folder or voxel file.

    Raises ValueError, saying where to get it, if the data is not there.
    """
    if name == "shapes":
        return shapes_data(per_class, seed=seed, clutter=clutter)
    if name == "modelnet10-voxels" or Path(name).suffix == ".npz":
        return voxels_data(name if Path(name).suffix == ".npz" else None, seed=seed, clutter=clutter)
    return modelnet_data(Path(name), seed=seed, clutter=clutter)


HELD_OUT_SEED = 1_000_003  # added to the seed of the training shapes


def held_out_shapes(per_class: int = 50, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Procedural shapes (M, 2048, 3) and labels (M,) that no network with this seed was trained on."""
    from invert3d.data.worlds.shapes import CATEGORIES, make_clouds

    return make_clouds(CATEGORIES, per_class, 2048, seed + HELD_OUT_SEED)


def shapes_data(per_class: int = 400, held_out: int = 50, *, seed: int = 0, clutter: bool = True) -> Clouds:
    """The procedural shapes, 2,048 points each; the held-out ones have another seed, and none of them is clutter."""
    from invert3d.data.worlds.shapes import CATEGORIES, make_clouds

    train, labels = make_clouds(CATEGORIES, per_class, 2048, seed)
    test, test_labels = held_out_shapes(held_out, seed=seed)
    train, labels, classes = with_clutter(train, labels, CATEGORIES, per_class, seed, clutter)
    return Clouds(
        train=train, train_labels=labels, test=test, test_labels=test_labels, classes=classes,
        source=f"procedural shapes, {per_class} a class, seed {seed}" + (" + clutter" if clutter else ""),
    )  # fmt: skip


def voxels_data(file: str | None, *, seed: int = 0, clutter: bool = True) -> Clouds:
    """Real shapes: 2,048 points on the surface of each of ModelNet10's voxel grids.

    Held out are the published test shapes, without those whose grid equals a training grid bit for bit.
    """
    from invert3d.data.sources import locate
    from invert3d.data.voxels import read_modelnet10_voxels

    path = locate("modelnet10-voxels", file)
    if path is None:
        raise ValueError("ModelNet10's voxel grids are not here: see invert3d data where modelnet10-voxels")
    splits = read_modelnet10_voxels(path, points=2048, seed=seed, smooth=0.5)
    train, labels, classes = with_clutter(splits.train, splits.train_labels, splits.names, 160, seed, clutter)
    fresh = np.setdiff1d(np.arange(len(splits.test)), splits.repeats)
    return Clouds(
        train=train, train_labels=labels, test=splits.test[fresh], test_labels=splits.test_labels[fresh],
        classes=classes, licence="weights Apache-2.0; trained on ModelNet10, which is for research use",
        source="points on the surfaces of ModelNet10's 30-voxel grids" + (" + clutter" if clutter else ""),
    )  # fmt: skip


def modelnet_data(root: Path, *, seed: int = 0, clutter: bool = True) -> Clouds:
    """Somebody's ModelNet10 or ModelNet40 folder in any of its layouts; the test split is held out."""
    from invert3d.data.modelnet import read_modelnet

    train, labels, names = read_modelnet(root, "train", points=2048, seed=seed)
    test, test_labels, _ = read_modelnet(root, "test", points=2048, seed=seed)
    train, labels, classes = with_clutter(train, labels, names, len(train) // len(names), seed, clutter)
    return Clouds(
        train=train, train_labels=labels, test=test, test_labels=test_labels, classes=classes,
        source=f"ModelNet{len(names)} ({root.name})" + (" + clutter" if clutter else ""),
        licence="trained on ModelNet, which is for research use",
    )  # fmt: skip


def with_clutter(
    clouds: np.ndarray, labels: np.ndarray, classes: Sequence[str], per_class: int, seed: int, clutter: bool
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The clouds and one class more, of things that are none of the others."""
    if not clutter:
        return clouds, labels, tuple(classes)
    from invert3d.data.worlds.clutter import make_clutter_clouds

    extra = make_clutter_clouds(per_class * CLUTTER_A_CLASS, clouds.shape[1], seed)
    return (
        np.concatenate([clouds, extra]),
        np.concatenate([labels, np.full(len(extra), len(classes))]),
        (*classes, "clutter"),
    )
