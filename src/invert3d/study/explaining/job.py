"""``invert3d.explain``: from a model and inputs to attributions, pictures and one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method, Reduction
from invert3d.attribution.features import GradCAM
from invert3d.engine.objective import Objective
from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.jobs.folder import checked_folder, prepared, write_json
from invert3d.jobs.provenance import command_line, environment
from invert3d.objectives.classes import ClassScore, Contrast
from invert3d.registry import lookup
from invert3d.study.networks import Network, open_network

#: what is shown if nothing else is asked for, by what the network takes
METHODS = {
    "points": ("gradient", "guided", "integrated_gradients", "point_saliency", "occlusion"),
    "voxels": ("gradient", "input_x_gradient", "guided", "integrated_gradients", "occlusion", "grad_cam"),
    "image": ("gradient", "guided", "integrated_gradients", "occlusion", "grad_cam"),
}


def explain(
    model: str | Network,
    x: Tensor | np.ndarray,
    method: str | Method = "integrated_gradients",
    *,
    target: str | Sequence[str] | None = None,
    against: str | None = None,
    score: Objective | None = None,
) -> Attribution:
    """Say which points, voxels or pixels made a frozen classifier decide as it did.

    Args:
        model: bundled weights by name, or an opened ``Network`` (see ``open_network`` for your own).
        x: clouds (B, N, 3) in the unit sphere, z up; grids (B, 1, S, S, S) of 0 and 1; images (B, 3, H, W) in [0, 1].
        method: a name (``gradient``, ``guided``, ``integrated_gradients``, ...) or a ``Method``.
        target: the class to explain, or one for each input; by default what the network says.
        against: a class to tell it from: the difference of their logits is explained.
        score: any other function of the outputs to explain, as an ``Objective`` (of which minus is explained).

    Returns:
        An ``Attribution`` with values like x.

    Raises:
        ValueError: for an unknown class, method or weights, an input that is not legal, or one the method does not
            explain.
    """
    network = model if isinstance(model, Network) else open_network(model)
    inputs = torch.as_tensor(x).to(network.frozen.dtype)
    if isinstance(network.frozen.space, Points) and inputs.dim() == 3:
        network = network.with_points(inputs.shape[1])
    checked(network.frozen.space, inputs)
    chosen = lookup("attribution", method)() if isinstance(method, str) else method
    classes = targets_of(network, inputs, target)
    asked = score if score is not None else question(network, against)
    return chosen(network.frozen, asked, inputs.to(network.frozen.device), classes)


def checked(space: Space, x: Tensor) -> None:
    """Raise ValueError for inputs that are not legal, among them grids that are not 0 and 1."""
    space.validate(x)
    if isinstance(space, Voxels) and not ((x == 0) | (x == 1)).all():
        inside = float(((x > 0) & (x < 1)).double().mean())
        raise ValueError(f"occupancy is 0 or 1, but {inside:.1%} of the voxels lie between: threshold the grids first")


def targets_of(network: Network, x: Tensor, target: str | Sequence[str] | None) -> Tensor:
    """The classes (B,) to explain."""
    if target is None:
        with torch.no_grad():
            return network.frozen(x.to(network.frozen.device)).argmax(-1)
    names = [target] * len(x) if isinstance(target, str) else list(target)
    if len(names) != len(x):
        raise ValueError(f"{len(names)} targets for {len(x)} inputs")
    return torch.tensor([network.index(name) for name in names], device=network.frozen.device)


def question(network: Network, against: str | None) -> Objective:
    """The objective that is explained."""
    return ClassScore() if against is None else Contrast(against=network.index(against))


def default_methods(space: Space) -> tuple[str, ...]:
    """What is shown of an input of this kind."""
    return METHODS["points" if isinstance(space, Points) else "voxels" if isinstance(space, Voxels) else "image"]


def reduction_of(method: str, space: Space) -> Reduction:
    """How a method gives an element one number: with one channel its value, sign and all."""
    return "sum" if isinstance(space, Voxels) else lookup("attribution", method).reduction


def explain_files(
    network: Network,
    inputs: dict[str, Tensor],
    methods: Sequence[str] | None = None,
    *,
    out: Path,
    layer: str | None = None,
    target: str | None = None,
    against: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Explain named inputs (*space.shape) by several methods into a folder. Returns the table.

    The folder gets attributions.safetensors, table.json, figure.png, a PLY a cloud or grid and method, and index.html.
    """
    space, asked = network.frozen.space, list(methods or default_methods(network.frozen.space))
    for name in asked:
        lookup("attribution", name)().check(space)
    if layer is not None and "grad_cam" not in asked:
        raise ValueError("a layer was named, but only grad_cam looks at one: add it to the methods")
    x = torch.stack(list(inputs.values()))
    checked(space, x)
    if layer is not None and layer not in network.frozen.module_names:
        near = ", ".join(network.frozen.nearest(layer))
        raise ValueError(f"{network.name} has no layer {layer!r}; nearest: {near}")
    if isinstance(space, Voxels) and not x.flatten(1).any(1).all():
        raise ValueError(f"{list(inputs)[int((~x.flatten(1).any(1)).nonzero()[0])]}: nothing in the grid is filled")
    checked_folder(out, overwrite=overwrite)
    classes = targets_of(network, x, target)
    if against is not None and (classes == network.index(against)).any():
        raise ValueError(f"{against} against itself explains nothing: name another class to tell it from")
    with torch.no_grad():
        chances = network.frozen(x).softmax(-1).cpu()
    if chances.shape[1] != len(network.classes):
        raise ValueError(f"{network.name} has {chances.shape[1]} outputs, and {len(network.classes)} class names")
    targets = [network.classes[i] for i in classes.tolist()]
    found: dict[str, Attribution] = {}
    left_out = []
    for name in asked:
        chosen = GradCAM(layer=layer) if layer and name == "grad_cam" else name
        try:
            found[name] = explain(network, x, chosen, target=targets, against=against)
        except ValueError as error:
            if methods:
                raise
            left_out.append(str(error))  # nobody asked for this one
    folder = prepared(out, overwrite=overwrite)
    table = table_of(network, list(inputs), found, chances, classes, against)
    table["note"] += "".join(f" Left out: {reason}." for reason in left_out)
    write_json(
        folder / "run.json",
        {
            "model": network.name,
            "names": list(inputs),
            "methods": list(found),
            "command": command_line(),
            "environment": environment(),
            "facts": {name: each.facts for name, each in found.items()},
        },
    )
    write_json(folder / "table.json", table)
    draw(folder, network, list(inputs), x, found, table)
    return table


