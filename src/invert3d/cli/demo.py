"""``invert3d demo``: the main job in one command."""

from pathlib import Path

CLASSES = ("person", "car", "airplane", "chair")


def demo(
    *, out: Path = Path("runs/demo"), model: str = "pointnet2_ssg-shapes", seed: int = 0, device: str = "cpu"
) -> None:
    """Invert person, car, airplane and chair, let other networks say what they see, and write a page to open.

    Parameters
    ----------
    out
        The run folder; replaced if it is there.
    model
        Bundled weights.
    seed
        Fixes everything.
    device
        cpu, cuda, ...
    """
    from invert3d.cli.invert import invert_class

    invert_class(
        *CLASSES, model=model, out=out, recipe="ours", seed=seed, device=device, overwrite=(out / "run.json").is_file()
    )
