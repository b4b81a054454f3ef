"""What several commands print."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def split_names(names: str | None) -> list[str] | None:
    """Class names from a comma-separated list or from a file with one a line."""
    if names is None:
        return None
    path = Path(names)
    text = path.read_text().splitlines() if path.is_file() else names.split(",")
    found = [line.strip() for line in text if line.strip()]
    if not found:
        raise ValueError(f"no class names in {names!r}")
    return found


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> None:
    """One table on the terminal."""
    table = Table(title=title, caption=note or None, title_justify="left", caption_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row))
    Console().print(table)


def print_scores(scores: dict[str, Any]) -> None:
    """The table of a scored run."""
    print_table(scores["title"], scores["columns"], scores["rows"], scores["note"])
