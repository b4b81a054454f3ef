"""``invert3d invert``."""

import sys
from pathlib import Path
from typing import Literal

from invert3d.cli.show import print_scores, split_names
from invert3d.methods.recipes import load_recipe
from invert3d.study.classes.job import invert
from invert3d.study.classes.report import write_report
from invert3d.study.networks import open_network


def invert_class(
    *classes: str,
    model: str = "pointnet2_ssg-shapes",
    out: Path | None = None,
    recipe: str = "ours",
    repeats: int = 1,
    seed: int = 0,
    points: int | None = None,
    steps: int | None = None,
    starts: int | None = None,
    judge: str | None = None,
    checkpoint: Path | None = None,
    points_layout: Literal["bn3", "b3n"] = "bn3",
    up: Literal["z", "y"] | None = None,
    class_names: str | None = None,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> None:
    """Invert classes of a frozen point-cloud classifier into a run folder with a page to open.

    Parameters
    ----------
    classes
        Class names, or all.
    model
        Bundled weights (see invert3d models), package.module:factory, or an architecture with --checkpoint.
    out
        The run folder; by default runs/RECIPE-MODEL.
    recipe
        ours, published, another built-in one (see invert3d recipes), or a TOML file.
    repeats
        Shapes of each class.
    seed
        Fixes everything.
    points
        Points a cloud, instead of the recipe's.
    steps
        Steps in all, instead of the recipe's.
    starts
        Starts of each shape, instead of the recipe's.
    judge
        Which network keeps the good starts: none, own, or bundled weights.
    checkpoint
        Weights for the model: .pth, .pt, .t7 or .safetensors.
    points_layout
        What the model takes: bn3 is (B, N, 3), b3n is (B, 3, N).
    up
        The axis that points up in the model's training data.
    class_names
        The model's classes, comma separated, or a file with one a line.
    device
        cpu, cuda, cuda:1, ...
    resume
        Go on from an interrupted run folder.
    overwrite
        Replace the run folder.
    progress
        Show a progress bar.
    """
    chosen = load_recipe(recipe)
    network = open_network(
        model,
        checkpoint=checkpoint,
        layout=points_layout,
        up=up,
        classes=split_names(class_names),
        points=points or chosen.points,
        device=device,
    )
    folder = out or Path("runs") / f"{chosen.name}-{network.name.split(':')[-1].replace(' ', '-')}"
    result = invert(
        network,
        list(classes),
        recipe=chosen,
        out=folder,
        repeats=repeats,
        seed=seed,
        points=points,
        steps=steps,
        starts=starts,
        judge=judge,
        checkpoint=checkpoint,
        layout=points_layout,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
    scores = write_report(folder, network, result)
    print_scores(scores)
    if result.interrupted:
        print(f"interrupted; go on with the same command and --resume (folder {folder})", file=sys.stderr)
        sys.exit(130)
    print(f"open {folder / 'index.html'}")
