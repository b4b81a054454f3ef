"""Figures 8 to 13 of *Inverting and Understanding Object Detectors*, remade: single objects, scale and texture."""

from typing import Any

import numpy as np

from invert3d.data.worlds.room_plan import SCALES
from invert3d.jobs.execute import execute
from invert3d.models.detectors import Detector, categories
from invert3d.ops.layouts import Layout
from invert3d.registry import register
from invert3d.study.layouts.context import SIDES, Context, context_of, measure_context, single_layouts
from invert3d.study.layouts.job import How
from invert3d.study.layouts.scale import beside, confident, draw_scales, measure_scales
from invert3d.study.layouts.score import short
from invert3d.study.layouts.sheets import every, run_sheet
from invert3d.study.layouts.texture import changes_of, said_of, table_of, texture_job
from invert3d.study.papers.figure import FigureOptions
from invert3d.study.papers.layout_inversion import PAPER, finished, inverted, opened
from invert3d.view.figures import save_png

SHOWN_KINDS = ("chair", "lamp", "striped cup", "zigzag car")  # where the detector knows them


@register("figure", "layout-inversion/fig9")
@register("figure", "layout-inversion/fig8")
def figure8(options: FigureOptions) -> dict[str, Any]:
    """Single objects, inverted from each detector; and what else it finds in the pictures (figure 9)."""
    detectors = opened(options)
    one = next(iter(detectors.values()))
    kinds, seeds = kinds_of(one), options.pictures or 1
    runs = inverted(options, single_layouts(kinds, seeds, one.height), {})
    firsts = {name: every(run, seeds) for name, run in runs.items()}
    note = f"{PAPER}, figure {{}}. One object is asked for (white), and nothing of the rest. Color: {{}}."
    run_sheet(
        options.folder / "figure.png",
        firsts,
        lambda _, run, i: f"score {said_of(run.found[i], run.asked[i], 0)[0]:.2f}",
        title="Single objects",
        note=note.format(8, "the box that the detector finds for it"),
        columns=kinds,
        shown=own,
    )
    run_sheet(
        options.folder / "detections.png",
        firsts,
        lambda _, run, i: beside(run, i),
        title="What else is found beside a single object",
        note=note.format(9, "all that the detector finds with a score above one half"),
        columns=kinds,
        shown=confident,
    )
    rows = []
    for (name, run), detector in zip(runs.items(), detectors.values(), strict=True):
        context = context_of(run, categories(detector), seeds)
        rows += [{"inverted": name, **row} for row in context_rows(context) if row["object"] in kinds]
    return finished(options, "figures 8 and 9", "Single objects", rows)


def own(found: Layout, asked: Layout) -> Layout:
    """The surest detection of the object that is asked, if there is one."""
    from torchvision.ops import box_iou

    hits = box_iou(found.boxes, asked.boxes[:1])[:, 0] >= 0.5
    mine = found.select(hits).of_kinds(asked.kinds[:1])
    return mine.select(mine.scores.argsort(descending=True)[:1])


def kinds_of(detector: Detector) -> tuple[str, ...]:
    """The categories that figures of single objects show."""
    return tuple(kind for kind in SHOWN_KINDS if kind in detector.kinds) or categories(detector)[:4]


def context_rows(context: Context, most: int = 6) -> list[dict[str, Any]]:
    """For each object, how often it is found and the categories that appear most often beside it."""
    rows = []
    for k, kind in enumerate(context.kinds):
        order = [b for b in np.argsort(-context.together[k]) if context.together[k, b] > 0][:most]
        others = ", ".join(f"{context.kinds[b]} {context.together[k, b]:.0%}" for b in order)
        rows.append({"object": kind, "found itself": int(context.seen[k]), "of": context.pictures, "beside it": others})
    return rows


@register("figure", "layout-inversion/fig11")
@register("figure", "layout-inversion/fig10")
def figure10(options: FigureOptions) -> dict[str, Any]:
    """What appears beside single objects of every category, how often, and on which side (figure 11)."""
    from invert3d.view.matrix import matrix_plot

    name, detector = next(iter(opened(options).items()))
    context, _ = measure_context(
        detector, options.run, model=name, seeds=options.pictures or 2, how=How(steps=options.steps)
    )
    kinds = list(context.kinds)
    note = f"{PAPER}, figure {{}}. {short(name)}; pictures of each object: {context.pictures}."
    together = matrix_plot(
        context.together,
        rows=kinds,
        columns=kinds,
        labels=("object", "what else"),
        span=(0, 1),
        title="How often another category appears",
        note=note.format(10),
    )
    save_png(together, options.folder / "figure.png")
    counts = context.sides.sum((1, 2))
    center = int(counts.argmax())  # the one that the detector expects most beside
    beside_it = [b for b in range(len(kinds)) if context.sides[center, b].any()] or [center]
    sides = matrix_plot(
        context.sides[center, beside_it],
        rows=[kinds[b] for b in beside_it],
        columns=SIDES,
        form=".0f",
        span=(0, max(1.0, float(context.sides[center].max()))),
        title=f"On which side of a {kinds[center]} others appear",
        note=note.format(11),
    )
    save_png(sides, options.folder / "sides.png")
    return finished(options, "figures 10 and 11", "What appears beside an object", context_rows(context))


@register("figure", "layout-inversion/fig12")
def figure12(options: FigureOptions) -> dict[str, Any]:
    """Single objects of five lengths, inverted from one detector."""
    name, detector = next(iter(opened(options).items()))
    kinds = kinds_of(detector)[:3]
    scaled = measure_scales(
        detector, options.run, kinds=kinds, shares=SCALES, seeds=options.pictures or 1, model=name, steps=options.steps
    )
    draw_scales(options.folder / "figure.png", scaled, f"Objects of five lengths: {PAPER}, figure 12")
    return finished(options, "figure 12", f"Objects of five lengths, {short(name)}", scaled.rows())


@register("figure", "layout-inversion/fig13")
def figure13(options: FigureOptions) -> dict[str, Any]:
    """Another texture: how the score and the overlap change with the length of the object, for each detector."""
    outcome = execute(texture_job(opened(options), options.pictures or 60, options.device), options.run).whole()
    changes = changes_of(outcome)
    rows = [{"detector": short(name), **row} for name, each in changes.items() for row in table_of(each)]
    if not rows:
        raise ValueError("too few objects of any group are found: give more --pictures")
    for file, column in {"figure.png": "change of score", "overlap.png": "change of IoU"}.items():
        draw_textures(options, file, rows, column)
    return finished(options, "figure 13", "The same object with another texture", rows)


def draw_textures(options: FigureOptions, file: str, rows: list[dict[str, Any]], column: str) -> None:
    """Curves over the lengths, of each detector and group."""
    from invert3d.view.trace import trace_plot

    lengths, series = [f"{share:.0%} of the picture" for share in SCALES], {}
    for row in rows:
        if row["length"] in lengths:
            several = len({each["detector"] for each in rows}) > 1
            label = f"{row['categories']}: {row['new texture']}"
            label = f"{row['detector']}: {label}" if several else label
            line = series.setdefault(label, np.full(len(SCALES), np.nan))
            line[lengths.index(row["length"])] = row[column]
    if any(np.isfinite(line).any() for line in series.values()):
        plot = trace_plot(
            series,
            steps=np.array(SCALES),
            title="The same object with another texture",
            note=f"{PAPER}, figure 13. Means over the objects that are found with a score of at least 0.3.",
            x_label="length of the object as a share of the picture's side",
            y_label=column,
            size=(1000, 440),
        )
        save_png(plot, options.folder / file)
