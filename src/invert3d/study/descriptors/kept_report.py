"""The page of ``evaluate descriptor``: pictures with their edges beside what is left of them, and tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from invert3d.jobs.report import report_tables
from invert3d.study.descriptors.kept import NAMES, Reconstructed, Scene, found_in
from invert3d.study.layouts.files import pixels

if TYPE_CHECKING:
    from PIL.Image import Image


#: scenes of the figure
SHOWN = 4
#: the color of each direction, in the order of ``Direction``: its number in the categorical set, and its name
COLORS, WORDS = np.array([1, 2, 5, 7]), ("orange", "teal", "light blue", "purple")
TITLE = "What is left of a picture in its descriptor?"


def write_kept(
    folder: Path,
    found: Sequence[Reconstructed],
    known: Sequence[Scene],
    tables: Mapping[str, Sequence[dict[str, Any]]],
    note: str,
) -> dict[str, Any]:
    """table.json, figure.png and index.html into a run folder; returns the first table."""
    from invert3d.view.figures import save_png

    path = folder / "figure.png"
    save_png(figure(found, [each.layer for each in found], known[:SHOWN], TITLE), path)
    return report_tables(folder, TITLE, tables, note, [("Originals, and edges that are found again", path)])


def figure(found: Sequence[Reconstructed], titles: Sequence[str], shown: Sequence[Scene], title: str) -> "Image":
    """Two rows of each scene: the original, then the reconstructions of each network and layer under a title; below
    them its edges, and those that are found."""
    from invert3d.view.figures import Panel, contact_sheet

    rows: list[list[Panel | None]] = []
    for i, scene in enumerate(shown):
        pictures: list[Panel | None] = [Panel(image=scene.view.image)]
        edges: list[Panel | None] = [Panel(image=drawn(scene.picture, scene, scene.shown))]
        for each in found:
            assert each.losses is not None
            picture, words = each.pictures[i], f"{each.network}: {each.losses[i]:.3f}"
            pictures.append(Panel(image=pixels(picture), caption=words))
            edges.append(Panel(image=drawn(picture, scene, found_in(picture, scene.view) & scene.shown)))
        rows += [pictures, edges]
    legend = ", ".join(f"{word}: {name}" for word, name in zip(WORDS, NAMES.values(), strict=True))
    return contact_sheet(
        rows,
        column_titles=["original", *titles],
        title=title,
        note=f"Below each reconstruction: what it was made by and its relative loss, then the edges that are found in "
        f"it. Edges by direction: {legend}.",
        panel_size=(150, 150),
    )


def drawn(picture: Tensor, scene: Scene, rows: np.ndarray) -> np.ndarray:
    """A picture (3, S, S) with some of the true edges of its scene."""
    from invert3d.view.edges import draw_edges

    edges = scene.view.edges
    assert edges is not None
    return draw_edges(pixels(picture), edges.places[rows], edges.angles[rows], COLORS[edges.directions[rows]])
