"""Procedural shapes as files: clouds and voxels in one .npz, meshes as OFF files in ModelNet's layout."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from invert3d.data.files import bad_file, in_folder, writing, writing_folder
from invert3d.data.worlds.shapes import make_clouds, make_grids, shape_mesh

#: a file of this name says that a folder was written by this module
MARK = "shapes.json"
Form = Literal["points", "voxels", "meshes"]


def write_shapes(
    out: Path,
    names: Sequence[str],
    per_class: int,
    seed: int,
    *,
    form: Form = "points",
    size: int = 2048,
    overwrite: bool = False,
) -> None:
    """Write shapes of each class; the file or folder takes its name once it is whole.

    Args:
        out: a name that ends in .npz (``clouds`` or ``voxels``, ``labels``, ``classes``), or the folder for meshes,
            of which every fifth is in the test split.
        names, per_class, seed: see ``make_clouds``.
        form: clouds, grids whose shapes leave a voxel free on each side, or meshes.
        size: points a cloud, or voxels a side.
        overwrite: replace what was written before.

    Raises:
        ValueError: ``out`` is there already, its name does not fit the form, the folder has data that invert3d did not
            make, what ``make_clouds`` refuses, or the system.
    """
    if form != "meshes" and out.suffix != ".npz":
        raise ValueError(f"{out.name}: clouds and voxels are written to a name that ends in .npz")
    with in_folder(out) as place:
        there, ours = place.exists(), place.is_file()
        if form == "meshes":
            ours = place.is_dir() and ((place / MARK).is_file() or not any(place.iterdir()))
    if there and not overwrite:
        raise ValueError(f"{out} exists already: give --overwrite to replace it")
    if there and not ours:
        raise bad_file(out, "has data already that invert3d did not make: give another place")
    if form == "meshes":
        _write_meshes(out, names, per_class, seed)
        return
    if form == "points":
        key, (shapes, labels) = "clouds", make_clouds(names, per_class, size, seed)
    else:
        key, (shapes, labels) = "voxels", make_grids(names, per_class, size, seed, size - 2)
    with writing(out) as part:
        np.savez_compressed(part, **{key: shapes, "labels": labels, "classes": np.array(names)})  # type: ignore[arg-type]


def _write_meshes(out: Path, names: Sequence[str], per_class: int, seed: int) -> None:
    with writing_folder(out) as folder:
        (folder / MARK).write_text(json.dumps({"seed": seed, "per_class": per_class, "classes": list(names)}) + "\n")
        for name in names:
            for number in range(per_class):
                place = folder / name / ("test" if number % 5 == 4 else "train")
                place.mkdir(parents=True, exist_ok=True)
                text = shape_mesh(name, number, seed).export(file_type="off")
                (place / f"{name}_{number + 1:04d}.off").write_text(str(text))
