"""Voxel grids: ModelNet10 at 30 voxels a side, and points on the surface of a grid.

A grid is indexed [x, y, z], z up; voxel (i, j, k) fills the cube from (i, j, k) to (i + 1, j + 1, k + 1).

The ModelNet10 file keeps the frame of the OFF meshes, in which a chair, toilet or bed has its back at +y, but
a desk, dresser, monitor, night stand or sofa has it at +x, and a table is long along y. After a quarter turn of
these six all face -y, like the shapes of `invert3d.data.worlds`; each correlates best with the mean procedural
shape of its class that way. A few single shapes are stored back to front.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from invert3d.data.arrays import read_arrays
from invert3d.data.clouds import check_counts, normalize_unit_sphere
from invert3d.data.files import bad_file, reading
from invert3d.data.modelnet_folders import MODELNET10

Facing = Literal["front", "stored"]

VOXELS_FILE = "modelnet10_voxels30.npz"
VOXELS_WHERE = "the VoxNet-Google-Colab project (amitregmi) has it; or voxelize the ModelNet10 meshes yourself"
TURNED = ("desk", "dresser", "monitor", "night_stand", "sofa", "table")


@dataclass(frozen=True, kw_only=True, eq=False)
class VoxelSplits:
    """ModelNet10 in its two splits, as grids (M, n, n, n) uint8 of 0 and 1, or as clouds (M, points, 3) float32.

    The labels are (M,) int64 positions in `names`. `repeats` are the positions in `test` of shapes whose grid
    equals a training grid bit for bit: leave them out of an honest accuracy.
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    names: tuple[str, ...]
    repeats: np.ndarray

    @property
    def fresh(self) -> np.ndarray:
        """The positions in `test` of the shapes that repeat no training shape."""
        return np.setdiff1d(np.arange(len(self.test)), self.repeats)


def read_modelnet10_grids(path: str | Path, *, facing: Facing = "front") -> VoxelSplits:
    """ModelNet10 as grids, without the empty ones, and with the test grids that repeat a training grid named.

    Args:
        path: the `.npz` file, or the folder that holds `modelnet10_voxels30.npz`.
        facing: "front" turns every class to face -y, as procedural shapes do; "stored" keeps the frame of
            ModelNet, which classifiers trained on ModelNet expect.

    Raises:
        ValueError: the file is not there, lacks an array, or an array has another shape or other values.
    """
    if facing not in ("front", "stored"):
        raise ValueError(f"facing: got {facing!r}, accepted are 'front' and 'stored'")
    (train, train_labels), (test, test_labels) = _load_arrays(Path(path).expanduser())
    known = set(_packed(train))
    repeats = np.array([row for row, bits in enumerate(_packed(test)) if bits in known], dtype=np.int64)
    if facing == "front":
        train, test = _turn(train, train_labels), _turn(test, test_labels)
    return VoxelSplits(
        train=train, train_labels=train_labels, test=test, test_labels=test_labels, names=MODELNET10, repeats=repeats
    )


def read_modelnet10_voxels(
    path: str | Path, *, points: int = 1024, seed: int = 0, smooth: float = 0.0, facing: Facing = "front"
) -> VoxelSplits:
    """`read_modelnet10_grids` as clouds of `surface_points`, each drawn from a stream of its own. Raises as they do."""
    check_counts(points=points)
    grids = read_modelnet10_grids(path, facing=facing)

    def cloud(split: int, row: int, grid: np.ndarray) -> np.ndarray:
        return surface_points(grid, points, np.random.default_rng([seed, split, row]), smooth=smooth)

    train, test = ([cloud(k, *each) for each in enumerate(part)] for k, part in enumerate((grids.train, grids.test)))
    return replace(grids, train=np.stack(train), test=np.stack(test))


def as_stored(grid: np.ndarray, name: str) -> np.ndarray:
    """A grid (n, n, n) of a class, whose front faces -y, in the frame in which ModelNet stores the class."""
    return np.rot90(grid, -1) if name in TURNED else grid


def refaced(clouds: np.ndarray, names: Sequence[str], facing: Facing, to: Facing) -> np.ndarray:
    """Clouds (M, P, 3), z up, of the classes ``names`` (M,) that face ``facing``, turned so that they face ``to``."""
    quarter = (to == "stored") - (facing == "stored")  # from x to y: -1, none, or back
    turned = clouds[..., [1, 0, 2]] * np.array([quarter, -quarter, 1], clouds.dtype)
    return np.where(np.isin(names, TURNED)[:, None, None], turned, clouds) if quarter else clouds


