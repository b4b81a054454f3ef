"""Layout inversion of 2-D detectors: the loop beside the bare detector, layouts a minute, rooms a second.

    python benchmarks/layouts.py             the table, some minutes on two cores
    python benchmarks/layouts.py --quick     few steps, few layouts: does it run?
    python benchmarks/layouts.py --record    also writes docs/results/layout.json

Ratios are of processor time, alternating. Layouts a minute are of wall time: the whole call of ``invert_layouts``.
"""

import time
from statistics import median

from detecting import ROOMS, Row, bare, looped, main, pictures_per_second, seconds

from invert3d.data.worlds.rooms import make_room
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe
from invert3d.methods.stages import run_stages
from invert3d.opening.box_detectors import open_box_detector
from invert3d.study.layouts.flat import invert_layouts
from invert3d.study.layouts.flat_scenes import flat_scenes
from invert3d.study.layouts.job import frozen

OVERHEADS = {"loop_overhead_retinanet": "retinanet-rooms", "loop_overhead_fasterrcnn": "fasterrcnn-rooms"}
HEADLINE = {**dict.fromkeys(OVERHEADS, "at most 1.05"), ROOMS: "at least 25"}
FAST = "fcos-rooms"


def overhead(name: str, model: str, steps: int, rounds: int) -> Row:
    """A step of the loop over forward, losses and backward to the input and nothing else, 4 rooms."""
    detector = open_box_detector(model)
    target = detector.targets(flat_scenes(detector, rooms=4).layouts)
    shares = []
    for turn in range(rounds + 1):  # the first warms up
        without, within = (seconds(work, detector, target, steps) for work in (bare, looped))
        if turn:
            shares.append(within / without)
    what = f"over the bare network, 4 pictures of {detector.height} x {detector.width}"
    return {"name": name, "value": median(shares), "low": min(shares), "high": max(shares), "what": what}


def by_batch(steps: int) -> list[Row]:
    """Layouts a minute of the recipe ours on one core, against how many are inverted together."""
    detector = open_box_detector(FAST)
    recipe, rows = layout_recipe("layouts/ours", detector, steps=steps), []
    for batch in (1, 4, 12):
        target = detector.targets(flat_scenes(detector, rooms=batch).layouts)
        start = time.perf_counter()
        run_stages(frozen(detector), target, recipe)
        rate = 60 * batch / (time.perf_counter() - start)
        rows.append({"name": f"layouts a minute, {batch} together", "value": rate, "what": f"{FAST}, {steps} steps"})
    return rows


def by_workers(steps: int, rooms: int) -> list[Row]:
    """Layouts a minute of a whole call of the recipe ours, with one process and with two."""
    detector, rows = open_box_detector(FAST), []
    scenes = flat_scenes(detector, rooms=rooms)
    recipe = layout_recipe("layouts/ours", detector, steps=steps)
    for workers, said in ((1, "one process"), (2, "two processes")):
        options = RunOptions(workers=workers, progress=False)
        start = time.perf_counter()
        invert_layouts(detector, scenes.layouts, recipe=recipe, names=scenes.names, options=options)
        rate = 60 * rooms / (time.perf_counter() - start)
        rows.append(
            {"name": f"layouts a minute, {said}", "value": rate, "what": f"{FAST}, {rooms} rooms, {steps} steps"}
        )
    return rows


def measured(quick: bool) -> list[Row]:
    """All that is measured here."""
    return [
        *(overhead(name, model, 3 if quick else 20, 1 if quick else 7) for name, model in OVERHEADS.items()),
        *by_batch(3 if quick else 40),
        *by_workers(3 if quick else 40, 2 if quick else 24),
        pictures_per_second(ROOMS, make_room, 5 if quick else 400),
    ]


if __name__ == "__main__":
    main("layouts", "layout", HEADLINE, measured)
