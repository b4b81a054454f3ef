"""Measure how layout inversion transfers between detectors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from invert3d.cli.evaluate.boxes import print_box_scores
from invert3d.cli.options import Count, MeasureOptions, Measuring, Names, Run, Running, Streets, Switch, split_names
from invert3d.cli.show import print_recorded

if TYPE_CHECKING:
    from invert3d.study.layouts.transfer import LayoutTransfer


@dataclass(frozen=True, kw_only=True)
class StreetOptions:
    """Which streets are inverted, and how.

    Attributes:
        frames: Number of streets.
        clutter: Use streets full of cars.
        control: Shuffle the weights of the detectors that are inverted.
        steps: Steps in all, instead of the recipe's.
        bf16: Use half precision, where the processor has it, to make pictures; reading them is in full precision.
    """

    frames: Streets = 100
    clutter: bool = False
    control: bool = False
    steps: Count | None = None
    bf16: Switch = True


def evaluate_layouts(
    recipe: str = "ours",
    *,
    models: Names | None = None,
    streets: Annotated[StreetOptions, Parameter(name="*")] = StreetOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Invert each detector for the layouts of held-out streets, and run every detector on the saved pictures.

    Args:
        recipe: ours, solids, published or published_authors.
        models: Detectors, comma separated; by default the two bundled ones.
        run.out: The run folder; by default runs/layouts.
    """
    from invert3d.opening.detectors import open_detector
    from invert3d.study.layouts.transfer import DETECTORS, layout_transfer, streets_with_objects

    names = tuple(split_names(models) or DETECTORS)
    run = run.at("runs/layouts")
    made = streets_with_objects(streets.frames, open_detector(names[0]), streets.clutter, run)
    found = layout_transfer(
        recipe,
        made,
        run,
        names=names,
        control=streets.control,
        steps=streets.steps,
        bf16=streets.bf16,
        device=measuring.device,
    )
    rows = [each for row in found.scores for each in row] + [*found.originals, *found.agreement]
    mean = f"mean AP of a detector on another detector's pictures: {found.matrix.transfer:.1f}" if names[1:] else ""
    print_box_scores(f"{recipe}, {len(made)} streets: AP at moderate difficulty on the saved pictures", rows, mean)
    if measuring.record:
        label = recipe + ("_clutter" if streets.clutter else "") + ("_shuffled" if streets.control else "")
        rows = [{"table": f"transfer {label}", **row} for row in found.rows()]
        print_recorded("detector3d", headline(found, label, len(made)), rows)


def headline(found: "LayoutTransfer", label: str, frames: int) -> dict[str, float]:
    """The numbers that README quotes: of a recipe, and of the usual streets themselves (``label`` ours)."""
    several, plain = len(found.matrix.rows) > 1, label == "ours"
    numbers = {
        f"ap3d_inverted_{label}": round(found.scores[0][0].ap3d, 2),
        f"steps_{label}": round(found.steps[0], 1),
        f"frames_{label}": frames,
    }
    if several:
        numbers[f"transfer_{label}"] = round(found.matrix.transfer, 2)
    if plain:
        numbers["ap3d_streets_small"] = round(found.originals[0].ap3d, 2)
    if plain and several:
        numbers["agreement_streets"] = round(found.agreed, 2)
    return numbers
