"""The street world as a job of one unit a frame: into memory, to train and measure on, or as a folder in KITTI's form.

A finished run folder of ``make_streets`` is a KITTI folder, too: ``training/image_2``, ``label_2``, ``calib`` and, if
asked for, ``velodyne`` and ``depth_2``; ``ImageSets``, the last tenth as val; ``instances.json``, COCO with masks.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from invert3d.data.worlds.coco_files import annotations_of, write_coco
from invert3d.data.worlds.street_files import write_frame, write_lists
from invert3d.data.worlds.streets import KINDS, Frame, check_size, make_frame
from invert3d.jobs.execute import execute
from invert3d.jobs.job import Job, Made, Unit
from invert3d.jobs.options import RunOptions
from invert3d.ops.layouts import Layout
from invert3d.training.frames import Frames
from invert3d.training.worlds import AT_ONCE, MakePictures, linked, made_in_memory


def streets_job(
    count: int,
    height: int,
    width: int,
    keep: Callable[[str, Frame], Made],
    *,
    clutter: bool = False,
    scan: bool = False,
    depth: bool = False,
) -> Job:
    """The job of making the first ``count`` frames of a seed. Raises ValueError for none, or too small pictures."""
    check_size(height, width)
    scene = {"height": height, "width": width, "clutter": clutter, "scan": scan}
    return Job(
        kind="streets",
        units=tuple(Unit(name=f"{i:06d}") for i in range(count)),
        worker=MakePictures(make=make_frame, scene=scene, keep=keep),
        settings={**scene, "depth": depth},
        capacity=AT_ONCE,
        label=f"making {count} streets",
    )


def as_arrays(name: str, frame: Frame) -> Made:
    """The picture (H, W, 3) and the layout of a frame, exactly."""
    layout = {field: value for field, value in vars(frame.layout).items() if isinstance(value, Tensor)}
    return Made(facts={"kinds": frame.layout.kinds}, arrays={"image": torch.from_numpy(frame.image), **layout})


def as_files(name: str, frame: Frame, *, scan: bool, depth: bool) -> Made:
    """A frame as files in KITTI's form, and its COCO annotations."""
    with tempfile.TemporaryDirectory() as place:
        write_frame(Path(place), name, frame, scan=scan, depth=depth)
        files = {str(path.relative_to(place)): path.read_bytes() for path in Path(place).rglob("*.*")}
    return Made(
        facts={"annotations": annotations_of(frame.instances, frame.layout.kinds, KINDS, int(name))}, files=files
    )


def street_frames(
    count: int, height: int, width: int, *, seed: int = 0, clutter: bool = False, options: RunOptions = RunOptions()
) -> Frames:
    """The first ``count`` frames of the street world of a seed, made by the workers of ``options``, through a temporary
    folder (90 KB a frame of 96 x 320).

    Raises KeyboardInterrupt after Ctrl-C.
    """
    job = streets_job(count, height, width, as_arrays, clutter=clutter)
    images, layouts = torch.empty(count, 3, height, width, dtype=torch.uint8), []
    for i, made in enumerate(made_in_memory(job, options, seed, "streets")):
        arrays = dict(made.arrays)
        images[i] = arrays.pop("image").permute(2, 0, 1)
        layouts.append(Layout(kinds=tuple(made.facts["kinds"]), height=height, width=width, **arrays))
    kind = "cluttered streets" if clutter else "streets"
    source = f"procedural {kind}, seed {seed}, {height} x {width}"
    return Frames(images, tuple(layouts), tuple(unit.name for unit in job.units), source, "Apache-2.0")


def make_streets(
    count: int,
    options: RunOptions,
    *,
    height: int,
    width: int,
    clutter: bool = False,
    scan: bool = False,
    depth: bool = False,
) -> Path:
    """Write frames in KITTI's object layout into the run folder, and return it.

    Args:
        count, height, width, clutter: see ``make_frame``.
        options: where and how.
        scan: also LiDAR scans, velodyne/*.bin.
        depth: also depth_2/*.png, 16 bits, 1/256 m, 0 for the sky.

    Raises:
        ValueError: a picture smaller than 16 x 32, no frame, or a folder that cannot be written.
        KeyboardInterrupt: after Ctrl-C; what is done is in the folder.
    """
    keep = partial(as_files, scan=scan, depth=depth)
    job = streets_job(count, height, width, keep, clutter=clutter, scan=scan, depth=depth)
    outcome = execute(job, options).whole()
    names, found = linked(outcome)
    write_coco(outcome.path / "instances.json", dict(enumerate(names)), found, (height, width), KINDS)
    write_lists(outcome.path, names)
    return outcome.path
