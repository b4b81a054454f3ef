"""Shapes of 20 classes as clouds, voxels or meshes."""

from pathlib import Path
from typing import Annotated, Literal

from invert3d.cli.options import Count, Names, Seed, between, split_names


def data_make_shapes(
    out: Path,
    *,
    form: Literal["points", "voxels", "meshes"] = "points",
    classes: Names = "all",
    per_class: Count = 10,
    points: Count = 2048,
    size: Annotated[int, between(4, 512)] = 32,
    seed: Seed = 0,
    overwrite: bool = False,
) -> None:
    """Write procedural shapes: clouds or voxels in one .npz, or meshes as OFF files in ModelNet's folder layout.

    Args:
        out: The .npz file, or the folder for meshes.
        form: points, voxels or meshes.
        classes: Class names, comma separated, or all.
        per_class: Shapes of each class.
        points: Points per cloud.
        size: Voxels along each side.
        seed: Fixes the data set.
        overwrite: Replace the existing file or folder.
    """
    from invert3d.data.worlds.shape_files import write_shapes
    from invert3d.data.worlds.shapes import CATEGORIES
    from invert3d.engine.progress import Meter
    from invert3d.registry import unknown

    names = CATEGORIES if classes == "all" else tuple(split_names(classes) or ())
    for name in names:
        if name not in CATEGORIES:
            raise ValueError(unknown("class", name, CATEGORIES))
    many = points if form == "points" else size
    with Meter(f"making {len(names) * per_class:,} shapes"):
        write_shapes(out, names, per_class, seed, form=form, size=many, overwrite=overwrite)
    print(f"{len(names) * per_class} shapes of {len(names)} classes in {out}")
