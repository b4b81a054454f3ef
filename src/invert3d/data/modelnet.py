"""Readers for ModelNet40 and ModelNet10 in the layouts people have: OFF folders, HDF5 files, text files.

Frames. ModelNet's OFF meshes stand z up. The HDF5 and text releases, and so the public checkpoints trained on
them, stand y up, and they swap the two axes: a mesh point (x, y, z) is stored as (x, z, y). That is a mirror
image, not a turn (seen on airplane_0001, and in what a checkpoint trained on the HDF5 files calls a sofa).
`read_modelnet` undoes or applies exactly that swap, so every layout gives the same shape for the same `up`.
`to_up` is the proper rotation unless it is asked for the mirror image.

Heading. Nothing here turns a shape round its vertical axis. In ModelNet10 a sofa, desk, dresser, monitor,
night stand or table has its back at +x, a chair, toilet or bed at +y (z up); `invert3d.data.voxels` knows
the turns. ModelNet40 is aligned only in part.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np

from invert3d.data.clouds import Up, normalize_unit_sphere, sample_cloud, to_up
from invert3d.data.meshes import read_off

Layout = Literal["off", "hdf5", "text"]
Split = Literal["train", "test"]

MODELNET40: tuple[str, ...] = (
    "airplane",
    "bathtub",
    "bed",
    "bench",
    "bookshelf",
    "bottle",
    "bowl",
    "car",
    "chair",
    "cone",
    "cup",
    "curtain",
    "desk",
    "door",
    "dresser",
    "flower_pot",
    "glass_box",
    "guitar",
    "keyboard",
    "lamp",
    "laptop",
    "mantel",
    "monitor",
    "night_stand",
    "person",
    "piano",
    "plant",
    "radio",
    "range_hood",
    "sink",
    "sofa",
    "stairs",
    "stool",
    "table",
    "tent",
    "toilet",
    "tv_stand",
    "vase",
    "wardrobe",
    "xbox",
)
MODELNET10: tuple[str, ...] = (
    "bathtub",
    "bed",
    "chair",
    "desk",
    "dresser",
    "monitor",
    "night_stand",
    "sofa",
    "table",
    "toilet",
)
WHERE: dict[str, str] = {
    "off": "ModelNet40.zip or ModelNet10.zip of the Princeton ModelNet page, modelnet.cs.princeton.edu",
    "hdf5": "modelnet40_ply_hdf5_2048.zip, linked by the PointNet project (charlesq34/pointnet)",
    "text": "modelnet40_normal_resampled.zip, linked by the PointNet++ project (charlesq34/pointnet2)",
}
_SHAPE: dict[str, str] = {
    "off": "<class>/<train|test>/*.off",
    "hdf5": "ply_data_train*.h5, ply_data_test*.h5 and shape_names.txt",
    "text": "modelnet40_shape_names.txt, modelnet40_<train|test>.txt, <class>/*_0001.txt of x,y,z,nx,ny,nz",
}


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What is asked of a layout's reader; `limit` is per class."""

    split: Split
    points: int
    normals: bool
    names: tuple[str, ...]
    seed: int
    limit: int | None


