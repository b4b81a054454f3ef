"""Measure how what a 2-D detector expects changes with the size of an object."""

from typing import Annotated

from invert3d.cli.options import Count, MeasureOptions, Measuring, Names, Run, Running, between, split_names
from invert3d.cli.show import print_recorded, print_table


def evaluate_scales(
    model: str = "fcos-rooms",
    *,
    kinds: Names | None = None,
    lengths: Names | None = None,
    seeds: Annotated[int, between(1, 1_000)] = 2,
    recipe: str = "ours",
    steps: Count | None = None,
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Invert single objects of several sizes, with nothing asked of the rest of the picture, and see how surely the
    detector finds them and what else it finds.

    Args:
        model: A bundled 2-D detector, or a card (.json) beside its weights.
        kinds: Categories, comma separated; by default all.
        lengths: Lengths of the object as shares of the side of the picture, comma separated; by default the five scales
            of rooms.
        seeds: Pictures of each category and length.
        recipe: ours, published, or a TOML file.
        steps: Steps in all, instead of the recipe's.
        run.out: The run folder, which also gets a figure; by default runs/scales.
    """
    from invert3d.data.worlds.room_plan import SCALES
    from invert3d.models.detectors import categories
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.scale import draw_scales, measure_scales
    from invert3d.study.layouts.score import short

    shares = [number(text) for text in split_names(lengths) or []] or list(SCALES)
    run = run.at("runs/scales")
    detector = open_box_detector(model, device=measuring.device)
    chosen = split_names(kinds) or categories(detector)
    scaled = measure_scales(
        detector, run, kinds=chosen, shares=shares, seeds=seeds, model=model, recipe=recipe, steps=steps
    )
    table = scaled.rows()
    print_table(
        f"{short(model)}: single objects of {len(shares)} lengths, means",
        list(table[0]),
        [list(row.values()) for row in table],
    )
    print_table(
        "\nScore of the object itself",
        ["category", *(f"{share:.0%}" for share in shares)],
        [[kind, *(float(value) for value in line)] for kind, line in zip(chosen, scaled.score, strict=True)],
    )
    print(draw_scales(run.folder() / "scales.png", scaled, f"The same object at several sizes: {short(model)}"))
    if measuring.record:
        print_recorded("layout", {}, [{"table": f"scales {short(model)}", **row} for row in table])


def number(text: str) -> float:
    """The number that a word says. Raises ValueError for another word."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"lengths are numbers, such as 0.1,0.3, not {text!r}") from None
