"""``invert3d invert boxes``, ``invert3d evaluate boxes``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from invert3d.cli.show import print_table

if TYPE_CHECKING:
    from invert3d.study.layouts.score import BoxScore


def invert_boxes(
    *,
    model: str = "centernet3d-small",
    labels: Path | None = None,
    calib: Path | None = None,
    image: Path | None = None,
    layout: Path | None = None,
    frames: str | None = None,
    split: str | None = None,
    streets: int | None = None,
    clutter: bool = False,
    start: Path | None = None,
    recipe: str | None = None,
    heads: str | None = None,
    steps: int | None = None,
    samples: int = 1,
    starts: int = 1,
    sweep: Annotated[tuple[str, str] | None, Parameter(allow_leading_hyphen=True)] = None,
    checkpoint: Path | None = None,
    out: Path = Path("runs/boxes"),
    seed: int = 0,
    device: str = "cpu",
    bf16: bool = False,
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Ask a frozen 3-D detector for the picture in which it would see exactly these boxes.

    Parameters
    ----------
    model
        A bundled detector (invert3d models), a card (.json) beside its weights, or a backbone (dla34, resnet18) with
        --checkpoint.
    labels
        A label file in KITTI's form, with --calib.
    calib
        Its calibration file.
    image
        The real picture of these labels: it is shown beside, and gives the size (KITTI's without it).
    layout
        A scene as JSON, instead of labels.
    frames
        A folder in KITTI's form: all its frames, or those of --split, are inverted.
    split
        A list in ImageSets.
    streets
        So many held-out procedural streets, instead of files.
    clutter
        Streets full of cars.
    start
        Begin with this picture instead of noise: the smallest change that shows what is asked.
    recipe
        ours, published, published_authors (the clip range of the paper's code) or smallest_change.
    heads
        Ask only these heads, comma separated: hm, dep, rot, dim, wh, reg.
    steps
        Override the recipe's.
    sweep
        QUANTITY FROM:TO:STEP, e.g. depth 10:40:2 or yaw 0:360:15 (degrees): the first object is moved so.
    samples
        Pictures of each layout.
    starts
        Begin each picture so many times at once and keep one: of those done early, if any, the one that costs least.
    checkpoint
        Somebody's weights for a backbone.
    out
        The run folder.
    seed
        Fixes everything.
    device
        cpu, cuda, ...
    bf16
        Half-precision arithmetic where a recipe sees its picture in random views; its plain part, and the reading, are
        in full precision.
    resume
        Go on with an interrupted run.
    overwrite
        Replace a run that is there.
    """
    from invert3d.study.detectors import open_detector
    from invert3d.study.layouts.job import invert_boxes as invert
    from invert3d.study.layouts.scenes import asked_scenes, parsed_sweep, swept

    detector = open_detector(model, checkpoint=checkpoint, device=device)
    scenes = asked_scenes(
        detector,
        labels=labels,
        calib=calib,
        image=image,
        layout=layout,
        frames=frames,
        split=split,
        streets=streets,
        clutter=clutter,
        seed=seed,
        start=start,
    )
    for line in scenes.left_out:
        print(f"left out: {line}")
    moved = parsed_sweep(sweep) if sweep is not None else None
    if moved is not None:
        scenes = swept(scenes, *moved, detector)
    if samples > 1:
        scenes = scenes.repeated(samples)
        moved = moved and (moved[0], [value for value in moved[1] for _ in range(samples)])
    run = invert(
        detector,
        scenes.layouts,
        names=scenes.names,
        recipe=recipe or ("smallest_change" if start else "ours"),
        heads=parsed_heads(heads),
        steps=steps,
        start=scenes.start,
        starts=starts,
        originals=scenes.originals,
        model=model,
        out=out,
        seed=seed,
        bf16=bf16,
        resume=resume,
        overwrite=overwrite,
    )
    if not run.names:
        print("interrupted before any picture was done; --resume goes on")
        raise SystemExit(130)
    from invert3d.study.layouts.report import report
    from invert3d.study.layouts.score import errors_table

    header, rows = errors_table(run.asked, run.found)
    print_table(f"{len(run.names)} pictures, as {model} reads them from 8 bits", header, rows)
    page = report(run, out, detector=detector, model=model, sweep=moved)
    print(f"{run.seconds:.0f} s, {sum(run.steps) / max(1, len(run.steps)):.0f} steps a picture; open {page}")
    if run.interrupted:
        print("interrupted; --resume goes on")
        raise SystemExit(130)


def parsed_heads(text: str | None) -> tuple[str, ...] | None:
    """The names in a comma-separated list of heads. Raises ValueError for one that there is not."""
    if text is None:
        return None
    from invert3d.objectives.boxes3d import check_heads

    heads = tuple(part.strip() for part in text.split(",") if part.strip())
    check_heads(heads)
    return heads


