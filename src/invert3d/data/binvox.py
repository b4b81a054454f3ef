"""Voxel grids in binvox files."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invert3d.data.files import bad_file, check_bytes, reading, writing


@dataclass(frozen=True, kw_only=True, eq=False)
class Binvox:
    """A binvox file: `grid` (X, Y, Z) uint8 of 0 and 1; index i is at (i + 0.5) / X * scale + translate."""

    grid: np.ndarray
    translate: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0


def read_binvox(path: str | Path) -> Binvox:
    """A binvox file, its y and z axes put in the order [x, y, z].

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
        x, y, z = (float(value) for value in found.translate)
        if not np.isfinite([x, y, z, found.scale]).all():
            raise bad_file(file, "found a translate or scale that is not finite")
        grid = np.repeat(runs[::2], runs[1::2]).reshape(sides).transpose(0, 2, 1)
    return Binvox(grid=np.ascontiguousarray(grid), translate=(x, y, z), scale=float(found.scale))


def write_binvox(path: str | Path, voxels: Binvox) -> None:
    """Writes a binvox file that `read_binvox`, binvox and viewvox read back.

    Raises:
        ValueError: the grid is not (X, Y, Z) of 0 and 1, or the file cannot be written.
    """
    from trimesh.exchange.binvox import binvox_bytes

    grid = np.asarray(voxels.grid)
    if grid.ndim != 3 or not grid.size or not np.isin(grid, (0, 1)).all():
        found = f"shape {grid.shape} with values {np.unique(grid)[:5]}"
        raise ValueError(f"grid: got {found}, accepted is (X, Y, Z) of 0 and 1")
    order = grid.transpose(0, 2, 1)
    flat = order.reshape(-1).astype(np.uint8)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
    # a run ends after 255 voxels; trimesh's own encoder leaves runs of none behind those
    starts = np.concatenate([np.arange(a, b, 255) for a, b in zip(starts, [*starts[1:], len(flat)], strict=True)])
    runs = np.stack([flat[starts], np.diff(starts, append=len(flat))], axis=1).astype(np.uint8)
    with writing(path) as part:
        part.write_bytes(binvox_bytes(runs.ravel(), order.shape, voxels.translate, voxels.scale))  # type: ignore[arg-type]
