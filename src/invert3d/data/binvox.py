"""Voxel grids in binvox files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Binvox:
    """A binvox file: `grid` (X, Y, Z) uint8 of 0 and 1; index i is at (i + 0.5) / X * scale + translate."""

    grid: np.ndarray
    translate: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0


def read_binvox(path: str | Path) -> Binvox:
    """A binvox file, its y and z axes put in the order [x, y, z].

    Raises:
        ValueError: it is no binvox file, or its runs do not fill the grid that it announces.
    """
    file = Path(path)
    header, mark, data = file.read_bytes().partition(b"data\n")
    lines = [line.split() for line in header.decode("latin-1").splitlines()]
    fields = {words[0]: words[1:] for words in lines if words}
    if "#binvox" not in fields or not mark:
        raise ValueError(f"{file}: found a file that starts with {header[:12]!r}, expected '#binvox 1'")
    try:
        depth, height, width = (int(value) for value in fields["dim"])
        x, y, z = (float(value) for value in fields.get("translate", ("0", "0", "0")))
        scale = float(fields.get("scale", ("1",))[0])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file}: found the header {fields}, expected dim, translate and scale") from error
    runs = np.frombuffer(data[: len(data) // 2 * 2], dtype=np.uint8).reshape(-1, 2)
    filled = int(runs[:, 1].sum(dtype=np.int64))
    if filled != depth * height * width or runs[:, 0].max(initial=0) > 1:
        expected = f"{depth} x {height} x {width} of 0 or 1"
        raise ValueError(f"{file}: found runs for {filled} voxels, expected {expected}")
    grid = np.repeat(runs[:, 0], runs[:, 1]).reshape(depth, height, width).transpose(0, 2, 1)
    return Binvox(grid=np.ascontiguousarray(grid), translate=(x, y, z), scale=scale)


def write_binvox(path: str | Path, voxels: Binvox) -> None:
    """Writes a binvox file that `read_binvox`, binvox and viewvox read back.

    Raises:
        ValueError: the grid is not (X, Y, Z) of 0 and 1.
    """
    grid = np.asarray(voxels.grid)
    if grid.ndim != 3 or not grid.size or not np.isin(grid, (0, 1)).all():
        found = f"shape {grid.shape} with values {np.unique(grid)[:5]}"
        raise ValueError(f"grid: got {found}, accepted is (X, Y, Z) of 0 and 1")
    order = grid.transpose(0, 2, 1)
    flat = order.reshape(-1).astype(np.uint8)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
    lengths = np.diff(starts, append=len(flat))
    pieces = -(-lengths // 255)
    count = np.full(pieces.sum(), 255, dtype=np.uint8)
    count[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * 255
    runs = np.stack([np.repeat(flat[starts], pieces), count], axis=1)
    size = " ".join(str(side) for side in order.shape)
    place = " ".join(f"{value:.9g}" for value in voxels.translate)
    header = f"#binvox 1\ndim {size}\ntranslate {place}\nscale {voxels.scale:.9g}\ndata\n"
    Path(path).write_bytes(header.encode("ascii") + runs.tobytes())
