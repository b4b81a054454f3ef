"""The layouts in which people have ModelNet, read as they are stored; `invert3d.data.modelnet` makes them alike."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from invert3d.data.clouds import coincide, sample_cloud
from invert3d.data.files import BadFile, bad_file, check_bytes, reading
from invert3d.data.meshes import read_mesh
from invert3d.ops.names import checked_name

if TYPE_CHECKING:
    import h5py

Layout = Literal["off", "hdf5", "text"]
Split = Literal["train", "test"]

_FORTY = """
    airplane bathtub bed bench bookshelf bottle bowl car chair cone cup curtain desk door dresser flower_pot glass_box
    guitar keyboard lamp laptop mantel monitor night_stand person piano plant radio range_hood sink sofa stairs stool
    table tent toilet tv_stand vase wardrobe xbox
"""
_TEN = "bathtub bed chair desk dresser monitor night_stand sofa table toilet"
MODELNET40: tuple[str, ...] = tuple(_FORTY.split())
MODELNET10: tuple[str, ...] = tuple(_TEN.split())
WHERE: dict[str, str] = {
    "off": "ModelNet40.zip or ModelNet10.zip of the Princeton ModelNet page, modelnet.cs.princeton.edu",
    "hdf5": "modelnet40_ply_hdf5_2048.zip, linked by the PointNet project (charlesq34/pointnet)",
    "text": "modelnet40_normal_resampled.zip, linked by the PointNet++ project (charlesq34/pointnet2)",
}
LAYOUTS: dict[str, str] = {
    "off": "<class>/<train|test>/*.off",
    "hdf5": "ply_data_train*.h5, ply_data_test*.h5 and shape_names.txt",
    "text": "modelnet40_shape_names.txt, modelnet40_<train|test>.txt, <class>/*_0001.txt of x,y,z,nx,ny,nz",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of the reader of a layout; `limit` is per class."""

    split: Split
    points: int
    normals: bool
    names: tuple[str, ...]
    seed: int
    limit: int | None


def class_list(path: str | Path) -> tuple[str, ...]:
    """The names in a text file, one a line, blank lines left out.

    Raises:
        BadFile: the file cannot be read or has no name, or one that could lead out of a folder.
    """
    with reading(path, "a list of names, one a line") as file:
        names = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
        if not names:
            raise bad_file(file, "found no name, expected one a line")
        return tuple(checked_name(name, f"line {row}") for row, name in enumerate(names, 1))


def _read_off_folder(root: Path, request: Request) -> tuple[np.ndarray, np.ndarray]:
    files = [sorted((root / name / request.split).glob("*.off"))[: request.limit] for name in request.names]

    def cloud(path: Path, name: str, index: int) -> np.ndarray:
        rng = np.random.default_rng([request.seed, request.split == "test", MODELNET40.index(name), index])
        return sample_cloud(read_mesh(path), request.points, rng, request.normals)

    return _read_each("off", root, request, files, cloud)


