"""One occupancy grid from a file or a mesh.

A grid is (size, size, size) of 0 and 1, indexed [x, y, z], z up. Three conventions are in use, and a network trained
on one fails on another: 24 voxels along the longest side in a grid of 30 (Princeton's ModelNet files, Qi et al.), the
same in 32 (VoxNet), and 32 in 32 (VRN, binvox). Princeton's grids are solid; others hold the surface only.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from invert3d.data.arrays import read_arrays
from invert3d.data.clouds import to_up
from invert3d.data.files import bad_file, check_bytes, reading
from invert3d.data.meshes import MESHES, read_mesh
from invert3d.data.voxels import padded
from invert3d.registry import unknown

if TYPE_CHECKING:
    import trimesh

GRIDS = (".mat", ".binvox", ".npy", ".npz")


def voxelize(
    mesh: "trimesh.Trimesh", size: int = 32, across: int = 24, fill: Literal["solid", "surface"] = "solid"
) -> np.ndarray:
    """The grid of a mesh: the voxels its surface passes through and, if ``solid``, those from which no way leads out.

    This is how Princeton's grids come out of their meshes (of a bed and a toilet, 96 and 98 % of the voxels agree,
    intersection over union; counting crossings of rays agrees worse, the sheets of CAD meshes being doubled and open).
    A mesh with a hole wider than a voxel stays hollow.

    Args:
        mesh: in any length unit; its longest side spans ``across`` voxels, and it is centered.
        size, across: voxels a side, and along the longest side of the mesh.
        fill: ``solid`` or ``surface``.

    Returns:
        (size, size, size) uint8 of 0 and 1, indexed [x, y, z].

    Raises:
        ValueError: the object does not fit into the grid, or ``fill`` is unknown.
    """
    from scipy.ndimage import binary_fill_holes
    from trimesh.remesh import subdivide_to_size

    if not 1 <= across <= size:
        raise ValueError(f"across: got {across} in a grid of {size}, accepted is 1 to {size}")
    if fill not in ("solid", "surface"):
        raise ValueError(unknown("fill", fill, ("solid", "surface")))
    vertices = in_voxels(np.asarray(mesh.vertices), np.asarray(mesh.bounds), size, across)
    corners, faces = subdivide_to_size(vertices, np.asarray(mesh.faces), 0.6, max_iter=20)[:2]  # smaller than a voxel
    spots = np.concatenate([corners, corners[faces].mean(axis=1)])
    margin = (size - across) // 2
    grid = np.zeros((size, size, size), dtype=bool)
    grid[tuple(np.floor(spots).clip(margin, size - margin - 1).astype(np.int64).T)] = True
    return np.asarray(grid if fill == "surface" else binary_fill_holes(grid), np.uint8)


def in_voxels(points: np.ndarray, bounds: np.ndarray, size: int, across: int) -> np.ndarray:
    """Points (..., 3) of an object with these bounds (2, 3), centered in a grid and ``across`` voxels long."""
    pitch = max(float((bounds[1] - bounds[0]).max()), 1e-12) / across
    return (points - (bounds[0] + bounds[1]) / 2) / pitch * (1 - 1e-6) + size / 2


def read_grid(path: str | Path, size: int = 32, *, up: Literal["z", "y"] = "z") -> np.ndarray:
    """The grid in a file, in the middle of one of ``size`` voxels a side.

    Accepted are Princeton's .mat (``instance``), .binvox, .npy and .npz (one array (n, n, n), or (1, n, n, n); in .npz
    the one called ``grid``, or the only one that fits), and meshes .off .obj .stl .ply .glb, of which the longest side
    becomes 24 voxels long, and which are filled (``voxelize`` knows the other conventions).

    Args:
        path: the file.
        size: voxels a side of what comes out; a smaller grid gets an empty margin.
        up: the axis that points up in the file.

    Returns:
        (size, size, size) uint8 of 0 and 1.

    Raises:
        BadFile: it cannot be read, or holds no cubic grid of 0 and 1, an empty one, or one larger than ``size``.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (*GRIDS, *MESHES):
        raise bad_file(path, f"accepted are files ending in {', '.join((*GRIDS, *MESHES))}")
    if kind in MESHES:
        mesh = read_mesh(path)
        mesh.vertices = to_up(np.asarray(mesh.vertices), "y" if kind == ".glb" else up, "z")
        return voxelize(mesh, size, min(24, size))
    grid = _checked(read_binvox(path) if kind == ".binvox" else _array(path), path)
    grid = np.flip(grid.transpose(0, 2, 1), 1) if up == "y" else grid  # (x, y, z) with y up: depth runs toward -z
    if len(grid) > size:
        raise bad_file(path, f"found a grid of {len(grid)} voxels a side, the network takes {size}")
    return padded(grid, size)


def read_binvox(path: str | Path) -> np.ndarray:
    """The grid (X, Y, Z) uint8 of 0 and 1 in a binvox file, its y and z axes put in the order [x, y, z].

    Raises:
        BadFile: it is no binvox file, or its runs do not fill the grid that it announces.
    """
    from trimesh.exchange.binvox import parse_binvox
    from trimesh.voxel.runlength import rle_length

    with reading(path, "a binvox file: '#binvox 1', dim, translate, scale, data") as file:
        found = parse_binvox(io.BytesIO(file.read_bytes()))
        sides = [int(side) for side in found.shape]
        runs = found.rle_data[: len(found.rle_data) // 2 * 2]
        if len(sides) != 3 or min(sides) < 1:
            raise bad_file(file, f"found dim {sides}, accepted are three positive numbers")
        filled = int(rle_length(runs.astype(np.int64)))
        if filled != sides[0] * sides[1] * sides[2] or runs[::2].max() > 1:
            expected = f"{sides[0]} x {sides[1]} x {sides[2]} of 0 or 1"
            raise bad_file(file, f"found runs for {filled} voxels, expected {expected}")
        check_bytes(file, filled)
        return np.ascontiguousarray(np.repeat(runs[::2], runs[1::2]).reshape(sides).transpose(0, 2, 1))


def _array(path: Path) -> np.ndarray:
    """The array in a file of a grid."""
    arrays = read_arrays(path)
    fitting = [name for name, value in arrays.items() if value.ndim >= 3 and len(set(value.shape[-3:])) == 1]
    named = [name for name in ("instance", "grid") if name in fitting] or (fitting if len(fitting) == 1 else [])
    if not named:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in arrays.items())
        raise bad_file(path, f"found {shapes}; accepted is one grid (n, n, n), 'instance' or 'grid'")
    return arrays[named[0]]


def _checked(array: np.ndarray, path: Path) -> np.ndarray:
    """An array as a cubic uint8 grid of 0 and 1 that is not empty."""
    grid = array.reshape(array.shape[-3:]) if array.size == np.prod(array.shape[-3:]) else array
    if grid.ndim != 3 or len(set(grid.shape)) != 1:
        raise bad_file(path, f"found shape {array.shape}, accepted is one grid (n, n, n)")
    if not np.isin(grid, (0, 1)).all():
        low, high = float(np.min(grid)), float(np.max(grid))
        raise bad_file(path, f"found values {low:.3g} to {high:.3g}, accepted are 0 and 1 (threshold it first)")
    if not grid.any():
        raise bad_file(path, "found an empty grid, accepted is one with at least one filled voxel")
    return grid.astype(np.uint8)
