"""Point clouds: drawn on a surface, moved to the unit sphere, turned from y up to z up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import trimesh

Up = Literal["y", "z"]
_SIGNS = {("z", "y"): (1, 1, -1), ("y", "z"): (1, -1, 1)}


def normalize_unit_sphere(points: np.ndarray) -> np.ndarray:
    """Clouds moved to their mean and divided by their largest distance from it.

    Args:
        points: (..., N, 3) in any length unit, N >= 1. A cloud whose points all coincide becomes zeros.

    Returns:
        (..., N, 3) float32 inside the unit sphere, as point-cloud classifiers of ModelNet40 expect.

    Raises:
        ValueError: `points` has another shape or holds a value that is not finite.
    """
    cloud = np.asarray(points, dtype=np.float64)
    if cloud.ndim < 2 or cloud.shape[-1] != 3 or cloud.shape[-2] < 1:
        raise ValueError(f"points: got shape {cloud.shape}, accepted is (..., N >= 1, 3)")
    if not np.isfinite(cloud).all():
        raise ValueError("points: got values that are not finite, accepted are finite ones")
    cloud = cloud - cloud.mean(axis=-2, keepdims=True)
    radius = np.linalg.norm(cloud, axis=-1).max(axis=-1)[..., None, None]
    return (cloud / np.maximum(radius, 1e-12)).astype(np.float32)


def sample_cloud(mesh: trimesh.Trimesh, points: int, rng: np.random.Generator, normals: bool = False) -> np.ndarray:
    """Points spread evenly over the surface of a mesh, normalized to the unit sphere.

    Args:
        mesh: the surface, in any length unit.
        points: how many, >= 1.
        rng: draws the points.
        normals: append the unit normal of each point's triangle.

    Returns:
        (points, 3) float32, or (points, 6) with normals.

    Raises:
        ValueError: `points` < 1, or the mesh has no area.
    """
    spots, unit = surface_spots(mesh, points, rng)
    cloud = normalize_unit_sphere(spots)
    return np.concatenate([cloud, unit], axis=1) if normals else cloud


def surface_spots(mesh: trimesh.Trimesh, points: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (points, 3) float64 spread evenly over a mesh, in its own unit, and their unit normals, float32.

    Raises:
        ValueError: `points` < 1, or the mesh has no area.
    """
    if points < 1:
        raise ValueError(f"points: got {points}, accepted is at least 1")
    corners = np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    if not area.sum() > 0:
        raise ValueError(f"mesh: got {len(corners)} faces without area, accepted is a surface with area")
    total = np.cumsum(area)
    chosen = np.searchsorted(total, rng.random(points) * total[-1], side="right")
    chosen = np.minimum(chosen, len(area) - 1)
    root, along = np.sqrt(rng.random((points, 1))), rng.random((points, 1))
    a, b, c = (corners[chosen, k] for k in range(3))
    unit = (cross[chosen] / np.maximum(area[chosen, None], 1e-30)).astype(np.float32)
    return (1 - root) * a + root * (1 - along) * b + root * along * c, unit


def to_up(points: np.ndarray, source: Up, target: Up, *, mirror: bool = False) -> np.ndarray:
    """Points, and normals, moved between the z-up and the y-up frame.

    The rotation takes (x, y, z) to (x, z, -y) from z up to y up, and back to (x, -z, y). With `mirror` it is
    the swap (x, z, y) both ways: what ModelNet's HDF5 and text releases did to the meshes.

    Args:
        points: (..., 3) positions, or (..., 6) positions and normals.
        source: the axis that points up now, "y" or "z".
        target: the axis that shall point up.
        mirror: swap the axes instead of rotating.

    Returns:
        The same shape and dtype; a new array unless nothing changes.

    Raises:
        ValueError: an axis is neither "y" nor "z", or the last dimension is neither 3 nor 6.
    """
    for name, axis in (("source", source), ("target", target)):
        if axis not in ("y", "z"):
            raise ValueError(f"{name}: got {axis!r}, accepted are 'y' and 'z'")
    if points.ndim < 1 or points.shape[-1] not in (3, 6):
        raise ValueError(f"points: got shape {points.shape}, accepted is (..., 3) or (..., 6)")
    if source == target:
        return points
    signs = np.array((1, 1, 1) if mirror else _SIGNS[source, target], dtype=points.dtype)
    triples = points.reshape(*points.shape[:-1], -1, 3)
    return (triples[..., [0, 2, 1]] * signs).reshape(points.shape)
