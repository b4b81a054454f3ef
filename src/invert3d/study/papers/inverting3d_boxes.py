"""Figures 1 to 3 of *Inverting 3D Deep Learning Architectures*, remade on a held-out street."""

from collections.abc import Sequence
from typing import Any

from invert3d.engine.draws import Draws
from invert3d.evaluate.layouts import errors
from invert3d.jobs.execute import Outcome, execute
from invert3d.methods.layouts import layout_recipe
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.ops.layouts import Layout
from invert3d.registry import register
from invert3d.study.detectors import open_detector
from invert3d.study.layouts.files import pixels
from invert3d.study.layouts.job import BoxesRun, asked_of, frozen, layouts_job, run_of
from invert3d.study.layouts.report import on_originals, write_boxes_page
from invert3d.study.layouts.scenes import Scenes, asked_scenes
from invert3d.study.layouts.score import SHOWN, short
from invert3d.study.papers.figure import FigureOptions, save_table
from invert3d.view.boxes import draw_layout
from invert3d.view.boxfigures import four_panels, picture_sheet

PAPER = "Inverting 3D Deep Learning Architectures"
RECIPES = ("published_authors", "published", "ours")
MODEL = "centernet3d-small"


@register("figure", "inverting3d/fig1")
def figure1(options: FigureOptions) -> dict[str, Any]:
    """A random picture, the boxes that are asked for, and the picture that shows them."""
    detector, scenes = setting(options, clutter=False)
    outcome, (run,) = made(detector, scenes, ("ours",), options)
    recipe, space = layout_recipe("ours", detector), frozen(detector).space
    draws = Draws.seeded(options.run.seed, ["noise"])
    theta = recipe.drawn(0).initialize(run.pictures[:1, :0, 0, 0], space, draws)
    noise = recipe.drawn(0)(theta, space, draws)[0]
    picture, shown = pixels(run.pictures[0]), _shown(run)[0]
    picture_sheet(
        outcome.path / "figure.png",
        [pixels(noise), draw_layout(picture * 0, run.asked[0], scale=3), picture, draw_layout(picture, shown, scale=3)],
        ["a random picture", "what is asked", "inverted", "what is read from it"],
        2,
        title="From noise to a layout",
        note=f"{PAPER}, figure 1, with {short(options.model or MODEL)}.",
        width=480,
    )
    return write(outcome, detector, ("ours",), [run], f"From noise to a layout ({PAPER}, figure 1)", options)


@register("figure", "inverting3d/fig2")
def figure2(options: FigureOptions) -> dict[str, Any]:
    """A usual street, inverted by three recipes: four panels each."""
    return panels(options, False, f"A street, inverted ({PAPER}, figure 2)")


@register("figure", "inverting3d/fig3")
def figure3(options: FigureOptions) -> dict[str, Any]:
    """A street full of cars, inverted by three recipes: four panels each."""
    return panels(options, True, f"A street full of cars, inverted ({PAPER}, figure 3)")


def setting(options: FigureOptions, clutter: bool) -> tuple[CenterNet3D, Scenes]:
    """The detector, and one held-out street, which the seed chooses."""
    detector, number = open_detector(options.model or MODEL, device=options.device), options.run.seed
    scenes = asked_scenes(detector, streets=number + 1, clutter=clutter, options=options.run)
    name = scenes.names[number]
    return detector, Scenes((name,), (scenes.layouts[number],), {name: scenes.originals[name]})


def made(
    detector: CenterNet3D, scenes: Scenes, recipes: Sequence[str], options: FigureOptions
) -> tuple[Outcome, list[BoxesRun]]:
    """The street, inverted by some recipes in one job."""
    sources = {
        name: asked_of(
            detector,
            scenes.layouts,
            scenes.names,
            layout_recipe(name, detector, steps=options.steps if len(recipes) == 1 or name != "ours" else None),
            model=options.model or MODEL,
        )
        for name in recipes
    }
    outcome = execute(layouts_job(sources), options.run).whole()
    return outcome, [run_of(outcome, asked, scenes.originals, name) for name, asked in sources.items()]


def panels(options: FigureOptions, clutter: bool, title: str) -> dict[str, Any]:
    """Figures 2 and 3."""
    detector, scenes = setting(options, clutter)
    outcome, runs = made(detector, scenes, RECIPES, options)
    for name, run in zip(RECIPES, runs, strict=True):
        original = run.originals[run.names[0]]
        four_panels(
            outcome.path / ("figure.png" if name == "ours" else f"figure-{name}.png"),
            pixels(original),
            run.asked[0],
            on_originals(detector, run, [original])[0],
            pixels(run.pictures[0]),
            _shown(run)[0],
            title=f"{name.replace('_', ', ')}: {short(options.model or MODEL)}",
            numbers={"steps": run.steps[0]},
        )
    return write(outcome, detector, RECIPES, runs, title, options)


def write(
    outcome: Outcome,
    detector: CenterNet3D,
    labels: Sequence[str],
    runs: Sequence[BoxesRun],
    title: str,
    options: FigureOptions,
) -> dict[str, Any]:
    """The table and the page of a figure. Returns the table."""
    rows = [_errors(label, run.asked[0], _shown(run)[0], run.steps[0]) for label, run in zip(labels, runs, strict=True)]
    last, model = runs[-1], options.model or MODEL
    originals = [last.originals[name] for name in last.names]
    seen = on_originals(detector, last, originals)
    if seen[0] is not None:
        rows.append(_errors("the street itself", last.asked[0], seen[0], 0))
    note = (
        f"What {short(model)} reads from the picture in 8 bits, against what was asked. Errors are means over the "
        "objects that were found."
    )
    write_boxes_page(last, _shown(last), originals, seen, outcome.path, model)
    return save_table(outcome.path, title, rows, note)


def _shown(run: BoxesRun) -> list[Layout]:
    return [layout.select(layout.scores > SHOWN) for layout in run.found]


def _errors(label: str, asked: Layout, found: Layout, steps: int) -> dict[str, Any]:
    each = errors(asked, found)
    means = each.means()
    return {
        "picture": label,
        "asked": len(asked),
        "found": len(each.pairs),
        "false": each.false,
        **{k: round(means[k], 2) if len(each.pairs) else "–" for k in ("iou3d", "depth", "yaw", "center_2d")},
        "steps": steps,
    }
