"""What several commands print."""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

LONG = 26  # characters of a cell that may be wrapped on a terminal
NUMBER = re.compile(r"[-+–.\d]")  # how cells of numbers begin


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> None:
    """One table: framed on a terminal where it fits, else plain, a row a line, for other programs to read."""
    cells = [[_cell(value) for value in row] for row in rows]
    table = [list(columns), *cells]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = [all(NUMBER.match(cell) for cell in column) for column in zip(*cells, strict=True)]
    if sys.stdout.isatty() and _framed(title, table, widths, right, note):
        return
    print(title)
    for row in table:
        aligned = (str.rjust if number else str.ljust for number in right)
        print("  ".join(align(cell, width) for align, cell, width in zip(aligned, row, widths, strict=True)).rstrip())
    if note:
        print(note)


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else " ".join(str(value).split())


def _framed(
    title: str, table: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool], note: str
) -> bool:
    """Print the table in a frame, long texts on several lines; False, unprinted, where the terminal is too narrow."""
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False)
    if 1 + sum(3 + min(width, LONG) for width in widths) > console.width:
        return False
    framed = Table(title=title, caption=note or None, title_justify="left", caption_justify="left")
    for name, width, number in zip(table[0], widths, right, strict=True):
        framed.add_column(name, justify="right" if number else "left", no_wrap=width <= LONG, overflow="fold")
    for row in table[1:]:
        framed.add_row(*row)
    console.print(framed)
    return True


def print_scores(scores: Mapping[str, Any]) -> None:
    """The table of a scored run."""
    print_table(scores["title"], scores["columns"], scores["rows"], scores["note"])


def print_recorded(topic: str, headline: dict[str, float], rows: Sequence[dict[str, Any]]) -> None:
    """Write numbers to ``docs/results``, and say where."""
    from invert3d.jobs.record import record

    print(f"recorded in {record(topic, headline, rows)}")
