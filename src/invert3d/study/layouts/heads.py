"""Which head needs which cue? Layouts inverted for some heads of a detector only, and what all heads then read.

Section 4.3 and figure 5 of *Inverting and Understanding Object Detectors* (Cao & Johnson 2021), for any detector that
says what its heads read (``HeadReader``). Pictures of other layouts are the control: what the heads read in them at the
same places is chance.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe, short_heads
from invert3d.models.detectors import Detector, HeadReader
from invert3d.ops.layouts import Layout
from invert3d.study.layouts.files import BoxesRun
from invert3d.study.layouts.job import AT_ONCE, asked_of, device_of, frozen, layouts_job, run_of
from invert3d.study.layouts.scenes import Scenes
from invert3d.study.layouts.sheets import run_sheet

#: what is asked of a center heatmap network, row by row
CENTER_SUBSETS = (
    ("hm",),
    ("hm", "dep"),
    ("hm", "rot"),
    ("hm", "dim"),
    ("hm", "reg", "wh"),
    ("dep", "rot", "dim", "wh", "reg"),
    ("hm", "dep", "rot", "dim", "wh", "reg"),
)
REAL, OTHER = "(the pictures themselves)", "(pictures of other layouts)"


def usual_subsets(heads: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    """Which heads to ask together: all subsets of classes, boxes and masks, and all heads that are trained."""
    trained = [name for name, weight in heads.items() if weight]
    if {*CENTER_SUBSETS[-1]} <= {*trained}:
        return CENTER_SUBSETS
    short = short_heads(trained)
    told = [name for name in short if name in ("cls", "reg", "mask")] or trained
    subsets = [each for size in range(1, len(told) + 1) for each in combinations(told, size)]
    rest = [name for name in trained if not any(name in each for each in short.values())]
    return tuple(dict.fromkeys([*subsets, (*short, *rest)]))


def head_reader(detector: Detector) -> HeadReader:
    """The detector, once it is seen to say what its heads read. Raises ValueError if it does not."""
    if not isinstance(detector, HeadReader):
        raise ValueError(f"{type(detector).__name__} does not say what its heads read: it has no method read_heads")
    return detector


@torch.no_grad()
def read_heads_at(detector: HeadReader, pictures: Tensor, layouts: Sequence[Layout]) -> dict[str, Tensor]:
    """What each head says of the asked objects in pictures (A, 3, h, w): (A, N) by name, NaN where nothing is asked."""
    device, parts = device_of(detector), []
    targets = {name: value.to(device) for name, value in detector.targets(layouts).items()}
    with frozen(detector):
        for i in range(0, len(pictures), AT_ONCE):
            chunk = {name: value[i : i + AT_ONCE] for name, value in targets.items()}
            parts.append(detector.read_heads(detector.raw(pictures[i : i + AT_ONCE].to(device)), chunk))
    return {name: torch.cat([part[name].float().cpu() for part in parts]) for name in parts[0]}


def head_table(
    detector: HeadReader,
    scenes: Scenes,
    options: RunOptions,
    *,
    recipe: str,
    subsets: Sequence[tuple[str, ...]],
    model: str = "a detector",
    bf16: bool = False,
    steps: int | None = None,
) -> tuple[list[dict[str, Any]], dict[str, BoxesRun]]:
    """One row for each subset of heads that is asked, and, where there are real pictures, one for these and one for the
    control: medians over the objects. And the runs by what was asked.

    Raises:
        ValueError: an unknown head.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    sources = {
        " ".join(heads): asked_of(
            detector,
            scenes.layouts,
            scenes.names,
            layout_recipe(recipe, detector, heads=heads, steps=steps),
            model=model,
        )
        for heads in subsets
    }
    outcome = execute(layouts_job(sources, bf16), options).whole()
    runs = {key: run_of(outcome, asked, scenes.originals, key) for key, asked in sources.items()}
    pictures = {key: run.pictures for key, run in runs.items()}
    if (real := scenes.real()) is not None:
        pictures |= {REAL: real} | ({OTHER: real.roll(1, 0)} if len(real) > 1 else {})
    rows = []
    for key, each in pictures.items():
        read = read_heads_at(detector, each, runs[next(iter(runs))].asked)
        rows.append({"asked": key, **{name: round(float(value.nanmedian()), 3) for name, value in read.items()}})
    return rows, runs


def draw_heads(path: Path, detector: HeadReader, runs: Mapping[str, BoxesRun], title: str) -> Path:
    """The first layouts, inverted for each subset of heads: a row of the sheet each, with what is read below."""

    def caption(_: str, run: BoxesRun, i: int) -> str:
        read = read_heads_at(detector, run.pictures[i : i + 1], run.asked[i : i + 1])
        return ", ".join(f"{name} {float(value.nanmedian()):.2f}" for name, value in read.items())

    return run_sheet(
        path,
        {key.replace(" ", " + "): run for key, run in runs.items()},
        caption,
        title=title,
        note="Rows: the heads that are asked. White: the requested boxes. Color: what is detected. Below: medians of "
        "what the heads read at the requested objects.",
    )
