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
    world: Literal["shapes"], out: Path, *, per_class: int = 10, points: int = 2048, seed: int = 0,
    form: Literal["points", "voxels", "meshes"] = "points", size: int = 32, classes: str = "all",
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Write procedural data: clouds or voxels as one .npz, meshes as OFF files in ModelNet's folder layout.

    Parameters
    ----------
    world
        shapes.
    out
        The .npz file, or the folder for meshes.
    per_class
        Shapes of each class.
    points
        Points a cloud.
    seed
        Fixes the data set.
    form
        points, voxels or meshes.
    size
        Voxels along each side.
    classes
        Class names, comma separated, or all.
    overwrite
        Replace what is there.
    """
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
