"""``invert3d.explain``: from a model and clouds to attributions, pictures and one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.engine.objective import Objective
from invert3d.objectives.classes import ClassScore, Contrast
from invert3d.registry import lookup, registered
from invert3d.study.networks import Network, open_network
from invert3d.study.runs import command_line, environment, prepared, write_json

#: what is shown if nothing else is asked for
METHODS = ("gradient", "guided", "integrated_gradients", "point_saliency", "occlusion")


def explain(
    model: str | Network,
    x: Tensor | np.ndarray,
    method: str | Method = "integrated_gradients",
    *,
    target: str | Sequence[str] | None = None,
    against: str | None = None,
) -> Attribution:
    """Say which points made a frozen classifier decide as it did.

    Args:
        model: bundled weights by name, or an opened ``Network`` (see ``open_network`` for your own).
        x: clouds (B, N, 3) in the unit sphere, z up (as ``Network.space`` says).
        method: a name (``gradient``, ``guided``, ``integrated_gradients``, ...) or a ``Method``.
        target: the class to explain, or one for each cloud; by default what the network says.
        against: a class to tell it from: the difference of their logits is explained.

    Returns:
        An ``Attribution`` with values like x.

    Raises:
        ValueError: for an unknown class, method or weights, or a cloud that is not legal.
    """
    clouds = torch.as_tensor(np.asarray(x), dtype=torch.float32) if isinstance(x, np.ndarray) else x
    network = model if isinstance(model, Network) else open_network(model, points=clouds.shape[1])
    network = network.with_points(clouds.shape[1])
    network.frozen.space.validate(clouds)
    chosen = lookup("attribution", method)() if isinstance(method, str) else method
    classes = targets_of(network, clouds, target)
    return chosen(network.frozen, question(network, against), clouds.to(network.frozen.device), classes)


def targets_of(network: Network, x: Tensor, target: str | Sequence[str] | None) -> Tensor:
    """The classes (B,) to explain."""
    if target is None:
        with torch.no_grad():
            return network.frozen(x.to(network.frozen.device)).argmax(-1)
    names = [target] * len(x) if isinstance(target, str) else list(target)
    if len(names) != len(x):
        raise ValueError(f"{len(names)} targets for {len(x)} clouds")
    return torch.tensor([network.index(name) for name in names], device=network.frozen.device)


def question(network: Network, against: str | None) -> Objective:
    """The objective that is explained."""
    return ClassScore() if against is None else Contrast(against=network.index(against))


def explain_files(
    network: Network, clouds: dict[str, np.ndarray], methods: Sequence[str], *, out: Path,
    target: str | None = None, against: str | None = None, overwrite: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Explain named clouds (N, 3) by several methods into a folder. Returns the table.

    The folder gets attributions.safetensors, table.json, figure.png, a PLY a cloud and method, and index.html.
    """
    unknown = [name for name in methods if name not in registered("attribution")]
    if unknown:
        lookup("attribution", unknown[0])
    x = torch.from_numpy(np.stack(list(clouds.values())))
    network.frozen.space.validate(x)
    folder = prepared(out, overwrite=overwrite)
    classes = targets_of(network, x, target)
    with torch.no_grad():
        chances = network.frozen(x.to(network.frozen.device)).softmax(-1).cpu()
    found = {
        name: explain(network, x, name, target=[network.classes[i] for i in classes.tolist()], against=against)
        for name in methods
    }
    table = table_of(network, list(clouds), found, chances, classes, against)
    write_json(folder / "run.json", {
        "model": network.name, "names": list(clouds), "methods": list(methods), "command": command_line(),
        "environment": environment(), "facts": {name: each.facts for name, each in found.items()},
    })  # fmt: skip
    write_json(folder / "table.json", table)
    draw(folder, network, list(clouds), x, found, table)
    return table


def table_of(
    network: Network, names: list[str], found: dict[str, Attribution], chances: Tensor, classes: Tensor,
    against: str | None,
) -> dict[str, Any]:  # fmt: skip
    """What the network says of each cloud, and what each method cost and how complete it is."""
    rows = []
    for i, name in enumerate(names):
        says = int(chances[i].argmax())
        for method, each in found.items():
            errors, used = each.facts.get("completeness_error"), each.facts.get("evaluations_each")
            rows.append([
                name, f"{network.classes[says]} {chances[i, says]:.2f}", network.classes[int(classes[i])],
                method.replace("_", " "), used[i] if used else each.facts["evaluations"],
                f"{errors[i]:.2%}" if errors else "–", each.facts.get("rectifiers", "–"),
            ])  # fmt: skip
    versus = f" against {against}" if against else ""
    return {
        "title": f"Why {network.name} says so{versus}",
        "columns": ["cloud", "it says", "explained", "method", "runs", "incomplete by", "rectifiers"],
        "rows": rows,
        "note": "Runs of the network, forward and back. Incomplete by: how far the attributions are from adding up to "
        "F(x) - F(baseline), as a share of it. Rectifiers: found, and all changed.",
    }  # fmt: skip


def point_values(method: str, attribution: Attribution, i: int) -> tuple[np.ndarray, str]:
    """One number a point (N,) of cloud i, at most 1 in size, and the color map that fits it."""
    reduction = lookup("attribution", method).reduction
    values = attribution.per_element(reduction)[i].numpy(force=True)
    reach = max(float(np.quantile(np.abs(values), 0.99)), 1e-12)
    return np.clip(values / reach, -1, 1), "diverging" if reduction == "sum" else "sequential"


def draw(
    folder: Path, network: Network, names: list[str], x: Tensor, found: dict[str, Attribution], table: dict[str, Any]
) -> None:
    """attributions.safetensors, PLY files, figure.png and index.html."""
    from safetensors.torch import save_file

    from invert3d.view.color import colorize
    from invert3d.view.figures import Panel, contact_sheet, save_png
    from invert3d.view.files import write_ply
    from invert3d.view.gallery import Cloud
    from invert3d.view.page import Table, write_page

    save_file({"x": x, **{name: each.values.cpu().contiguous() for name, each in found.items()}},
              folder / "attributions.safetensors")  # fmt: skip
    cards, panels = [], []
    for i, name in enumerate(names):
        points = x[i, :, :3].numpy()
        panels.append([Panel(cloud=points, caption="height")])
        for method, each in found.items():
            values, kind = point_values(method, each, i)
            colors = colorize(values, -1 if kind == "diverging" else 0, 1, kind)  # type: ignore[arg-type]
            panels[-1].append(Panel(cloud=points, colors=colors))
            write_ply(folder / "clouds" / f"{name}-{method}.ply", points, colors)
            cards.append(Cloud(name=f"{name}, {method.replace('_', ' ')}", points=points, values=values, kind=kind))  # type: ignore[arg-type]
    reading = (
        "Signed methods: red raises the score, blue lowers it, gray does neither. Norms: dark to bright. "
        "Colors end at the 99th percentile of each cloud."
    )
    sheet = contact_sheet(
        panels, column_titles=["cloud", *(name.replace("_", " ") for name in found)], row_titles=names,
        title=table["title"], note=reading,
    )  # fmt: skip
    save_png(sheet, folder / "figure.png")
    write_page(
        folder / "index.html", title=table["title"], subtitle=reading, clouds=cards, notes=[table["note"]],
        tables=[Table(title="What was explained", columns=table["columns"], rows=table["rows"])],
        provenance={"command": command_line(), **environment()},
    )  # fmt: skip
