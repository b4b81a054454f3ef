"""The page of a search: the best trials, how the loss depends on each value, and the best recipe as a file."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invert3d.jobs.execute import Outcome
from invert3d.jobs.provenance import command_line, environment
from invert3d.jobs.report import save_table
from invert3d.methods.ranges import Range
from invert3d.methods.recipes import recipe_toml
from invert3d.ops.files import write_bytes
from invert3d.study.descriptors.search import Trials, trials_of

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 20  # trials in the table


def write_search(outcome: Outcome) -> dict[str, Any]:
    """table.json, best.toml, figure.png and index.html into the folder of a search, as far
    as it is done. Returns the table."""
    from invert3d.view.figures import save_png
    from invert3d.view.page import Table, write_page

    found, folder, ranges = trials_of(outcome), outcome.path, outcome.job.worker.ranges  # type: ignore[attr-defined]
    rows = [
        {"trial": name, "relative loss": f"{loss:.4f}", **values}
        for name, loss, values in zip(found.names, found.losses, found.values, strict=True)
    ]
    failed = f", {found.failed} more without numbers" if found.failed else ""
    title = f"{len(rows)} trials{failed}: {outcome.job.settings['layer']} of {outcome.job.settings['model']}"
    note = "Relative loss: the mean of what is in the files. best.toml is the recipe of the best trial."
    write_bytes(folder / "best.toml", recipe_toml(found.best).encode())
    table = save_table(folder, title, rows[:SHOWN], note)
    save_png(scatter(found, ranges), folder / "figure.png")
    weights = [[path, "-" if math.isnan(share) else round(share, 3)] for path, share in found.importance.items()]
    write_page(
        folder / "index.html",
        title=title,
        subtitle=note,
        pictures=[("Every trial", folder / "figure.png")],
        tables=[
            Table(title="Importance of each value", columns=["value", "share"], rows=weights),
            Table(title="The best trials", columns=table["columns"], rows=table["rows"]),
        ],
        recipe=recipe_toml(found.best),
        provenance={"command": command_line(), **environment()},
    )
    return table


def recorded(outcome: Outcome) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Headline number and rows of a search: how many trials, how much each value matters, and the best and the median
    trial."""
    found = trials_of(outcome)
    middle = len(found.losses) // 2
    rows = [
        {
            "value": path,
            "importance": round(share, 3),
            "of the best trial": found.values[0][path],
            "of the median trial": found.values[middle][path],
        }
        for path, share in found.importance.items()
    ]
    losses = {"of the best trial": found.losses[0], "of the median trial": found.losses[middle]}
    rows.append({"value": "relative loss", "importance": "", **losses})
    return {"trials": len(found.losses) + found.failed}, [{"table": "search", **row} for row in rows]


def scatter(found: Trials, ranges: Sequence[Range]) -> "Image":
    """The loss of every trial over each value, a plot of each."""
    from invert3d.view.scatter import Over, scatter_plots

    over = {}
    for each in ranges:
        own = [values[each.path] for values in found.values]
        if each.choices:
            over[each.path] = Over([each.choices.index(one) for one in own], names=list(map(str, each.choices)))
        else:
            over[each.path] = Over(list(map(float, own)), log=each.log)
    return scatter_plots(
        over, [max(loss, 1e-6) for loss in found.losses], y_label="relative loss", title="Relative loss of every trial"
    )
