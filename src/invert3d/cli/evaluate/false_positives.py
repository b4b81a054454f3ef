"""Measure how little must change until false detections of a 2-D detector are gone."""

from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.evaluate.missed import measure, opened
from invert3d.cli.options import ChangeOptions, CocoOptions, MeasureOptions, Measuring, Run, Running


def evaluate_false_positives(
    model: str = "fcos-rooms",
    *,
    files: Annotated[CocoOptions, Parameter(name="*")] = CocoOptions(),
    making: Annotated[ChangeOptions, Parameter(name="*")] = ChangeOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Find the smallest changes of real pictures after which a 2-D detector no longer sees what is not there, and, as
    the control, after which right detections of like scores are gone.

    Args:
        model: A bundled 2-D detector, or a card (.json) beside its weights.
        run.out: The run folder, which also gets a figure; by default runs/false_positives.
    """
    from invert3d.study.layouts.false_positives import FALSE, false_pairs
    from invert3d.study.layouts.score import short

    run = run.at("runs/false_positives")
    detector, scenes = opened(model, files, making, measuring)
    pairs = false_pairs(detector, scenes, making.objects)
    name = short(model)
    title = f"What {name} sees that is not there, and how little must change"
    measure(detector, pairs, FALSE, model, making, measuring, run, title)
