"""``invert3d.invert_boxes``: from a detector and layouts to pictures, as a job of one unit a picture.

A finished run folder is a KITTI folder, too: ``training/image_2`` has the pictures (8 bit), ``training/label_2`` and
``training/calib`` what was asked, ``original`` the real pictures, if there are any, and ``found`` what the detector
reads from the saved pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.model import Frozen, computes_bf16
from invert3d.engine.space import Image
from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.job import Context, Job, Made, Progress, Unfinished, Unit, file_name, joined_traces, trace_of
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import digest, fingerprint
from invert3d.methods.layouts import layout_recipe, quantized
from invert3d.methods.recipes import recipe_table
from invert3d.methods.stages import Recipe, encoder_of, run_stages
from invert3d.methods.stages import Unfinished as Stopped
from invert3d.models.detectors import Detector, detect
from invert3d.ops.layouts import Layout
from invert3d.study.layouts.files import BoxesRun, picture_from, png, write_run_files

#: pixels that are optimized at once: 12 small pictures. Bounds the memory to about 1 GB
CAPACITY = 12 * 96 * 320
FROM_PICTURES = ("smallest_change", "accentuate")  # recipes that begin with one
AT_ONCE = 16  # pictures that are read together


@dataclass(frozen=True, kw_only=True)
class InvertLayouts:
    """The worker: a batch of layouts, all asked of one detector by one recipe. ``sources`` are both, by name."""

    sources: Mapping[str, tuple[Any, Recipe]]
    bf16: bool = False

    @property
    def device(self) -> str:
        """Where the detectors are."""
        return str(device_of(next(iter(self.sources.values()))[0]))

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made] | Unfinished:
        detector, recipe = self.sources[units[0].values["source"]]
        model = frozen(detector, self.bf16)
        target = detector.targets([unit.values["layout"] for unit in units])
        begin = units[0].values["start"] is not None
        result, left = run_stages(
            model,
            {name: value.to(model.device) for name, value in target.items()},
            recipe,
            start=torch.stack([unit.values["start"] for unit in units]) if begin else None,
            seed=context.seed,
            samples=[unit.name for unit in units],
            recorders=[Progress(context, recipe.steps)],
            resume=Stopped.from_bytes(context.checkpoint) if context.checkpoint else None,
        )
        made = [
            Made(
                facts={"steps": int(result.steps[i]), "loss": float(result.loss[i])},
                arrays=trace_of(result.trace, i),
                files={"picture.png": png(quantized(result.x[i].detach()))},
            )
            for i in range(len(units))
        ]
        return made if left is None else Unfinished(made=made, checkpoint=left.to_bytes())


@dataclass(frozen=True, kw_only=True)
class How:
    """How pictures are made of 2-D layouts, in plain values.

    Attributes:
        recipe: of ``recipes/layouts``, or a TOML file.
        control: invert the detector with its weights shuffled (``study.controls``).
        steps: override the recipe's.
        bf16: see ``invert_layouts``.
    """

    recipe: str = "ours"
    control: bool = False
    steps: int | None = None
    bf16: bool = False

    @property
    def label(self) -> str:
        """What is made in this way is called."""
        return f"{Path(self.recipe).stem} on shuffled weights" if self.control else Path(self.recipe).stem

    def recipe_for(self, detector: Detector) -> Recipe:
        """The recipe for a detector."""
        name = self.recipe if self.recipe.endswith(".toml") else f"layouts/{self.recipe}"
        return layout_recipe(name, detector, steps=self.steps)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of one detector, and how."""

    detector: Detector
    recipe: Recipe
    layouts: Sequence[Layout]  # of pictures of the detector's size
    names: Sequence[str]  # of the frames
    start: Tensor | None = None  # pictures (A, 3, h, w) to begin with
    model: str = "a detector"  # what the detector is called

    def facts(self) -> dict[str, Any]:
        """What the pictures depend on, as plain values."""
        values = self.detector.targets(list(self.layouts)).values()
        return {
            "model": self.model,
            "recipe": recipe_table(self.recipe),
            "size": [self.detector.height, self.detector.width],
            "codec": asdict(self.detector.codec) if hasattr(self.detector, "codec") else {},  # type: ignore[attr-defined]
            "weights": fingerprint(self.detector),  # type: ignore[arg-type]
            "asked": [digest(value) for value in values],
            "start": None if self.start is None else digest(self.start),
        }