def padded(grids: np.ndarray, size: int) -> np.ndarray:
    """Grids (..., n, n, n) in the middle of empty ones (..., size, size, size); where size - n is odd, nearer to 0.

    Raises:
        ValueError: the grids are larger than that, or not cubes.
    """
    side = grids.shape[-1]
    if grids.shape[-3:] != (side, side, side) or side > size:
        raise ValueError(f"grids: got {grids.shape[-3:]}, accepted are cubes of at most {size} a side")
    return np.pad(grids, [(0, 0)] * (grids.ndim - 3) + [((size - side) // 2, (size - side + 1) // 2)] * 3)


def surface_points(grid: np.ndarray, points: int, rng: np.random.Generator, *, smooth: float = 0.0) -> np.ndarray:
    """Points drawn on the exposed faces of the filled voxels of a grid, normalized to the unit sphere.

    A face is drawn uniformly, then a place on it. Before that every corner of a face may move toward the mean
    center of the faces that meet in it, which makes slopes of staircases and rounds edges. (A PointNet that
    was trained on meshes does not need it: of 400 ModelNet10 shapes it is right on 83.0 % with `smooth` 0, on
    82.5 % with 0.5, on 81.5 % with 1.)

    Args:
        grid: (X, Y, Z), filled where > 0.5. The outside counts as empty.
        points, rng: how many to draw, and what draws them.
        smooth: how far the corners move, from 0 (exact voxel faces) to 1 (all the way, which halves the width
            of bars one voxel thick).

    Returns:
        (points, 3) float32 in the axes of the grid.

    Raises:
        ValueError: the grid has not three dimensions or no filled voxel, or a number is out of range.
    """
    check_counts(points=points)
    if not 0 <= smooth <= 1:
        raise ValueError(f"smooth: got {smooth}, accepted is 0 to 1")
    solid = np.asarray(grid) > 0.5
    if solid.ndim != 3 or not solid.any():
        found = f"shape {solid.shape} with {int(solid.sum())} filled voxels"
        raise ValueError(f"grid: got {found}, accepted is (X, Y, Z) with at least 1")
    faces = _exposed_faces(solid)
    drawn = rng.integers(len(faces), size=points)
    corners = _smoothed(faces, solid.shape, smooth)[drawn]
    u, v = rng.random((2, points, 1))
    a, b, c, d = corners.swapaxes(0, 1)
    return normalize_unit_sphere((1 - u) * ((1 - v) * a + v * b) + u * ((1 - v) * c + v * d))


def _exposed_faces(solid: np.ndarray) -> np.ndarray:
    """(F, 4, 3) int64 lattice corners, in order 00 01 10 11, of the faces between filled and empty voxels."""
    padded = np.pad(solid, 1)
    faces = []
    for axis in range(3):
        inner = tuple(slice(None) if k == axis else slice(1, -1) for k in range(3))
        slab = np.moveaxis(padded[inner], axis, 0)
        plane, i, j = np.nonzero(slab[1:] != slab[:-1])
        face = np.empty((len(plane), 4, 3), dtype=np.int64)
        first, second = (k for k in range(3) if k != axis)
        face[..., axis] = plane[:, None]
        face[..., first] = i[:, None] + (0, 0, 1, 1)
        face[..., second] = j[:, None] + (0, 1, 0, 1)
        faces.append(face)
    return np.concatenate(faces)


def _smoothed(faces: np.ndarray, shape: tuple[int, ...], amount: float) -> np.ndarray:
    """Faces whose corners moved by a share toward the mean center of the faces that meet in them."""
    centers = faces.mean(axis=1)
    corner = np.ravel_multi_index(tuple(faces.reshape(-1, 3).T), tuple(side + 1 for side in shape))
    meeting = np.bincount(corner)
    pull = [np.bincount(corner, np.repeat(centers[:, k], 4)) / np.maximum(meeting, 1) for k in range(3)]
    means = np.stack(pull, axis=-1)[corner].reshape(faces.shape)
    return (1 - amount) * faces + amount * means


def _load_arrays(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Grids that are not empty and their labels, of train and of test."""
    file = path / VOXELS_FILE if path.is_dir() else path
    expected = f"X_train, X_test (M, n, n, n) of 0 and 1 and y_train, y_test (M,) of 0 to 9; {VOXELS_WHERE}"
    splits = []
    with reading(file, expected):
        arrays = read_arrays(file, expected)
        for split in ("train", "test"):
            if lacks := ", ".join({f"X_{split}", f"y_{split}"} - set(arrays)):
                raise bad_file(file, f"found no {lacks}, expected {expected}")
            grids, labels = arrays[f"X_{split}"], arrays[f"y_{split}"].reshape(-1)
            side = grids.shape[-1] if grids.ndim == 4 else 0
            if grids.shape != (len(labels), side, side, side) or not grids.size:
                raise bad_file(file, f"found X_{split} {grids.shape}, y_{split} {labels.shape}, expected {expected}")
            bits = grids.astype(np.uint8)
            if bits.max() > 1 or (bits != grids).any() or not np.isin(labels, range(10)).all():
                found = f"values {grids.min()} to {grids.max()}, labels {np.unique(labels)[:12]}"
                raise bad_file(file, f"found {found}, expected {expected}")
            filled = bits.any(axis=(1, 2, 3))
            splits.append((bits[filled], labels[filled].astype(np.int64)))
    return splits


def _packed(grids: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(grids.reshape(len(grids), -1), axis=1)]


def _turn(grids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    turned, rows = grids.copy(), np.isin(labels, [MODELNET10.index(name) for name in TURNED])
    turned[rows] = np.rot90(grids[rows], axes=(1, 2))
    return turned
