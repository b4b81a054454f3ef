"""Measure how little must change until a 2-D detector sees what it missed."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from invert3d.cli.options import CocoOptions, Count, MeasureOptions, Measuring, Names, Run, Running, split_names
from invert3d.cli.show import print_recorded, print_table

FIRST = 100  # rooms before this one are for choosing recipes


@dataclass(frozen=True, kw_only=True)
class MissedOptions:
    """Which objects are looked for, and how far pictures may change.

    Attributes:
        rooms: Number of held-out rooms in which missed objects are looked for, without --coco.
        objects: Number of missed objects to take, the first that are found.
        within: Largest changes to try, comma separated, in levels of 255.
        norm: linf, the change of any value, or l2, the root mean square of all changes.
        recipe: accentuate, whose change has to survive random views, or smallest_change, whose change need not, and is
            more often a pattern that only this detector sees.
        steps: Steps in all, instead of the recipe's.
    """

    rooms: Count = 16
    objects: Count = 12
    within: Names = "1,2,4,8,16"
    norm: Literal["linf", "l2"] = "linf"
    recipe: Literal["smallest_change", "accentuate"] = "accentuate"
    steps: Count | None = None


def evaluate_missed(
    model: str = "fcos-rooms",
    *,
    files: Annotated[CocoOptions, Parameter(name="*")] = CocoOptions(),
    making: Annotated[MissedOptions, Parameter(name="*")] = MissedOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Find the smallest changes of real pictures after which a 2-D detector sees objects that it missed, and, as the
    control, after which it sees the same in empty places.

    Args:
        model: A bundled 2-D detector, or a card (.json) beside its weights.
        run.out: The run folder, which also gets a figure; by default runs/missed.
    """
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.flat_scenes import flat_scenes
    from invert3d.study.layouts.missed import measure_missed, missed_pairs
    from invert3d.study.layouts.missed_report import draw_missed
    from invert3d.study.layouts.score import short

    radii = [level(text) for text in split_names(making.within) or []]
    run = run.at("runs/missed")
    detector = open_box_detector(model, device=measuring.device)
    scenes = flat_scenes(
        detector,
        coco=files.coco,
        images=files.images,
        image_ids=split_names(files.image_id) or [],
        rooms=None if files.coco else making.rooms,
        first=FIRST,
    )
    pairs = missed_pairs(detector, scenes, making.objects, run.seed)
    found = measure_missed(
        detector, pairs, run, radii=radii, norm=making.norm, recipe=making.recipe, steps=making.steps, model=model
    )
    rows, compared = found.rows(), found.comparison()
    name = short(model)
    print_table(f"{name}: what is seen after a change", list(rows[0]), [list(row.values()) for row in rows])
    print_table(
        "\nEach missed object needs, beside the empty place",
        list(compared),
        [list(compared.values())],
        "p: of a sign test. Change inside: the share of the squared change that is inside the requested box.",
    )
    print(draw_missed(run.folder() / "missed.png", found, f"What {name} missed, and how little must change"))
    if measuring.record:
        tagged = [{"table": f"missed {name}", **row} for row in rows] + [{"table": f"missed pairs {name}", **compared}]
        print_recorded("layout", {}, tagged)


def level(text: str) -> float:
    """A change in levels of 255. Raises ValueError for a word that is no number above 0 and at most 255."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 255:
        raise ValueError(f"--within takes levels above 0 and at most 255, such as 1,2,4, not {text!r}")
    return value
