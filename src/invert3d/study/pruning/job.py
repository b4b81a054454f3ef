"""``invert3d prune``: a folder with the pruned weights, their card, the numbers and the filters."""

from pathlib import Path
from typing import Any

import numpy as np

from invert3d.engine.progress import Meter
from invert3d.engine.space import Points, Voxels
from invert3d.jobs.folder import checked_folder, prepared, write_json
from invert3d.jobs.provenance import command_line, environment
from invert3d.jobs.record import record
from invert3d.registry import registered
from invert3d.study.networks import Network
from invert3d.training.classifiers import TrainSettings, save
from invert3d.training.data import training_data
from invert3d.training.pruning import Pruned, Way, prune

#: accuracy of VRN whole, pruned, after one epoch, and the weights left (*3D Point Cloud Feature Explanations*, table 1)
PAPER = (87.77, 62.39, 87.18, 5.0)
COLUMNS = ["network", "way", "weights left", "whole", "pruned", "trained", "lost"]


def prune_and_save(
    network: Network,
    data: str,
    density: float,
    way: Way,
    *,
    epochs: float,
    settings: TrainSettings,
    name: str,
    out: Path,
    per_class: int = 400,
    overwrite: bool = False,
    keep: bool = False,
) -> dict[str, Any]:
    """Prune a network into a folder: weights, card, run.json, table.json, filters.png. Returns the table.

    With ``keep`` the numbers are recorded in docs/results/pruning.json.

    Raises:
        ValueError: for a density outside 0 to 1, data that is not there or has other classes, a folder that is.
    """
    if not 0 < density < 1:
        raise ValueError(f"density must lie between 0 and 1, not {density}")
    checked_folder(out, overwrite=overwrite)
    space = network.frozen.space
    if isinstance(space, Points) and (space.layout, space.up, space.normals) != ("bn3", "z", False):
        raise ValueError(
            "networks of clouds are pruned on clouds (B, N, 3), z up, without normals; this one takes others"
        )
    voxels = space if isinstance(space, Voxels) else None
    shapes = training_data(
        data, per_class=per_class, seed=settings.seed, clutter="clutter" in network.classes, voxels=voxels
    )
    if shapes.classes != network.classes:
        raise ValueError(f"{data} has the classes {', '.join(shapes.classes)}; {network.name} has other ones")
    folder = prepared(out, overwrite=overwrite)
    about = {
        "command": command_line(),
        "environment": environment(),
        "model": network.name,
        "density": density,
        "way": way,
    }
    write_json(folder / "run.json", about)
    meter = Meter("training", max(1, round(epochs * len(shapes.train) / settings.batch)))
    try:
        done = prune(
            network.frozen.model,
            shapes,
            density,
            way,
            epochs=epochs,
            settings=settings,
            report=lambda step, loss: meter.update(step, loss=f"{loss:.3f}"),
            begun=lambda words: print(words, flush=True),
        )
    finally:
        meter.stop()
    row = row_of(network, way, done)
    architecture = next(
        (key for key, made in registered("model").items() if made is type(done.model)), type(done.model).__name__
    )
    options = network.options
    said = f"{way} pruning to {done.density_after:.2%} of the weights, {epochs:g} epochs more"
    save(done.model, architecture, name, shapes, settings, folder, command_line(), said, options)
    table = {
        "title": f"{network.name}, pruned",
        "columns": COLUMNS,
        "rows": [row],
        "note": f"Shares of {len(shapes.test)} held-out shapes classified right. The paper, VRN: "
        f"{PAPER[0]} whole, {PAPER[1]} pruned, {PAPER[2]} after one epoch, {PAPER[3]:g} % of the weights left.",
    }
    write_json(folder / "table.json", table)
    facts = {key: value for key, value in vars(done).items() if key not in ("model", "filters")}
    write_json(folder / "run.json", {**about, **facts})
    draw_filters(folder / "filters.png", network.name, done)
    if keep:
        paper = epochs == 1 and "VRN" in type(network.frozen.model).__name__
        record(
            "pruning",
            headline_of(done, density) if paper else {},
            [{"table": f"pruning {network.name} {way} {density:g}", **dict(zip(COLUMNS, row, strict=True))}],
        )
    return table


def row_of(network: Network, way: str, done: Pruned) -> list[Any]:
    """A line of table 1."""
    return [
        network.name,
        way,
        f"{done.density_after:.2%}",
        f"{done.accuracy_full:.2%}",
        f"{done.accuracy_pruned:.2%}",
        f"{done.accuracy_after:.2%}",
        f"{100 * (done.accuracy_full - done.accuracy_after):+.2f}",
    ]


def headline_of(done: Pruned, density: float) -> dict[str, float]:
    """What is recorded of VRN after one epoch: the paper's 5 %, or the goal of 2 %."""
    if density not in (0.02, 0.05):
        return {}
    if density == 0.02:
        return {"weights_left_ours": round(done.density_after, 4), "accuracy_ours": round(done.accuracy_after, 4)}
    return {
        "accuracy_full": round(done.accuracy_full, 4),
        "accuracy_pruned": round(done.accuracy_pruned, 4),
        "accuracy_after_one_epoch": round(done.accuracy_after, 4),
        "weights_left": round(done.density_after, 4),
    }


def draw_filters(path: Path, name: str, done: Pruned, most: int = 8) -> None:
    """The strongest kernels of a convolution that was thinned out, whole, pruned and trained, on one scale."""
    from invert3d.view.color import colorize
    from invert3d.view.figures import Panel, contact_sheet, save_png
    from invert3d.view.grids import cubes

    if done.filters["whole"].dim() != 5:
        return
    kernels = {state: each.float().cpu().flatten(0, 1) for state, each in done.filters.items()}
    order = kernels["whole"].flatten(1).norm(dim=1).argsort(descending=True)[:most]
    reach = float(kernels["whole"][order].abs().max())
    rows = []
    for each in kernels.values():
        row = []
        for kernel in each[order]:
            values = kernel.numpy()
            places, edge, _ = cubes(np.ones_like(values))
            there = values.reshape(-1) != 0
            if not there.any():
                row.append(Panel(image=np.zeros((8, 8, 4), np.uint8), caption="nothing left"))
                continue
            colors = colorize(values.reshape(-1)[there], -reach, reach, "diverging")
            row.append(Panel(cloud=places[there], cube=edge * 0.8, colors=colors))
        rows.append(row)
    sheet = contact_sheet(
        rows,
        row_titles=list(kernels),
        panel_size=(130, 130),
        title=f"Kernels of {done.layer} of {name}",
        note="Red excites, blue inhibits; what was cut is not drawn. The strongest kernels of the first convolution "
        "that lost half of its weights.",
    )
    save_png(sheet, path)
