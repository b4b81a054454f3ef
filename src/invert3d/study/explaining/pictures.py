"""What explanations look like: colored clouds, voxels and pictures, side by side and on a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Reduction
from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.jobs.provenance import command_line, environment
from invert3d.opening.networks import Network
from invert3d.ops.files import write_bytes
from invert3d.registry import lookup

if TYPE_CHECKING:
    from invert3d.view.gallery import Cloud

Map = Literal["sequential", "diverging"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """One input, what the network says of it, and why."""

    name: str
    x: Tensor  # (*space.shape)
    target: str  # the class that is explained
    says: str  # the likeliest class, as "chair 98%"
    found: Mapping[str, Attribution]  # by method, each of this input alone
    truth: str | None = None  # the class that it is, where that is known
    without: Mapping[str, tuple[Tensor, str]] = field(default_factory=dict)  # elements taken away, the answer then


def reduction_of(method: str, space: Space) -> Reduction:
    """How a method gives an element one number: with one channel its value, sign and all."""
    return "sum" if isinstance(space, Voxels) else lookup("attribution", method).reduction


def values_of(method: str, attribution: Attribution, space: Space, x: Tensor) -> tuple[np.ndarray, Map]:
    """One number an element of the input x (*space.shape), the only one that was explained: 1 at the 99th percentile
    of what is drawn; and the color map that fits it."""
    reduction, shown = reduction_of(method, space), filled(space, x)
    values = attribution.per_element(reduction)[0].numpy(force=True)
    seen = values if shown is None else values[shown]
    reach = max(float(np.quantile(np.abs(seen), 0.99)) if seen.any() else 0.0, 1e-12)
    return np.clip(values / reach, -1, 1), "diverging" if reduction == "sum" else "sequential"


def filled(space: Space, x: Tensor) -> np.ndarray | None:
    """The voxels of a grid that are drawn; None where everything is."""
    return x[0].numpy() != 0 if isinstance(space, Voxels) else None


def draw(folder: Path, network: Network, inputs: Sequence[Explained], table: dict[str, Any]) -> None:
    """attributions.safetensors, PLY files, figure.png and index.html."""
    from safetensors.torch import save

    from invert3d.view.figures import contact_sheet, save_png
    from invert3d.view.page import Table, write_page

    methods, space = list(inputs[0].found), network.frozen.space
    arrays = {"x": torch.stack([each.x for each in inputs])}
    arrays |= {name: torch.cat([each.found[name].values for each in inputs]).cpu().contiguous() for name in methods}
    write_bytes(folder / "attributions.safetensors", save(arrays))
    panels = [
        [panel(space, each.x, None, "sequential", caption=f"predicted {each.says}")]
        + [panel(space, each.x, *values_of(name, found, space, each.x)) for name, found in each.found.items()]
        for each in inputs
    ]
    reading = (
        "Signed methods: red raises the score, blue lowers it, gray does neither. Norms: dark to bright. "
        "Colors saturate at the 99th percentile of each input."
    )
    sheet = contact_sheet(
        panels,
        column_titles=["input", *(name.replace("_", " ") for name in methods)],
        row_titles=[each.name for each in inputs],
        title=table["title"],
        note=reading,
    )
    save_png(sheet, folder / "figure.png")
    cards = [] if isinstance(space, Image) else [card for each in inputs for card in rows_of(folder, space, each)]
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


def rows_of(folder: Path, space: Space, given: Explained) -> list["Cloud"]:
    """The cards of one input, and its PLY files: a row with the input and what each method says of it, and, where it
    was tested, one of what is left without what each names."""
    from invert3d.view.files import write_ply
    from invert3d.view.gallery import Cloud

    whole = panel(space, given.x, None, "sequential", hollow=False)
    shape, shown = {"points": whole.cloud, "cube": whole.cube}, filled(space, given.x)
    here = slice(None) if shown is None else shown
    facts = {"prediction": given.says, "explained class": given.target}
    facts |= {} if given.truth is None else {"true class": given.truth}
    row = f"{given.name}: predicted {given.says}"
    cards = [Cloud(name="input", row=row, badges=facts, **shape)]
    for method, found in given.found.items():
        values, kind = values_of(method, found, space, given.x)
        colored = panel(space, given.x, values, kind, hollow=False)
        write_ply(folder / "clouds" / f"{given.name}-{method}.ply", whole.cloud, colored.colors)
        cards.append(Cloud(name=method.replace("_", " "), row=row, values=values[here], kind=kind, **shape))
    for method, (gone, answer) in given.without.items():
        away = gone.numpy()[here]
        row = f"{given.name} with {away.mean():.0%} removed (drawn pale), at random or as each method ranks them"
        cards.append(Cloud(name=method.replace("_", " "), row=row, ghost=away, caption=f"predicted {answer}", **shape))
    return cards


def panel(
    space: Space, x: Tensor, values: np.ndarray | None, kind: Map, *, hollow: bool = True, caption: str = ""
) -> Any:
    """An input (*space.shape), colored by one number an element where there are any.

    Of a grid the filled voxels are drawn, those that can be seen if ``hollow``.
    """
    from invert3d.view.color import colorize
    from invert3d.view.figures import Panel
    from invert3d.view.grids import cubes
    from invert3d.view.heatmaps import tinted

    colors = None if values is None else colorize(values, -1 if kind == "diverging" else 0, 1, kind)
    if isinstance(space, Points):
        return Panel(cloud=x[:, :3].numpy(), colors=colors, caption=caption)
    if isinstance(space, Image):
        picture = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        if colors is not None and values is not None:
            picture = tinted(picture, colors, np.abs(values))
        return Panel(image=picture, caption=caption)
    grid = x[0].numpy()
    numbers = np.arange(grid.size).reshape(grid.shape)
    places, edge, which = cubes(numbers, shown=grid != 0, hollow=hollow)
    return Panel(
        cloud=places, cube=edge, colors=None if colors is None else colors.reshape(-1, 3)[which], caption=caption
    )
