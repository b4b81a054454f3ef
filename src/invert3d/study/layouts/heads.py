"""Which head needs which cue? Layouts inverted for some heads of a detector only, and what all heads then read."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.ops.boxes import wrapped
from invert3d.ops.centers import CenterCodec, alpha_of_bins, depth_of, gather_cells
from invert3d.ops.objects import Objects
from invert3d.study.layouts.files import pixels
from invert3d.study.layouts.job import BoxesRun, asked_of, layouts_job, run_of
from invert3d.study.layouts.score import sure
from invert3d.training.frames import Frames

#: what is asked, row by row
SUBSETS = (
    ("hm",),
    ("hm", "dep"),
    ("hm", "rot"),
    ("hm", "dim"),
    ("hm", "reg", "wh"),
    ("dep", "rot", "dim", "wh", "reg"),
    ("hm", "dep", "rot", "dim", "wh", "reg"),
)
COLUMNS = ("asked", "score", "depth error m", "yaw error deg", "size error m", "center error px")


@torch.no_grad()
def read_heads_at(detector: CenterNet3D, pictures: Tensor, target: dict[str, Tensor]) -> dict[str, float]:
    """Medians over the asked objects of what each head says in their cells: errors in the units people think in, and
    the score."""
    device = detector.mean.device
    heads = detector.raw(pictures.to(device))
    codec: CenterCodec = detector.codec
    size = tuple(heads["hm"].shape[-2:])
    objects = codec.assignable(Objects(**{name: value.to(device) for name, value in target.items()}), *size)
    cells = codec.cells(objects, *size)
    found = {name: gather_cells(maps, cells) for name, maps in heads.items()}
    kinds = objects.kinds.clamp_min(0)[..., None]
    gap = {
        "score": found["hm"].sigmoid().gather(-1, kinds)[..., 0],
        "depth error m": (depth_of(found["dep"][..., 0]) - objects.middles[..., 2]).abs(),
        "yaw error deg": wrapped(alpha_of_bins(found["rot"]) - objects.alphas).abs().rad2deg(),
        "size error m": (found["dim"] - objects.sizes).abs().mean(-1),
        "center error px": (cells + found["reg"] - codec.points(objects)).norm(dim=-1) * codec.stride,
    }
    return {
        name: float(value[objects.asked].median()) if objects.asked.any() else math.nan for name, value in gap.items()
    }


def head_table(
    detector: CenterNet3D,
    frames: Frames,
    options: RunOptions,
    *,
    subsets: Sequence[tuple[str, ...]] = SUBSETS,
    bf16: bool = False,
    steps: int | None = None,
) -> tuple[list[dict[str, Any]], list[BoxesRun]]:
    """One row for each subset of heads that is asked, and one for the frames' own pictures; and the runs.

    Raises KeyboardInterrupt after Ctrl-C; what was done is in the run folder.
    """
    target = detector.targets(frames.layouts)
    sources = {
        " ".join(heads): asked_of(
            detector, frames.layouts, frames.names, layout_recipe("ours", detector, heads=heads, steps=steps)
        )
        for heads in subsets
    }
    outcome = execute(layouts_job(sources, bf16), options).whole()
    runs = {key: run_of(outcome, asked, {}, key) for key, asked in sources.items()}
    pictures = {key: run.pictures for key, run in runs.items()} | {"(the streets themselves)": frames.pictures}
    rows = []
    for key, each in pictures.items():
        numbers = read_heads_at(detector, each, target)
        rows.append({"asked": key, **{name: round(value, 3) for name, value in numbers.items()}})
    return rows, list(runs.values())


def draw_heads(path: Path, runs: Sequence[BoxesRun], subsets: Sequence[tuple[str, ...]], frame: int = 0) -> Path:
    """One frame, inverted for each subset of heads, side by side."""
    from invert3d.view.boxfigures import strip

    images = [pixels(run.pictures[frame]) for run in runs]
    found = [sure(run.found[frame]) for run in runs]
    return strip(
        path,
        images,
        found,
        [" ".join(heads) for heads in subsets],
        truth=runs[0].asked[frame],
        columns=2,
        title="Which head needs which cue?",
        note="White: requested boxes. Color: detections.",
    )
