"""One self-contained page for a run: clouds to turn, their way there, numbers, and the recipe that made them.

viser's `get_scene_serializer().as_html()` was tried first. Its page weighs 0.95 MB before any snapshot,
shares one camera between all clouds so that labels and clouds cover each other, fixes light or dark when it
is written, and has no slider without a server. A gallery needs the opposite, so the scene here is a small
viewer of its own (`scene.js`): one WebGL2 context draws every card in sight, with the shading of
`raster.splat`; where there is no WebGL it falls back to discs on a 2-D canvas. `live.serving` hands it to browsers.

The page asks nothing of a network: styles, script and data are inside, and its content policy forbids the
rest.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from invert3d.ops.files import write_bytes
from invert3d.view.axis import checked_curve, scale_of, short, thin, wants_decades
from invert3d.view.camera import THREE_QUARTER
from invert3d.view.color import DARK, LIGHT, palette
from invert3d.view.gallery import Cloud, base64_of, card, checked_cloud, legend, packed

if TYPE_CHECKING:
    from jinja2 import Environment

Cell = str | float | int | bool | None

_DIGITS = r"[-+\u2212]?[\d.,]+(e[-\u2212]?\d+)?( ?%)?"
_NUMBER = re.compile(rf"{_DIGITS}( ?(±|\+/-) ?{_DIGITS})?|\u2013")
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 332.0, 10.0, 132.0  # of the plot inside a chart, as in its template


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
        pictures: PNG or GIF files, each with what it shows; they are copied into the page.
        trace: numbers over the run by name, each on axes of its own; "step" is the horizontal axis. NaN leaves a gap.
        tables: below the traces.
        recipe: the text that repeats the run.
        provenance: facts by name: version, seed, time, machine.
        notes: sentences of what to read with care.
        up: the axis that points up in the clouds.

    Raises:
        ValueError: an array or a table does not have the shape it says, or a number in a cloud is not finite.
    """
    entries = packed([checked_cloud(cloud) for cloud in clouds], up)
    data = {
        "camera": {name: getattr(THREE_QUARTER, name) for name in ("azimuth", "elevation", "distance", "height")},
        "maps": {kind: base64_of(palette(kind).tobytes()) for kind in ("sequential", "diverging")},
        "clouds": entries,
    }
    traced = dict(trace or {})
    steps = traced.pop("step", None)
    curves = {name: checked_curve(f"trace {name!r}", values, steps) for name, values in traced.items()}
    what = "Grid" if all(cloud.cube is not None for cloud in clouds) else "Cloud"
    cards = [card(cloud, len(entry["steps"])) for cloud, entry in zip(clouds, entries, strict=True)]
    fields = {
        "title": title,
        "subtitle": subtitle,
        "heading": what if len(clouds) == 1 else f"{what}s",
        "height": legend("sequential", "Height: low", "high"),
        "cards": cards,
        "rows": [list(row) for _, row in groupby(cards, key=itemgetter("row"))],
        "pictures": embedded(pictures),
        "charts": [_chart(name, *curve) for name, curve in curves.items()],
        "tables": [table_fields(table) for table in tables],
        "recipe": recipe,
        "provenance": provenance or {},
        "notes": notes,
    }
    return write_document(path, "run.html.j2", fields, data=data, scripts=("base.js", "scene.js", "page.js"))


def embedded(pictures: Sequence[tuple[str, Path]]) -> list[tuple[str, str]]:
    """PNG or GIF files, each with what it shows, as links that hold them."""
    kinds = [(words, Path(path).suffix.removeprefix("."), Path(path).read_bytes()) for words, path in pictures]
    return [(words, f"data:image/{kind};base64,{base64_of(data)}") for words, kind, data in kinds]


def write_document(
    path: str | Path, template: str, fields: Mapping[str, object], *, data: object, scripts: Sequence[str]
) -> Path:
    """Write a page with all that it needs in one file, and return its path.

    Args:
        path: the file, or a folder (it gets `index.html`); folders are made.
        template: the name of a file in `templates`, which extends `page.html.j2`.
        fields: what the template says, by name; of any page `title`, `subtitle`, `tables`, `recipe`, `notes` and
            `provenance`.
        data: what the scripts read, as JSON values.
        scripts: names of files beside this one, in the order in which they run.
    """
    from markupsafe import Markup

    files = resources.files("invert3d.view")
    style, *parts = ((files / name).read_text("utf-8") for name in ("page.css", *scripts))
    colors = {
        name: Markup(" ".join(f"--{part}: {color};" for part, color in theme._asdict().items()))
        for name, theme in (("light", LIGHT), ("dark", DARK))
    }
    given = {**fields, "colors": colors, "style": Markup(style), "script": Markup("".join(parts)), "data": data}
    path = Path(path)
    path = path if path.suffix in (".html", ".htm") else path / "index.html"
    return write_bytes(path, _templates().get_template(template).render(given).encode())


@cache
def _templates() -> "Environment":
    """The templates in the folder beside this file. Whatever is put into one is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("invert3d.view"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return made


def _chart(name: str, steps: np.ndarray, values: np.ndarray) -> dict[str, object]:
    """What the template draws one number over the steps from; long traces are thinned, their spikes stay."""
    kept, final = thin(values), values[np.isfinite(values)][-1:]
    steps, values = steps[kept], values[kept]
    log, known = wants_decades(values), np.isfinite(values)
    first, last = float(steps[0]), float(steps[-1])
    marks, ends = scale_of(values[known], log, 3)

    def down(numbers: np.ndarray) -> np.ndarray:
        low, high, place = (np.log10(part) if log else part for part in (*ends, numbers))
        return np.round(_BOTTOM - (place - low) / (high - low) * (_BOTTOM - _TOP), 1)

    x = np.round(_LEFT + (steps - first) / (last - first if last > first else 1) * (_RIGHT - _LEFT), 1).tolist()
    y = _or_none(down(np.where(known, values, np.nan)))
    pens = np.where(known & ~np.r_[False, known[:-1]], "M", "L")
    end = int(np.flatnonzero(known)[-1]) if known.any() else 0
    return {
        "name": name,
        "facts": {"x": x, "y": y, "steps": steps.tolist(), "values": _or_none(values)},
        "log": log,
        "end": f"{short(float(final[0]))} at the end" if len(final) else "never finite",
        "rules": [(at, short(float(mark))) for at, mark in zip(down(marks).tolist(), marks, strict=True)],
        "first": short(first),
        "last": short(last),
        "curve": "".join(f"{pen}{across} {up}" for pen, across, up in zip(pens, x, y, strict=True) if up is not None),
        "x": x[end],
        "y": -99 if y[end] is None else y[end],
    }


def _or_none(values: np.ndarray) -> list[float | None]:
    """Numbers (n,) for JSON, which has none that are not finite."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def table_fields(table: Table) -> dict[str, object]:
    """What a template writes a table from; ValueError where a row has another length than the head."""
    width = len(table.columns)
    for number, row in enumerate(table.rows):
        if len(row) != width:
            raise ValueError(f"table {table.title!r}: row {number} has {len(row)} cells for {width} columns")
    cells = [[_cell(value) for value in row] for row in table.rows]
    looks = ["number" if cells and all(_NUMBER.fullmatch(row[i]) for row in cells) else "" for i in range(width)]
    head, *rows = ([*zip(looks, texts, strict=True)] for texts in (table.columns, *cells))
    return {"title": table.title, "head": head, "rows": rows, "note": table.note}


def _cell(value: Cell) -> str:
    """A cell as text."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return short(float(value)) if isinstance(value, float | np.floating) else str(value)
