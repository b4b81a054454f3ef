"""What a generator made: a table, an .npz to score, pictures and one page."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from invert3d.data.meshes import voxel_mesh
from invert3d.jobs.execute import Outcome
from invert3d.jobs.folder import write_json
from invert3d.jobs.job import file_name
from invert3d.jobs.provenance import command_line, environment
from invert3d.ops.files import write_bytes
from invert3d.study.generation.job import Generated, generated

if TYPE_CHECKING:
    from invert3d.view.figures import Panel

SHOWN = 8  # of each class


def write_generated(outcome: Outcome) -> dict[str, Any]:
    """voxels.npz (what ``evaluate generation`` scores), table.json, pictures, meshes and index.html. Returns the
    table."""
    found, folder = generated(outcome), outcome.path
    names = list(dict.fromkeys(found.classes))
    labels = write_shapes(folder, found)
    rows = []
    for k, name in enumerate(names):
        own = labels == k
        means = [round(float(each[own].mean()), 3) for each in (found.before, found.chances)]
        rows.append([name, int(own.sum()), *means])
    table = {
        "title": f"Shapes made by {outcome.job.settings['model']}",
        "columns": ["class", "shapes", "probability at the start", "probability of the shape"],
        "rows": rows,
        "note": "Probabilities are the network's own, of binary grids. Others judge: invert3d evaluate generation "
        f"{folder / 'voxels.npz'}",
    }
    write_json(folder / "table.json", table)
    draw(folder, found, names, table)
    return table


def write_shapes(folder: Path, found: Generated) -> Tensor:
    """voxels.npz, with the classes and labels of the shapes. Returns the labels (A,)."""
    names = list(dict.fromkeys(found.classes))
    labels = torch.tensor([names.index(name) for name in found.classes])
    file = io.BytesIO()
    np.savez_compressed(file, voxels=found.grids.numpy(), labels=labels.numpy(), classes=np.array(names))
    write_bytes(folder / "voxels.npz", file.getvalue())
    return labels


def draw(folder: Path, found: Generated, names: list[str], table: dict[str, Any]) -> None:
    """gallery.png, way.gif, the shapes that are shown as meshes, and index.html with shapes to be turned."""
    from invert3d.view.figures import contact_sheet, save_png
    from invert3d.view.gallery import Cloud
    from invert3d.view.grids import grid_panel
    from invert3d.view.page import Table, write_page

    rows: list[list[Panel | None]] = []
    cards = []
    for name in names:
        own = [i for i, each in enumerate(found.classes) if each == name][:SHOWN]
        rows.append([grid_panel(found.grids[i].numpy()) for i in own])
        for i, one in zip(own, rows[-1], strict=True):
            if one is not None and one.cloud is not None:
                said = f"probability of {name}: {float(found.chances[i]):.0%}"
                cards.append(Cloud(name=f"{name} {i}", row=name, points=one.cloud, cube=one.cube, caption=said))
    if not cards:
        raise ValueError("all shapes that were made are empty: take fewer or shorter steps")
    sheet = contact_sheet(
        rows, row_titles=names, title=table["title"], note="Color shows height.", panel_size=(130, 130)
    )
    save_png(sheet, folder / "gallery.png")
    draw_ways(folder / "way.gif", found)
    for name in names:
        own = [grid for grid, each in zip(found.grids, found.classes, strict=True) if each == name][:SHOWN]
        for k, grid in enumerate(own):
            if grid.any():
                write_bytes(folder / "meshes" / f"{file_name(f'{name}-{k:04d}')}.glb", glb(grid.numpy()))
    write_page(
        folder / "index.html",
        title=table["title"],
        subtitle=table["note"],
        clouds=cards,
        pictures=[("From where each began to the shape", folder / "way.gif")],
        tables=[Table(title="What the network says of them", columns=table["columns"], rows=table["rows"])],
        provenance={"command": command_line(), **environment()},
    )


def glb(grid: np.ndarray) -> bytes:
    """The surface of a grid (S, S, S), z up, as a GLB file: the whole grid one unit wide, and y up, as glTF has it."""
    mesh = voxel_mesh(grid)
    mesh.vertices = (mesh.vertices / len(grid) - 0.5)[:, [0, 2, 1]] * [1, 1, -1]
    data = mesh.export(file_type="glb")
    assert isinstance(data, bytes)
    return data


def draw_ways(path: Path, found: Generated) -> None:
    """An animation of the first shape of each class, from where it began."""
    from invert3d.view.figures import contact_sheet, save_gif
    from invert3d.view.grids import grid_panel

    names = list(found.ways)
    frames = []
    for k in range(len(found.ways[names[0]])):
        panels = [named(grid_panel(way[k].numpy()), name) for name, way in found.ways.items()]
        rows = [panels[i : i + 5] for i in range(0, len(panels), 5)]
        frames.append(contact_sheet(rows, panel_size=(150, 150), scale=1))
    save_gif(frames, path, fps=3, hold=2.5)


def named(panel: "Panel | None", name: str) -> "Panel | None":
    """A panel with its class below it."""
    return None if panel is None else replace(panel, caption=name)
