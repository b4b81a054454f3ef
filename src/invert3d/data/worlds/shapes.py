"""Procedural CAD shapes of twenty classes: meshes, point clouds and voxel grids from a seed.

Every shape stands upright (z up) and faces -y; x = 0 is the mirror plane of whatever has one. Lengths are
realistic meters in a mesh, and unit-sphere lengths in a cloud.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import trimesh

from invert3d.data.clouds import check_counts, normalize_unit_sphere, sample_cloud, surface_spots
from invert3d.data.grids import in_voxels, voxelize
from invert3d.data.worlds import figures, furniture, objects, parts, plants, seats, vehicles, vessels
from invert3d.registry import unknown

_MAKERS = {
    "airplane": vehicles.airplane,
    "bathtub": vessels.bathtub,
    "bed": seats.bed,
    "bench": seats.bench,
    "bottle": vessels.bottle,
    "car": vehicles.car,
    "chair": seats.chair,
    "cup": vessels.cup,
    "desk": furniture.desk,
    "dresser": furniture.dresser,
    "guitar": objects.guitar,
    "lamp": objects.lamp,
    "monitor": objects.monitor,
    "night_stand": furniture.night_stand,
    "person": figures.person,
    "plant": plants.plant,
    "sofa": seats.sofa,
    "stairs": furniture.stairs,
    "table": furniture.table,
    "toilet": vessels.toilet,
}
CATEGORIES: tuple[str, ...] = tuple(sorted(_MAKERS))


def make_parts(category: str, rng: np.random.Generator) -> list[parts.Part]:
    """The parts of one random member of a class, in meters, z up, facing -y. ValueError if there is no such class."""
    _check_categories([category])
    return _MAKERS[category](rng)


def make_mesh(category: str, rng: np.random.Generator) -> trimesh.Trimesh:
    """One random member of a class, in meters, z up, facing -y. ValueError if there is no such class."""
    return parts.assemble(make_parts(category, rng))


def _check_categories(names: Sequence[str]) -> None:
    for name in names:
        if name not in _MAKERS:
            raise ValueError(unknown("category", name, CATEGORIES))


def sharp_edges(mesh: trimesh.Trimesh, degrees: float = 30.0) -> np.ndarray:
    """The edges (E, 2, 3) of a mesh, in its own unit, whose two faces meet at more than so many degrees."""
    bent = mesh.face_adjacency_angles > np.radians(degrees)
    return np.asarray(mesh.vertices)[np.asarray(mesh.face_adjacency_edges)[bent]]


def _maker(category: str, index: int, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, CATEGORIES.index(category), index])


def shape_mesh(category: str, index: int, seed: int) -> trimesh.Trimesh:
    """The mesh of shape `index` of a class in `make_clouds`, in meters."""
    return make_mesh(category, _maker(category, index, seed))


def cloud_with_edges(category: str, index: int, points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The cloud `index` of a class in `make_clouds`, (points, 3), and the sharp edges of its mesh in the same frame."""
    rng = _maker(category, index, seed)
    mesh = make_mesh(category, rng)
    spots, _ = surface_spots(mesh, points, rng)
    center = spots.mean(axis=0)
    radius = float(np.linalg.norm(spots - center, axis=1).max())
    return normalize_unit_sphere(spots), ((sharp_edges(mesh) - center) / radius).astype(np.float32)


def grid_with_edges(category: str, index: int, size: int, seed: int, across: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """The grid `index` of a class in `make_grids`, (size, size, size), and the sharp edges of its mesh in voxels."""
    mesh = shape_mesh(category, index, seed)
    edges = sharp_edges(mesh)
    placed = in_voxels(edges.reshape(-1, 3), np.asarray(mesh.bounds), size, across)
    return voxelize(mesh, size, across), placed.reshape(-1, 2, 3)


def make_clouds(categories: Sequence[str], per_class: int, points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A labeled data set of normalized clouds; shape i of a class depends on the seed, the class and i alone.

    Args:
        categories: class names; the label is the position in this sequence.
        per_class, points: shapes a class and points a cloud, >= 1.
        seed: fixes everything, >= 0.

    Returns:
        clouds (M = len(categories) * per_class, points, 3) float32, class by class, and labels (M,) int64.

    Raises:
        ValueError: a class is unknown, or a number is out of range.
    """
    check_counts(per_class=per_class, points=points, seed=seed)

    def cloud(category: str, index: int) -> np.ndarray:
        rng = _maker(category, index, seed)
        return sample_cloud(make_mesh(category, rng), points, rng)

    return _made(cloud, categories, per_class, (points, 3), np.float32)


def make_grids(
    categories: Sequence[str], per_class: int, size: int, seed: int, across: int = 24
) -> tuple[np.ndarray, np.ndarray]:
    """The shapes of `make_clouds` as solid grids of `size` voxels a side, the longest side of each shape `across` long.

    Returns:
        grids (M = len(categories) * per_class, size, size, size) uint8 of 0 and 1, and labels (M,) int64.

    Raises:
        ValueError: a class is unknown, a number is out of range, or the shape does not fit.
    """
    check_counts(per_class=per_class, size=size, seed=seed)

    def grid(category: str, index: int) -> np.ndarray:
        return voxelize(shape_mesh(category, index, seed), size, across)

    return _made(grid, categories, per_class, (size, size, size), np.uint8)


def _made(
    make: Callable[[str, int], np.ndarray], categories: Sequence[str], per_class: int, shape: tuple, dtype: type
) -> tuple[np.ndarray, np.ndarray]:
    """The shapes of each class, one by one, and their labels."""
    _check_categories(categories)
    made = np.empty((len(categories) * per_class, *shape), dtype)
    for row, (name, index) in enumerate(product(categories, range(per_class))):
        made[row] = make(name, index)
    return made, np.repeat(np.arange(len(categories), dtype=np.int64), per_class)
