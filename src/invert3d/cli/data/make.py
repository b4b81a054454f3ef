"""``invert3d data make``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from invert3d.cli.options import Count, Names, Seed, Streets, Workers, split_names
from invert3d.cli.train.centernet3d import parsed_size


@dataclass(frozen=True, kw_only=True)
class ShapeOptions:
    """Which shapes are made.

    Attributes
    ----------
    per_class
        Shapes of each class.
    points
        Points a cloud.
    form
        points, voxels or meshes.
    classes
        Class names, comma separated, or all.
    """

    per_class: Count = 10
    points: Count = 2048
    form: Literal["points", "voxels", "meshes"] = "points"
    classes: Names = "all"


@dataclass(frozen=True, kw_only=True)
class StreetOptions:
    """Which streets are made.

    Attributes
    ----------
    frames
        Streets to make; the last tenth is held out.
    jobs
        Processes that make streets.
    scan
        Write LiDAR scans of the streets, too.
    depth
        Write depth of the streets, too.
    clutter
        Streets full of cars: jams and car parks.
    """

    frames: Streets = 100
    jobs: Workers = 1
    scan: bool = False
    depth: bool = False
    clutter: bool = False


def data_make(
    world: Literal["shapes", "streets"],
    out: Path,
    *,
    seed: Seed = 0,
    size: str | None = None,
    overwrite: bool = False,
    shapes: Annotated[ShapeOptions, Parameter(name="*")] = ShapeOptions(),
    streets: Annotated[StreetOptions, Parameter(name="*")] = StreetOptions(),
) -> None:
    """Write procedural data: shapes as clouds, voxels or meshes; streets as photographs with labels, like KITTI's.

    Shapes become one .npz, meshes OFF files in ModelNet's folder layout, streets a folder in KITTI's layout.

    Parameters
    ----------
    world
        shapes or streets.
    out
        The .npz file, or the folder for meshes and streets.
    seed
        Fixes the data set.
    size
        Voxels along each side of a shape (32); height x width of a street's picture (384x1280).
    overwrite
        Replace what is there.
    """
    if world == "streets":
        make_streets(out, parsed_size(size or "384x1280"), seed, streets, overwrite)
    else:
        make_shapes(out, voxels_across(size or "32"), seed, shapes, overwrite)


def voxels_across(text: str) -> int:
    """The number of voxels from the text of --size."""
    if not text.isdecimal() or not 4 <= int(text) <= 512:
        raise ValueError(f"size: got {text!r}, accepted for shapes is a number of voxels from 4 to 512, e.g. 32")
    return int(text)


def make_streets(out: Path, size: tuple[int, int], seed: int, streets: StreetOptions, overwrite: bool) -> None:
    """Write streets in KITTI's layout, showing how far it is."""
    from invert3d.data.worlds.street_files import check_target
    from invert3d.data.worlds.streets import check_size, write_streets
    from invert3d.engine.progress import Meter

    check_size(*size)
    check_target(out, overwrite)
    meter = Meter("making streets", streets.frames)
    try:
        write_streets(
            out,
            streets.frames,
            height=size[0],
            width=size[1],
            seed=seed,
            jobs=streets.jobs,
            scan=streets.scan,
            depth=streets.depth,
            clutter=streets.clutter,
            overwrite=overwrite,
            report=meter.update,
        )
    finally:
        meter.stop()
    print(f"{streets.frames} streets of {size[0]} x {size[1]} pixels in {out}")


def make_shapes(out: Path, size: int, seed: int, shapes: ShapeOptions, overwrite: bool) -> None:
    """Write shapes of all classes, or of those named."""
    from invert3d.data.worlds.shape_files import write_shapes
    from invert3d.data.worlds.shapes import CATEGORIES
    from invert3d.registry import unknown

    names = CATEGORIES if shapes.classes == "all" else tuple(split_names(shapes.classes) or ())
    for name in names:
        if name not in CATEGORIES:
            raise ValueError(unknown("class", name, CATEGORIES))
    size = shapes.points if shapes.form == "points" else size
    write_shapes(out, names, shapes.per_class, seed, form=shapes.form, size=size, overwrite=overwrite)
    print(f"{len(names) * shapes.per_class} shapes of {len(names)} classes in {out}")
