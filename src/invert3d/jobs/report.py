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
    """Write the table of a job and a page with it. Returns the table: title, columns, rows, note.

    Args:
        outcome: of the job.
        title, note: above and below the table.
        rows: dictionaries with the same keys, which are the columns.
        pictures: shown on the page, with their titles.
    """
    from invert3d.view.page import Table, write_page

    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = {"title": title, "columns": columns, "rows": [[row.get(c, "") for c in columns] for row in rows]}
    table |= {"note": note}
    write_json(outcome.path / "table.json", table)
    write_page(
        outcome.path / "index.html",
        title=title,
        subtitle=note,
        tables=[Table(title=title, columns=columns, rows=table["rows"])],
        pictures=list(pictures),
        provenance={"command": command_line(), **environment()},
    )
    return table
