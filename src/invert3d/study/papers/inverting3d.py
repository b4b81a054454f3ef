"""The figures of *Inverting 3D Deep Learning Architectures* that show clouds, and its observations as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.result import Result
from invert3d.evaluate.clouds import chamfer_distance
from invert3d.jobs.execute import Outcome, execute
from invert3d.methods.recipes import load_recipe, overridden
from invert3d.methods.stages import Recipe
from invert3d.parameterizations.direct import Direct
from invert3d.registry import register
from invert3d.study.classes.job import Source, result_of, shapes_job
from invert3d.study.classes.report import page_clouds
from invert3d.study.classes.score import Scored, other_networks, score
from invert3d.study.networks import Network, open_network
from invert3d.study.papers.figure import FigureOptions, save_table

PAPER = "Inverting 3D Deep Learning Architectures"
CLASSES = ("person", "car", "airplane")


@dataclass(frozen=True, kw_only=True)
class Made:
    """One setting of a figure: its label, what came out, and what was measured of it."""

    label: str
    result: Result
    scored: Scored


def published(start: str, smoothed: bool, steps: int | None) -> Recipe:
    """The published recipe from another start, with or without smoothing."""
    recipe = load_recipe("published" if smoothed else "published-unsmoothed")
    return overridden(replace(recipe, parameterization=Direct(start=start)), {"steps": steps})


def make(recipes: Mapping[str, Recipe], options: FigureOptions) -> tuple[Network, Outcome, list[Made]]:
    """Invert the figure's classes by some recipes, in one job, and score them."""
    network = open_network(options.model or "pointnet2_ssg-shapes", device=options.device)
    sources = {label: Source(network=network, recipe=recipe) for label, recipe in recipes.items()}
    outcome = execute(shapes_job(sources, CLASSES, 1), options.run).whole()
    made = []
    for label, recipe in recipes.items():
        sized, result = network.with_points(recipe.points), result_of(outcome, label)
        result.facts["free_points"] = isinstance(recipe.parameterization, Direct)
        others = other_networks(sized, recipe.judge, CLASSES)
        made.append(Made(label=label, result=result, scored=score(result, sized, others)))
    return network, outcome, made


def roundness(x: Tensor) -> float:
    """How spherical a cloud (N, 3) is: its smallest principal deviation over its largest, 1 for a ball."""
    deviations = torch.linalg.svdvals(x - x.mean(0))
    return float(deviations[-1] / deviations[0].clamp_min(1e-12))


def displacement(made: Made, i: int) -> float:
    """Mean distance that the points of shape i went, over the largest norm of its start (NaN for surfaces)."""
    if not made.result.facts["free_points"] or made.result.snapshots is None:
        return float("nan")
    start, end = made.result.snapshots[0, i], made.result.x[i].cpu()
    return float((end - start).norm(dim=-1).mean() / start.norm(dim=-1).max().clamp_min(1e-12))


def rows_of(made: list[Made]) -> list[dict[str, Any]]:
    """One row a shape and setting."""
    return [
        {
            "class": name,
            "setting": each.label,
            "it says": each.scored.own.says[i],
            "confidence": round(float(each.scored.own.probability[i]), 3),
            "others": each.scored.recognized_by(i),
            "moved": "–" if each.scored.moved[i].isnan() else f"{each.scored.moved[i]:.0%}",
            "went": round(displacement(each, i), 3),
            "roundness": round(roundness(each.result.x[i].cpu()), 3),
            "Chamfer": round(float(each.scored.chamfer[i]), 3),
        }
        for i, name in enumerate(CLASSES)
        for each in made
    ]


