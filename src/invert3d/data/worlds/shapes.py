"""Procedural CAD shapes of twenty classes: meshes, point clouds and voxel grids from a seed.

Every shape stands upright (z up) and faces -y; x = 0 is the mirror plane of whatever has one. Lengths are
realistic meters in a mesh, and unit-sphere lengths in a cloud.
"""

from __future__ import annotations

import difflib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from invert3d.data.clouds import normalize_unit_sphere, sample_cloud, surface_spots
from invert3d.data.grids import in_voxels, voxelize
from invert3d.data.worlds import figures, furniture, objects, parts, plants, seats, vehicles, vessels

if TYPE_CHECKING:
    import trimesh

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


def make_mesh(category: str, rng: np.random.Generator) -> trimesh.Trimesh:
    """One random member of a class, in meters, z up, facing -y.

    Args:
        category: one of `CATEGORIES`.
        rng: every choice is drawn from it.

    Raises:
        ValueError: no such class; the message names the nearest ones.
    """
    if category not in _MAKERS:
        near = difflib.get_close_matches(str(category), CATEGORIES, n=3, cutoff=0.4) or CATEGORIES
        raise ValueError(f"category: got {category!r}, nearest are {', '.join(near)}")
    return parts.assemble(_MAKERS[category](rng))


def sharp_edges(mesh: trimesh.Trimesh, degrees: float = 30.0) -> np.ndarray:
    """The edges (E, 2, 3) of a mesh, in its own unit, whose two faces meet at more than so many degrees."""
    bent = mesh.face_adjacency_angles > np.radians(degrees)
    return np.asarray(mesh.vertices)[np.asarray(mesh.face_adjacency_edges)[bent]]


def _maker(category: str, index: int, seed: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, CATEGORIES.index(category), index]))


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


def _check_request(categories: Sequence[str], **counts: int) -> None:
    for name in categories:
        if name not in _MAKERS:
            make_mesh(name, np.random.default_rng(0))  # says which there are
    for name, value in counts.items():
        if value < (least := 0 if name == "seed" else 1):
            raise ValueError(f"{name}: got {value}, accepted is at least {least}")


def _cloud_of(task: tuple[str, int, int, int]) -> np.ndarray:
    category, index, points, seed = task
    rng = _maker(category, index, seed)
    return sample_cloud(make_mesh(category, rng), points, rng)


def make_clouds(
    categories: Sequence[str], per_class: int, points: int, seed: int, jobs: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """A labeled data set of normalized clouds; shape i of a class depends on the seed, the class and i alone.

    Args:
        categories: class names; the label is the position in this sequence.
        per_class: shapes a class, >= 1.
        points: points a cloud, >= 1.
        seed: fixes everything, >= 0.
        jobs: processes; more than one need the caller's script to have a main guard.

    Returns:
        clouds (M = len(categories) * per_class, points, 3) float32, class by class, and labels (M,) int64.

    Raises:
        ValueError: a class is unknown, or a number is out of range.
    """
    _check_request(categories, per_class=per_class, points=points, seed=seed, jobs=jobs)
    tasks = [(name, index, points, seed) for name in categories for index in range(per_class)]
    labels = np.repeat(np.arange(len(categories), dtype=np.int64), per_class)
    clouds = np.empty((len(tasks), points, 3), dtype=np.float32)
    if jobs == 1:
        for row, task in enumerate(tasks):
            clouds[row] = _cloud_of(task)
        return clouds, labels
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for row, cloud in enumerate(pool.map(_cloud_of, tasks, chunksize=32)):
            clouds[row] = cloud
    return clouds, labels


def make_grids(
    categories: Sequence[str], per_class: int, size: int, seed: int, across: int = 24
) -> tuple[np.ndarray, np.ndarray]:
    """The shapes of `make_clouds` as solid grids, each with its longest side `across` voxels long.

    Args:
        categories, per_class, seed: as for `make_clouds`; the same shapes.
        size: voxels a side.
        across: voxels along the longest side of the shape.

    Returns:
        grids (M = len(categories) * per_class, size, size, size) uint8 of 0 and 1, and labels (M,) int64.

    Raises:
        ValueError: a class is unknown, or the shape does not fit.
    """
    _check_request(categories, per_class=per_class, size=size, seed=seed)
    labels = np.repeat(np.arange(len(categories), dtype=np.int64), per_class)
    grids = np.empty((len(labels), size, size, size), dtype=np.uint8)
    for row in range(len(labels)):
        name = categories[row // per_class]
        grids[row] = voxelize(shape_mesh(name, row % per_class, seed), size, across)
    return grids, labels
