"""What a job found, as one table: table.json and a page in its run folder, and returned to be printed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invert3d.jobs.execute import Outcome
from invert3d.jobs.folder import write_json
from invert3d.jobs.provenance import command_line, environment


def report(
    outcome: Outcome,
    title: str,
    rows: Sequence[dict[str, Any]],
    note: str = "",
    pictures: Sequence[tuple[str, Path]] = (),
) -> dict[str, Any]:
    """Write the table of a job, of rows whose keys are the columns, and a page with it and ``pictures``, each with its
    title. Returns the table: title, columns, rows, note."""
    from invert3d.view.page import Table, write_page

    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[row.get(column, "") for column in columns] for row in rows]
    table = {"title": title, "columns": columns, "rows": cells, "note": note}
    write_json(outcome.path / "table.json", table)
    write_page(
        outcome.path / "index.html",
        title=title,
        subtitle=note,
        tables=[Table(title=title, columns=columns, rows=cells)],
        pictures=list(pictures),
        provenance={"command": command_line(), **environment()},
    )
    return table
