"""Measure how little must change until a 2-D detector sees what it missed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from invert3d.cli.options import ChangeOptions, CocoOptions, MeasureOptions, Measuring, Run, Running, split_names
from invert3d.cli.show import print_recorded, print_table

if TYPE_CHECKING:
    from invert3d.models.detectors import Detector
    from invert3d.study.layouts.changes import Pair, Words
    from invert3d.study.layouts.scenes import Scenes

FIRST = 100  # rooms before this one are for choosing recipes


def evaluate_missed(
    model: str = "fcos-rooms",
    *,
    files: Annotated[CocoOptions, Parameter(name="*")] = CocoOptions(),
    making: Annotated[ChangeOptions, Parameter(name="*")] = ChangeOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Find the smallest changes of real pictures after which a 2-D detector sees objects that it missed, and, as the
    control, after which it sees the same in empty places.

    Args:
        model: A bundled 2-D detector, or a card (.json) beside its weights.
        run.out: The run folder, which also gets a figure; by default runs/missed.
    """
    from invert3d.study.layouts.missed import MISSED, missed_pairs
    from invert3d.study.layouts.score import short

    run = run.at("runs/missed")
    detector, scenes = opened(model, files, making, measuring)
    pairs = missed_pairs(detector, scenes, making.objects, run.seed)
    name = short(model)
    title = f"What {name} missed, and how little must change"
    measure(detector, pairs, MISSED, model, making, measuring, run, title)


def opened(
    model: str, files: CocoOptions, making: ChangeOptions, measuring: MeasureOptions
) -> "tuple[Detector, Scenes]":
    """The detector, and the pictures to look in."""
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.flat_scenes import flat_scenes

    detector = open_box_detector(model, device=measuring.device)
    chosen, rooms = split_names(files.image_id) or [], None if files.coco else making.rooms
    scenes = flat_scenes(detector, coco=files.coco, images=files.images, image_ids=chosen, rooms=rooms, first=FIRST)
    return detector, scenes


def measure(
    detector: "Detector",
    pairs: "Sequence[Pair]",
    words: "Words",
    model: str,
    making: ChangeOptions,
    measuring: MeasureOptions,
    run: Run,
    title: str,
) -> None:
    """Measure how little must change for some pairs, print and draw it, and record it."""
    from invert3d.study.layouts.changes import measure_changes
    from invert3d.study.layouts.changes_report import draw_changes
    from invert3d.study.layouts.job import How
    from invert3d.study.layouts.score import short

    radii = [level(text) for text in split_names(making.within) or []]
    how = How(recipe=making.recipe, steps=making.steps)
    found = measure_changes(detector, pairs, words, run, radii=radii, norm=making.norm, how=how, model=model)
    rows, compared = found.rows(), found.comparison()
    print_table(title, list(rows[0]), [list(row.values()) for row in rows])
    print_table(
        f"\nChange that each {words.question} needs, compared with its control, the {words.control}",
        list(compared),
        [list(compared.values())],
        "p: of a sign test. Change inside: the share of the squared change that is inside the box.",
    )
    print(draw_changes(run.folder() / "figure.png", found, title))
    if measuring.record:
        tables = [{"table": f"{words.table} {short(model)}", **row} for row in rows]
        print_recorded("layout", {}, [*tables, {"table": f"{words.table} pairs {short(model)}", **compared}])


def level(text: str) -> float:
    """A change in levels of 255. Raises ValueError for a word that is no number above 0 and at most 255."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 255:
        raise ValueError(f"--within takes levels above 0 and at most 255, such as 1,2,4, not {text!r}")
    return value
