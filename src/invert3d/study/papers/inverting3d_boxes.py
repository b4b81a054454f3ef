"""Figures 1 to 3 of *Inverting 3D Deep Learning Architectures*, remade on a held-out street or a real frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from invert3d.engine.draws import Draws
from invert3d.evaluate.layouts import errors
from invert3d.jobs.folder import prepared, write_json
from invert3d.jobs.provenance import command_line, environment
from invert3d.methods.layouts import layout_recipe
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.ops.layouts import Layout
from invert3d.study.detectors import open_detector
from invert3d.study.layouts.job import BoxesRun, frozen, invert_boxes, pixels, reached_norms
from invert3d.study.layouts.report import on_originals, write_boxes_page
from invert3d.study.layouts.scenes import Scenes, asked_scenes
from invert3d.study.layouts.score import SHOWN, short
from invert3d.view.boxes import draw_layout
from invert3d.view.boxfigures import four_panels, picture_sheet

PAPER = "Inverting 3D Deep Learning Architectures"
RECIPES = ("published_authors", "published", "ours")


def scene_of(detector: CenterNet3D, clutter: bool, number: int) -> Scenes:
    """One held-out street."""
    scenes = asked_scenes(detector, streets=number + 1, clutter=clutter)
    name = scenes.names[number]
    return Scenes((name,), (scenes.layouts[number],), {name: scenes.originals[name]})


def figure1(out: Path, detector: CenterNet3D, model: str, seed: int, steps: int | None) -> list[BoxesRun]:
    """A random picture, the boxes that are asked for, and the picture that shows them."""
    scenes = scene_of(detector, False, seed)
    run = invert_boxes(
        detector,
        scenes.layouts,
        names=scenes.names,
        recipe="ours",
        steps=steps,
        seed=seed,
        model=model,
        originals=scenes.originals,
    ).whole()
    recipe = layout_recipe("ours", detector.codec, norms=reached_norms(detector))
    space = frozen(detector).space
    theta = recipe.parameterization.initialize(run.pictures[:1, :0, 0, 0], space, Draws.seeded(seed, [0]))
    noise = recipe.parameterization(theta, space, Draws.seeded(seed, [0]))[0]
    picture = pixels(run.pictures[0])
    shown = _shown(run)[0]
    picture_sheet(
        out / "figure.png",
        [pixels(noise), draw_layout(picture * 0, run.asked[0], scale=3), picture, draw_layout(picture, shown, scale=3)],
        ["a random picture", "what is asked", "inverted", "what is read from it"],
        2,
        title="From noise to a layout",
        note=f"{PAPER}, figure 1, with {short(model)}.",
        width=480,
    )
    return [run]


def _shown(run: BoxesRun) -> list[Layout]:
    return [layout.select(layout.scores > SHOWN) for layout in run.found]


def four(clutter: bool) -> Callable[..., list[BoxesRun]]:
    """Figure 2 on a usual street, figure 3 on one full of cars: the four panels, by three recipes."""

    def figure(out: Path, detector: CenterNet3D, model: str, seed: int, steps: int | None) -> list[BoxesRun]:
        scenes = scene_of(detector, clutter, seed)
        runs = []
        for name in RECIPES:
            runs.append(
                invert_boxes(
                    detector,
                    scenes.layouts,
                    names=scenes.names,
                    recipe=name,
                    steps=None if name == "ours" else steps,
                    seed=seed,
                    model=model,
                    originals=scenes.originals,
                ).whole()
            )
            run = runs[-1]
            seen = on_originals(detector, run, [scenes.originals[run.names[0]]])[0]
            four_panels(
                out / ("figure.png" if name == "ours" else f"figure-{name}.png"),
                pixels(run.originals[run.names[0]]),
                run.asked[0],
                seen,
                pixels(run.pictures[0]),
                _shown(run)[0],
                title=f"{name.replace('_', ', ')}: {short(model)}",
                numbers={"steps": run.steps[0]},
            )
        return runs

    return figure


FIGURES: dict[str, tuple[Callable[..., list[BoxesRun]], str]] = {
    "inverting3d/fig1": (figure1, f"From noise to a layout ({PAPER}, figure 1)"),
    "inverting3d/fig2": (four(False), f"A street, inverted ({PAPER}, figure 2)"),
    "inverting3d/fig3": (four(True), f"A street full of cars, inverted ({PAPER}, figure 3)"),
}


def reproduce(name: str, out: Path, *, model: str, seed: int, steps: int | None, device: str) -> dict[str, Any]:
    """Make a figure and its table in a folder: figure.png, index.html, table.json. Returns the table."""
    make, title = FIGURES[name]
    detector = open_detector(model, device=device)
    prepared(out, overwrite=(out / "run.json").is_file())
    command = command_line()
    runs = make(out, detector, model, seed, steps)
    labels = ["ours"] if len(runs) == 1 else list(RECIPES)
    rows = [_row(label, run) for label, run in zip(labels, runs, strict=True)]
    first = runs[-1]
    seen = on_originals(detector, first, [first.originals[first.names[0]]])
    if seen[0] is not None:
        rows.append(_errors("the street itself", first.asked[0], seen[0]))
    table = {
        "title": title,
        "columns": list(rows[0]),
        "rows": [list(row.values()) for row in rows],
        "note": f"What {short(model)} reads from the picture in 8 bits, against what was asked. Errors are means over "
        "the objects that were found.",
        "command": command,
        "environment": environment(),
    }
    write_json(
        out / "run.json",
        {
            "figure": name,
            "model": model,
            "seed": seed,
            "command": command,
            "environment": environment(),
            "recipe": "ours",
            "settings": "",
        },
    )
    write_json(out / "table.json", table)
    write_boxes_page(first, _shown(first), [first.originals[n] for n in first.names], seen, out, model)
    return table


def _row(label: str, run: BoxesRun) -> dict[str, Any]:
    return _errors(label, run.asked[0], _shown(run)[0]) | {"steps": run.steps[0]}


def _errors(label: str, asked: Layout, found: Layout) -> dict[str, Any]:
    each = errors(asked, found)
    means = each.means()
    return {
        "picture": label,
        "asked": len(asked),
        "found": len(each.pairs),
        "false": each.false,
        **{k: round(means[k], 2) if len(each.pairs) else "–" for k in ("iou3d", "depth", "yaw", "center_2d")},
        "steps": 0,
    }
