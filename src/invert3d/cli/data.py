"""``invert3d data``."""

from pathlib import Path
from typing import Literal

import numpy as np

from invert3d.cli.show import print_table


def list_data() -> None:
    """What data invert3d can read, and whether it is here."""
    from invert3d.data.sources import list_sources, locate

    rows = [[s.name, s.what, "here" if locate(s.name) else "–", s.license, s.size] for s in list_sources()]
    print_table("Data", ["name", "what", "found", "licence", "size"], rows)


def where(name: str) -> None:
    """Where to get a data set, what it costs, and where it is looked for.

    Parameters
    ----------
    name
        A name of invert3d data list.
    """
    from invert3d.data.sources import find_source, places

    source = find_source(name)
    print(f"{source.name}: {source.what}\nget it: {source.where}\nlicence: {source.license}\nsize: {source.size}")
    print(f"layout: {source.layout}\nlooked for in:")
    for label, path in places(name):
        print(f"  {label}: {path}{'' if path.exists() else ' (not there)'}")


def check(name: str, root: Path | None = None) -> None:
    """What is there of a data set, and what is missing.

    Parameters
    ----------
    name
        A name of invert3d data list.
    root
        Where it is; by default it is looked for.
    """
    from invert3d.data.sources import check as findings

    found = findings(name, root)
    for finding in found:
        print(f"{finding.status}: {finding.text}")
    if any(finding.status != "present" for finding in found):
        raise SystemExit(1)


def make(
    world: Literal["shapes", "streets"],
    out: Path,
    *,
    per_class: int = 10,
    points: int = 2048,
    seed: int = 0,
    form: Literal["points", "voxels", "meshes"] = "points",
    size: str | None = None,
    classes: str = "all",
    frames: int = 100,
    jobs: int = 1,
    scan: bool = False,
    depth: bool = False,
    clutter: bool = False,
    overwrite: bool = False,
) -> None:
    """Write procedural data: shapes as clouds, voxels or meshes; streets as photographs with labels, like KITTI's.

    Shapes become one .npz, meshes OFF files in ModelNet's folder layout, streets a folder in KITTI's layout.

    Parameters
    ----------
    world
        shapes or streets.
    out
        The .npz file, or the folder for meshes and streets.
    per_class
        Shapes of each class.
    points
        Points a cloud.
    seed
        Fixes the data set.
    form
        points, voxels or meshes.
    size
        Voxels along each side of a shape (32); height x width of a street's picture (384x1280).
    classes
        Class names, comma separated, or all.
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
    overwrite
        Replace what is there.
    """
    if world == "streets":
        return make_streets(out, frames, size or "384x1280", seed, jobs, scan, depth, clutter, overwrite)
    return make_shapes(out, per_class, points, seed, form, voxels_across(size or "32"), classes, overwrite)


def voxels_across(text: str) -> int:
    """The number of voxels from the text of --size."""
    if not text.isdecimal() or int(text) < 4:
        raise ValueError(f"size: got {text!r}, accepted for shapes is a number of voxels from 4, e.g. 32")
    return int(text)


def picture_size(text: str) -> tuple[int, int]:
    """Height and width from the text of --size."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise ValueError(f"size: got {text!r}, accepted for streets is height x width in pixels, e.g. 384x1280")
    return int(sides[0]), int(sides[1])


def make_streets(
    out: Path, frames: int, size: str, seed: int, jobs: int, scan: bool, depth: bool, clutter: bool, overwrite: bool
) -> None:
    """Write streets in KITTI's layout, showing how far it is."""
    from invert3d.data.worlds.street_files import clear_streets
    from invert3d.data.worlds.streets import check_size, write_streets
    from invert3d.engine.progress import Meter

    height, width = picture_size(size)
    check_size(height, width)
    if min(frames, jobs) < 1 or seed < 0:
        raise ValueError(f"frames and jobs must be at least 1, seed at least 0; got {frames}, {jobs} and {seed}")
    if out.is_file() or (out.exists() and any(out.iterdir())):
        if not overwrite:
            raise ValueError(f"{out} exists already: give --overwrite to replace it")
        clear_streets(out)
    meter = Meter("making streets", frames)
    try:
        write_streets(
            out,
            frames,
            height=height,
            width=width,
            seed=seed,
            jobs=jobs,
            scan=scan,
            depth=depth,
            clutter=clutter,
            report=meter.update,
        )
    finally:
        meter.stop()
    print(f"{frames} streets of {height} x {width} pixels in {out}")


def make_shapes(
    out: Path, per_class: int, points: int, seed: int, form: str, size: int, classes: str, overwrite: bool
) -> None:
    """Write shapes of all classes, or of those named, comma separated."""
    from invert3d.data.worlds.shapes import CATEGORIES, make_clouds
    from invert3d.registry import unknown

    names = CATEGORIES if classes == "all" else tuple(name.strip() for name in classes.split(","))
    for name in names:
        if name not in CATEGORIES:
            raise ValueError(unknown("class", name, CATEGORIES))
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, not {per_class}")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists already: give --overwrite to replace it")
    if form == "meshes":
        write_meshes(out, names, per_class, seed)
    elif form == "points":
        clouds, labels = make_clouds(names, per_class, points, seed)
        save_arrays(out, clouds=clouds, labels=labels, classes=np.array(names))
    else:
        grids = [voxels_of(name, i, seed, size) for name in names for i in range(per_class)]
        labels = np.repeat(np.arange(len(names)), per_class)
        save_arrays(out, voxels=np.stack(grids), labels=labels, classes=np.array(names))
    print(f"{len(names) * per_class} shapes of {len(names)} classes in {out}")


def save_arrays(out: Path, **arrays: np.ndarray) -> None:
    """Write a compressed .npz, making its folder."""
    if out.suffix != ".npz":
        raise ValueError(f"{out.name}: clouds and voxels are written to a name that ends in .npz")
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]


def shape_generator(name: str, number: int, seed: int) -> np.random.Generator:
    """The generator of one shape: the same whatever else is made."""
    from invert3d.data.worlds.shapes import CATEGORIES

    return np.random.default_rng(np.random.SeedSequence([seed, CATEGORIES.index(name), number]))


def voxels_of(name: str, number: int, seed: int, size: int) -> np.ndarray:
    """One shape as a solid grid (size, size, size)."""
    from invert3d.data.grids import voxelize
    from invert3d.data.worlds.shapes import make_mesh

    return voxelize(make_mesh(name, shape_generator(name, number, seed)), size, size - 2)


def write_meshes(out: Path, names: tuple[str, ...], per_class: int, seed: int) -> None:
    """OFF files in ModelNet's layout, a fifth of each class as the test split."""
    from invert3d.data.worlds.shapes import make_mesh

    for name in names:
        for number in range(per_class):
            split = "test" if number % 5 == 4 else "train"
            path = out / name / split / f"{name}_{number + 1:04d}.off"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(make_mesh(name, shape_generator(name, number, seed)).export(file_type="off")))
