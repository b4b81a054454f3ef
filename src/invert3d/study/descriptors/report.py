"""What an inversion of descriptors found: a table, originals beside what was found, files, and one page."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from invert3d.engine.space import Image, Space
from invert3d.jobs.execute import Outcome
from invert3d.jobs.folder import write_json
from invert3d.jobs.job import file_name, joined_traces
from invert3d.jobs.provenance import command_line, environment
from invert3d.opening.networks import Network
from invert3d.study.attacks.report import write_inputs
from invert3d.study.descriptors.job import Inverted, inverted
from invert3d.study.explaining.pictures import panel

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from invert3d.view.figures import Panel

COLUMNS = ("input", "layer", "by", "numbers", "relative loss", "relative loss, saved", "of another input")
NOTE = (
    "Relative loss: |a - b| / (|a| + |b|) of two descriptors, 0 where a layer describes two inputs alike. Saved: of "
    "what is in the file. Of another input: the mean over the other inputs of this run."
)


def write_descriptors(outcome: Outcome, network: Network) -> dict[str, Any]:
    """table.json, figure.png, index.html, and what was found as files in ``inverted``, of a job of inversions, into its
    folder. Returns the table."""
    sources, space = outcome.job.settings["sources"], network.frozen.space
    founds = {key: inverted(outcome, key) for key in sources}
    rows, first = [], next(iter(sources.values()))
    for key, found in founds.items():
        names = [
            "-".join(filter(None, (name, layer, key))) for name, layer in zip(found.names, found.layers, strict=True)
        ]
        write_inputs(outcome.path / "inverted", list(map(file_name, names)), found.saved, space)
        rows += rows_of(found, sources[key]["layers"], key or sources[key]["recipe"]["name"])
    seconds = ", ".join(f"{key or first['recipe']['name']} {found.seconds:.2f}" for key, found in founds.items())
    table = {
        "title": f"Inputs that {first['model']} describes alike",
        "columns": list(COLUMNS),
        "rows": rows,
        "note": f"{NOTE} Seconds an input: {seconds}.",
    }
    write_json(outcome.path / "table.json", table)
    draw(outcome, space, founds, table)
    return table


def rows_of(found: Inverted, sizes: dict[str, int], how: str) -> list[list[Any]]:
    """A row of each input and layer."""
    losses = (found.loss, found.loss_saved, found.loss_other)
    return [
        [name, layer, how, sizes[layer]]
        + ["-" if each[i].isnan() else format(float(each[i]), ".4f") for each in losses]
        for i, (name, layer) in enumerate(zip(found.names, found.layers, strict=True))
    ]


def draw(outcome: Outcome, space: Space, founds: Mapping[str, Inverted], table: dict[str, Any]) -> None:
    """figure.png and index.html: a row of each input, the original first, then what was found."""
    from invert3d.view.figures import save_png
    from invert3d.view.gallery import Cloud
    from invert3d.view.page import Table, write_page

    folder = outcome.path
    save_png(sheet_of(founds, space, table["title"], ""), folder / "figure.png")
    cards = [
        Cloud(name=title, row=name, points=one.cloud, cube=one.cube, caption=one.caption)
        for name, row in rows_of_panels(founds, space).items()
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
        pictures=[] if cards else [("Originals, and what was found", folder / "figure.png")],
        trace={
            name: each.float().nanmean(1).tolist() if each.dim() > 1 else each.tolist() for name, each in traces.items()
        },
        provenance={"command": command_line(), **environment()},
    )


def rows_of_panels(founds: Mapping[str, Inverted], space: Space) -> "dict[str, dict[str, Panel]]":
    """Of each input the original and what was found, by layer and, but for the first source, by source."""
    rows: dict[str, dict[str, Panel]] = {}
    for key, found in founds.items():
        for i, name in enumerate(found.names):
            row = rows.setdefault(name, {"original": panel(space, found.original[i].cpu(), None, "sequential")})
            words = f"relative loss {found.loss_saved[i]:.3f}"
            row[key or found.layers[i]] = panel(space, found.saved[i].cpu(), None, "sequential", caption=words)
    return rows


def sheet_of(founds: Mapping[str, Inverted], space: Space, title: str, note: str) -> "Picture":
    """A row of each input, the original first, then what was found; at most 24."""
    from invert3d.view.figures import contact_sheet

    rows = dict(list(rows_of_panels(founds, space).items())[:24])
    return contact_sheet(
        [list(row.values()) for row in rows.values()],
        column_titles=list(next(iter(rows.values()))),
        row_titles=list(rows),
        title=title,
        note=note,
        panel_size=(160, 160),
    )