def device_of(detector: Any) -> torch.device:
    """Where a detector is."""
    return next(detector.parameters()).device


def frozen(detector: Any, bf16: bool = False) -> Frozen:
    """A detector on the space of the pictures it takes, in half precision if asked for."""
    nothing, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    space = Image(height=detector.height, width=detector.width, mean=nothing, std=one)
    return Frozen(detector, space, output="raw", bf16=bf16)


def invert_boxes(
    detector: Detector,
    layouts: Sequence[Layout],
    *,
    recipe: str | Recipe = "ours",
    names: Sequence[str] | None = None,
    start: Tensor | None = None,
    originals: dict[str, Tensor] | None = None,
    model: str = "a detector",
    bf16: bool = False,
    out: str | Path | None = None,
    options: RunOptions = RunOptions(),
) -> BoxesRun:
    """Ask a frozen detector for the picture of a layout.

    Args:
        detector: see ``open_detector``.
        layouts: what is asked, of pictures of any size: they are moved to the detector's.
        recipe: ``ours``, ``solids``, ``published``, ``published_authors``, ``smallest_change``, or what
            ``layout_recipe`` makes of one: fewer heads, other steps, several starts.
        names: of the frames.
        start: pictures (A, 3, h, w) to begin with, in the detector's size.
        originals: real pictures of the frames, by name, to be shown beside.
        model: what the detector is called in the run folder.
        bf16: run the detector in half precision where a recipe sees its picture in views; the plain part at the end,
            which is all of ``published``, and the reading are in full precision.
        out: a run folder to write, in place of that of the options; nothing is kept without one.
        options: the seed, workers, and whether a run is gone on with.

    Raises:
        ValueError: nothing is asked, the smallest change has no start, an object cannot be asked for (behind the
            camera, outside the picture, of a kind that the detector does not know), or the start has another size.
        KeyboardInterrupt: it was interrupted before there was anything.
    """
    asked = asked_of(detector, layouts, names, recipe, start, model)
    folder, run = inverted(asked, options.into(out), originals or {}, bf16)
    if folder is not None:
        write_run_files(folder, run)
    return run


def inverted(
    asked: Asked, options: RunOptions, originals: Mapping[str, Tensor], bf16: bool = False
) -> tuple[Path | None, BoxesRun]:
    """Ask one detector, and return the run folder, if one is kept, and what came of it. KeyboardInterrupt if nothing
    did."""
    outcome = execute(layouts_job({"": asked}, bf16), options)
    return outcome.path if options.out is not None else None, run_of(outcome, asked, originals)


def asked_of(
    detector: Detector,
    layouts: Sequence[Layout],
    names: Sequence[str] | None = None,
    recipe: str | Recipe = "ours",
    start: Tensor | None = None,
    model: str = "a detector",
) -> Asked:
    """What ``invert_boxes`` asks of its detector. Raises ValueError as it does."""
    chosen = recipe if isinstance(recipe, Recipe) else layout_recipe(recipe, detector)
    chosen.objective.check(detector)
    labels = tuple(names or (f"{i:06d}" for i in range(len(layouts))))
    if len(labels) != len(layouts):
        raise ValueError(f"{len(labels)} names for {len(layouts)} layouts")
    prepared = [detector.prepare_layout(layout) for layout in layouts]
    check_asked(detector, prepared, labels, may_be_empty=start is not None)
    if start is not None:
        encoder_of(chosen)
        wanted = (len(prepared), 3, detector.height, detector.width)
        if tuple(start.shape) != wanted:
            raise ValueError(
                f"the start is {tuple(start.shape)}; a picture for each layout, as the detector takes them, is {wanted}"
            )
    elif chosen.name in FROM_PICTURES:
        raise ValueError(f"the smallest change of what? {chosen.name} begins with a picture: give a start")
    return Asked(detector=detector, recipe=chosen, layouts=prepared, names=labels, start=start, model=model)


