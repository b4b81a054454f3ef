"""Measure how layout inversion transfers between 2-D detectors, for one or more recipes."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from invert3d.cli.options import (
    Count,
    MeasureOptions,
    Measuring,
    Names,
    Run,
    Running,
    Switch,
    distinct,
    recipe_and_control,
    split_names,
)
from invert3d.cli.show import print_recorded, print_table

if TYPE_CHECKING:
    from invert3d.study.layouts.flat_transfer import FlatTransfer

FIRST = 100  # rooms before this one are for choosing recipes


@dataclass(frozen=True, kw_only=True)
class RoomOptions:
    """Which layouts are inverted, and how.

    Attributes:
        rooms: Number of held-out rooms, or one number for each recipe, comma separated.
        steps: Steps in all, instead of the recipe's.
        bf16: Use half precision, where the processor has it, to make pictures; reading them is in full precision.
    """

    rooms: str = "64"
    steps: Count | None = None
    bf16: Switch = True


def evaluate_detectors(
    *recipes: str,
    models: Names | None = None,
    readers: Names | None = None,
    table: str | None = None,
    rooms: Annotated[RoomOptions, Parameter(name="*")] = RoomOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Invert each 2-D detector for the layouts of held-out rooms, and run every detector on the saved pictures.

    Args:
        recipes: Recipes to compare, by default ours: ours, published, published_as_configured, or a TOML file. A recipe
            followed by :shuffled is the control: it inverts the same detectors with their weights shuffled.
        models: 2-D detectors, comma separated; by default the bundled ones. Names joined by + are inverted together:
            the picture must show its layout to all of them.
        readers: Detectors that read the pictures, comma separated; by default those that are inverted.
        table: What the recorded table is called; by default transfer, or, of chosen detectors, chosen or together.
        run.out: The run folder; by default runs/detectors.
    """
    from invert3d.models.weights import bundled
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.flat_scenes import flat_scenes
    from invert3d.study.layouts.flat_transfer import flat_transfer
    from invert3d.study.layouts.job import How

    pairs = [recipe_and_control(text) for text in distinct(recipes or ("ours",))]
    ways = [How(recipe=name, control=control, steps=rooms.steps, bf16=rooms.bf16) for name, control in pairs]
    counts = numbers(rooms.rooms, len(ways))
    names = split_names(models) or list(bundled("2-D detector"))
    run = run.at("runs/detectors")
    scenes = flat_scenes(open_box_detector(names[0]), rooms=max(counts), first=FIRST)
    chosen = split_names(readers)
    measured = flat_transfer(names, scenes, run, readers=chosen, ways=ways, rooms=counts, device=measuring.device)
    usual = models is None and readers is None
    table = table or ("transfer" if usual else "together" if any("+" in name for name in names) else "chosen")
    for found, (recipe, control) in zip(measured, pairs, strict=True):
        print_matrix(found)
        label = found.matrix.label
        found.matrix.draw(run.folder() / f"{label.replace(' ', '-')}.png", most=100.0, note="COCO's AP, percent")
        if measuring.record:
            called = f"{'control ' if control else ''}{table} {Path(recipe).stem}"
            tagged = [{"table": called, **row} for row in found.rows()]
            print_recorded("layout", headline(found, recipe, control) if usual else {}, tagged)


def numbers(text: str, count: int) -> list[int]:
    """One number for each of ``count`` recipes, or one for all. Raises ValueError for anything else."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words) or len(words) not in (1, count):
        raise ValueError(f"--rooms takes a number, or one for each of the {count} recipes, such as 64,16, not {text!r}")
    return [int(word) for word in words] * (1 if len(words) == count else count)


def print_matrix(found: "FlatTransfer") -> None:
    """Print a transfer matrix."""
    columns = found.matrix.columns
    rows = [
        [row["recipe"] if row["inverted"] == "-" else row["inverted"], *(rounded(row.get(name)) for name in columns)]
        for row in found.rows()
    ]
    note = f"mean of boxes off the diagonal {mean(found.apart):.1f}, " if found.apart else ""
    note += f"agreement on real pictures {found.agreement:.1f}" if found.apart else ""
    note += "".join(f", {share:.0%} of cells above {other}" for other, share in found.above.items())
    title = f"{found.matrix.label}, {found.rooms} rooms: AP of each detector on the saved pictures"
    print_table(title, ["inverted", *columns], rows, note)


def rounded(value: float | None) -> str:
    """An AP, where there is one."""
    return "-" if value is None else f"{value:.1f}"


def headline(found: "FlatTransfer", recipe: str, control: bool) -> dict[str, float]:
    """The numbers that README and docs quote: of boxes."""
    if control:
        return {"control_mean": round(mean([*found.diagonal, *found.apart]), 2)} if recipe == "ours" else {}
    told = {f"diagonal_{recipe}_min": round(min(found.diagonal), 2)}
    told |= {f"off_diagonal_{recipe}_mean": round(mean(found.apart), 2)} if found.apart else {}
    if recipe == "ours":
        told |= {"agreement_rooms_mean": round(found.agreement, 2)} if found.apart else {}
        above = found.above.get("published")
        told |= {} if above is None else {"cells_ours_above_published": round(above, 3)}
    return told
