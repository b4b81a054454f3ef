"""``make results``: the tables in README and docs, from docs/results/*.json, between their markers.

A table stands between ``<!-- results:TOPIC NAME -->`` and ``<!-- /results -->``; NAME picks the rows whose "table"
is, or begins with, that name (``headline`` for the headline numbers).
"""

import json
import re
from pathlib import Path
from typing import Any

MARKER = re.compile(r"(<!-- results:(\S+) (.+?) -->\n).*?(<!-- /results -->)", re.DOTALL)


def markdown(columns: list[str], rows: list[list[Any]]) -> str:
    """A table as Markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(map(shown, row)) + " |" for row in rows]) + "\n"


def shown(value: Any) -> str:
    """A cell: up to three significant digits after the point, bars escaped."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value).replace("|", "\\|")


def table_of(topic: dict[str, Any], name: str) -> str:
    """The Markdown of one named table of a topic; a sentence that says so where nothing was recorded yet."""
    if name == "headline" and topic["headline"]:
        return markdown(["number", "value"], [[key, value] for key, value in topic["headline"].items()])
    rows = [row for row in topic["rows"] if str(row.get("table", "")).startswith(name)]
    if not rows:
        return "Not recorded yet.\n"
    hidden = ("table", "command")
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in hidden))
    text = markdown(columns, [[row.get(column, "") for column in columns] for row in rows])
    commands = dict.fromkeys(row["command"] for row in rows if "command" in row)
    return text + "".join(f"\nMeasured by `{command}`.\n" for command in commands)


def refreshed(text: str, folder: Path) -> str:
    """A document with all its tables made anew."""

    def replace(match: re.Match[str]) -> str:
        path = folder / f"{match[2]}.json"
        topic = json.loads(path.read_text()) if path.is_file() else {"headline": {}, "rows": []}
        return f"{match[1]}{table_of(topic, match[3])}{match[4]}"

    return MARKER.sub(replace, text)


def main() -> None:
    """Refresh README.md and every page of docs."""
    for path in [Path("README.md"), *sorted(Path("docs").rglob("*.md"))]:
        old = path.read_text()
        new = refreshed(old, Path("docs/results"))
        if new != old:
            path.write_text(new)
            print(f"refreshed {path}")


if __name__ == "__main__":
    main()
