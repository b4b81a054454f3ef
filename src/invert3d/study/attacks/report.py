"""What an attack did: a table, pictures of inputs before and after, and one page."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.jobs.execute import Outcome
from invert3d.jobs.folder import write_json
from invert3d.jobs.provenance import command_line, environment
from invert3d.opening.networks import Network
from invert3d.ops.files import write_bytes
from invert3d.study.attacks.job import SEEN, Attacked, attacked
from invert3d.study.explaining.pictures import Map, panel

COLUMNS = ["input", "class", "predicted before", "predicted after", "predicted from the saved file"]
#: how much changed, by what the network takes: a column, the norm, and its format
SIZES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "points": (("points changed", "l0", ".0f"), ("largest change of a coordinate", "linf", ".3f")),
    "voxels": (("voxels changed", "l0", ".0f"), ("largest change of a voxel", "linf", ".3f"), ("length", "l2", ".2f")),
    "image": (("largest change of a value", "linf", ".3f"), ("length", "l2", ".2f")),
}


def write_attacks(outcome: Outcome, network: Network) -> dict[str, Any]:
    """table.json, figure.png, index.html and the attacked inputs as files, of a job of attacks, into its folder.

    Returns the table.
    """
    found, space = attacked(outcome), network.frozen.space
    write_inputs(outcome.path / "attacked", found.names, found.saved, space)
    table = table_of(found, space, outcome.job.settings["attacks"][""]["recipe"]["name"])
    table["note"] += network.guessed
    write_json(outcome.path / "table.json", table)
    draw(outcome.path, found, space, table, [made.facts for _, made in outcome.each()])
    return table


def write_inputs(folder: Path, names: Sequence[str], saved: Tensor, space: Space) -> None:
    """Inputs (A, *space.shape) as files, by name: grids as .npy of 0 and 1, clouds as .ply, pictures as .png."""
    from PIL.Image import fromarray

    from invert3d.view.files import write_ply

    for name, x in zip(names, saved.numpy(force=True), strict=True):
        if isinstance(space, Points):
            write_ply(folder / f"{name}.ply", x)
            continue
        file, ending = io.BytesIO(), "npy" if isinstance(space, Voxels) else "png"
        if ending == "npy":
            np.save(file, x[0].astype(np.uint8))
        else:
            fromarray((x.transpose(1, 2, 0) * 255).round().astype(np.uint8)).save(file, "PNG")
        write_bytes(folder / f"{name}.{ending}", file.getvalue())


def table_of(found: Attacked, space: Space, recipe: str) -> dict[str, Any]:
    """What the network said of each input before and after, and how much of it changed."""
    sizes = SIZES[space.name]
    rows = [
        [name, found.classes[i], found.before[i], found.after[i], found.after_saving[i]]
        + [format(float(found.sizes[norm][i]), form) for _, norm, form in sizes]
        + [int(found.steps[i])]
        for i, name in enumerate(found.names)
    ]
    reached, unsaved, count = int(found.success.sum()), int(found.success_unsaved.sum()), len(found.names)
    aim = "misclassified" if found.target is None else f"classified as {found.target}"
    note = f"{reached} of {count} inputs are {aim} from the saved file"
    note += f" ({unsaved} before saving)" if unsaved != reached else ""
    wrong = sum(before != own for before, own in zip(found.before, found.classes, strict=True))
    note += f"; {wrong} of the {count} were misclassified before the attack." if wrong else "."
    if isinstance(space, Voxels):
        note += " A saved voxel is empty or full."
    return {
        "title": f"Attack {recipe}",
        "columns": [*COLUMNS, *(words for words, _, _ in sizes), "steps"],
        "rows": rows,
        "note": note,
    }


def changed(space: Space, start: Tensor, x: Tensor, saved: Tensor) -> tuple[Tensor, np.ndarray | None, Map]:
    """What to draw of the change of one input (*space.shape): a shape, one number an element of it, the color map.

    Of voxels, those that are full before or after: 1 where one was added, -1 where one was removed; or, where saving
    undoes all, the change of each. Of points how far each moved. Of a picture, its change, amplified about gray.
    """
    if isinstance(space, Voxels):
        flips = saved - start
        shape = ((saved + start) > 0).to(x.dtype) if flips.any() else start
        return shape, (flips if flips.any() else x - start)[0].numpy(force=True), "diverging"
    if isinstance(space, Points):
        return x, (x - start).norm(dim=-1).numpy(force=True), "sequential"
    change = saved - start
    return 0.5 + change / (2 * change.abs().max().clamp_min(1e-12)), None, "sequential"


def reading(space: Space) -> str:
    """How the pictures of a change are read."""
    if isinstance(space, Voxels):
        return "Change: red voxels were added or became fuller, blue ones were removed or became emptier."
    if isinstance(space, Points):
        return "Change: how far the points moved, from dark (not at all) to bright (the most)."
    return "Change: amplified, so that gray did not change and the largest change reaches 0 or 1."


def relative(values: np.ndarray | None) -> np.ndarray | None:
    """Numbers relative to the largest of them."""
    return None if values is None else values / max(float(np.abs(values).max(initial=0.0)), 1e-12)


def draw(folder: Path, found: Attacked, space: Space, table: dict[str, Any], facts: list[Any]) -> None:
    """figure.png and index.html."""
    from invert3d.view.figures import contact_sheet, save_png
    from invert3d.view.gallery import Cloud
    from invert3d.view.page import Table, write_page

    rows, cards = [], []
    for i, name in enumerate(found.names):
        start, x, saved = found.start[i].cpu(), found.x[i].cpu(), found.saved[i].cpu()
        shape, values, kind = changed(space, start, x, saved)
        said = {k: f"{facts[i][k]} {facts[i][f'{k} probability']:.0%}" for k in SEEN}
        shown = [
            ("input", start, None, f"predicted {said['before']}"),
            ("attacked", saved, None, f"predicted {said['saved']}"),
            ("change", shape, values, f"predicted {said['after']} before saving" * bool((x != saved).any())),
        ]
        rows.append([panel(space, each, relative(color), kind, caption=words) for _, each, color, words in shown])
        row = name if name == found.classes[i] else f"{name}, {found.classes[i]}"
        for title, each, color, words in () if isinstance(space, Image) else shown:
            whole = panel(space, each, None, kind, hollow=False)
            here = each[0].numpy() != 0 if isinstance(space, Voxels) else slice(None)
            colors = {} if color is None else {"values": color[here], "kind": kind}
            cards.append(Cloud(name=title, row=row, points=whole.cloud, cube=whole.cube, caption=words, **colors))
    sheet = contact_sheet(
        rows[:24],
        column_titles=["input", "attacked, as saved", "change"],
        row_titles=list(found.names)[:24],
        title=table["title"],
        note=f"{table['note']} {reading(space)}",
    )
    save_png(sheet, folder / "figure.png")
    write_page(
        folder / "index.html",
        title=table["title"],
        subtitle=table["note"],
        clouds=cards,
        notes=[reading(space)],
        tables=[Table(title="What was attacked", columns=table["columns"], rows=table["rows"])],
        pictures=[] if cards else [(table["title"], folder / "figure.png")],
        provenance={"command": command_line(), **environment()},
    )
