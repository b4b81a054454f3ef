"""The figures of *Inverting 3D Deep Learning Architectures*, remade, and its observations as numbers.

Figures 1 to 3 invert the layout of a held-out street, figures 4 and 5 classes of clouds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.result import Result
from invert3d.evaluate.clouds import chamfer_distance
from invert3d.evaluate.layouts import errors
from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.report import report, save_table
from invert3d.methods.layouts import layout_recipe
from invert3d.methods.recipes import load_recipe, overridden
from invert3d.methods.stages import Recipe
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.opening.detectors import open_detector
from invert3d.opening.networks import open_network
from invert3d.ops.layouts import Layout
from invert3d.parameterizations.direct import Direct
from invert3d.registry import register
from invert3d.study.classes.job import Source, result_of, shapes_job
from invert3d.study.classes.report import page_clouds
from invert3d.study.classes.score import Scored, other_networks, score
from invert3d.study.layouts.files import pixels
from invert3d.study.layouts.job import BoxesRun, agreeing, asked_of, frozen, layouts_job, run_of
from invert3d.study.layouts.report import on_originals, scene_of, write_boxes_page
from invert3d.study.layouts.scenes import Scenes, asked_scenes
from invert3d.study.layouts.score import short, sure
from invert3d.study.papers.figure import FigureOptions

PAPER = "Inverting 3D Deep Learning Architectures"
DETECTOR = "centernet3d-small"
RECIPES = ("published_authors", "published", "ours")
CLASSES = ("person", "car", "airplane")


@register("figure", "inverting3d/fig1")
def figure1(options: FigureOptions) -> dict[str, Any]:
    """A random picture, the boxes that are asked for, and the picture that shows them."""
    from invert3d.view.boxes import draw_layout
    from invert3d.view.boxfigures import picture_sheet

    street = Street.inverted(options, ("ours",), clutter=False)
    run, detector = street.runs["ours"], street.detector
    parameterization, space = layout_recipe("ours", detector).drawn(0), frozen(detector).space
    draws = Draws.seeded(options.run.seed, ["noise"])
    noise = parameterization(parameterization.initialize(run.pictures[:1, :0, 0, 0], space, draws), space, draws)[0]
    picture = pixels(run.pictures[0])
    asked = draw_layout(picture * 0, run.asked[0], scale=3)
    read = draw_layout(picture, sure(run.found[0]), scale=3)
    picture_sheet(
        street.outcome.path / "figure.png",
        [pixels(noise), asked, picture, read],
        ["a random picture", "what is asked", "inverted", "what is read from it"],
        2,
        title="From noise to a layout",
        note=f"{PAPER}, figure 1, with {short(street.model)}.",
        width=480,
    )
    return street.report(f"From noise to a layout ({PAPER}, figure 1)")


@register("figure", "inverting3d/fig2")
def figure2(options: FigureOptions) -> dict[str, Any]:
    """A usual street, inverted by three recipes: four panels each."""
    return four_panels_of(options, False, f"A street, inverted ({PAPER}, figure 2)")


@register("figure", "inverting3d/fig3")
def figure3(options: FigureOptions) -> dict[str, Any]:
    """A street full of cars, inverted by three recipes: four panels each."""
    return four_panels_of(options, True, f"A street full of cars, inverted ({PAPER}, figure 3)")


def four_panels_of(options: FigureOptions, clutter: bool, title: str) -> dict[str, Any]:
    """Figures 2 and 3."""
    from invert3d.view.boxfigures import four_panels

    street = Street.inverted(options, RECIPES, clutter)
    for name, run in street.runs.items():
        label = f"{name.replace('_', ', ')}: {short(street.model)}"
        scene = scene_of(run, 0, label, sure(run.found[0]), street.seen[0])
        picture = "figure.png" if name == "ours" else f"figure-{name}.png"
        four_panels(street.outcome.path / picture, scene, {"steps": run.steps[0]})
    return street.report(title)


@dataclass(frozen=True, kw_only=True)
class Street:
    """A held-out street, inverted by some recipes in one job, and what the detector sees in the street itself."""

    detector: CenterNet3D
    model: str
    outcome: Outcome
    runs: Mapping[str, BoxesRun]
    seen: Sequence[Layout | None]

    @classmethod
    def inverted(cls, options: FigureOptions, recipes: Sequence[str], clutter: bool) -> "Street":
        """Do it. The seed chooses the street; steps override those of the published recipes, and of one alone."""
        model, number = options.model or DETECTOR, options.run.seed
        detector = open_detector(model, device=options.device)
        whole = asked_scenes(detector, streets=number + 1, clutter=clutter, options=options.run)
        name = whole.names[number]
        scene = Scenes((name,), (whole.layouts[number],), {name: whole.originals[name]})
        sources = {}
        for each in recipes:
            steps = options.steps if len(recipes) == 1 or each != "ours" else None
            recipe = layout_recipe(each, detector, steps=steps)
            sources[each] = asked_of(detector, scene.layouts, scene.names, recipe, model=model)
        outcome = execute(layouts_job(sources), options.run).whole()
        runs = {each: run_of(outcome, asked, scene.originals, each) for each, asked in sources.items()}
        seen = on_originals(detector, runs["ours"])
        return cls(detector=detector, model=model, outcome=outcome, runs=runs, seen=seen)

    def report(self, title: str) -> dict[str, Any]:
        """Write the page and the table. Returns the table."""
        last, found = self.runs["ours"], {name: (sure(run.found[0]), run.steps[0]) for name, run in self.runs.items()}
        if self.seen[0] is not None:
            found["the street itself"] = (self.seen[0], 0)
        rows = []
        for label, (layout, steps) in found.items():
            each = errors(last.asked[0], layout)
            means = {k: round(v, 2) if len(each.pairs) else "–" for k, v in each.means().items()}
            counts = {"picture": label, "asked": len(last.asked[0]), "found": len(each.pairs), "false": each.false}
            rows.append({**counts, **{k: means[k] for k in ("iou3d", "depth", "yaw", "center_2d")}, "steps": steps})
        agrees = agreeing(self.detector, list(last.pictures), list(last.asked))
        write_boxes_page(self.outcome.path, last, [sure(last.found[0])], agrees, self.seen, self.model)
        note = (
            f"Detections of {short(self.model)} in the saved 8-bit picture, compared with the requested layout. "
            "Errors are means over the detected objects."
        )
        return save_table(self.outcome.path, title, rows, note)


@register("figure", "inverting3d/fig4")
def figure4(options: FigureOptions) -> dict[str, Any]:
    """Start, inverted, inverted with smoothing; and ours beside them. Observation 2: smoothing has little effect."""
    recipes = {
        "as published": published("zero", False, options.steps),
        "with smoothing": published("zero", True, options.steps),
        "ours": load_recipe("ours"),
    }
    outcome, made = inverted(recipes, options)
    plain, smooth = made[0].result.x, made[1].result.x
    apart = [chamfer_distance(a, b) / float(a.norm(dim=-1).max()) for a, b in zip(plain, smooth, strict=True)]
    rounder = [roundness(b) - roundness(a) for a, b in zip(plain, smooth, strict=True)]
    surer = float((made[1].scored.own.probability - made[0].scored.own.probability).mean())
    note = (
        "Observation 2 of the paper (smoothing has little effect, and makes shapes more spherical): the Chamfer "
        f"distance between clouds with and without smoothing is {sum(apart) / len(apart):.2f} of their radius; "
        f"smoothing changes the roundness (1 for a ball) by {sum(rounder) / len(rounder):+.2f}, and the confidence of "
        f"the inverted network by {surer:+.2f}."
    )
    return write(outcome, f"Inverted person, car and airplane ({PAPER}, figure 4)", made, note)


@register("figure", "inverting3d/fig5")
def figure5(options: FigureOptions) -> dict[str, Any]:
    """Zero against uniform start. Observation 1: from a uniform start the cloud hardly changes."""
    recipes = {
        "from near zero": published("zero", False, options.steps),
        "from uniform [-0.2, 0.2]": published("uniform", False, options.steps),
    }
    outcome, made = inverted(recipes, options)
    went = [sum(each.displacement(i) for i in range(len(CLASSES))) / len(CLASSES) for each in made]
    sure = [float(each.scored.own.probability.mean()) for each in made]
    note = (
        "Observation 1 of the paper (from a uniform start the points hardly move, from near zero the result looks "
        f"better): in radii of the start, points move by {went[1]:.2f} from a uniform start and by {went[0]:.1f} from "
        f"near zero; the final confidence of the network is {sure[1]:.2f} and {sure[0]:.2f}."
    )
    return write(outcome, f"Zero against uniform start ({PAPER}, figure 5)", made, note)


def published(start: str, smoothed: bool, steps: int | None) -> Recipe:
    """The published recipe from another start, with or without smoothing."""
    recipe = load_recipe("published" if smoothed else "published-unsmoothed")
    return overridden(replace(recipe, parameterization=Direct(start=start)), {"steps": steps})


@dataclass(frozen=True, kw_only=True)
class Made:
    """One setting of a figure: its label, what came out, and what was measured of it."""

    label: str
    result: Result
    scored: Scored

    def start(self, i: int) -> Tensor:
        """The cloud (N, 3) that shape i began as."""
        assert self.result.snapshots is not None, "a class recipe that was run to its end has snapshots"
        return self.result.snapshots[0, i]

    def displacement(self, i: int) -> float:
        """Mean distance that the points of shape i went, over the largest norm of its start (NaN for surfaces)."""
        if not self.result.facts["free_points"]:
            return float("nan")
        start, end = self.start(i), self.result.x[i].cpu()
        return float((end - start).norm(dim=-1).mean() / start.norm(dim=-1).max().clamp_min(1e-12))

    def row(self, i: int) -> dict[str, Any]:
        """The row of shape i."""
        moved = self.scored.moved[i]
        return {
            "class": CLASSES[i],
            "setting": self.label,
            "prediction": self.scored.own.says[i],
            "confidence": round(float(self.scored.own.probability[i]), 3),
            "others": self.scored.recognized_by(i),
            "moved": "–" if moved.isnan() else f"{moved:.0%}",
            "went": round(self.displacement(i), 3),
            "roundness": round(roundness(self.result.x[i].cpu()), 3),
            "Chamfer": round(float(self.scored.chamfer[i]), 3),
        }


def inverted(recipes: Mapping[str, Recipe], options: FigureOptions) -> tuple[Outcome, list[Made]]:
    """Invert the figure's classes by some recipes, in one job, and score them."""
    network = open_network(options.model or "pointnet2_ssg-shapes", device=options.device)
    sources = {label: Source(network=network, recipe=recipe) for label, recipe in recipes.items()}
    outcome, made = execute(shapes_job(sources, CLASSES, 1), options.run).whole(), []
    for label, recipe in recipes.items():
        sized, result = network.with_points(recipe.points), result_of(outcome, label)
        result.facts["free_points"] = isinstance(recipe.parameterization, Direct)
        scored = score(result, sized, other_networks(sized, recipe.judge, CLASSES))
        made.append(Made(label=label, result=result, scored=scored))
    return outcome, made


