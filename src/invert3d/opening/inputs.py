"""Reading what a network takes: clouds, grids or images, from files or from the procedural shapes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invert3d.data.clouds import normalize_unit_sphere, read_points
from invert3d.data.grids import read_grid
from invert3d.data.voxels import Facing, as_stored, refaced
from invert3d.data.worlds.samples import WORLDS, picture
from invert3d.data.worlds.shapes import make_clouds, make_grids
from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.opening.options import Up
from invert3d.ops.names import checked_name
from invert3d.ops.seeds import NAMED_SHAPES


def read_inputs(
    files: Sequence[str | Path], space: Space, *, up: Up = "z", seed: int = NAMED_SHAPES, facing: Facing = "front"
) -> dict[str, Tensor]:
    """The inputs (*space.shape) in files, by name; ``shapes:airplane`` is a procedural shape, whose front faces -y, or
    as ModelNet stores its class (see ``Network.facing``); ``terraces:0`` is a picture (``worlds.samples``).

    Clouds go to the unit sphere; meshes become clouds or grids; images are resized. Files of equal names are numbered.

    Raises:
        ValueError: a file cannot be read as what the space holds, its name is no plain one (``ops.names``), or nothing
            is named. The message names the file.
    """
    if not files:
        raise ValueError("name at least one file, or shapes:airplane for a procedural shape")
    by_name = names_of(files)
    return {name: read_input(file, space, up=up, seed=seed, facing=facing) for name, file in by_name.items()}


def read_pictures(files: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """The pictures (H, W, 3) uint8 in files, by name; files of equal names are numbered.

    Raises ValueError for a file that is no picture, a name that is no plain one (``ops.names``), or no file.
    """
    from invert3d.data.images import read_image

    if not files:
        raise ValueError("name at least one picture")
    return {name: read_image(file) for name, file in names_of(files).items()}


def names_of(files: Sequence[str | Path]) -> dict[str, str]:
    """The files by name, files of equal names numbered. Raises ValueError for a name that is no plain one."""
    found: dict[str, str] = {}
    for file in files:
        stem = Path(file).stem.removeprefix("shapes:")
        world, _, number = stem.partition(":")
        plain = name = checked_name(f"{world}-{number}" if world in WORLDS and number else stem, str(file))
        number = 1
        while name in found:
            name, number = f"{plain}-{number}", number + 1
        found[name] = str(file)
    return found


def true_classes(files: Sequence[str | Path], names: Sequence[str]) -> dict[str, str]:
    """The class that inputs are of, by their ``names`` from ``read_inputs`` of the ``files``: of ``shapes:airplane``
    airplane, of files nothing."""
    both = zip(map(str, files), names, strict=True)
    return {name: file.removeprefix("shapes:") for file, name in both if file.startswith("shapes:")}


def read_input(file: str, space: Space, *, up: Up, seed: int, facing: Facing) -> Tensor:
    """One input (*space.shape), see ``read_inputs``; a procedural shape is 24 voxels long, or as many as there are."""
    kind, _, shape = file.partition(":")
    made = shape if kind == "shapes" and shape else None
    if isinstance(space, Points):
        if made:
            cloud = refaced(make_clouds([made], 1, space.points, seed=seed)[0], [made], "front", facing)[0]
        else:
            cloud = normalize_unit_sphere(read_points(file, space.points, up=up))
        return torch.from_numpy(cloud)
    if isinstance(space, Voxels):
        if made:
            grid = make_grids([made], 1, space.size, seed, min(24, space.size))[0][0]
            grid = as_stored(grid, made) if facing == "stored" else grid
        else:
            grid = read_grid(file, space.size, up=up)
        return torch.from_numpy(grid.astype(np.float32))[None]
    if isinstance(space, Image) and kind in WORLDS and shape:
        return pictured(kind, shape, space)
    if isinstance(space, Image) and made is None:
        return image(Path(file), space)
    worlds = ", ".join(f"{name}:NUMBER" for name in WORLDS)
    raise ValueError(f"{file}: a network of {type(space).__name__.lower()}s takes image files, or {worlds}")


def pictured(world: str, number: str, space: Image) -> Tensor:
    """A held-out picture (3, height, width) of a procedural world. Raises ValueError for what is no number."""
    if not number.isdecimal() or space.height != space.width:
        raise ValueError(f"{world}:{number}: give a number, as in {world}:0, for a network of square pictures")
    return torch.from_numpy(picture(world, int(number), space.height)).permute(2, 0, 1).float() / 255


def image(path: Path, space: Image) -> Tensor:
    """An RGB image (3, height, width) in [0, 1]."""
    from PIL.Image import Resampling

    from invert3d.data.images import opened_image

    with opened_image(path) as file:
        picture = file.convert("RGB").resize((space.width, space.height), Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
