"""One self-contained page for a run: clouds to turn, their way there, numbers, and the recipe that made them.

viser's `get_scene_serializer().as_html()` was tried first. Its page weighs 0.95 MB before any snapshot,
shares one camera between all clouds so that labels and clouds cover each other, fixes light or dark when it
is written, and has no slider without a server. A gallery needs the opposite, so the scene here is a small
viewer of its own (`scene.js`): one WebGL2 context draws every card in sight, with the shading of
`raster.splat`; where there is no WebGL it falls back to discs on a 2-D canvas. `live.serve` remains viser's.

The page asks nothing of a network: styles, script and data are inside, and its content policy forbids the
rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from invert3d.view.axis import Plot, decades, short, thin, ticks, value_span, wants_decades
from invert3d.view.camera import THREE_QUARTER
from invert3d.view.color import THEMES, Theme, palette
from invert3d.view.gallery import Cloud, base64_of, checked_cloud, gallery_html, packed
from invert3d.view.markup import asset, piece

Cell = str | float | int | bool | None

_DIGITS = r"[-+\u2212]?[\d.,]+(e[-\u2212]?\d+)?( ?%)?"
_NUMBER = re.compile(rf"{_DIGITS}( ?(±|\+/-) ?{_DIGITS})?|\u2013")
_VIEW = ("azimuth", "elevation", "distance", "height")  # what the browser knows of a camera
_SCRIPTS = ("base.js", "scene.js", "page.js")
# The plot inside a chart, as in page.html.
_FRAME = {"left": 46.0, "right": 332.0, "top": 10.0, "bottom": 132.0}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table on the page. Numbers among the cells are rounded to four digits and set to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


def write_page(
    path: str | Path,
    *,
    title: str,
    subtitle: str = "",
    clouds: Sequence[Cloud] = (),
    pictures: Sequence[tuple[str, Path]] = (),
    trace: Mapping[str, Sequence[float]] | None = None,
    tables: Sequence[Table] = (),
    recipe: str = "",
    provenance: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    up: Literal["z", "y"] = "z",
) -> Path:
    """Write one HTML file that opens from disk, and return its path.

    Args:
        path: the file, or a folder (it gets `index.html`); folders are made.
        title: the headline.
        subtitle: the sentence below it.
        clouds: in the order of the gallery. Long lists of snapshots are thinned, the first and the last stay.
        pictures: PNG files, each with what it shows; they are copied into the page.
        trace: numbers over the run by name, each on axes of its own; the name "step" gives the horizontal
            axis. NaN leaves a gap.
        tables: below the traces.
        recipe: the text that repeats the run.
        provenance: facts by name: version, seed, time, machine.
        notes: sentences of what to read with care.
        up: the axis that points up in the clouds.

    Raises:
        ValueError: an array or a table does not have the shape it says, or a number in a cloud is not finite.
    """
    for cloud in clouds:
        checked_cloud(cloud)
    entries = packed(clouds, up)
    data = {
        "camera": {name: getattr(THREE_QUARTER, name) for name in _VIEW},
        "maps": {kind: base64_of(palette(kind).tobytes()) for kind in ("sequential", "diverging")},
        "clouds": entries,
    }
    sections = [gallery_html(clouds, [len(entry["steps"]) for entry in entries]), *map(_picture, pictures)]
    sections += [_traces(trace or {})]
    sections += [*map(table_html, tables), notes_html(notes), recipe_html(recipe), provenance_html(provenance or {})]
    return write_document(path, title=title, subtitle=subtitle, sections=sections, data=data, scripts=_SCRIPTS)


def write_document(
    path: str | Path, *, title: str, subtitle: str, sections: Sequence[str], data: object, scripts: Sequence[str]
) -> Path:
    """Write sections of HTML as one page with all that they need, and return its path.

    Args:
        path: the file, or a folder (it gets `index.html`); folders are made.
        title: the headline.
        subtitle: the sentence below it.
        sections: in their order; empty ones are left out.
        data: what the scripts read, as JSON values.
        scripts: names of files beside this one, in the order in which they run.
    """
    fields = {
        "title": title,
        "subtitle": subtitle,
        "theme": _theme_css(),
        "style": asset("page.css"),
        "sections": "\n".join(filter(None, sections)),
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        "script": "".join(map(asset, scripts)),
    }
    path = Path(path)
    path = path if path.suffix in (".html", ".htm") else path / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(piece("page", fields) + "\n", "utf-8")
    return path


def _theme_css() -> str:
    """The colors of `color.THEMES` for the style sheet: light, dark where preferred, light on paper."""

    def properties(theme: Theme) -> str:
        names = ("background", "surface", "ink", "muted", "line", "accent", "shadow")
        return " ".join(f"--{name}: {getattr(theme, name)};" for name in names)

    light, dark = properties(THEMES["light"]), properties(THEMES["dark"])
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _traces(trace: Mapping[str, Sequence[float]]) -> str:
    """The section with one small chart a number, all over the same steps."""
    steps = trace.get("step")
    charts = []
    for name, given in trace.items():
        if name == "step":
            continue
        values = np.asarray(given, np.float64)
        if values.ndim != 1 or len(values) == 0:
            raise ValueError(f"trace {name!r}: got shape {values.shape}, accepted is (T >= 1,)")
        over = np.arange(len(values)) if steps is None else np.asarray(steps, np.float64)
        if over.shape != values.shape:
            raise ValueError(f"trace {name!r}: got {len(values)} numbers for {len(over)} steps")
        charts.append(_chart(name, over, values))
    if not charts:
        return ""
    body = piece("traces", {"charts": "\n".join(charts)})
    return piece("section", {"title": "Along the way", "tools": "", "body": body})


def _chart(name: str, steps: np.ndarray, values: np.ndarray) -> str:
    """One number over the steps as inline SVG; long traces are thinned, their spikes stay."""
    kept = thin(values)
    final = values[np.isfinite(values)][-1:]
    steps, values = steps[kept], values[kept]
    log, known = wants_decades(values), np.isfinite(values)
    first, last = float(steps[0]), float(steps[-1])
    ends = (first, last if last > first else first + 1)
    plot = Plot(**_FRAME, x=ends, y=value_span(values[known], log, 3), log=log)
    x = np.round(plot.across(steps), 1).tolist()
    heights = np.full(len(values), np.nan)
    heights[known] = np.round(plot.down(values[known]), 1)
    y = [height if seen else None for height, seen in zip(heights.tolist(), known, strict=True)]
    marks = decades(*plot.y, 3) if log else ticks(*plot.y, 3)
    rules = [{"at": round(float(plot.down(mark)), 1), "mark": short(float(mark))} for mark in marks]
    pens = np.where(known & ~np.r_[False, known[:-1]], "M", "L")
    facts = {
        "x": x,
        "y": y,
        "steps": steps.tolist(),
        "values": [value if seen else None for value, seen in zip(values.tolist(), known, strict=True)],
    }
    end = int(np.flatnonzero(known)[-1]) if known.any() else 0
    fields = {
        "name": name,
        "facts": json.dumps(facts, separators=(",", ":")),
        "scale": piece("log") if log else "",
        "end": f"{short(float(final[0]))} at the end" if len(final) else "never finite",
        "rules": "\n".join(piece("rule", rule) for rule in rules),
        "first": short(first),
        "last": short(last),
        "curve": "".join(f"{pen}{across} {up}" for pen, across, up in zip(pens, x, y, strict=True) if up is not None),
        "x": x[end],
        "y": -99 if y[end] is None else y[end],
    }
    return piece("chart", fields)


def _picture(picture: tuple[str, Path]) -> str:
    """A picture, in the page itself."""
    words, path = picture
    body = piece("picture", {"title": words, "data": base64_of(Path(path).read_bytes())})
    return piece("section", {"title": words, "tools": "", "body": body})


def table_html(table: Table) -> str:
    """A table as a section of its own; ValueError where a row has another length than the head."""
    return piece("section", {"title": table.title, "tools": "", "body": table_body(table)})


def table_body(table: Table) -> str:
    """A table without its title; ValueError where a row has another length than the head."""
    width = len(table.columns)
    for number, row in enumerate(table.rows):
        if len(row) != width:
            raise ValueError(f"table {table.title!r}: row {number} has {len(row)} cells for {width} columns")
    cells = [[_cell(value) for value in row] for row in table.rows]
    looks = ["number" if cells and all(_NUMBER.fullmatch(row[i]) for row in cells) else "" for i in range(width)]

    def line(kind: str, texts: Sequence[str]) -> str:
        return "".join(piece(kind, {"look": look, "text": text}) for look, text in zip(looks, texts, strict=True))

    rows = "\n".join(piece("row", {"cells": line("cell", row)}) for row in cells)
    fields = {"title": table.title, "head": line("head-cell", table.columns), "rows": rows, "note": table.note}
    return piece("table", fields)


def _cell(value: Cell) -> str:
    """A cell as text."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return short(float(value)) if isinstance(value, float | np.floating) else str(value)


def notes_html(notes: Sequence[str]) -> str:
    """What to read with care."""
    if not notes:
        return ""
    body = piece("notes", {"notes": "\n".join(piece("note", {"text": note}) for note in notes)})
    return piece("section", {"title": "Notes", "tools": "", "body": body})


def recipe_html(recipe: str) -> str:
    """The text that repeats the run, with a button that copies it."""
    if not recipe.strip():
        return ""
    body = piece("recipe", {"text": recipe.strip()})
    return piece("section", {"title": "Recipe", "tools": piece("copy"), "body": body})


def provenance_html(provenance: Mapping[str, str]) -> str:
    """Where the page comes from."""
    if not provenance:
        return ""
    facts = "\n".join(piece("fact", {"name": name, "value": value}) for name, value in provenance.items())
    return piece("section", {"title": "Provenance", "tools": "", "body": piece("provenance", {"facts": facts})})
