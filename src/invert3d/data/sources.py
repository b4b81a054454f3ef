"""The data sets that are read: where to get them, where they lie on this machine, and if they are whole."""

import difflib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from invert3d.data.files import BadFile, bad_file, in_folder, reading
from invert3d.data.frames import FILES, all_frames, kitti_folder
from invert3d.data.frames import WHERE as KITTI_WHERE
from invert3d.data.modelnet import detect_layout
from invert3d.data.modelnet_folders import MODELNET10, MODELNET40, WHERE, class_list, datasets
from invert3d.data.voxels import VOXELS_FILE, VOXELS_WHERE


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set: its name, what it is, where to get it, its size and license, the layout that is read, the
    environment variable that says where it lies, the names of its folder, and its shapes in (train, test)."""

    name: str
    what: str
    where: str
    size: str
    layout: str
    license: str = "ModelNet: research use, the shapes belong to their authors"
    variable: str = ""
    folders: tuple[str, ...] = ()
    shapes: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One result of `check`: what is present, missing or wrong, in words, and the shapes of each class."""

    status: Literal["present", "missing", "wrong"]
    text: str
    counts: Mapping[str, int] = field(default_factory=dict)


_SOURCES: tuple[Source, ...] = (
    Source(
        name="modelnet10-off",
        what="ModelNet10: 4,899 CAD meshes of 10 classes of furniture, each class aligned",
        where=WHERE["off"],
        size="0.5 GB as a zip file",
        layout="ModelNet10/<class>/<train|test>/<class>_0001.off",
        variable="INVERT3D_MODELNET10",
        folders=("ModelNet10", "modelnet10"),
        shapes=(3991, 908),
    ),
    Source(
        name="modelnet40-off",
        what="ModelNet40: 12,311 CAD meshes of 40 classes",
        where=WHERE["off"],
        size="2 GB as a zip file",
        layout="ModelNet40/<class>/<train|test>/<class>_0001.off",
        variable="INVERT3D_MODELNET40",
        folders=("ModelNet40", "modelnet40"),
        shapes=(9843, 2468),
    ),
    Source(
        name="modelnet40-hdf5",
        what="ModelNet40 as clouds of 2,048 points, as PointNet and DGCNN take it",
        where=WHERE["hdf5"],
        size="0.4 GB as a zip file",
        layout="modelnet40_ply_hdf5_2048/ply_data_train0.h5, ..., ply_data_test0.h5, ..., shape_names.txt",
        variable="INVERT3D_MODELNET40",
        folders=("modelnet40_ply_hdf5_2048",),
        shapes=(9840, 2468),
    ),
    Source(
        name="modelnet40-text",
        what="ModelNet40 as clouds of 10,000 points with normals, as PointNet++ takes it",
        where=WHERE["text"],
        size="1.7 GB as a zip file",
        layout="modelnet40_normal_resampled/modelnet40_{shape_names,train,test}.txt, <class>/*_0001.txt",
        variable="INVERT3D_MODELNET40",
        folders=("modelnet40_normal_resampled",),
        shapes=(9843, 2468),
    ),
    Source(
        name="modelnet10-voxels",
        what="ModelNet10 as solid grids of 30 x 30 x 30 voxels",
        where=VOXELS_WHERE,
        license=f"no license file; {Source.license}",
        size="2 MB",
        layout=f"{VOXELS_FILE} with X_train, y_train, X_test, y_test",
        variable="INVERT3D_MODELNET10",
        folders=("modelnet10_voxels",),
        shapes=(3991, 908),
    ),
    Source(
        name="kitti",
        what="KITTI object detection: 7,481 labeled street scenes with image, camera and LiDAR scan",
        where=KITTI_WHERE,
        license="CC BY-NC-SA 3.0: not for commercial use, share alike",
        size="41 GB with LiDAR, 12 GB without, as zip files",
        layout="training/{image_2/000000.png, label_2/000000.txt, calib/000000.txt, velodyne/000000.bin}",
        variable="INVERT3D_KITTI",
        folders=("kitti", "KITTI", "kitti/object"),
    ),
    Source(
        name="shapes",
        what="procedural shapes of twenty classes, as many as you ask for",
        where="built in: invert3d.data.worlds.shapes makes them from a seed",
        license="Apache-2.0, as invert3d",
        size="nothing to download",
        layout="make_clouds(categories, per_class, points, seed)",
    ),
)


