"""The page of any run: the one that it wrote, or, while it has none, what there is of it so far."""

import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from invert3d.jobs.folder import read_made, read_run
from invert3d.models.weights import read_card
from invert3d.view.gallery import Cloud
from invert3d.view.grids import cubes
from invert3d.view.page import Table, write_page

SCORES = {"accuracy_fresh": "accuracy without samples that equal a training sample"}
MOST = 48  # shapes, and pictures, on a page that is made of what there is


def page_of(folder: Path) -> tuple[bytes, bool]:
    """The page of a run as HTML, and whether there will be more to show.

    A run that has no page of its own, because it goes on, was ended, or is of a kind that writes none, is shown by what
    is in its folder: shapes with their snapshots, pictures, tables, and the curve of a training.

    Raises:
        ValueError: it is no run folder, is damaged, or holds nothing to show yet.
    """
    run, written = read_run(folder), Path(folder) / "index.html"
    if written.is_file():
        return written.read_bytes(), False
    units = [folder / "units" / str(name) for name in run.get("units", [])]
    there = [unit for unit in units if (unit / "facts.json").is_file()]
    clouds = list(islice((cloud for unit in there if (cloud := cloud_of(unit))), MOST))
    pictures = list(islice(pictures_of(folder), MOST))
    tables, trace = tables_of(folder), trace_of(folder)
    if not (clouds or pictures or tables or trace):
        raise ValueError(f"{folder} has nothing to show yet")
    with tempfile.TemporaryDirectory() as made:
        page = write_page(
            made,
            title=f"{folder.absolute().name}: a run of {run.get('kind', 'an unknown kind')}",
            subtitle=f"{len(there)} of {len(units)} units are saved." if units else "",
            clouds=clouds,
            pictures=pictures,
            trace=trace,
            tables=tables,
            provenance={"command": str(run.get("command", "")), **run.get("environment", {})},
        ).read_bytes()
    return page, len(there) < len(units) or (folder / "checkpoint.pt").is_file()


def cloud_of(unit: Path) -> Cloud | None:
    """The cloud or grid that a unit made, with its snapshots; None where it made something else."""
    arrays = read_made(unit).arrays
    x = arrays.get("x")
    if x is None or not x.isfinite().all():
        return None
    if x.dim() == 4 and x.any():
        places, edge, _ = cubes(x[0].numpy())
        return Cloud(name=unit.name, points=places, cube=edge)
    if x.dim() != 2 or x.shape[1] < 3:
        return None
    return Cloud(
        name=unit.name,
        points=x[:, :3].numpy(),
        snapshots=None if (states := arrays.get("snapshots")) is None else states.numpy(),
        snapshot_steps=None if (steps := arrays.get("snapshot_steps")) is None else steps.tolist(),
    )


def pictures_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The pictures of a run and of its units, each with its name."""
    for path in (*sorted(folder.glob("*.png")), *sorted(folder.glob("units/*/**/*.png"))):
        yield " ".join(path.relative_to(folder).with_suffix("").parts[-3:]), path


def tables_of(folder: Path) -> list[Table]:
    """The tables that a run wrote, and the scores of the weights that a training made."""
    known = []
    for path in (folder / "scores.json", folder / "table.json"):
        if path.is_file():
            table: dict[str, Any] = json.loads(path.read_text())
            known.append(Table(**{key: table[key] for key in ("title", "columns", "rows", "note")}))
    for path in sorted(folder.glob("*.safetensors")):  # what a training made
        card = read_card(path.with_suffix(".json"))
        known.append(
            Table(
                title=f"{card.name}, on {card.held_out} held-out samples",
                columns=("score", "value"),
                rows=[(SCORES.get(name, name), value) for name, value in card.scores.items()],
                note=f"{card.notes}. Data: {card.data}.",
            )
        )
    return known


def trace_of(folder: Path) -> dict[str, list[float]]:
    """The numbers along the steps of a training, from its log."""
    path = folder / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    rows = [line for line in lines if {"step", "loss"} <= line.keys()]
    return {key: [row[key] for row in rows] for key in ("step", "loss")} if rows else {}