def _read_each(
    layout: Layout, root: Path, request: Request, files: list[list[Path]], read: Callable[[Path, str, int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """A cloud of each file, class by class, and its label."""
    counts = [len(paths) for paths in files]
    _check_complete(layout, root, request, counts)
    groups = zip(request.names, files, strict=True)
    clouds = [read(path, name, index) for name, paths in groups for index, path in enumerate(paths)]
    return np.stack(clouds), np.repeat(np.arange(len(files), dtype=np.int64), counts)


def _read_text_folder(root: Path, request: Request) -> tuple[np.ndarray, np.ndarray]:
    narrow = set(request.names) <= set(MODELNET10) and next(root.glob("modelnet10_*.txt"), None)
    stem = "modelnet10" if narrow and not next(root.glob("modelnet40_*.txt"), None) else "modelnet40"
    known = class_list(root / f"{stem}_shape_names.txt")
    if not set(request.names) <= set(known):
        absent = sorted(set(request.names) - set(known))
        raise wrong_folder("text", root, f"{stem}_shape_names.txt without {', '.join(absent)}")
    shapes: dict[str, list[Path]] = {name: [] for name in known}
    for shape in class_list(root / f"{stem}_{request.split}.txt"):
        name = shape.rpartition("_")[0]
        shapes.setdefault(name, []).append(root / name / f"{shape}.txt")
    files = [shapes[name][: request.limit] for name in request.names]
    columns = 6 if request.normals else 3
    return _read_each("text", root, request, files, lambda path, *_: _read_rows(path, request.points)[:, :columns])


def _read_rows(path: Path, points: int) -> np.ndarray:
    with reading(path, "rows of x,y,z,nx,ny,nz") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32, max_rows=points, ndmin=2)
        if rows.shape != (points, 6) or not np.isfinite(rows).all():
            raise bad_file(file, f"found {rows.shape} numbers where {(points, 6)} finite ones are needed")
        _check_extent(file, rows[:, :3])
    return rows


def _check_extent(file: Path, clouds: np.ndarray) -> None:
    if coincide(clouds):
        raise bad_file(file, "found a cloud whose points all coincide, accepted is one with an extent")


def _read_hdf5_folder(root: Path, request: Request) -> tuple[np.ndarray, np.ndarray]:
    files = sorted(root.glob(f"ply_data_{request.split}*.h5"))
    if not files:
        raise wrong_folder("hdf5", root, f"no ply_data_{request.split}*.h5")
    known = class_list(root / "shape_names.txt")
    place = {name: label for label, name in enumerate(request.names)}
    relabel = np.array([place.get(name, -1) for name in known])
    clouds, labels, counts = [], [], np.zeros(len(request.names), dtype=np.int64)
    for path in files:
        cloud, stored = _read_hdf5(path, len(known), request)
        label = relabel[stored]
        keep = label >= 0
        if request.limit is not None:
            for wanted, have in enumerate(counts):
                keep[np.flatnonzero(label == wanted)[max(0, request.limit - have) :]] = False
        counts += np.bincount(label[keep], minlength=len(counts))
        clouds.append(cloud[keep])
        labels.append(label[keep])
    _check_complete("hdf5", root, request, counts.tolist())
    return np.concatenate(clouds), np.concatenate(labels).astype(np.int64)


def _read_hdf5(path: Path, classes: int, request: Request) -> tuple[np.ndarray, np.ndarray]:
    wanted = ("data", "normal") if request.normals else ("data",)
    with datasets(path) as parts:
        shapes = {name: part.shape for name, part in parts.items()}
        count, rows = (*shapes.get("data", ()), 0, 0)[:2]
        good = count and rows >= request.points and shapes.get("label") in ((count, 1), (count,))
        if not good or any(shapes.get(name) != (count, rows, 3) for name in wanted):
            need = " and ".join(f"{name} (M, N >= {request.points}, 3)" for name in wanted)
            raise bad_file(path, f"found datasets {shapes} where {need} and label (M, 1) are needed")
        cloud = np.concatenate([np.asarray(parts[name][:, : request.points]) for name in wanted], axis=-1)
        label = np.asarray(parts["label"][()]).reshape(-1).astype(np.int64)
        if label.min() < 0 or label.max() >= classes:
            raise bad_file(path, f"found labels {label.min()} to {label.max()} with {classes} names")
        if not np.isfinite(cloud).all():
            raise bad_file(path, "found values that are not finite")
        _check_extent(path, cloud[..., :3])
    return cloud.astype(np.float32), label


@contextmanager
def datasets(path: Path) -> Iterator[dict[str, "h5py.Dataset"]]:
    """The datasets at the root of an HDF5 file, those left out whose numbers are in other files.

    Raises:
        BadFile: the file cannot be read, or the datasets are too large; so does what goes wrong in the block.
    """
    import h5py

    with reading(path, "a whole HDF5 file") as place, h5py.File(place, "r") as file:
        names = [str(name) for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        parts = {name: part for name in names if isinstance(part := file[name], h5py.Dataset)}
        found = {name: part for name, part in parts.items() if not part.external and not part.is_virtual}
        check_bytes(place, sum(part.nbytes for part in found.values()))
        yield found


READERS: dict[Layout, Callable[[Path, Request], tuple[np.ndarray, np.ndarray]]] = {
    "off": _read_off_folder,
    "hdf5": _read_hdf5_folder,
    "text": _read_text_folder,
}


def _check_complete(layout: Layout, root: Path, request: Request, counts: Sequence[int]) -> None:
    absent = [name for name, count in zip(request.names, counts, strict=True) if not count]
    if absent:
        found = f"no {request.split} shape of {len(absent)} of {len(counts)} classes, {', '.join(absent)}"
        raise wrong_folder(layout, root, f"{found} (to read a part, name its classes)")


def wrong_folder(layout: Layout, path: Path, found: str) -> BadFile:
    """The error for a folder or file that is not as the layout has it; it says where to get one that is."""
    return bad_file(path, f"found {found}; expected {LAYOUTS[layout]}, from {WHERE[layout]}")
