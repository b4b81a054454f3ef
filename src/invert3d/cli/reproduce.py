"""``invert3d reproduce``."""

from pathlib import Path

from invert3d.cli.show import print_table


def reproduce(
    figure: str, *, model: str = "pointnet2_ssg-shapes", out: Path | None = None, seed: int = 0,
    steps: int | None = None,
    device: str = "cpu",
) -> None:  # fmt: skip
    """Make a figure of a paper and a table that puts its observations into numbers.

    Parameters
    ----------
    figure
        inverting3d/fig4 or inverting3d/fig5.
    model
        Bundled weights.
    out
        The folder; by default runs/FIGURE.
    seed
        Fixes everything.
    steps
        Steps of the published recipe, instead of 1,000.
    device
        cpu, cuda, ...
    """
    from invert3d.registry import unknown
    from invert3d.study import reproduce as study

    if figure not in study.FIGURES:
        raise ValueError(unknown("figure", figure, study.FIGURES))
    folder = out or Path("runs") / figure.replace("/", "-")
    table = study.reproduce(figure, folder, model=model, seed=seed, steps=steps, device=device)
    print_table(table["title"], table["columns"], table["rows"], table["note"])
    print(f"open {folder / 'index.html'}")