def evaluate_boxes(
    runs: list[Path],
    *,
    models: str | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
    record: bool = False,
    name: str | None = None,
) -> None:
    """Read inverted pictures again, from their PNGs: AP against what was asked, errors, and what other detectors see.

    Parameters
    ----------
    runs
        Run folders of invert3d invert boxes.
    models
        Detectors that read the pictures, comma separated; by default the one that was inverted.
    checkpoint
        Somebody's weights, where a model is a backbone.
    device
        cpu, cuda, ...
    record
        Also write the numbers to docs/results/detector3d.json, under --name.
    name
        What the numbers are recorded as, e.g. ap3d_inverted_ours.
    """
    from invert3d.jobs.record import record as write
    from invert3d.study.layouts.score import scored_runs

    names = [part.strip() for part in models.split(",")] if models else None
    rows = scored_runs(runs, names, device, checkpoint)
    _print_scores("AP, moderate, as read from the saved pictures", rows)
    if record:
        if name is None:
            raise ValueError("--record needs --name, such as ap3d_inverted_ours")
        headline = {name: rows[0].ap3d} if len(rows) == 1 else {}
        print(write("detector3d", headline, [{"table": name, **row.as_dict()} for row in rows]))


def _print_scores(title: str, rows: "list[BoxScore]", note: str = "") -> None:
    from invert3d.study.layouts.score import ERRORS, SHORT

    print_table(title, list(SHORT.values()), [row.cells() for row in rows], note)
    print_table("errors of what was found, medians", list(ERRORS.values()), [row.cells(ERRORS) for row in rows])


def evaluate_layouts(
    recipe: str = "ours",
    *,
    frames: int = 100,
    clutter: bool = False,
    control: bool = False,
    models: str | None = None,
    steps: int | None = None,
    bf16: bool = True,
    out: Path = Path("runs/layouts"),
    seed: int = 0,
    device: str = "cpu",
    record: bool = False,
) -> None:
    """Invert the layouts of held-out streets from each detector, and let every detector read the saved pictures.

    Parameters
    ----------
    recipe
        ours, published or published_authors.
    frames
        How many streets.
    clutter
        Streets full of cars.
    control
        Shuffle the weights of the detectors that are inverted.
    models
        Detectors, comma separated; by default the two bundled ones.
    steps
        Override the recipe's.
    bf16
        Half-precision arithmetic while the pictures are made; they are read in full precision.
    out
        A folder of run folders; an interrupted command goes on.
    seed
        Fixes everything.
    device
        cpu, cuda, ...
    record
        Also write the numbers to docs/results/detector3d.json.
    """
    from invert3d.jobs.record import record as write
    from invert3d.study.detectors import open_detector
    from invert3d.study.layouts.transfer import DETECTORS, layout_transfer, streets_with_objects

    names = tuple(part.strip() for part in models.split(",")) if models else DETECTORS
    streets = streets_with_objects(frames, open_detector(names[0]), clutter)
    folder = out / ("clutter" if clutter else "streets")
    found = layout_transfer(
        recipe, streets, folder, names=names, control=control, steps=steps, seed=seed, bf16=bf16, device=device
    )
    rows = [each for row in found.scores for each in row] + [*found.originals, *found.agreement]
    mean = f"transfer, the mean of one detector reading another's: {found.transfer:.1f}" if len(names) > 1 else ""
    _print_scores(f"{recipe}, {len(streets)} streets: AP, moderate, as read from the saved pictures", rows, mean)
    if record:
        label = recipe + ("_clutter" if clutter else "") + ("_shuffled" if control else "")
        headline = {
            f"ap3d_inverted_{label}": round(found.scores[0][0].ap3d, 2),
            f"steps_{label}": round(found.steps[0], 1),
            f"frames_{label}": len(streets),
        }
        if len(names) > 1:
            headline[f"transfer_{label}"] = round(found.transfer, 2)
        if recipe == "ours" and not (clutter or control):
            headline["ap3d_streets_small"] = round(found.originals[0].ap3d, 2)
            if len(names) > 1:
                headline["agreement_streets"] = round(found.agreed, 2)
        print(write("detector3d", headline, [{"table": f"transfer {label}", **row} for row in found.rows()]))


def evaluate_heads(
    *,
    model: str = "centernet3d-small",
    frames: int = 16,
    steps: int | None = None,
    bf16: bool = True,
    out: Path = Path("runs/heads"),
    seed: int = 0,
    device: str = "cpu",
    record: bool = False,
) -> None:
    """Invert layouts for some heads of a detector only: which head needs which cue?

    Parameters
    ----------
    model
        A detector.
    frames
        How many held-out streets.
    steps
        Override the recipe's.
    bf16
        Half-precision arithmetic while the pictures are made.
    out
        The folder for the picture.
    seed
        Fixes everything.
    device
        cpu, cuda, ...
    record
        Also write the numbers to docs/results/detector3d.json.
    """
    from invert3d.jobs.record import record as write
    from invert3d.study.detectors import open_detector
    from invert3d.study.layouts.heads import COLUMNS, SUBSETS, draw_heads, head_table
    from invert3d.study.layouts.transfer import streets_with_objects

    detector = open_detector(model, device=device)
    rows, runs = head_table(detector, streets_with_objects(frames, detector), seed=seed, bf16=bf16, steps=steps)
    print_table(f"{frames} streets, medians over the objects", list(COLUMNS), [list(row.values()) for row in rows])
    print(draw_heads(out / "heads.png", runs, SUBSETS))
    if record:
        print(write("detector3d", {}, [{"table": "heads", "frames": frames, **row} for row in rows]))
