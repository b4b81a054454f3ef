"""Invert person, car, airplane and chair, score them, and write a page."""

from pathlib import Path

from invert3d.cli.options import Device, ModelOptions, NewFolder, Run, Seed

CLASSES = ("person", "car", "airplane", "chair")


def demo(
    *,
    out: NewFolder | None = None,
    model: str = "pointnet2_ssg-shapes",
    seed: Seed = 0,
    device: Device = "cpu",
    resume: bool = False,
) -> None:
    """Invert person, car, airplane and chair, score them with other networks, and write a page to open.

    Args:
        out: The run folder, by default runs/demo; an existing one is replaced.
        model: Bundled weights.
        seed: Fixes everything.
        resume: Continue an interrupted demo.
    """
    from invert3d.cli.invert.classes import invert_classes
    from invert3d.engine.progress import Meter
    from invert3d.study.classes.report import write_film

    run = Run(out=out or Path("runs/demo"), seed=seed, resume=resume, overwrite=not resume)
    invert_classes(*CLASSES, model=model, run=run, opening=ModelOptions(device=device))
    with Meter("drawing the film"):
        film = write_film(run.folder())
    print(f"and {film}, a film of it")
