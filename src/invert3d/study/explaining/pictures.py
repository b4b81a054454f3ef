"""What explanations look like: colored clouds, voxels and pictures, side by side and on a page."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Reduction
from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.jobs.provenance import command_line, environment
from invert3d.opening.networks import Network
from invert3d.ops.files import write_bytes
from invert3d.registry import lookup


def reduction_of(method: str, space: Space) -> Reduction:
    """How a method gives an element one number: with one channel its value, sign and all."""
    return "sum" if isinstance(space, Voxels) else lookup("attribution", method).reduction


def values_of(
    method: str, attribution: Attribution, i: int, space: Space, shown: np.ndarray | None = None
) -> tuple[np.ndarray, str]:
    """One number an element of input i, 1 at the 99th percentile of those ``shown``, and the color map that fits it."""
    reduction = reduction_of(method, space)
    values = attribution.per_element(reduction)[i].numpy(force=True)
    seen = values if shown is None else values[shown]
    reach = max(float(np.quantile(np.abs(seen), 0.99)) if seen.any() else 0.0, 1e-12)
    return np.clip(values / reach, -1, 1), "diverging" if reduction == "sum" else "sequential"


def filled(space: Space, x: Tensor) -> np.ndarray | None:
    """The voxels of a grid that are drawn; None where everything is."""
    return x[0].numpy() != 0 if isinstance(space, Voxels) else None


def draw(
    folder: Path, network: Network, names: list[str], x: Tensor, found: dict[str, Attribution], table: dict[str, Any]
) -> None:
    """attributions.safetensors, PLY files, figure.png and index.html."""
    from safetensors.torch import save

    from invert3d.view.figures import contact_sheet, save_png
    from invert3d.view.files import write_ply
    from invert3d.view.gallery import Cloud
    from invert3d.view.page import Table, write_page

    arrays = {"x": x, **{name: each.values.cpu().contiguous() for name, each in found.items()}}
    write_bytes(folder / "attributions.safetensors", save(arrays))
    space, cards, panels = network.frozen.space, [], []
    for i, name in enumerate(names):
        panels.append([panel(space, x[i], None, "sequential", caption=f"it says {table['rows'][i * len(found)][1]}")])
        for method, each in found.items():
            values, kind = values_of(method, each, i, space, filled(space, x[i]))
            panels[-1].append(drawn := panel(space, x[i], values, kind))
            if isinstance(space, Image):
                continue
            whole = panel(space, x[i], values, kind, hollow=False)
            assert whole.cloud is not None
            write_ply(folder / "clouds" / f"{name}-{method}.ply", whole.cloud, whole.colors)
            cards.append(
                Cloud(
                    name=f"{name}, {method.replace('_', ' ')}",
                    points=whole.cloud,
                    cube=drawn.cube,
                    kind=kind,  # type: ignore[arg-type]
                    values=values if isinstance(space, Points) else values[x[i, 0].numpy() != 0],
                )
            )
    reading = (
        "Signed methods: red raises the score, blue lowers it, gray does neither. Norms: dark to bright. "
        "Colors end at the 99th percentile of each input."
    )
    what = "input" if not isinstance(space, Points) else "cloud"
    sheet = contact_sheet(
        panels,
        column_titles=[what, *(name.replace("_", " ") for name in found)],
        row_titles=names,
        title=table["title"],
        note=reading,
    )
    save_png(sheet, folder / "figure.png")
    write_page(
        folder / "index.html",
        title=table["title"],
        subtitle=reading,
        clouds=cards,
        notes=[table["note"]],
        tables=[Table(title="What was explained", columns=table["columns"], rows=table["rows"])],
        pictures=[] if cards else [(table["title"], folder / "figure.png")],
        provenance={"command": command_line(), **environment()},
    )


def panel(
    space: Space, x: Tensor, values: np.ndarray | None, kind: str, *, hollow: bool = True, caption: str = ""
) -> Any:
    """An input (*space.shape), colored by one number an element where there are any.

    Of a grid the filled voxels are drawn, those that can be seen if ``hollow``.
    """
    from invert3d.view.color import colorize
    from invert3d.view.figures import Panel
    from invert3d.view.grids import cubes

    colors = None if values is None else colorize(values, -1 if kind == "diverging" else 0, 1, kind)  # type: ignore[arg-type]
    if isinstance(space, Points):
        return Panel(cloud=x[:, :3].numpy(), colors=colors, caption=caption)
    if isinstance(space, Image):
        picture = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        if colors is not None and values is not None:
            gray = picture.mean(-1, keepdims=True) * 0.5 + 96
            share = np.abs(values)[..., None] ** 0.7
            picture = (gray * (1 - share) + colors * share).round().astype(np.uint8)
        return Panel(image=picture, caption=caption)
    grid = x[0].numpy()
    numbers = np.arange(grid.size).reshape(grid.shape)
    places, edge, which = cubes(numbers, shown=grid != 0, hollow=hollow)
    return Panel(
        cloud=places, cube=edge, colors=None if colors is None else colors.reshape(-1, 3)[which], caption=caption
    )