def roundness(x: Tensor) -> float:
    """How spherical a cloud (N, 3) is: its smallest principal deviation over its largest, 1 for a ball."""
    deviations = torch.linalg.svdvals(x - x.mean(0))
    return float(deviations[-1] / deviations[0].clamp_min(1e-12))


def write(outcome: Outcome, title: str, made: Sequence[Made], note: str) -> dict[str, Any]:
    """figure.png, table.json and index.html. Returns the table."""
    from invert3d.view.figures import Panel, contact_sheet, save_png

    rows = []
    for i in range(len(CLASSES)):
        row = [Panel(cloud=in_unit_sphere(made[0].start(i)).numpy(), caption="start, enlarged")]
        for each in made:
            facts = f"{each.scored.own_says(i)}; others {each.scored.recognized_by(i)}"
            row.append(Panel(cloud=in_unit_sphere(each.result.x[i]).numpy(), caption=facts))
        rows.append(row)
    sheet = contact_sheet(
        rows,
        column_titles=["start", *(each.label for each in made)],
        row_titles=list(CLASSES),
        title=title,
        note=f"{made[0].result.facts['model']}. Clouds are drawn at one size.",
    )
    save_png(sheet, outcome.path / "figure.png")
    clouds = [
        replace(cloud, name=f"{cloud.name}, {each.label}")
        for each in made
        for cloud in page_clouds(each.result, each.scored)
    ]
    return report(outcome.path, title, [each.row(i) for i in range(len(CLASSES)) for each in made], note, clouds=clouds)


def in_unit_sphere(points: Tensor) -> Tensor:
    """A cloud (N, 3) centered and scaled, to be drawn."""
    centered = points - points.mean(0)
    return centered / centered.norm(dim=-1).max().clamp_min(1e-9)