def list_sources() -> tuple[Source, ...]:
    """Every data set that invert3d can read; `shapes` is built in and always there."""
    return _SOURCES


def find_source(name: str) -> Source:
    """The source of that name. ValueError, naming the nearest ones, if there is none."""
    known = {source.name: source for source in _SOURCES}
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4) or tuple(known)
        raise ValueError(f"source: got {name!r}, nearest are {', '.join(near)}")
    return known[name]


def places(name: str, root: str | Path | None = None) -> tuple[tuple[str, Path], ...]:
    """Where `locate` looks for a source, in order, each with the reason in words.

    A given `root` is the only place. Otherwise: the source's own environment variable, INVERT3D_DATA,
    INVERT3D_REAL, `../shared/real` beside the checkout, and `~/.cache/invert3d`.
    ValueError if no source has that name.
    """
    source = find_source(name)
    if root is not None:
        return (("the given folder", Path(root).expanduser()),)
    named = (source.variable, "INVERT3D_DATA", "INVERT3D_REAL")
    found = [(key, Path(os.environ[key]).expanduser()) for key in named if key and os.environ.get(key)]
    found += [("beside the checkout", checkout.parent / "shared" / "real") for checkout in _checkouts()]
    return (*found, ("the user's cache", Path.home() / ".cache" / "invert3d"))


def locate(name: str, root: str | Path | None = None) -> Path | None:
    """The folder (for `modelnet10-voxels` the file) of a source, ready for its reader; None if absent.

    In each of `places` the place itself is tried, then its sub-folders with the source's usual names. The
    place of `shapes` is the folder of the code that makes them.
    ValueError if no source has that name.
    """
    source = find_source(name)
    if name == "shapes":
        return Path(__file__).parent / "worlds"
    for _, place in places(name, root):
        for folder in (place, *(place / sub for sub in source.folders)):
            if found := _recognize(name, folder):
                return found
    return None


def check(name: str, root: str | Path | None = None) -> list[Finding]:
    """What is present and what is missing of a source, with the number of shapes of each class in each split.

    Shapes are counted, not read, so a damaged one shows only when it is read.
    ValueError if no source has that name.
    """
    source = find_source(name)
    where = locate(name, root)
    if where is None:
        looked = "; ".join(f"{place} ({reason})" for reason, place in places(name, root))
        hint = f"where to get it: {source.where}; then give its folder or set {source.variable}"
        return [Finding(status="missing", text=f"{name}: not in {looked}; expected {source.layout}; {hint}")]
    findings = [Finding(status="present", text=f"{name}: {where}")]
    if name == "kitti":
        return findings + _check_kitti(where)
    if source.shapes is None:
        return findings
    for split, expected in zip(("train", "test"), source.shapes, strict=True):
        try:
            counts = _COUNTERS[name](where, split)
        except BadFile as error:
            findings.append(Finding(status="wrong", text=f"{split}: {error}"))
        else:
            findings.append(_compare(name, split, expected, counts))
    return findings


def _compare(name: str, split: str, expected: int, found: Mapping[str, int]) -> Finding:
    classes = MODELNET10 if name.startswith("modelnet10") else MODELNET40
    counts = {label: found.get(label, 0) for label in classes}
    absent = [label for label, count in counts.items() if not count]
    total, have = sum(counts.values()), len(classes) - len(absent)
    text = f"{split}: {total:,} of {expected:,} shapes, {have} of {len(classes)} classes"
    if absent:
        text += f"; none of {', '.join(absent)}"
    if total < expected or absent:
        return Finding(status="missing", text=text, counts=counts)
    return Finding(status="present" if total == expected else "wrong", text=text, counts=counts)


