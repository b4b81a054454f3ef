"""Layout inversion beside the bare detector, KITTI's evaluation, the street world: ratios and rates from one run.

    python benchmarks/detecting.py             the table, a few minutes on one core
    python benchmarks/detecting.py --quick     few steps, few frames: does it run?
    python benchmarks/detecting.py --record    also writes docs/results/detector3d.json

The loop is compared with forward and backward to the input and nothing else, alternating, by processor time. What ours
adds on top (views, a spectrum, statistics of the features) is listed by itself.
"""

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from invert3d.data.worlds.streets import make_frame
from invert3d.engine.loop import optimize
from invert3d.engine.memory import keep_freed_memory
from invert3d.engine.stepper import Stepper
from invert3d.evaluate.kitti import evaluate_kitti
from invert3d.jobs.record import record
from invert3d.methods.layouts import layout_recipe
from invert3d.methods.stages import Recipe, run_stages
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.objectives.detection import DetectionLoss
from invert3d.opening.detectors import open_detector
from invert3d.ops.centers import CenterCodec
from invert3d.ops.layouts import Layout
from invert3d.parameterizations.direct import Direct
from invert3d.study.layouts.job import frozen

Row = dict[str, Any]
STREETS, ROOMS = "streets_frames_per_second_96x320", "rooms_frames_per_second"
HEADLINE = {"loop_overhead_centernet3d": "at most 1.05", STREETS: "at least 20"}


def bare(detector: Any, target: dict[str, Tensor], steps: int) -> None:
    """Forward, the training loss, backward to the input, a step of gradient descent: nothing else."""
    x = torch.rand(len(target["boxes"]), 3, detector.height, detector.width, requires_grad=True)
    with frozen(detector):
        for _ in range(steps):
            raw = detector.raw(x)
            losses = detector.losses(raw, detector.assign(raw, target))
            loss = torch.stack([weight * losses[name] for name, weight in detector.heads.items()]).sum()
            (gradient,) = torch.autograd.grad(loss, x)
            with torch.no_grad():
                x -= 0.05 * gradient


def looped(detector: Any, target: dict[str, Tensor], steps: int) -> None:
    """The same through the loop."""
    optimize(
        frozen(detector),
        DetectionLoss(),
        Direct(),
        target=target,
        steps=steps,
        stepper=Stepper(kind="sgd", rate=0.05, momentum=0.0),
    )


def whole(recipe: Recipe) -> Callable[[CenterNet3D, dict[str, Tensor], int], None]:
    """A recipe, never stopping early."""

    def run(detector: CenterNet3D, target: dict[str, Tensor], steps: int) -> None:
        run_stages(frozen(detector), target, recipe)

    return run


def seconds(work: Callable[..., None], *arguments: Any) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def overheads(steps: int, rounds: int) -> list[Row]:
    """The loop over the bare network; and what a whole recipe costs."""
    detector = open_detector("centernet3d-small")
    layouts = [make_frame(i, height=96, width=320, seed=5).layout for i in range(4)]
    target = detector.targets(layouts)
    sides = {
        "bare": bare,
        "loop_overhead_centernet3d": looped,
        "recipe published": whole(layout_recipe("published", detector, steps=steps)),
        "recipe ours": whole(layout_recipe("ours", detector, steps=steps)),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):  # the first warms up
        for name, work in sides.items():
            spent = seconds(work, detector, target, steps)
            if turn:
                times[name].append(spent)
    rows = []
    for name in list(sides)[1:]:
        shares = [a / b for a, b in zip(times[name], times["bare"], strict=True)]
        rows.append(
            {
                "name": name,
                "value": median(shares),
                "low": min(shares),
                "high": max(shares),
                "what": "over the bare network, 4 pictures of 96 x 320",
            }
        )
    return rows


