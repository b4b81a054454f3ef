"""Binvox files as trimesh encodes them."""

from pathlib import Path

import numpy as np
from trimesh.exchange.binvox import binvox_bytes
from trimesh.voxel.runlength import dense_to_rle


def write_binvox(path: Path, grid: np.ndarray) -> None:
    """A file of a grid (X, Y, Z) of 0 and 1."""
    order = grid.transpose(0, 2, 1)
    path.write_bytes(binvox_bytes(dense_to_rle(order.ravel(), np.uint8), order.shape))
