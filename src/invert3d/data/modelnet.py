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

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from invert3d.data.clouds import Up, check_counts, normalize_unit_sphere, to_up
from invert3d.data.files import bad_file, in_folder
from invert3d.data.modelnet_folders import (
    LAYOUTS,
    MODELNET10,
    MODELNET40,
    READERS,
    WHERE,
    Layout,
    Request,
    Split,
    wrong_folder,
)


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

    Returns:
        clouds (M, points, 3 or 6) float32, class by class except from HDF5, which keeps its own order;
        labels (M,) int64; the class names.

    Raises:
        ValueError: an argument is out of range, or the folder is not what it should be; the message says what
            was found, what was expected and where to get it.
    """
    names = _class_names(classes)
    for name, given, accepted in (("split", split, ("train", "test")), ("up", up, ("y", "z"))):
        if given not in accepted:
            raise ValueError(f"{name}: got {given!r}, accepted are {accepted[0]!r} and {accepted[1]!r}")
    check_counts(points=points, limit=limit)
    request = Request(split=split, points=points, normals=normals, names=names, seed=seed, limit=limit)
    folder = Path(root).expanduser()
    layout = detect_layout(folder)
    clouds, labels = READERS[layout](folder, request)
    if layout != "off":
        clouds = np.concatenate([normalize_unit_sphere(clouds[..., :3]), clouds[..., 3:]], axis=-1)
    return to_up(clouds, "z" if layout == "off" else "y", up, mirror=True), labels, names


def detect_layout(root: str | Path) -> Layout:
    """Which ModelNet layout a folder holds: "off", "hdf5" or "text".

    Raises:
        ValueError: it is no folder, or holds none of the three.
    """
    with in_folder(root) as folder:
        if not folder.is_dir():
            found = "a file" if folder.exists() else "nothing there"
        elif next(folder.glob("ply_data_t*.h5"), None):
            return "hdf5"
        elif next(folder.glob("modelnet[14]0_*.txt"), None):
            return "text"
        elif next(folder.glob("*/t[re]*/*.off"), None):
            return "off"
        elif next(folder.glob("*/*_0001.txt"), None):
            raise wrong_folder("text", folder, "shapes but no modelnet40_*.txt lists")
        else:
            entries = sorted(path.name for path in folder.iterdir())
            shown = f"{', '.join(entries[:6])}{', ...' if len(entries) > 6 else ''}"
            found = f"a folder with {shown}" if entries else "an empty folder"
    accepted = "; or ".join(f"{LAYOUTS[kind]} ({WHERE[kind]})" for kind in LAYOUTS)
    raise bad_file(folder, f"found {found}, expected a ModelNet layout: {accepted}")


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
