"""Voxel grids as clouds of cubes, so that all that draws clouds draws them."""

import numpy as np

from invert3d.view.figures import Panel


def cubes(
    grid: np.ndarray, *, shown: np.ndarray | None = None, hollow: bool = False
) -> tuple[np.ndarray, float, np.ndarray]:
    """The filled voxels of a grid in the unit sphere, corners and all.

    Args:
        grid: (D, H, W), indexed [x, y, z]; its values are handed back, so it may hold attributions.
        shown: (D, H, W) bool, the voxels to draw; by default those that are not 0.
        hollow: leave out those that are hidden by others all around.

    Returns:
        Centers (N, 3), the edge length of a voxel, and the values (N,) of the grid there.

    Raises:
        ValueError: there is no such voxel, or the shapes differ.
    """
    drawn: np.ndarray = np.asarray(grid) != 0 if shown is None else np.asarray(shown)
    if drawn.shape != np.shape(grid) or drawn.ndim != 3:
        raise ValueError(f"grid: got {np.shape(grid)} and {drawn.shape} to show, accepted are two alike (D, H, W)")
    if not drawn.any():
        raise ValueError("grid: nothing in it is filled")
    if hollow:
        around = np.pad(drawn, 1)
        sides = [np.roll(around, step, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for step in (-1, 1)]
        drawn = drawn & ~np.logical_and.reduce(sides)
    places = np.argwhere(drawn)
    centers = places + 0.5 - np.array(drawn.shape) / 2
    middle = (centers.min(0) + centers.max(0)) / 2
    reach = float(np.linalg.norm(np.abs(centers - middle) + 0.5, axis=1).max())  # of the corners of the cubes
    return (centers - middle) / reach, 1 / reach, np.asarray(grid)[drawn]


def grid_panel(grid: np.ndarray) -> Panel | None:
    """The visible filled voxels of a grid (D, H, W), colored by height; None for an empty grid."""
    if not np.any(grid):
        return None
    places, edge, _ = cubes(grid, hollow=True)
    return Panel(cloud=places, cube=edge)
