"""Measure which head of a detector needs which cue."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from invert3d.cli.options import (
    ClassNames,
    Count,
    File,
    FlatOptions,
    MeasureOptions,
    Measuring,
    Names,
    Run,
    Running,
    Streets,
    Switch,
    read_class_names,
    split_names,
)
from invert3d.cli.show import print_recorded, print_table

if TYPE_CHECKING:
    from invert3d.models.detectors import Detector
    from invert3d.study.layouts.scenes import Scenes


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """Which heads are asked, and how pictures are made.

    Attributes:
        heads: Heads to ask together, comma separated, as often as wanted: --heads cls --heads cls,reg. Names are the
            detector's own, or cls, reg, mask, rpn and ctr. By default all subsets of cls, reg and mask, and all heads.
        steps: Steps in all, instead of the recipe's.
        bf16: Use half precision, where the processor has it, to make pictures; reading them is in full precision.
    """

    heads: list[Names] | None = None
    steps: Count | None = None
    bf16: Switch = True


def evaluate_heads(
    *,
    model: str = "centernet3d-small",
    checkpoint: File | None = None,
    class_names: ClassNames | None = None,
    frames: Streets = 16,
    files: Annotated[FlatOptions, Parameter(name="*")] = FlatOptions(),
    making: Annotated[HeadOptions, Parameter(name="*")] = HeadOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Measure which head of a detector needs which cue, by inverting layouts for some heads only.

    Args:
        model: A bundled 3-D or 2-D detector (invert3d models), the .json card of your own beside its weights, a
            backbone or one of torchvision's with --checkpoint, or package.module:factory.
        checkpoint: Weights of a backbone, or of one of torchvision's.
        class_names: Names of the classes of one of torchvision's, the background's first, comma separated or one a line
            of a file.
        frames: Number of held-out streets, or rooms for a 2-D detector without --layout and --coco.
        run.out: The run folder, which also gets a figure; by default runs/heads.
    """
    from invert3d.opening.any_detector import open_any_detector
    from invert3d.study.layouts.heads import draw_heads, head_reader, head_table, usual_subsets
    from invert3d.study.layouts.score import short

    classes = tuple(read_class_names(class_names) or ())
    detector = head_reader(open_any_detector(model, checkpoint=checkpoint, classes=classes, device=measuring.device))
    run = run.at("runs/heads")
    subsets = [tuple(split_names(each) or ()) for each in making.heads or ()] or usual_subsets(detector.heads)
    scenes, source, recipe = scenes_of(detector, files, frames, run)
    rows, runs = head_table(
        detector, scenes, run, recipe=recipe, subsets=subsets, model=model, bf16=making.bf16, steps=making.steps
    )
    title = f"{len(scenes.names)} {source}, medians over the objects"
    print_table(title, list(rows[0]), [list(row.values()) for row in rows])
    print(draw_heads(run.folder() / "heads.png", detector, runs, f"Which head of {short(model)} needs which cue?"))
    if measuring.record:
        flat = source != "streets"
        tagged = {"table": f"heads {short(model)}" if flat else "heads", "frames": len(scenes.names)}
        print_recorded("layout" if flat else "detector3d", {}, [{**tagged, **row} for row in rows])


def scenes_of(detector: "Detector", files: FlatOptions, frames: int, run: Run) -> "tuple[Scenes, str, str]":
    """The layouts to invert, what they are called, and the recipe. Raises ValueError for layouts of a 2-D detector that
    a 3-D one is asked for."""
    from dataclasses import asdict

    from invert3d.models.detectors.centernet3d import CenterNet3D
    from invert3d.study.layouts.flat_scenes import flat_scenes
    from invert3d.study.layouts.scenes import Scenes
    from invert3d.study.layouts.transfer import streets_with_objects

    given = [f"--{name.replace('_', '-')}" for name, value in asdict(files).items() if value is not None]
    if isinstance(detector, CenterNet3D):
        if given:
            raise ValueError(
                f"{given[0]} is for 2-D detectors: the layouts of a 3-D one are held-out streets (--frames)"
            )
        streets = streets_with_objects(frames, detector, options=run)
        originals = dict(zip(streets.names, streets.pictures, strict=True))
        return Scenes(streets.names, streets.layouts, originals), "streets", "ours"
    chosen = split_names(files.image_id) or []
    rooms = None if files.layout or files.coco else frames
    scenes = flat_scenes(
        detector, layout=files.layout, coco=files.coco, images=files.images, image_ids=chosen, rooms=rooms
    )
    return scenes, "rooms" if rooms else "layouts", "layouts/ours"
