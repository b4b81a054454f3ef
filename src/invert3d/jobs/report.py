"""What a job found, as one table: table.json and a page in its run folder, and returned to be printed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invert3d.jobs.folder import write_json
from invert3d.jobs.provenance import command_line, environment

if TYPE_CHECKING:
    from invert3d.view.gallery import Cloud


def save_table(folder: Path, title: str, rows: Sequence[dict[str, Any]], note: str = "") -> dict[str, Any]:
    """Write ``table.json`` and return it: title, columns (the keys of the rows), rows, note."""
    columns, cells = in_columns(rows)
    table = {"title": title, "columns": columns, "rows": cells, "note": note}
    write_json(folder / "table.json", table)
    return table


def in_columns(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """The keys of rows, and their values in that order, empty where a row lacks one."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return columns, [[row.get(column, "") for column in columns] for row in rows]


def report(
    folder: Path,
    title: str,
    rows: Sequence[dict[str, Any]],
    note: str = "",
    pictures: Sequence[tuple[str, Path]] = (),
    clouds: Sequence["Cloud"] = (),
) -> dict[str, Any]:
    """Write a table and a page with it. Returns the table.

    Args:
        folder: where to.
        title, note: above and below the table.
        rows: dictionaries; their keys are the columns, empty where a row lacks one.
        pictures: shown on the page, with their titles.
        clouds: shown on the page, to be turned.
    """
    return report_tables(folder, title, {title: rows}, note, pictures, clouds)


def report_tables(
    folder: Path,
    title: str,
    tables: Mapping[str, Sequence[dict[str, Any]]],
    note: str = "",
    pictures: Sequence[tuple[str, Path]] = (),
    clouds: Sequence["Cloud"] = (),
) -> dict[str, Any]:
    """Write a page with several tables of rows, by their titles, and the first as ``table.json``. Returns the first.
    See ``report``."""
    from invert3d.view.page import Table, write_page

    table = save_table(folder, title, next(iter(tables.values())), note)
    named = {name: in_columns(rows) for name, rows in tables.items()}
    write_page(
        folder / "index.html",
        title=title,
        subtitle=note,
        clouds=list(clouds),
        tables=[Table(title=name, columns=columns, rows=cells) for name, (columns, cells) in named.items()],
        pictures=list(pictures),
        provenance={"command": command_line(), **environment()},
    )
    return table