def check_asked(
    detector: Detector, layouts: Sequence[Layout], names: Sequence[str], *, may_be_empty: bool = False
) -> None:
    """Raise ValueError, by name, for a layout that asks nothing that the detector could see, or for what it never says,
    and for none at all. A layout without objects, which asks that nothing is seen, ``may_be_empty``."""
    if not layouts:
        raise ValueError("nothing is asked: give at least one layout")
    for layout, name in zip(layouts, names, strict=True):
        try:
            detector.targets([layout])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        empty = may_be_empty and set(layout.kinds) <= {"DontCare"}
        if not empty and not detector.count_assignable(layout):
            raise ValueError(
                f"{name} asks nothing: none of its {len(layout)} objects is a {' or '.join(detector.kinds)} whose "
                "middle is inside the picture"
            )


def layouts_job(sources: Mapping[str, Asked], bf16: bool = False) -> Job:
    """The job of asking each source for its layouts, in half precision where all devices compute in it."""
    bf16 = bf16 and all(computes_bf16(device_of(asked.detector)) for asked in sources.values())
    units = tuple(
        Unit(
            name=file_name("-".join(part for part in (key, name) if part)),
            cost=asked.detector.height * asked.detector.width * asked.recipe.starts,
            group=key,
            values={
                "source": key,
                "frame": name,
                "layout": layout,
                "start": None if asked.start is None else asked.start[i],
            },
        )
        for key, asked in sources.items()
        for i, (name, layout) in enumerate(zip(asked.names, asked.layouts, strict=True))
    )
    return Job(
        kind="boxes",
        units=units,
        worker=InvertLayouts(sources={k: (each.detector, each.recipe) for k, each in sources.items()}, bf16=bf16),
        settings={"sources": {key: asked.facts() for key, asked in sources.items()}, "bf16": bf16},
        about={"names": [unit.values["frame"] for unit in units]},
        capacity=CAPACITY,
        label=f"inverting {len(units)} picture{'s' * (len(units) > 1)}",
    )


def run_of(
    outcome: Outcome, asked: Asked, originals: Mapping[str, Tensor], source: str = "", reads: bool = True
) -> BoxesRun:
    """What a job left of one source, its pictures read again from 8 bits. KeyboardInterrupt if there is nothing."""
    there = [(unit, made) for unit, made in outcome.each() if unit.values["source"] == source]
    if not there:
        outcome.whole()
    pictures = [picture_from(made.files["picture.png"]) for _, made in there]
    layouts = [unit.values["layout"] for unit, _ in there]
    return BoxesRun(
        names=tuple(unit.values["frame"] for unit, _ in there),
        pictures=torch.stack(pictures),
        asked=tuple(layouts),
        found=tuple(redetected(asked.detector, pictures, layouts)) if reads else (),
        steps=tuple(made.facts["steps"] for _, made in there),
        losses=tuple(made.facts["loss"] for _, made in there),
        seconds=outcome.seconds([unit.name for unit, _ in there]),
        originals=dict(originals),
        interrupted=outcome.interrupted,
        trace=joined_traces([made for _, made in there]),
    )


@torch.no_grad()
def agreeing(detector: Detector, pictures: Sequence[Tensor], asked: Sequence[Layout]) -> tuple[bool, ...]:
    """Whether a detector sees exactly what was asked in each picture of its size, as ``Detector.agrees`` has it."""
    device, said = device_of(detector), []
    with frozen(detector):
        for i in range(0, len(pictures), AT_ONCE):
            targets = {k: v.to(device) for k, v in detector.targets(asked[i : i + AT_ONCE]).items()}
            raw = detector.raw(torch.stack(list(pictures[i : i + AT_ONCE])).to(device))
            said += detector.agrees(raw, targets).tolist()
    return tuple(said)


def redetected(detector: Detector, pictures: Sequence[Tensor], asked: Sequence[Layout]) -> list[Layout]:
    """What a detector reads from pictures of its size, with the cameras of the layouts."""
    device, found = device_of(detector), []
    with frozen(detector):  # in eval mode, and left as it was
        for i in range(0, len(pictures), AT_ONCE):
            cameras = torch.stack([layout.projection for layout in asked[i : i + AT_ONCE]]).float().to(device)
            images = torch.stack(list(pictures[i : i + AT_ONCE])).to(device)
            found += [layout.to("cpu") for layout in detect(detector, images, cameras)]
    return found