def _check_kitti(root: Path) -> list[Finding]:
    """How many of the frames have each of the files."""
    try:
        base = kitti_folder(root)
        frames = all_frames(base)
    except ValueError as error:
        return [Finding(status="missing", text=str(error))]
    findings = []
    for folder, (suffix, download) in FILES.items():
        there = {path.stem for path in (base / folder).glob(f"*{suffix}")}
        absent = [frame for frame in frames if frame not in there]
        text = f"{folder}: {len(frames) - len(absent):,} of {len(frames):,} frames"
        text += f"; not {', '.join(absent[:3])}{', ...' * (len(absent) > 3)} ({download})" if absent else ""
        findings.append(Finding(status="missing" if absent else "present", text=text))
    return findings


def _checkouts() -> list[Path]:
    """The nearest folder with a pyproject.toml above the current folder, and above this file."""
    found: list[Path] = []
    for start in (Path.cwd() / "here", Path(__file__).resolve()):
        root = next((folder for folder in start.parents if (folder / "pyproject.toml").is_file()), None)
        if root is not None and root not in found:
            found.append(root)
    return found


def _recognize(name: str, folder: Path) -> Path | None:
    if name == "modelnet10-voxels":
        with in_folder(folder) as place:
            file = place / VOXELS_FILE if place.is_dir() else place
            return file if file.is_file() and file.suffix == ".npz" else None
    try:
        if name == "kitti":
            kitti_folder(folder)
            return folder
        layout = detect_layout(folder)
    except ValueError:
        return None
    if layout == "off":
        forty = any((folder / label).is_dir() for label in MODELNET40 if label not in MODELNET10)
        return folder if name == ("modelnet40-off" if forty else "modelnet10-off") else None
    return folder if layout == name.rpartition("-")[2] else None


def _count_off(root: Path, split: str) -> dict[str, int]:
    return {label: sum(1 for _ in (root / label / split).glob("*.off")) for label in MODELNET40}


def _count_hdf5(root: Path, split: str) -> dict[str, int]:
    names = class_list(root / "shape_names.txt")
    counts = np.zeros(len(names), dtype=np.int64)
    for path in sorted(root.glob(f"ply_data_{split}*.h5")):
        with datasets(path) as parts:
            if "label" not in parts:
                raise bad_file(path, f"found {', '.join(parts) or 'nothing'}, expected label (M, 1)")
            counts += np.bincount(np.asarray(parts["label"][()]).reshape(-1), minlength=len(names))[: len(names)]
    return dict(zip(names, counts.tolist(), strict=True))


def _count_text(root: Path, split: str) -> dict[str, int]:
    known = class_list(root / "modelnet40_shape_names.txt")
    there = {(label, path.stem) for label in known for path in (root / label).glob("*.txt")}
    listed = [(shape.rpartition("_")[0], shape) for shape in class_list(root / f"modelnet40_{split}.txt")]
    return Counter(label for label, shape in listed if (label, shape) in there)


def _count_voxels(file: Path, split: str) -> dict[str, int]:
    with reading(file, f"y_{split} of 0 to 9") as place, np.load(place) as arrays:
        counts = np.bincount(arrays[f"y_{split}"].reshape(-1), minlength=len(MODELNET10))
    return dict(zip(MODELNET10, counts.tolist(), strict=True))


_COUNTERS: dict[str, Callable[[Path, str], dict[str, int]]] = {
    "modelnet10-off": _count_off,
    "modelnet40-off": _count_off,
    "modelnet40-hdf5": _count_hdf5,
    "modelnet40-text": _count_text,
    "modelnet10-voxels": _count_voxels,
}
