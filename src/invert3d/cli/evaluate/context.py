"""Measure what a 2-D detector expects beside an object."""

from collections.abc import Sequence
from typing import Annotated

from invert3d.cli.options import (
    Count,
    MeasureOptions,
    Measuring,
    Run,
    Running,
    Share,
    Switch,
    between,
    recipe_and_control,
)
from invert3d.cli.show import print_recorded, print_table


def evaluate_context(
    model: str,
    *,
    seeds: Annotated[int, between(1, 1_000)] = 8,
    share: Share = 0.28,
    recipe: str = "ours",
    steps: Count | None = None,
    bf16: Switch = True,
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Invert single objects of each category, with nothing asked of the rest of the picture, and count what else the
    detector finds in them; for a detector of rooms, compare it with what is planted.

    Args:
        model: A bundled 2-D detector, or a card (.json) beside its weights.
        seeds: Pictures of each category.
        share: Length of the object as a share of the side of the picture.
        recipe: ours, published, or published_as_configured. Followed by :shuffled it is the control: the detector that
            is inverted has its weights shuffled, and what the detector itself finds comes from the recipe.
        steps: Steps in all, instead of the recipe's.
        bf16: Use half precision, where the processor has it, to make pictures; reading them is in full precision.
        run.out: The run folder; by default runs/context.
    """
    from pathlib import Path

    from invert3d.data.worlds.room_plan import NAMES
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.context import findings, measure_context, planted_table
    from invert3d.study.layouts.context_report import draw_context
    from invert3d.study.layouts.flat import write_flat_files
    from invert3d.study.layouts.job import How

    run = run.at("runs/context")
    detector = open_box_detector(model, device=measuring.device)
    name, control = recipe_and_control(recipe)
    how = How(recipe=name, control=control, steps=steps, bf16=bf16)
    context, made = measure_context(detector, run, model=model, seeds=seeds, share=share, how=how)
    folder = run.folder()
    write_flat_files(folder, made, detector.kinds)
    rooms = set(context.kinds) == set(NAMES)
    draw_context(folder, context, made, planted_table(context.kinds) if rooms else None)
    rows = [
        [kind, int(context.seen[k]), *most_frequent(context.kinds, context.together[k])]
        for k, kind in enumerate(context.kinds)
    ]
    print_table(
        f"{Path(model).stem}: what it finds beside a single object, {seeds} pictures each",
        ["object", "found itself", "most frequent", "second", "third"],
        rows,
    )
    if not rooms:
        return
    found = findings(context)
    print_table("\nMotifs as planted", list(found["motifs"][0]), [list(each.values()) for each in found["motifs"]])
    print_table(
        "\nNever together, as planted", list(found["never"][0]), [list(each.values()) for each in found["never"]]
    )
    print(f"rank correlation with the planted probabilities: {found['context_rank_correlation']:.2f}")
    if measuring.record:
        before, label = "control " if control else "", Path(model).stem
        parts = {f"{before}context {label}": found["motifs"], f"{before}never {label}": found["never"]}
        tagged = [{"table": table, **row} for table, rows in parts.items() for row in rows]
        key, value = "context_rank_correlation" + ("_control" if control else ""), found["context_rank_correlation"]
        print_recorded("layout", {key: value} if value == value else {}, tagged)  # NaN: nothing appeared


def most_frequent(kinds: "Sequence[str]", shares: "Sequence[float]") -> list[str]:
    """The three categories that appear most often, with their shares."""
    order = sorted(range(len(kinds)), key=lambda k: -shares[k])[:3]
    return [f"{kinds[k]} {shares[k]:.0%}" if shares[k] else "-" for k in order]
