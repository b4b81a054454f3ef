"""What a run shows: scores, pictures, files to open elsewhere, and one page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch

from invert3d.engine.result import Result
from invert3d.jobs.folder import read_run, write_json
from invert3d.jobs.job import file_name
from invert3d.opening.networks import Network
from invert3d.ops.files import write_bytes
from invert3d.ops.shares import share
from invert3d.study.classes.job import read_shapes
from invert3d.study.classes.score import Scored, other_networks, score, score_table

#: what the Chamfer distances are called on the page
YARDSTICKS: tuple[str, ...] = ("Chamfer to the inverted shape", "between two of the class", "to another class")
FILMED = 4  # shapes in the GIF
PLY_LIMIT = 40  # shapes written as PLY and GLB


def write_report(folder: Path, network: Network, result: Result) -> dict[str, Any]:
    """Score a run; write recipe.toml, scores.json, PLY, GLB, PNG and index.html into its folder. Returns the scores."""
    run = read_run(folder)
    facts = run["settings"]["sources"][""]
    scored = score(result, network, other_networks(network, facts["recipe"]["judge"], result.facts["names"]))
    table = score_table(result, scored)
    table["note"] += network.guessed
    write_json(folder / "scores.json", table)
    write_bytes(folder / "recipe.toml", tomli_w.dumps(facts["recipe"]).encode())
    write_shapes(folder, result)
    write_pictures(folder, result, scored)
    write_run_page(folder, run, result, scored, table)
    return table


def labels(result: Result) -> list[str]:
    """A label for each shape: its class, numbered where there are several of it."""
    names, repeats = result.facts["names"], result.facts["repeats"]
    whole = zip(names, repeats, strict=True)
    return [file_name(f"{name}-{repeat}" if max(repeats) else name) for name, repeat in whole]


def write_shapes(folder: Path, result: Result) -> None:
    """The shapes as PLY and GLB files."""
    from invert3d.view.files import write_glb, write_ply

    for label, x in list(zip(labels(result), result.x.numpy(force=True), strict=True))[:PLY_LIMIT]:
        write_ply(folder / "shapes" / f"{label}.ply", x)
        if len(x) <= 2048:
            write_glb(folder / "shapes" / f"{label}.glb", x)


def write_pictures(folder: Path, result: Result, scored: Scored) -> None:
    """gallery.png: start, half way, result, and the nearest shape of the class; trace.png."""
    from invert3d.view.figures import Panel, contact_sheet, save_png
    from invert3d.view.trace import trace_plot

    frames = result.snapshots.numpy(force=True) if result.snapshots is not None else result.x.numpy(force=True)[None]
    x = result.x.numpy(force=True)
    rows = []
    for i in range(min(len(x), 24)):
        nearest = Panel(cloud=scored.nearest[i].numpy(), caption=f"Chamfer {scored.chamfer[i]:.3f}")
        rows.append(
            [
                Panel(cloud=frames[0, i]),
                Panel(cloud=frames[len(frames) // 2, i]),
                Panel(cloud=x[i], caption=f"{scored.own_says(i)}; others {scored.recognized_by(i)}"),
                nearest if np.isfinite(float(scored.chamfer[i])) else None,
            ]
        )
    sheet = contact_sheet(
        rows,
        column_titles=["start", "halfway", "inverted", "nearest of its class"],
        row_titles=labels(result)[:24],
        title=f"What {result.facts['model']} recognizes as …",
        note=f"Recipe {result.facts['recipe']}. Color shows height.",
    )
    save_png(sheet, folder / "gallery.png")
    if result.trace:
        curves = mean_trace(result)
        steps = curves.pop("step")
        save_png(trace_plot(curves, steps=steps, title="Mean over the shapes"), folder / "trace.png")


def write_film(folder: Path) -> Path:
    """way.gif in the folder of a run: its first four shapes, from the random solids they began as to the results, with
    what the network says of these. Returns its path.

    Raises:
        ValueError: it is no run of classes, or kept no snapshots.
        OSError: it is not scored yet.
    """
    from PIL import ImageOps

    from invert3d.view.color import LIGHT, colorize, limits
    from invert3d.view.figures import Panel, contact_sheet, save_gif

    result = read_shapes(folder)[1]
    if result.snapshots is None or result.snapshot_steps is None:
        raise ValueError(f"{folder} kept no snapshots")
    states = torch.cat([result.snapshots, result.x[None]]).numpy(force=True)
    said = [
        f"predicted {row[1]} {row[2]}; recognized by {row[3]} others"
        for row in json.loads((folder / "scores.json").read_text())["rows"]
    ]
    words = [f"step {step}" for step in result.snapshot_steps.tolist()] + ["result"]
    frames = []
    for state, when in zip(states, words, strict=True):
        panels = [
            Panel(
                cloud=state[i],
                colors=colorize(state[i, :, 2], *limits(states[-1, i, :, 2])),
                caption=said[i] if when == "result" else when,
            )
            for i in range(min(FILMED, len(result.x)))
        ]
        frame = contact_sheet(
            [panels],
            column_titles=labels(result)[:FILMED],
            title=f"What {result.facts['model']} recognizes as …",
            note="The most probable of many random solids, then optimized. Color shows height.",
            scale=1,
        )
        frames.append(frame)
    tall = max(frame.height for frame in frames)  # the last caption may need two lines
    frames = [ImageOps.pad(frame, (frame.width, tall), color=LIGHT.background, centering=(0, 0)) for frame in frames]
    return save_gif(frames, folder / "way.gif", fps=3, hold=2.5)


def mean_trace(result: Result) -> dict[str, np.ndarray]:
    """The trace as means over the samples still running: step, loss, probability."""
    return {
        name: value.numpy(force=True) if name == "step" else np.nanmean(value.numpy(force=True), 1)
        for name, value in result.trace.items()
    }


def page_clouds(result: Result, scored: Scored) -> list[Any]:
    """The shapes with their snapshots, each beside the nearest reference shape of its class, where there is one."""
    from invert3d.view.gallery import Cloud

    steps = None if result.snapshot_steps is None else [int(step) for step in result.snapshot_steps]
    clouds = []
    for i, label in enumerate(labels(result)):
        name = result.facts["names"][i]
        clouds.append(
            Cloud(
                name="inverted",
                row=label,
                points=result.x[i].numpy(force=True),
                badges={"prediction": scored.own_says(i), "recognized by others": scored.recognized_by(i)},
                snapshot_steps=steps,
                snapshots=None if result.snapshots is None else result.snapshots[:, i].numpy(force=True),
            )
        )
        if np.isfinite(float(scored.chamfer[i])):
            facts = dict(zip(YARDSTICKS, scored.distances(name, i).values(), strict=True))
            clouds.append(Cloud(name=f"nearest {name}", row=label, points=scored.nearest[i].numpy(), badges=facts))
    return clouds


def write_run_page(folder: Path, run: dict[str, Any], result: Result, scored: Scored, table: dict[str, Any]) -> None:
    """index.html: scene, trace, table, recipe, provenance, in one file that opens from disk."""
    from invert3d.view.page import Table, write_page

    network = f"The inverted network recognizes {share(int(scored.own.right.sum()), len(scored.own.right))} shapes"
    votes = [bool(right) for other in scored.others for right in other.right]
    seen = f"; other networks recognize them in {share(sum(votes), len(votes))} cases" if votes else ""
    write_page(
        folder / "index.html",
        title=f"What {result.facts['model']} recognizes as {names_in_words(result.facts['names'])}",
        subtitle=f"{network}{seen}."
        + (" The run was interrupted; the shapes are unfinished." if result.interrupted else ""),
        clouds=page_clouds(result, scored),
        trace={name: values.tolist() for name, values in mean_trace(result).items()},
        tables=[Table(title="Scores", columns=table["columns"], rows=table["rows"], note=table["note"])],
        recipe=(folder / "recipe.toml").read_text(),
        provenance={"command": run["command"], "seed": str(run["settings"]["seed"]), **run["environment"]},
    )


def names_in_words(names: list[str]) -> str:
    """A few class names as a phrase."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) > 6:
        return f"{len(distinct)} classes"
    return distinct[0] if len(distinct) == 1 else f"{', '.join(distinct[:-1])} and {distinct[-1]}"
