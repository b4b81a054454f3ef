"""Arrays of numbers in NumPy, MATLAB and text files."""

import math
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from invert3d.data.files import bad_file, check_bytes, reading

ARRAYS = (".npy", ".npz", ".mat", ".txt", ".xyz")


def read_arrays(path: str | Path, expected: str = "arrays of numbers") -> dict[str, np.ndarray]:
    """The arrays of numbers in a file by name, all finite; the one of .npy and text files is called "array".

    Text files (.txt, .xyz) have a row a line, numbers parted by spaces or commas; lines that start with # or / are
    left out. Nothing is unpickled: object arrays are refused, in .mat files left out. Messages say what is expected.

    Raises:
        BadFile: the file cannot be read, has no array, one that is empty, or a number that is not finite.
    """
    kind = Path(path).suffix.lower()
    if kind not in ARRAYS:
        raise bad_file(path, f"accepted are files ending in {', '.join(ARRAYS)}")
    with reading(path, f"{expected} in a {kind} file") as file:
        found = {".npy": _npy, ".npz": _npz, ".mat": _mat}.get(kind, _text)(file)
        if not found:
            raise bad_file(file, f"found no array of numbers, expected {expected}")
        for name, array in found.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise bad_file(file, f"{name}: found NaN or infinity, accepted are finite numbers")
    return found


def _npy(file: Path) -> dict[str, np.ndarray]:
    lazy = np.lib.format.open_memmap(file, mode="r")  # refuses objects, and a shape larger than the file
    if lazy.dtype.kind not in "fiub":
        raise bad_file(file, f"found {lazy.dtype}, accepted are numbers")
    return {"array": np.array(lazy)}


def _npz(file: Path) -> dict[str, np.ndarray]:
    with ZipFile(file) as pack:
        check_bytes(file, sum(entry.file_size for entry in pack.infolist()))
    with np.load(file, allow_pickle=False) as arrays:
        return {name: array for name in arrays.files if (array := arrays[name]).dtype.kind in "fiubU"}


def _mat(file: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat, whosmat

    check_bytes(file, sum(8 * math.prod(shape) for _, shape, _ in whosmat(file, appendmat=False)))
    found = loadmat(file, appendmat=False).items()
    return {name: each for name, each in found if isinstance(each, np.ndarray) and each.dtype.kind in "fiub"}


def _text(file: Path) -> dict[str, np.ndarray]:
    lines = file.read_text("utf-8").replace(",", " ").splitlines()
    rows = [line.split() for line in lines if line.strip() and line[0] not in "#/"]
    if len({len(row) for row in rows}) != 1:
        raise bad_file(file, "accepted is one point a line, as many numbers in each, parted by spaces or commas")
    return {"array": np.array(rows, np.float64)}
