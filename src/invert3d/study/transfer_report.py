"""The transfer matrix as a picture."""

from pathlib import Path

from invert3d.study.transfer import Transfer


def write_transfer(folder: Path | None, measured: Transfer) -> None:
    """Write ``<recipe>.png`` into a folder; nothing without one."""
    if folder is None:
        return
    from invert3d.view.figures import save_png
    from invert3d.view.matrix import matrix_plot

    short = [name.split("-")[0] for name in measured.networks]
    stem = measured.recipe.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    picture = matrix_plot(
        measured.matrix.numpy(),
        rows=short,
        columns=short,
        vmin=0,
        vmax=1,
        title=f"Inversion transfer, recipe {measured.recipe}",
        note="Share of the shapes inverted from the row's network that the column's recognizes.",
    )
    save_png(picture, folder / f"{stem}.png")
