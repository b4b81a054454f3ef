"""Find the picture in which a 2-D detector sees exactly the given layout."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from invert3d.cli.options import (
    ClassNames,
    Count,
    Device,
    File,
    FlatOptions,
    Levels,
    Names,
    Run,
    Running,
    Starts,
    split_names,
)
from invert3d.cli.show import print_table


@dataclass(frozen=True, kw_only=True)
class LayoutOptions(FlatOptions):
    """Which layouts are inverted.

    Attributes:
        rooms: Number of held-out procedural rooms to use instead of files.
        start: Start from this picture of --layout instead of noise, and find the smallest change after which the
            detector sees the layout.
    """

    rooms: Count | None = None
    start: File | None = None


@dataclass(frozen=True, kw_only=True)
class MakingOptions:
    """How pictures are made of layouts.

    Attributes:
        recipe: ours, published, published_as_configured, smallest_change and accentuate (which start from the real
            pictures; the change of the second survives random views), or a TOML file. By default ours, and
            smallest_change with --start.
        heads: Invert only these heads, comma separated, by the detector's names or as cls, reg, mask, rpn and ctr; by
            default all that the detector is trained with.
        steps: Steps in all, instead of the recipe's.
        within: Largest change of a value from the real picture, in levels of 255 (norm linf), or of all values as a
            root mean square (l2); by default 8.
        norm: How --within measures a change.
        starts: Number of starts per picture. The one with the lowest loss is kept, among those that stopped early if
            any did. By default as the recipe says.
        bf16: Use half precision, where the processor has it, for the stages with random views.
    """

    recipe: str | None = None
    heads: Names | None = None
    steps: Count | None = None
    within: Levels | None = None
    norm: Literal["linf", "l2"] = "linf"
    starts: Starts | None = None
    bf16: bool = False


def invert_layout(
    *,
    model: str = "fcos-rooms",
    checkpoint: File | None = None,
    class_names: ClassNames | None = None,
    device: Device = "cpu",
    asked: Annotated[LayoutOptions, Parameter(name="*")] = LayoutOptions(),
    making: Annotated[MakingOptions, Parameter(name="*")] = MakingOptions(),
    run: Running = Run(),
) -> None:
    """Find the picture in which a frozen 2-D detector sees exactly the given layout.

    Args:
        model: A bundled 2-D detector (invert3d models), a card (.json) beside its weights, one of torchvision's with
            --checkpoint, a folder or cached id of a DETR or RT-DETR of Hugging Face's transformers, or
            package.module:factory. Several, joined by +, are inverted together.
        checkpoint: Weights of one of torchvision's.
        class_names: Names of its classes, the background's first, comma separated or one a line of a file.
        run.out: The run folder; by default runs/layouts.
    """
    from invert3d.jobs.execute import execute
    from invert3d.methods.layouts import layout_recipe, within_ball
    from invert3d.models.detectors.together import Together
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.flat import write_flat_files
    from invert3d.study.layouts.flat_report import HEADER, flat_report, read_by, table_rows
    from invert3d.study.layouts.flat_scenes import flat_scenes
    from invert3d.study.layouts.job import FROM_PICTURES, asked_of, layouts_job, run_of

    run = run.at("runs/layouts")
    classes = tuple(split_names(class_names) or ())
    detector = open_box_detector(model, checkpoint=checkpoint, classes=classes, device=device)
    chosen = split_names(asked.image_id) or []
    scenes = flat_scenes(
        detector,
        layout=asked.layout,
        coco=asked.coco,
        images=asked.images,
        image_ids=chosen,
        rooms=asked.rooms,
        start=asked.start,
    )
    for line in scenes.left_out:
        print(f"left out: {line}")
    name = making.recipe or ("smallest_change" if asked.start else "ours")
    name = name if name.endswith(".toml") else f"layouts/{name}"
    recipe = layout_recipe(name, detector, heads=split_names(making.heads), steps=making.steps, starts=making.starts)
    if making.within is not None:
        recipe = within_ball(recipe, making.norm, making.within, 3 * detector.height * detector.width)
    begun = asked.start is not None or recipe.name in FROM_PICTURES
    wanted = asked_of(detector, scenes.layouts, scenes.names, recipe, scenes.real() if begun else None, model)
    outcome = execute(layouts_job({"": wanted}, making.bf16), run)
    done = run_of(outcome, wanted, scenes.originals)
    write_flat_files(outcome.path, done, detector.kinds)
    readers = {model: detector} if not isinstance(detector, Together) else detector.members
    for name, reader in readers.items():
        title = f"{len(done.names)} pictures, as {name} reads the saved 8-bit files"
        print_table(title, HEADER, table_rows(*read_by(done, reader)))
    page = flat_report(done, run.folder(), readers=readers, model=model)
    print(f"{done.seconds:.0f} s, {sum(done.steps) / max(1, len(done.steps)):.0f} steps per picture; open {page}")
    outcome.whole()