def table_of(
    network: Network,
    names: list[str],
    found: dict[str, Attribution],
    chances: Tensor,
    classes: Tensor,
    against: str | None,
) -> dict[str, Any]:
    """What the network says of each input, and what each method cost and how complete it is."""
    rows, missed = [], []
    for i, name in enumerate(names):
        says = int(chances[i].argmax())
        for method, each in found.items():
            errors, used = each.facts.get("completeness_error"), each.facts.get("evaluations_each")
            rows.append(
                [
                    name,
                    f"{network.classes[says]} {chances[i, says]:.2f}",
                    network.classes[int(classes[i])],
                    method.replace("_", " "),
                    used[i] if used else each.facts["evaluations"],
                    f"{errors[i]:.2%}" if errors else "–",
                    each.facts.get("rectifiers", "–"),
                ]
            )
            if errors and errors[i] > each.facts.get("tolerance", 1):
                missed.append(f"{name} {errors[i]:.1%} after {used[i] if used else '?'} runs")
    versus = f" against {against}" if against else ""
    return {
        "title": f"Why {network.name} says so{versus}",
        "columns": ["input", "it says", "explained", "method", "runs", "incomplete by", "rectifiers"],
        "rows": rows,
        "note": "Runs of the network, forward and back. Incomplete by: how far the attributions are from adding up to "
        "F(x) - F(baseline), as a share of it. Rectifiers: found, and all changed."
        + (f" Completeness was not reached: {'; '.join(missed)}." if missed else ""),
    }


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
    from safetensors.torch import save_file

    from invert3d.view.figures import contact_sheet, save_png
    from invert3d.view.files import write_ply
    from invert3d.view.gallery import Cloud
    from invert3d.view.page import Table, write_page

    save_file(
        {"x": x, **{name: each.values.cpu().contiguous() for name, each in found.items()}},
        folder / "attributions.safetensors",
    )
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
