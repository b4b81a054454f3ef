"""``invert3d evaluate errors``: what a network gets wrong, how sure it is, and why."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution
from invert3d.engine.progress import Meter
from invert3d.jobs.execute import execute
from invert3d.jobs.folder import write_json
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import command_line, environment
from invert3d.opening.networks import Network
from invert3d.registry import lookup
from invert3d.study.explaining.held_out import HeldOut, held_out, probabilities
from invert3d.study.explaining.job import explaining_job
from invert3d.study.explaining.pictures import panel, reduction_of, values_of


def confusion(said: Tensor, target: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes): row the class it is, column the class (M,) it was classified as."""
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
    options: RunOptions,
    *,
    method: str = "integrated_gradients",
    most: int = 6,
    per_class: int | None = None,
    data: str | None = None,
    title: str = "",
) -> dict[str, Any]:
    """The errors of a network on held-out shapes, into a run folder. Returns the table of confident mistakes.

    ``data`` is as in ``held_out``. The folder gets confusion.png, mistakes.png, confusion.json, table.json and
    index.html. A mistake stands beside a typical shape of the class that it is mistaken for, both explained for it.

    Raises:
        ValueError: for an unknown method, or a network there are no shapes for.
        KeyboardInterrupt: after Ctrl-C; the explanations that were done are in the folder.
    """
    from invert3d.view.page import Table, write_page

    lookup("attribution", method)().check(network.frozen.space)
    if most < 1:
        raise ValueError(f"show at least one mistake, not {most}")
    with Meter(f"classifying held-out shapes with {network.name}", show=options.progress):
        known = held_out(network, per_class, options.seed, data)
        chances = probabilities(network, known.x)
    mistakes = confident_mistakes(chances, known.target, most)
    said = chances.argmax(-1)
    partner = [typical(chances, known.target, int(said[i])) for i in mistakes]
    shown = sorted({*mistakes, *(i for i in partner if i is not None)}) or [0]
    inputs = {f"shape-{i}": known.x[i] for i in shown}
    asked = [network.classes[int(said[i])] for i in shown]
    outcome = execute(explaining_job(network, inputs, [method], target=asked), options).whole()
    values = torch.stack([made.arrays[method] for _, made in outcome.each()])
    found = {i: Attribution(values[k : k + 1]) for k, i in enumerate(shown)}
    counts = confusion(said, known.target, len(network.classes))
    table = _table(network, known, chances, counts, mistakes, title or f"What {network.name} gets wrong")
    seen = [i for i in range(len(network.classes)) if counts[i].sum() or counts[:, i].sum()]
    names = [network.classes[i] for i in seen]
    write_json(outcome.path / "table.json", table)
    write_json(outcome.path / "confusion.json", {"classes": names, "counts": counts[seen][:, seen].tolist()})
    pairs = list(zip(mistakes, partner, strict=True))
    draw_confusion(outcome.path / "confusion.png", counts[seen][:, seen].numpy(), names, table)
    pictures = [("Confusion matrix", outcome.path / "confusion.png")]
    if mistakes:
        draw_mistakes(outcome.path / "mistakes.png", network, known, chances, pairs, found, method)
        pictures.append(("The most confident mistakes", outcome.path / "mistakes.png"))
    write_page(
        outcome.path / "index.html",
        title=table["title"],
        subtitle=table["note"],
        pictures=pictures,
        tables=[Table(title="The most confident mistakes", columns=table["columns"], rows=table["rows"])],
        provenance={"command": command_line(), **environment()},
    )
    return table


def _table(
    network: Network, known: HeldOut, chances: Tensor, counts: Tensor, mistakes: list[int], title: str
) -> dict[str, Any]:
    said = chances.argmax(-1)
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
    accuracy = float((said == known.target).double().mean())
    right = int((said == known.target).sum())
    note = f"{right} of {len(known)} held-out shapes are classified correctly ({accuracy:.1%})."
    note += "".join(f" {finding}." for finding in findings(counts, network.classes)) + network.guessed
    columns = ["true class", "classified as", "probability", "probability of true class"]
    return {"title": title, "columns": columns, "rows": rows, "note": note, "accuracy": accuracy, "pairs": pairs}


def findings(counts: Tensor, classes: tuple[str, ...], most: int = 4) -> list[str]:
    """The classes that are recognized worst, in words: "night_stand: 0 of 86 right, 60 classified as table"."""
    asked, said = counts.sum(1), counts.sum(0)
    share = counts.diagonal() / asked.clamp_min(1)
    worst = [i for i in share.argsort().tolist() if asked[i] and share[i] < 1][:most]
    found = []
    for i in worst:
        others = counts[i].clone()
        others[i] = 0
        wrong = f"{others.max()} classified as {classes[int(others.argmax())]}"
        found.append(
            f"{classes[i]}: {counts[i, i]} of {asked[i]} right, {wrong}{'' if said[i] else ', never predicted'}"
        )
    return found


def worst_pairs(counts: Tensor, classes: tuple[str, ...], most: int = 4) -> list[tuple[str, str, int]]:
    """The classes that are confused most often: (it is, classified as, how often)."""
    off = counts.clone().fill_diagonal_(0)
    order = off.flatten().argsort(descending=True)[:most].tolist()
    found = [(classes[i // len(classes)], classes[i % len(classes)], int(off.flatten()[i])) for i in order]
    return [pair for pair in found if pair[2]]


def draw_confusion(path: Path, counts: np.ndarray, names: list[str], table: dict[str, Any]) -> None:
    """The confusion matrix, each row as shares."""
    from invert3d.view.figures import save_png
    from invert3d.view.matrix import matrix_plot

    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    picture = matrix_plot(
        np.where(shares > 0, shares, np.nan),
        names,
        names,
        title=table["title"],
        note=table["note"],
        labels=("true class", "classified as"),
        form=".0%",
        span=(0, 1),
    )
    save_png(picture, path)


def draw_mistakes(
    path: Path,
    network: Network,
    known: HeldOut,
    chances: Tensor,
    pairs: Sequence[tuple[int, int | None]],
    found: Mapping[int, Attribution],
    method: str,
) -> None:
    """Each mistake and a right shape of the class it is mistaken for, both with what speaks for that class."""
    from invert3d.view.figures import contact_sheet, save_png

    space, rows, titles = network.frozen.space, [], []
    for i, other in pairs:
        label, line = network.classes[int(chances[i].argmax())], []
        for row in (i, other):
            if row is not None:
                values, kind = values_of(method, found[row], space, known.x[row])
                line.append(panel(space, known.x[row], None, kind, caption=f"{label} {chances[row].max():.2f}"))
                line.append(panel(space, known.x[row], values, kind))
        rows.append(line)
        titles.append(f"{network.classes[int(known.target[i])]} classified as {label}".replace("_", " "))
    signed = reduction_of(method, space) == "sum"
    what = "evidence for the class" if signed else "what the score depends on"
    reading = (
        "Red raises the score of the predicted class, blue lowers it" if signed else "Bright: the score depends on it"
    )
    sheet = contact_sheet(
        rows,
        row_titles=titles,
        title="The most confident mistakes, and a typical shape of the predicted class",
        column_titles=["mistake", what, "typical", what],
        note=f"{network.name}, explained by {method.replace('_', ' ')}. {reading}.",
    )
    save_png(sheet, path)
