"""Measure how layout inversion transfers between 2-D detectors."""

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from invert3d.cli.options import Count, MeasureOptions, Measuring, Names, Run, Running, split_names
from invert3d.cli.show import print_recorded, print_table

if TYPE_CHECKING:
    from invert3d.study.layouts.flat_transfer import FlatTransfer

FIRST = 100  # rooms before this one are for choosing recipes


@dataclass(frozen=True, kw_only=True)
class RoomOptions:
    """Which layouts are inverted, and how.

    Attributes:
        rooms: Number of held-out rooms.
        control: Shuffle the weights of the detectors that are inverted.
        steps: Steps in all, instead of the recipe's.
    """

    rooms: Count = 64
    control: bool = False
    steps: Count | None = None


def evaluate_detectors(
    recipe: str = "ours",
    *,
    models: Names | None = None,
    rooms: Annotated[RoomOptions, Parameter(name="*")] = RoomOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Invert each 2-D detector for the layouts of held-out rooms, and run every detector on the saved pictures.

    Args:
        recipe: ours, published, or published_as_configured.
        models: 2-D detectors, comma separated; by default the bundled ones.
        run.out: The run folder; by default runs/detectors.
    """
    from invert3d.models.weights import bundled
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.flat_scenes import flat_scenes
    from invert3d.study.layouts.flat_transfer import flat_transfer

    names = split_names(models) or list(bundled("2-D detector"))
    run = run.at("runs/detectors")
    scenes = flat_scenes(open_box_detector(names[0], device=measuring.device), rooms=rooms.rooms, first=FIRST)
    found = flat_transfer(
        names, scenes, run, recipe=recipe, control=rooms.control, steps=rooms.steps, device=measuring.device
    )
    columns = found.matrix.columns
    rows = [[row["inverted"], *(f"{row[column]:.1f}" for column in columns)] for row in found.rows()]
    rows[-1][0] = "real pictures"
    note = f"mean of boxes off the diagonal {mean(found.apart):.1f}, " if found.apart else ""
    note += f"agreement on real pictures {found.agreement:.1f}" if found.apart else ""
    title = f"{found.matrix.label}, {len(scenes.names)} rooms: AP of each detector on the saved pictures"
    print_table(title, ["inverted", *columns], rows, note)
    found.matrix.draw(run.folder() / "matrix.png", most=100.0, note="COCO's AP, percent")
    tagged = [{"table": f"transfer {found.matrix.label}", **row} for row in found.rows()]
    if measuring.record:
        print_recorded("layout", headline(found, recipe, rooms.control), tagged)


def headline(found: "FlatTransfer", recipe: str, control: bool) -> dict[str, float]:
    """The numbers that README and docs quote: of boxes."""
    if control:
        return {"control_mean": round(mean([*found.diagonal, *found.apart]), 2)}
    numbers = {f"diagonal_{recipe}_min": round(min(found.diagonal), 2)}
    numbers |= {f"off_diagonal_{recipe}_mean": round(mean(found.apart), 2)} if found.apart else {}
    return numbers | ({"agreement_rooms_mean": round(found.agreement, 2)} if recipe == "ours" and found.apart else {})
