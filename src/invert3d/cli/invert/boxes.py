"""Find the picture in which a 3-D detector sees exactly the given boxes."""

from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.options import Count, Device, File, Names, Run, Running, SceneOptions, Showing, Starts, split_names
from invert3d.cli.show import print_table

MOST = 1_000  # pictures of a sweep


@dataclass(frozen=True, kw_only=True)
class BoxOptions:
    """How pictures are made of layouts.

    Attributes:
        recipe: ours, published, published_authors (the clip range of the paper's code), solids or smallest_change.
        heads: Invert only these heads, comma separated: hm, dep, rot, dim, wh, reg.
        steps: Steps in all, instead of the recipe's.
        samples: Pictures of each layout.
        starts: Number of starts per picture. The one with the lowest loss is kept, among those that stopped early if
            any did. By default as the recipe says.
        sweep: QUANTITY FROM:TO:STEP, e.g. depth 10:40:2 or yaw 0:360:15 (degrees): moves the first object.
        bf16: Use half precision, where the processor has it, for the stages with random views; the last stage, and
            reading the saved picture, are in full precision.
    """

    recipe: str | None = None
    heads: Names | None = None
    steps: Count | None = None
    samples: Starts = 1
    starts: Starts | None = None
    sweep: Annotated[tuple[str, str] | None, Parameter(allow_leading_hyphen=True)] = None
    bf16: bool = False


def invert_boxes(
    *,
    model: str = "centernet3d-small",
    checkpoint: File | None = None,
    device: Device = "cpu",
    scene: Showing = SceneOptions(),
    making: Annotated[BoxOptions, Parameter(name="*")] = BoxOptions(),
    run: Running = Run(),
) -> None:
    """Find the picture in which a frozen 3-D detector sees exactly the given boxes.

    Args:
        model: A bundled detector (invert3d models), a card (.json) beside its weights, or a backbone (dla34, resnet18)
            with --checkpoint.
        checkpoint: Weights of a backbone.
        run.out: The run folder; by default runs/boxes.
    """
    from invert3d.jobs.execute import execute
    from invert3d.methods.layouts import layout_recipe
    from invert3d.opening.detectors import open_detector
    from invert3d.study.layouts.files import write_run_files
    from invert3d.study.layouts.job import asked_of, layouts_job, run_of
    from invert3d.study.layouts.report import report
    from invert3d.study.layouts.scenes import asked_scenes, swept
    from invert3d.study.layouts.score import errors_table

    run = run.at("runs/boxes")
    heads = parsed_heads(making.heads)
    moved = checked_sweep(making.sweep, making.samples)
    detector = open_detector(model, checkpoint=checkpoint, device=device)
    scenes = asked_scenes(detector, **asdict(scene), options=run)
    for line in scenes.left_out:
        print(f"left out: {line}")
    scenes = swept(scenes, *moved, detector) if moved else scenes
    if making.samples > 1:
        scenes = scenes.repeated(making.samples)
        moved = moved and (moved[0], [value for value in moved[1] for _ in range(making.samples)])
    recipe = making.recipe or ("smallest_change" if scene.start else "ours")
    recipe = layout_recipe(recipe, detector, heads=heads, steps=making.steps, starts=making.starts)
    asked = asked_of(detector, scenes.layouts, scenes.names, recipe, scenes.start, model)
    outcome = execute(layouts_job({"": asked}, making.bf16), run)
    done = run_of(outcome, asked, scenes.originals)
    write_run_files(outcome.path, done)
    header, rows = errors_table(done.asked, done.found)
    print_table(f"{len(done.names)} pictures, as {model} reads the saved 8-bit files", header, rows)
    page = report(done, run.folder(), detector=detector, model=model, sweep=moved)
    print(f"{done.seconds:.0f} s, {sum(done.steps) / max(1, len(done.steps)):.0f} steps per picture; open {page}")
    outcome.whole()


def checked_sweep(words: tuple[str, str] | None, samples: int) -> tuple[str, list[float]] | None:
    """Quantity and values of a sweep. Raises ValueError for one of another form or of too many pictures."""
    from invert3d.study.layouts.scenes import parsed_sweep

    if words is None:
        return None
    quantity, values = parsed_sweep(words)
    if len(values) * samples > MOST:
        raise ValueError(f"a sweep makes at most {MOST:,} pictures; {' '.join(words)} makes {len(values) * samples:,}")
    return quantity, values


def parsed_heads(text: str | None) -> tuple[str, ...] | None:
    """The names in a comma-separated list of heads. Raises ValueError for one that there is not."""
    from invert3d.objectives.detection import check_heads
    from invert3d.ops.centers import HEADS

    heads = split_names(text)
    if heads is None:
        return None
    check_heads(heads, HEADS)
    return tuple(heads)