@register("figure", "inverting3d/fig4")
def figure4(options: FigureOptions) -> dict[str, Any]:
    """Start, inverted, inverted with smoothing; and ours beside them. Observation 2: smoothing has little effect."""
    recipes = {
        "as published": published("zero", False, options.steps),
        "with smoothing": published("zero", True, options.steps),
        "ours": load_recipe("ours"),
    }
    network, outcome, made = make(recipes, options)
    plain, smooth = made[0].result.x, made[1].result.x
    apart = [chamfer_distance(a, b) / float(a.norm(dim=-1).max()) for a, b in zip(plain, smooth, strict=True)]
    rounder = [roundness(b) - roundness(a) for a, b in zip(plain, smooth, strict=True)]
    surer = float((made[1].scored.own.probability - made[0].scored.own.probability).mean())
    note = (
        "Observation 2 of the paper (smoothing has little effect, and makes shapes more spherical): smoothed and not, "
        f"the clouds are {sum(apart) / len(apart):.2f} of their radius apart (Chamfer), and the smoothed are "
        f"{sum(rounder) / len(rounder):+.2f} rounder (1 is a ball); its own confidence changes by {surer:+.2f}."
    )
    title = f"Inverted person, car and airplane ({PAPER}, figure 4)"
    return write(outcome.path, title, network.name, made, note)


@register("figure", "inverting3d/fig5")
def figure5(options: FigureOptions) -> dict[str, Any]:
    """Zero against uniform start. Observation 1: from a uniform start the cloud hardly changes."""
    recipes = {
        "from near zero": published("zero", False, options.steps),
        "from uniform [-0.2, 0.2]": published("uniform", False, options.steps),
    }
    network, outcome, made = make(recipes, options)
    went = [sum(displacement(each, i) for i in range(len(CLASSES))) / len(CLASSES) for each in made]
    sure = [float(each.scored.own.probability.mean()) for each in made]
    note = (
        "Observation 1 of the paper (from a uniform start the points hardly move, from near zero it looks better): "
        f"points go {went[1]:.2f} radii of the start from uniform and {went[0]:.1f} from near zero; the network's own "
        f"confidence ends at {sure[1]:.2f} and {sure[0]:.2f}."
    )
    return write(outcome.path, f"Zero against uniform start ({PAPER}, figure 5)", network.name, made, note)


def write(folder: Path, title: str, model: str, made: list[Made], note: str) -> dict[str, Any]:
    """figure.png, table.json and index.html. Returns the table."""
    table = save_table(folder, title, rows_of(made), note)
    draw(folder, title, model, made, table)
    return table


def draw(out: Path, title: str, model: str, made: list[Made], table: dict[str, Any]) -> None:
    """figure.png and index.html."""
    from invert3d.view.figures import Panel, contact_sheet, save_png
    from invert3d.view.page import Table, write_page

    starts = made[0].result.snapshots
    rows = (
        [[Panel(cloud=spread(cloud.numpy()), caption="start, enlarged")] for cloud in starts[0]]
        if starts is not None
        else []
    )
    for row, i in zip(rows, range(len(CLASSES)), strict=True):
        for each in made:
            facts = f"{each.scored.own_says(i)}; others {each.scored.recognized_by(i)}"
            row.append(Panel(cloud=spread(each.result.x[i].numpy()), caption=facts))
    clouds = [
        replace(cloud, name=f"{cloud.name}, {each.label}")
        for each in made
        for cloud in page_clouds(each.result, each.scored)
    ]
    sheet = contact_sheet(
        rows,
        column_titles=["start", *(each.label for each in made)],
        row_titles=list(CLASSES),
        title=title,
        note=f"{model}. Clouds are drawn at one size.",
    )
    save_png(sheet, out / "figure.png")
    write_page(
        out / "index.html",
        title=title,
        subtitle=f"Remade with {model}.",
        clouds=clouds,
        tables=[Table(title="Measured", columns=table["columns"], rows=table["rows"])],
        notes=[table["note"]],
        provenance={"command": table["command"], **table["environment"]},
    )


def spread(points):
    """A cloud centered and scaled to the unit sphere, to be drawn."""
    points = points - points.mean(0)
    return points / max(float((points**2).sum(-1).max() ** 0.5), 1e-9)
