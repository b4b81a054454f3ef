"""What an inversion of descriptors found: a table, originals beside what was found, files, and one page."""

from typing import TYPE_CHECKING, Any

from invert3d.engine.space import Image, Space
from invert3d.jobs.execute import Outcome
from invert3d.jobs.folder import write_json
from invert3d.jobs.job import joined_traces
from invert3d.jobs.provenance import command_line, environment
from invert3d.opening.networks import Network
from invert3d.study.attacks.report import write_inputs
from invert3d.study.descriptors.job import Inverted, inverted
from invert3d.study.explaining.pictures import panel

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from invert3d.view.figures import Panel

COLUMNS = ("input", "layer", "numbers", "relative loss", "relative loss, saved", "of another input")
NOTE = (
    "Relative loss: |a - b| / (|a| + |b|) of two descriptors, 0 where a layer describes two inputs alike. Saved: of "
    "what is in the file. Of another input: the mean over the other inputs of this run."
)


def write_descriptors(outcome: Outcome, network: Network) -> dict[str, Any]:
    """table.json, figure.png, index.html, and what was found as files in ``inverted``, of a job of inversions, into its
    folder. Returns the table."""
    found, settings = inverted(outcome), outcome.job.settings["sources"][""]
    names = [f"{name}-{layer}" for name, layer in zip(found.names, found.layers, strict=True)]
    write_inputs(outcome.path / "inverted", names, found.saved, network.frozen.space)
    table = {
        "title": f"Inputs that {settings['model']} describes alike, recipe {settings['recipe']['name']}",
        "columns": list(COLUMNS),
        "rows": rows_of(found, settings["layers"]),
        "note": f"{NOTE} {found.seconds:.1f} s an input.",
    }
    write_json(outcome.path / "table.json", table)
    draw(outcome, network, found, table)
    return table


def rows_of(found: Inverted, sizes: dict[str, int]) -> list[list[Any]]:
    """A row of each input and layer."""
    losses = (found.loss, found.loss_saved, found.loss_other)
    return [
        [name, layer, sizes[layer], *("-" if each[i].isnan() else format(float(each[i]), ".4f") for each in losses)]
        for i, (name, layer) in enumerate(zip(found.names, found.layers, strict=True))
    ]


def draw(outcome: Outcome, network: Network, found: Inverted, table: dict[str, Any]) -> None:
    """figure.png and index.html: a row of each input, the original first, then what was found for each layer."""
    from invert3d.view.figures import save_png
    from invert3d.view.gallery import Cloud
    from invert3d.view.page import Table, write_page

    space, folder = network.frozen.space, outcome.path
    save_png(sheet_of(found, space, table["title"], table["note"]), folder / "figure.png")
    cards = [
        Cloud(name=title, row=name, points=one.cloud, cube=one.cube, caption=one.caption)
        for name, row in rows_of_panels(found, space).items()
        for title, one in row.items()
        if not isinstance(space, Image) and one.cloud is not None
    ]
    traces = joined_traces([made for _, made in outcome.each()])
    write_page(
        folder / "index.html",
        title=table["title"],
        subtitle=table["note"],
        clouds=cards,
        tables=[Table(title="How alike they are", columns=table["columns"], rows=table["rows"])],
        pictures=[] if cards else [(table["title"], folder / "figure.png")],
        trace={
            name: each.float().nanmean(1).tolist() if each.dim() > 1 else each.tolist() for name, each in traces.items()
        },
        provenance={"command": command_line(), **environment()},
    )


def rows_of_panels(found: Inverted, space: Space) -> "dict[str, dict[str, Panel]]":
    """Of each input the original and, by layer, what was found."""
    rows: dict[str, dict[str, Panel]] = {}
    for i, name in enumerate(found.names):
        row = rows.setdefault(name, {"original": panel(space, found.original[i].cpu(), None, "sequential")})
        words = f"relative loss {found.loss_saved[i]:.3f}"
        row[found.layers[i]] = panel(space, found.saved[i].cpu(), None, "sequential", caption=words)
    return rows


def sheet_of(found: Inverted, space: Space, title: str, note: str) -> "Picture":
    """A row of each input, the original first, then what was found for each layer; at most 24."""
    from invert3d.view.figures import contact_sheet

    rows = dict(list(rows_of_panels(found, space).items())[:24])
    return contact_sheet(
        [list(row.values()) for row in rows.values()],
        column_titles=list(next(iter(rows.values()))),
        row_titles=list(rows),
        title=title,
        note=note,
        panel_size=(160, 160),
    )
