"""The page of ``evaluate descriptor``: pictures with their edges beside what is left of them, and tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from invert3d.jobs.execute import Outcome
from invert3d.jobs.provenance import command_line, environment
from invert3d.jobs.report import save_table
from invert3d.study.descriptors.kept import NAMES, Scene, found_in, reconstructions

if TYPE_CHECKING:
    pass

#: scenes of the figure
SHOWN = 6
#: number of the color of each direction, in the order of ``Direction``
COLORS = np.array([1, 2, 5, 7])
TITLE = "What is left of a picture in its descriptor?"


def write_kept(
    outcome: Outcome, known: Sequence[Scene], tables: Mapping[str, Sequence[dict[str, Any]]], note: str
) -> dict[str, Any]:
    """table.json, figure.png and index.html into the folder of a job; returns the first table."""
    from invert3d.view.figures import save_png
    from invert3d.view.page import Table, write_page

    first = next(iter(tables.values()))
    table = save_table(outcome.path, TITLE, first, note)
    save_png(figure(outcome, known[:SHOWN], known), outcome.path / "figure.png")
    whole = []
    for title, rows in tables.items():
        columns = list(dict.fromkeys(key for row in rows for key in row))
        whole.append(Table(title=title, columns=columns, rows=[[row.get(key, "") for key in columns] for row in rows]))
    write_page(
        outcome.path / "index.html",
        title=TITLE,
        subtitle=note,
        tables=whole,
        pictures=[("Originals, and edges that are found again", outcome.path / "figure.png")],
        provenance={"command": command_line(), **environment()},
    )
    return table


def figure(outcome: Outcome, shown: Sequence[Scene], known: Sequence[Scene]) -> Any:
    """A row of each scene: the original, its edges, and of each network and layer the reconstruction and the edges that
    are found in it."""
    from invert3d.view.color import code_of, palette
    from invert3d.view.figures import Panel, contact_sheet

    rows: list[list[Panel | None]] = [
        [Panel(image=scene.view.image), Panel(image=drawn(scene.picture, scene, scene.shown))] for scene in shown
    ]
    titles = ["original", "its edges"]
    for key, layer, pictures, losses in reconstructions(outcome, known):
        titles += [layer, "edges found"]
        for i, (row, scene) in enumerate(zip(rows, shown, strict=True)):
            hits = found_in(pictures[i], scene.view) & scene.shown
            row += [
                Panel(image=as_bytes(pictures[i]), caption=f"{key}: {losses[i]:.3f}"),
                Panel(image=drawn(pictures[i], scene, hits)),
            ]
    words = ("orange", "teal", "light blue", "purple")
    legend = ", ".join(f"{word}: {name}" for word, name in zip(words, NAMES.values(), strict=True))
    assert len({code_of(palette("categorical")[k]) for k in COLORS}) == len(COLORS)
    return contact_sheet(
        rows,
        column_titles=titles,
        title=TITLE,
        note=f"Below reconstructions: network and relative loss. Edges by direction: {legend}.",
        panel_size=(130, 130),
    )


def drawn(picture: Tensor, scene: Scene, rows: np.ndarray) -> np.ndarray:
    """A picture (3, S, S) with some of the true edges of its scene."""
    from invert3d.view.edges import draw_edges

    edges = scene.view.edges
    assert edges is not None
    return draw_edges(as_bytes(picture), edges.places[rows], edges.angles[rows], COLORS[edges.directions[rows]])


def as_bytes(picture: Tensor) -> np.ndarray:
    """A picture (3, S, S) in [0, 1] as (S, S, 3) uint8."""
    return (picture.permute(1, 2, 0) * 255).round().numpy(force=True).astype(np.uint8)