def exponents(steps: int) -> list[Row]:
    """How the cost of a step grows with the area of the picture and with the number of boxes."""
    rows = []
    for name, cases in (
        ("area_exponent", [(96, 320, 6), (192, 640, 6), (384, 1280, 6)]),
        ("boxes_exponent", [(96, 320, 2), (96, 320, 8), (96, 320, 32)]),
    ):
        times, sizes = [], []
        for height, width, boxes in cases:
            torch.manual_seed(0)
            detector = CenterNet3D("small", height=height, width=width, codec=CenterCodec(center="projected")).eval()
            target = detector.targets([many(boxes, height, width)])
            looped(detector, target, 2)
            times.append(seconds(looped, detector, target, steps) / steps)
            sizes.append(height * width if name == "area_exponent" else boxes)
        slope = math.log(times[-1] / times[0]) / math.log(sizes[-1] / sizes[0])
        said = ", ".join(f"{1000 * t:.0f} ms" for t in times)
        rows.append({"name": name, "value": slope, "what": f"a step at {', '.join(map(str, sizes))}: {said}"})
    return rows


def many(boxes: int, height: int, width: int) -> Layout:
    """So many cars in rows."""
    places = torch.arange(boxes)
    centers = torch.stack([(places % 4) * 5.0 - 7.5, torch.full((boxes,), 1.65), 12 + (places // 4) * 6.0], 1)
    camera = torch.tensor([[0.58 * width, 0, width / 2, 0], [0, 0.58 * width, 0.47 * height, 0], [0, 0, 1.0, 0]])
    return Layout.of(
        ["Car"] * boxes,
        torch.tensor([[1.5, 1.65, 4.0]]).expand(boxes, 3),
        centers,
        torch.full((boxes,), 1.5),
        camera,
        height,
        width,
    )


def evaluation(frames: int) -> Row:
    """Frames a second of KITTI's evaluation: all views and difficulties, 10 objects and 20 detections a frame."""
    torch.manual_seed(0)
    truth = [many(10, 384, 1280) for _ in range(frames)]
    found = []
    for layout in truth:
        twice = layout.select(torch.arange(10).repeat(2))
        moved = twice.centers + 0.3 * torch.randn(20, 3)
        found.append(
            Layout.of(twice.kinds, twice.sizes, moved, twice.yaws, layout.projection, 384, 1280, torch.rand(20))
        )
    start = time.process_time()
    evaluate_kitti(truth, found)
    rate = frames / (time.process_time() - start)
    return {"name": "ap_frames_per_second", "value": rate, "what": f"{frames} frames, 10 objects, 20 detections each"}


def pictures_per_second(name: str, make: Callable[..., Any], frames: int) -> Row:
    """Pictures a second of a world on one core, once the meshes that its pictures share are made: ``make`` takes the
    number of a picture and a seed."""
    for i in range(frames // 2):
        make(i, seed=1)
    start = time.process_time()
    for i in range(frames):
        make(i, seed=2)
    rate = frames / (time.process_time() - start)
    return {"name": name, "value": rate, "what": f"{frames} pictures after {frames // 2}, one core"}


def main(title: str, topic: str, goals: dict[str, str], rows: Callable[[bool], list[Row]]) -> None:
    """Measure ``rows`` (few steps, if quick), show them, and record them among the results of a topic if asked to."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    measured = rows(options.quick)
    table = Table(title=title)
    for name in ("what is measured", "value", "", "goal"):
        table.add_column(name)
    for row in measured:
        spread = f" ({row['low']:.3f} to {row['high']:.3f})" if "low" in row else ""
        table.add_row(row["name"], f"{row['value']:.3f}{spread}", row["what"], goals.get(row["name"], ""))
    Console(width=140).print(table)
    if options.record:
        headline = {row["name"]: round(row["value"], 3) for row in measured if row["name"] in goals}
        print(record(topic, headline, [{"table": f"bench {title}", **row} for row in measured]))


def measured(quick: bool) -> list[Row]:
    """All that is measured here."""
    return [
        *overheads(3 if quick else 20, 1 if quick else 7),
        *exponents(1 if quick else 6),
        evaluation(50 if quick else 1000),
        pictures_per_second(STREETS, partial(make_frame, height=96, width=320), 5 if quick else 200),
    ]


if __name__ == "__main__":
    main("detecting", "detector3d", HEADLINE, measured)
