"""``invert3d evaluate errors``: what a network gets wrong, how sure it is, and why."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.jobs.folder import checked_folder, prepared, write_json
from invert3d.jobs.provenance import command_line, environment
from invert3d.study.explaining.held_out import HeldOut, held_out, probabilities
from invert3d.study.explaining.job import explain, filled, panel, values_of
from invert3d.study.networks import Network


def confusion(said: Tensor, target: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes): row the class it is, column the class (M,) it was taken for."""
    return torch.bincount(target * classes + said, minlength=classes**2).view(classes, classes)


def confident_mistakes(chances: Tensor, target: Tensor, most: int) -> list[int]:
    """The rows that are wrong, the surest first: at most so many."""
    sure, said = chances.max(-1)
    wrong = (said != target).nonzero()[:, 0]
    return wrong[sure[wrong].argsort(descending=True)][:most].tolist()


def typical(chances: Tensor, target: Tensor, label: int) -> int | None:
    """The shape of a class that is recognized with the middle of all confidences; None if none is."""
    right = ((target == label) & (chances.argmax(-1) == label)).nonzero()[:, 0]
    if not len(right):
        return None
    return int(right[chances[right, label].argsort()[len(right) // 2]])


def analyze(
    network: Network,
    out: Path,
    *,
    method: str = "integrated_gradients",
    most: int = 6,
    per_class: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    title: str = "",
) -> dict[str, Any]:
    """The errors of a network on held-out shapes, into a folder. Returns the table of confident mistakes.

    The folder gets confusion.png, mistakes.png, confusion.json, table.json and index.html. A mistake stands beside a
    typical shape of the class it was taken for, both explained for that class.

    Raises ValueError for an unknown method, or a network there are no shapes for.
    """
    from invert3d.registry import lookup

    lookup("attribution", method)().check(network.frozen.space)
    checked_folder(out, overwrite=overwrite)
    known = held_out(network, per_class, seed)
    folder = prepared(out, overwrite=overwrite)
    chances = probabilities(network, known.x)
    said = chances.argmax(-1)
    counts = confusion(said, known.target, len(network.classes))
    shown = [i for i in range(len(network.classes)) if counts[i].sum() or counts[:, i].sum()]
    names = [network.classes[i] for i in shown]
    mistakes = confident_mistakes(chances, known.target, most)
    accuracy = float((said == known.target).double().mean())
    title = title or f"What {network.name} gets wrong"
    rows = [
        [
            network.classes[int(known.target[i])],
            network.classes[int(said[i])],
            f"{chances[i].max():.2f}",
            f"{chances[i, known.target[i]]:.2f}",
        ]
        for i in mistakes
    ]
    pairs = worst_pairs(counts, network.classes)
    note = f"{accuracy:.1%} of {len(known)} held-out shapes are classified right. "
    if pairs:
        note += "Most often: " + ", ".join(f"{a} taken for {b} ({n})" for a, b, n in pairs) + "."
    table = {
        "title": title,
        "columns": ["it is", "taken for", "so sure", "of what it is"],
        "rows": rows,
        "note": note,
        "accuracy": accuracy,
        "pairs": pairs,
    }
    write_json(folder / "run.json", {"model": network.name, "command": command_line(), "environment": environment()})
    write_json(folder / "table.json", table)
    write_json(folder / "confusion.json", {"classes": names, "counts": counts[shown][:, shown].tolist()})
    draw(folder, network, known, chances, counts[shown][:, shown].numpy(), names, mistakes, method, table)
    return table


def worst_pairs(counts: Tensor, classes: tuple[str, ...], most: int = 4) -> list[tuple[str, str, int]]:
    """The classes that are confused most often: (it is, taken for, how often)."""
    off = counts.clone().fill_diagonal_(0)
    order = off.flatten().argsort(descending=True)[:most].tolist()
    found = [(classes[i // len(classes)], classes[i % len(classes)], int(off.flatten()[i])) for i in order]
    return [pair for pair in found if pair[2]]


def draw(
    folder: Path,
    network: Network,
    known: HeldOut,
    chances: Tensor,
    counts: np.ndarray,
    names: list[str],
    mistakes: list[int],
    method: str,
    table: dict[str, Any],
) -> None:
    """The confusion matrix, the mistakes and the page."""
    from invert3d.view.figures import contact_sheet, save_png
    from invert3d.view.matrix import matrix_plot
    from invert3d.view.page import Table, write_page

    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    save_png(
        matrix_plot(
            np.where(shares > 0, shares, np.nan),
            names,
            names,
            title=table["title"],
            note=table["note"],
            row_label="it is",
            column_label="taken for",
            form=".0%",
            vmin=0,
            vmax=1,
        ),
        folder / "confusion.png",
    )
    pictures, space = [("Confusion matrix", folder / "confusion.png")], network.frozen.space
    if mistakes:
        said = chances.argmax(-1)
        partner = [typical(chances, known.target, int(said[i])) for i in mistakes]
        asked = sorted({*mistakes, *(i for i in partner if i is not None)})
        wanted = [network.classes[int(said[i])] for i in asked]
        found = explain(network, known.x[asked], method, target=wanted)
        at, rows, titles = {row: k for k, row in enumerate(asked)}, [], []
        for i, other in zip(mistakes, partner, strict=True):
            label = network.classes[int(said[i])]
            values, kind = values_of(method, found, at[i], space, filled(space, known.x[i]))
            line = [
                panel(space, known.x[i], None, kind, caption=f"{label} {chances[i].max():.2f}"),
                panel(space, known.x[i], values, kind),
            ]
            if other is not None:
                values, kind = values_of(method, found, at[other], space, filled(space, known.x[other]))
                line += [
                    panel(space, known.x[other], None, kind, caption=f"{label} {chances[other].max():.2f}"),
                    panel(space, known.x[other], values, kind),
                ]
            rows.append(line)
            titles.append(f"{network.classes[int(known.target[i])]} taken for {label}".replace("_", " "))
        sheet = contact_sheet(
            rows,
            row_titles=titles,
            title="The surest mistakes, and a right one of the class they were taken for",
            column_titles=["mistake", "why", "right", "why"],
            note=f"{network.name}, explained by {method.replace('_', ' ')}. Red speaks for the class that was said, "
            "blue against it.",
        )
        save_png(sheet, folder / "mistakes.png")
        pictures.append(("The surest mistakes", folder / "mistakes.png"))
    write_page(
        folder / "index.html",
        title=table["title"],
        subtitle=table["note"],
        pictures=pictures,
        tables=[Table(title="The surest mistakes", columns=table["columns"], rows=table["rows"])],
        provenance={"command": command_line(), **environment()},
    )