def read_modelnet(
    root: str | Path,
    split: Split = "train",
    *,
    points: int = 1024,
    normals: bool = False,
    classes: int | Sequence[str] = 40,
    seed: int = 0,
    limit: int | None = None,
    up: Up = "z",
    cache: str | Path | None = None,
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """ModelNet as point clouds in the unit sphere, whatever the layout of the folder.

    HDF5 and text shapes give their first `points` rows, as the public checkpoints take them; OFF meshes are
    sampled evenly over their surface, shape by shape from the seed, so no shape depends on the others read.

    Args:
        root: the folder that holds the layout (see `detect_layout`).
        split: "train" or "test", as the release divides it.
        points: points a cloud; at most 2,048 from HDF5 and 10,000 from text.
        normals: append the unit normals.
        classes: 40, 10, or the names to read; a label is the position in this list.
        seed: of the points drawn on OFF meshes; the other layouts draw nothing.
        limit: at most this many shapes a class, the first ones; all of them when absent.
        up: "z" for the frame of the OFF meshes, "y" for the frame of the HDF5 and text releases, which public
            checkpoints expect (see the module's text).
        cache: a `.npz` file that keeps the result. It is used again when the request is the same; delete it
            when the folder changes.

    Returns:
        clouds (M, points, 3 or 6) float32, class by class except from HDF5, which keeps its own order;
        labels (M,) int64; the class names.

    Raises:
        ValueError: an argument is out of range, or the folder is not what it should be; the message says what
            was found, what was expected and where to get it.
    """
    names = _class_names(classes)
    _check_request(split, points, limit, up)
    request = _Request(split=split, points=points, normals=normals, names=names, seed=seed, limit=limit)
    folder = Path(root).expanduser()
    layout = detect_layout(folder)
    key = json.dumps({"root": str(folder.resolve()), "layout": layout, "up": up, **asdict(request)})
    kept = None if cache is None else _load_cache(Path(cache), key)
    if kept is not None:
        return *kept, names
    clouds, labels = _READERS[layout](folder, request)
    if layout != "off":
        clouds = _normalize(clouds)
    clouds = to_up(clouds, "z" if layout == "off" else "y", up, mirror=True)
    if cache is not None:
        _save_cache(Path(cache), key, clouds, labels)
    return clouds, labels, names


def detect_layout(root: str | Path) -> Layout:
    """Which ModelNet layout a folder holds: "off", "hdf5" or "text".

    Raises:
        ValueError: it is no folder, or holds none of the three.
    """
    folder = Path(root).expanduser()
    if folder.is_dir():
        if next(folder.glob("ply_data_t*.h5"), None):
            return "hdf5"
        if next(folder.glob("modelnet[14]0_*.txt"), None):
            return "text"
        if next(folder.glob("*/t[re]*/*.off"), None):
            return "off"
        if next(folder.glob("*/*_0001.txt"), None):
            raise _wrong("text", folder, "shapes but no modelnet40_*.txt lists")
        entries = sorted(path.name for path in folder.iterdir())
        found = f"a folder with {', '.join(entries[:6])}{', ...' if len(entries) > 6 else ''}"
        found = found if entries else "an empty folder"
    else:
        found = "a file" if folder.exists() else "nothing there"
    accepted = "; or ".join(f"{_SHAPE[kind]} ({WHERE[kind]})" for kind in _SHAPE)
    raise ValueError(f"{folder}: found {found}, expected a ModelNet layout: {accepted}")


def class_list(path: str | Path) -> tuple[str, ...]:
    """The names in a text file, one a line, blank lines left out.

    Raises:
        ValueError: there is no such file.
    """
    file = Path(path)
    if not file.is_file():
        layout = "hdf5" if file.name == "shape_names.txt" else "text"
        raise _wrong(layout, file.parent, f"no {file.name}")
    return tuple(line.strip() for line in file.read_text().splitlines() if line.strip())


def _class_names(classes: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, int):
        if classes not in (10, 40):
            raise ValueError(f"classes: got {classes}, accepted are 40, 10 or a list of ModelNet40 names")
        return MODELNET40 if classes == 40 else MODELNET10
    names = (classes,) if isinstance(classes, str) else tuple(classes)
    for name in names:
        if name not in MODELNET40:
            near = difflib.get_close_matches(name, MODELNET40, n=3, cutoff=0.4) or MODELNET40
            raise ValueError(f"classes: got {name!r}, nearest of ModelNet40 are {', '.join(near)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"classes: got {names}, accepted is at least one name, none of them twice")
    return names


def _check_request(split: str, points: int, limit: int | None, up: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(f"split: got {split!r}, accepted are 'train' and 'test'")
    if points < 1:
        raise ValueError(f"points: got {points}, accepted is at least 1")
    if limit is not None and limit < 1:
        raise ValueError(f"limit: got {limit}, accepted is at least 1 shape a class, or None")
    if up not in ("y", "z"):
        raise ValueError(f"up: got {up!r}, accepted are 'y' and 'z'")


def _read_off_folder(root: Path, request: _Request) -> tuple[np.ndarray, np.ndarray]:
    files = [sorted((root / name / request.split).glob("*.off"))[: request.limit] for name in request.names]
    _check_complete("off", root, request, [len(paths) for paths in files])
    clouds = []
    for name, paths in zip(request.names, files, strict=True):
        for index, path in enumerate(paths):
            key = [request.seed, int(request.split == "test"), MODELNET40.index(name), index]
            rng = np.random.default_rng(np.random.SeedSequence(key))
            clouds.append(sample_cloud(read_off(path), request.points, rng, request.normals))
    return np.stack(clouds), _labels_of(files)


def _read_text_folder(root: Path, request: _Request) -> tuple[np.ndarray, np.ndarray]:
    narrow = set(request.names) <= set(MODELNET10) and next(root.glob("modelnet10_*.txt"), None)
    stem = "modelnet10" if narrow and not next(root.glob("modelnet40_*.txt"), None) else "modelnet40"
    known = class_list(root / f"{stem}_shape_names.txt")
    if not set(request.names) <= set(known):
        absent = sorted(set(request.names) - set(known))
        raise _wrong("text", root, f"{stem}_shape_names.txt without {', '.join(absent)}")
    shapes: dict[str, list[str]] = {name: [] for name in known}
    for shape in class_list(root / f"{stem}_{request.split}.txt"):
        shapes.setdefault(shape.rpartition("_")[0], []).append(shape)
    chosen = [shapes[name][: request.limit] for name in request.names]
    _check_complete("text", root, request, [len(found) for found in chosen])
    columns = 6 if request.normals else 3
    clouds = [
        _read_rows(root / name / f"{shape}.txt", request.points)[:, :columns]
        for name, found in zip(request.names, chosen, strict=True)
        for shape in found
    ]
    return np.stack(clouds), _labels_of(chosen)


def _read_rows(path: Path, points: int) -> np.ndarray:
    if not path.is_file():
        raise _wrong("text", path, "nothing there, though the list names it")
    try:
        rows = np.loadtxt(path, delimiter=",", dtype=np.float32, max_rows=points, ndmin=2)
    except ValueError as error:
        raise _wrong("text", path, f"rows that are not x,y,z,nx,ny,nz ({error})") from error
    if rows.shape != (points, 6) or not np.isfinite(rows).all():
        raise _wrong("text", path, f"{rows.shape} numbers where {(points, 6)} finite ones are needed")
    return rows


def _read_hdf5_folder(root: Path, request: _Request) -> tuple[np.ndarray, np.ndarray]:
    files = sorted(root.glob(f"ply_data_{request.split}*.h5"))
    if not files:
        raise _wrong("hdf5", root, f"no ply_data_{request.split}*.h5")
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


def _read_hdf5(path: Path, classes: int, request: _Request) -> tuple[np.ndarray, np.ndarray]:
    import h5py

    wanted = ("data", "normal") if request.normals else ("data",)
    try:
        with h5py.File(path, "r") as file:
            parts = {name: part for name, part in file.items() if isinstance(part, h5py.Dataset)}
            shapes = {name: part.shape for name, part in parts.items()}
            count, rows = (*shapes.get("data", ()), 0, 0)[:2]
            good = count and rows >= request.points and shapes.get("label") in ((count, 1), (count,))
            if not good or any(shapes.get(name) != (count, rows, 3) for name in wanted):
                need = " and ".join(f"{name} (M, N >= {request.points}, 3)" for name in wanted)
                raise _wrong("hdf5", path, f"datasets {shapes} where {need} and label (M, 1) are needed")
            cloud = np.concatenate([np.asarray(parts[name][:, : request.points]) for name in wanted], axis=-1)
            label = np.asarray(parts["label"][()]).reshape(-1).astype(np.int64)
    except OSError as error:
        raise _wrong("hdf5", path, f"no readable HDF5 file ({error})") from error
    if label.min() < 0 or label.max() >= classes:
        raise _wrong("hdf5", path, f"labels {label.min()} to {label.max()} with {classes} names")
    if not np.isfinite(cloud).all():
        raise _wrong("hdf5", path, "values that are not finite")
    return cloud.astype(np.float32), label


_READERS: dict[Layout, Callable[[Path, _Request], tuple[np.ndarray, np.ndarray]]] = {
    "off": _read_off_folder,
    "hdf5": _read_hdf5_folder,
    "text": _read_text_folder,
}


def _check_complete(layout: Layout, root: Path, request: _Request, counts: Sequence[int]) -> None:
    absent = [name for name, count in zip(request.names, counts, strict=True) if not count]
    if absent:
        found = f"no {request.split} shape of {len(absent)} of {len(counts)} classes, {', '.join(absent)}"
        raise _wrong(layout, root, f"{found} (to read a part, name its classes)")


def _labels_of(groups: Sequence[Sequence[object]]) -> np.ndarray:
    return np.repeat(np.arange(len(groups), dtype=np.int64), [len(group) for group in groups])


def _normalize(clouds: np.ndarray) -> np.ndarray:
    return np.concatenate([normalize_unit_sphere(clouds[..., :3]), clouds[..., 3:]], axis=-1)


def _load_cache(path: Path, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    if path.suffix != ".npz":
        raise ValueError(f"cache: got {path}, accepted is a path that ends in .npz")
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            return (kept["clouds"], kept["labels"]) if str(kept["key"]) == key else None
    except (KeyError, ValueError, OSError, BadZipFile) as error:
        raise ValueError(f"cache: found {path}, which read_modelnet did not write ({error}); move it") from error


def _save_cache(path: Path, key: str, clouds: np.ndarray, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.part.npz")
    np.savez(part, clouds=clouds, labels=labels, key=np.array(key))
    part.replace(path)


def _wrong(layout: Layout, path: Path, found: str) -> ValueError:
    return ValueError(f"{path}: found {found}; expected {_SHAPE[layout]}, from {WHERE[layout]}")
