"""``invert3d reproduce``."""

from pathlib import Path

from invert3d.cli.show import print_table


def reproduce(
    figure: str,
    *,
    model: str | None = None,
    out: Path | None = None,
    seed: int = 0,
    steps: int | None = None,
    epochs: float = 1.0,
    device: str = "cpu",
) -> None:
    """Make a figure of a paper and a table that puts its observations into numbers.

    Parameters
    ----------
    figure
        inverting3d/fig1, fig2, fig3, fig4, fig5; saliency3d/fig2, fig3, fig4, fig5, fig6, table1.
    model
        Bundled weights; by default a network as in the figure.
    out
        The folder; by default runs/FIGURE.
    seed
        Fixes everything.
    steps
        Steps of the published recipe, instead of 1,000 (figures 4, 5) or 2,000 (1 to 3).
    epochs
        How long a pruned network is trained.
    device
        cpu, cuda, ...
    """
    from invert3d.registry import unknown
    from invert3d.study.papers import inverting3d as inverting
    from invert3d.study.papers import inverting3d_boxes as inverting_boxes
    from invert3d.study.papers import saliency3d

    known = [*inverting_boxes.FIGURES, *inverting.FIGURES, *saliency3d.FIGURES]
    if figure not in known:
        raise ValueError(unknown("figure", figure, known))
    folder = out or Path("runs") / figure.replace("/", "-")
    if figure in saliency3d.FIGURES:
        make, usual = saliency3d.FIGURES[figure]
        table = make(folder, model=model or usual, seed=seed, epochs=epochs, device=device)
    elif figure in inverting_boxes.FIGURES:
        table = inverting_boxes.reproduce(
            figure, folder, model=model or "centernet3d-small", seed=seed, steps=steps, device=device
        )
    else:
        name = model or "pointnet2_ssg-shapes"
        table = inverting.reproduce(figure, folder, model=name, seed=seed, steps=steps, device=device)
    print_table(table["title"], table["columns"], table["rows"], table["note"])
    print(f"wrote {folder}")
