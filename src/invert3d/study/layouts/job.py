"""``invert3d.invert_boxes``: from a detector and layouts to pictures, in a run folder that is itself a KITTI folder.

A run folder holds ``training/image_2`` (the pictures, 8 bit), ``training/label_2`` (what was asked), and
``training/calib``, ``original`` (the real pictures, if there are any), ``found`` (what the detector reads from the
saved pictures), ``run.json``, ``frames.json`` (steps and losses), ``trace.safetensors``.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.data.kitti import Calibration, read_calibration, read_labels, write_calibration, write_labels
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import ProgressBar, Recorder
from invert3d.engine.space import Image
from invert3d.jobs.folder import prepared, read_run, write_json
from invert3d.jobs.provenance import command_line, environment
from invert3d.methods.layouts import LayoutRecipe, encoder_of, invert_layouts, layout_recipe, quantized
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.ops.layouts import Layout
from invert3d.priors.statistics import norm_layers
from invert3d.study.classes.job import fingerprint

#: pixels optimized at once: 32 small pictures, or 2 of KITTI's size. Bounds the memory to a few GB.
PIXELS_AT_ONCE = 32 * 96 * 320


@dataclass(frozen=True)
class BoxesRun:
    """Inverted layouts: pictures (A, 3, h, w) of 8 bits as RGB in [0, 1], what was asked and what is read from them."""

    names: tuple[str, ...]
    pictures: Tensor
    asked: tuple[Layout, ...]
    found: tuple[Layout, ...]
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    seconds: float
    originals: dict[str, Tensor] = field(default_factory=dict)
    interrupted: bool = False
    trace: dict[str, Tensor] = field(default_factory=dict)

    def whole(self) -> "BoxesRun":
        """The run, where it is needed to its end. Raises KeyboardInterrupt if it was interrupted."""
        if self.interrupted:
            raise KeyboardInterrupt
        return self


def frozen(detector: CenterNet3D, bf16: bool = False) -> Frozen:
    """A detector on the space of the pictures it takes, in half precision if asked for."""
    nothing, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return Frozen(detector, Image(height=detector.height, width=detector.width, mean=nothing, std=one), bf16=bf16)


def reached_norms(detector: CenterNet3D) -> tuple[str, ...]:
    """The batch norms that a detector's pictures go through: DLA-34 has some that only checkpoints know."""
    reached: dict[str, None] = {}
    modules = dict(detector.named_modules())
    hooks = [
        modules[name].register_forward_hook(lambda *_, name=name: reached.setdefault(name))
        for name in norm_layers(detector)
    ]
    with frozen(detector), torch.no_grad():
        detector.raw(detector.mean.new_zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return tuple(name for name in norm_layers(detector) if name in reached)


def invert_boxes(
    detector: CenterNet3D,
    layouts: Sequence[Layout],
    *,
    names: Sequence[str] | None = None,
    recipe: str | LayoutRecipe = "ours",
    heads: Sequence[str] | None = None,
    steps: int | None = None,
    start: Tensor | None = None,
    starts: int = 1,
    originals: dict[str, Tensor] | None = None,
    model: str = "a detector",
    out: str | Path | None = None,
    seed: int = 0,
    bf16: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> BoxesRun:
    """Ask a frozen detector for the picture of a layout.

    Args:
        detector: see ``open_detector``.
        layouts: what is asked, of pictures of any size: they are moved to the detector's.
        names: of the frames.
        recipe: ``ours``, ``published``, ``published_authors``, ``smallest_change``, or a ``LayoutRecipe``.
        heads: ask only some of the detector's heads.
        steps: override the recipe's.
        start: pictures (A, 3, h, w) to begin with, in the detector's size.
        starts: begin so many times at once, with other draws, and keep one picture of each layout: of those that were
            done early, or of all if none was, the one that costs least.
        originals: real pictures of the frames, by name, to be shown beside.
        model: what the detector is called in the run folder.
        out: a run folder to write; none is written without it.
        seed: fixes everything.
        bf16: run the detector in half precision where a recipe sees its picture in views; the plain part at the end,
            which is all of ``published``, and the reading are in full precision.
        resume, overwrite: what to do with a run folder that is there already.
        progress: show a progress bar.

    Raises:
        ValueError: nothing is asked, there is no start (of any, or of the smallest change), steps or heads are given
            with a ``LayoutRecipe``, an object cannot be asked for (behind the camera, outside the
            picture, of a kind that the detector does not know), or the start has another size.
    """
    options: dict[str, Any] = {"heads": tuple(heads)} if heads else {}
    options |= {"steps": steps} if steps is not None else {}
    if options and isinstance(recipe, LayoutRecipe):
        raise ValueError(f"say {' and '.join(options)} in the recipe itself, or give it by name")
    options |= {"norms": reached_norms(detector)} if recipe == "ours" else {}
    options |= {"swapped": detector.order == "bgr"} if recipe in ("published", "published_authors") else {}
    chosen = recipe if isinstance(recipe, LayoutRecipe) else layout_recipe(recipe, detector.codec, **options)
    labels = tuple(names or (f"{i:06d}" for i in range(len(layouts))))
    asked = [detector.prepare_layout(layout) for layout in layouts]
    check_asked(detector, asked, labels)
    wanted = (len(asked), 3, detector.height, detector.width)
    if start is not None and tuple(start.shape) != wanted:
        raise ValueError(
            f"the start is {tuple(start.shape)}; a picture for each layout, as the detector takes them, is {wanted}"
        )
    if start is not None:
        encoder_of(chosen)  # before anything is written
    if start is None and recipe == "smallest_change":
        raise ValueError("the smallest change of what? smallest_change begins with a picture: give a start")
    if starts < 1:
        raise ValueError(f"a picture needs at least one start, not {starts}")
    folder = prepared(Path(out), resume=resume, overwrite=overwrite) if out is not None else None
    if folder is not None:
        facts = {
            "kind": "boxes",
            "model": model,
            "recipe": chosen.name,
            "settings": repr(chosen),
            "seed": seed,
            "names": list(labels),
            "size": [detector.height, detector.width],
            "codec": asdict(detector.codec),
            "weights": fingerprint(detector),
            "bf16": bf16,
            "asked": _digest(detector.targets(asked)),
            "start": None if start is None else _digest(start),
            "starts": starts,
        }
        agrees_with_earlier(folder, facts)
        write_json(folder / "run.json", {**facts, "command": command_line(), "environment": environment()})
        write_asked(folder, asked, labels, originals or {})
    return _inverted(
        frozen(detector, bf16), asked, labels, chosen, start, starts, seed, folder, originals or {}, progress
    )


def _digest(value: Tensor) -> str:
    """Sixteen hexadecimal digits that change with any value of a tensor."""
    return hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def agrees_with_earlier(folder: Path, facts: dict[str, Any]) -> None:
    """Raise ValueError if a run is resumed with other questions, weights or another recipe than it began with."""
    if not (folder / "run.json").is_file():
        return
    earlier = {"starts": 1, **read_run(folder)}
    differing = [key for key, value in facts.items() if json.dumps(earlier.get(key)) != json.dumps(value)]
    if differing:
        raise ValueError(f"cannot resume {folder}: it was begun with other values of {', '.join(differing)}")


def check_asked(detector: CenterNet3D, layouts: Sequence[Layout], names: Sequence[str]) -> None:
    """Raise ValueError for a layout that asks nothing that the detector could see, by name, and for none at all."""
    if not layouts:
        raise ValueError("nothing is asked: give at least one layout")
    for layout, name in zip(layouts, names, strict=True):
        if not detector.codec.count_assignable(layout, detector.height, detector.width):
            raise ValueError(
                f"{name} asks nothing: none of its {len(layout)} objects is a {' or '.join(detector.kinds)} whose "
                "middle is inside the picture"
            )


def _inverted(
    model: Frozen,
    asked: list[Layout],
    names: tuple[str, ...],
    recipe: LayoutRecipe,
    start: Tensor | None,
    starts: int,
    seed: int,
    folder: Path | None,
    originals: dict[str, Tensor],
    progress: bool,
) -> BoxesRun:
    detector: CenterNet3D = model.model  # type: ignore[assignment]
    target = detector.targets(asked).to(model.device)
    size = max(1, PIXELS_AT_ONCE // (detector.height * detector.width * starts))
    table = read_frames(folder) if folder is not None else {}
    todo = [i for i, name in enumerate(names) if name not in table]
    chunks = [todo[i : i + size] for i in range(0, len(todo), size)]
    bar = ProgressBar(total=recipe.steps * len(chunks)) if progress and chunks else None
    pictures: dict[int, Tensor] = {}
    seconds, trace, interrupted = 0.0, {}, False
    recorders: list[Recorder] = [bar] if bar else []
    try:
        for number, rows in enumerate(chunks):
            each = [row for row in rows for _ in range(starts)]
            result = invert_layouts(
                model,
                target[each],
                recipe,
                start=None if start is None else start[each],
                seed=seed,
                samples=[row + 100_003 * (i % starts) for i, row in enumerate(each)],
                recorders=recorders,
            )
            seconds, interrupted = seconds + result.seconds, result.interrupted
            trace = trace or result.trace
            if interrupted and folder is not None:
                break
            late = 1e6 * (result.steps.cpu() >= recipe.steps)  # what was read as asked, and stopped, comes first
            cheapest = (result.loss.cpu() + late).view(-1, starts).argmin(1) + starts * torch.arange(len(rows))
            for place, row in zip(cheapest.tolist(), rows, strict=True):
                pictures[row] = quantized(result.x[place].detach()).cpu()
                table[names[row]] = {"steps": int(result.steps[place]), "loss": float(result.loss[place])}
                if folder is not None:
                    write_picture(folder / "training" / "image_2" / f"{names[row]}.png", pictures[row])
            if folder is not None:
                write_json(folder / "frames.json", table)
            if bar:
                bar.reached(recipe.steps * (number + 1))
            if interrupted:
                break
    finally:
        if bar:
            bar.stop()
    done = [i for i, name in enumerate(names) if name in table]
    return _finished(detector, asked, names, done, pictures, table, folder, originals, seconds, interrupted, trace)


def _finished(
    detector: CenterNet3D,
    asked: list[Layout],
    names: tuple[str, ...],
    done: list[int],
    pictures: dict[int, Tensor],
    table: dict[str, Any],
    folder: Path | None,
    originals: dict[str, Tensor],
    seconds: float,
    interrupted: bool,
    trace: dict[str, Tensor],
) -> BoxesRun:
    if folder is not None:
        for i in [i for i in done if i not in pictures]:  # of an earlier call
            pictures[i] = read_picture(folder / "training" / "image_2" / f"{names[i]}.png")
    shown = [pictures[i] for i in done]
    found = redetected(detector, shown, [asked[i] for i in done])
    if folder is not None:
        for i, layout in zip(done, found, strict=True):
            whole = replace(layout, sizes=layout.sizes.clamp_min(0.01))  # a size below 0 could not be read again
            write_labels(_made(folder / "found" / f"{names[i]}.txt"), whole)
        if trace:
            from safetensors.torch import save_file

            save_file({name: value.contiguous() for name, value in trace.items()}, folder / "trace.safetensors")
    return BoxesRun(
        names=tuple(names[i] for i in done),
        pictures=torch.stack(shown) if shown else torch.zeros(0, 3, detector.height, detector.width),
        asked=tuple(asked[i] for i in done),
        found=tuple(found),
        steps=tuple(table[names[i]]["steps"] for i in done),
        losses=tuple(table[names[i]]["loss"] for i in done),
        seconds=seconds,
        originals=originals,
        interrupted=interrupted,
        trace=trace,
    )


def redetected(
    detector: CenterNet3D, pictures: Sequence[Tensor], asked: Sequence[Layout], threshold: float = 0.1, batch: int = 16
) -> list[Layout]:
    """What a detector reads from pictures of its size, with the cameras of the layouts."""
    device = next(detector.parameters()).device
    found = []
    with frozen(detector):  # in eval mode, and left as it was
        for i in range(0, len(pictures), batch):
            cameras = torch.stack([layout.projection for layout in asked[i : i + batch]]).float().to(device)
            images = torch.stack(list(pictures[i : i + batch])).to(device)
            found += [layout.to("cpu") for layout in detector.detect(images, cameras, threshold)]
    return found


def write_asked(folder: Path, asked: Sequence[Layout], names: Sequence[str], originals: dict[str, Tensor]) -> None:
    """Labels, calibrations and real pictures of a run."""
    for layout, name in zip(asked, names, strict=True):
        write_labels(_made(folder / "training" / "label_2" / f"{name}.txt"), layout)
        write_calibration(_made(folder / "training" / "calib" / f"{name}.txt"), Calibration.of(layout.projection))
        if name in originals:
            write_picture(folder / "original" / f"{name}.png", originals[name])


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_picture(path: Path, picture: Tensor) -> None:
    """A picture (3, h, w) in [0, 1] as an 8-bit PNG."""
    from PIL import Image as Picture

    Picture.fromarray(pixels(picture)).save(_made(path))


def pixels(picture: Tensor) -> np.ndarray:
    """A picture (3, h, w) in [0, 1] as (h, w, 3) uint8."""
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def read_picture(path: Path) -> Tensor:
    """A picture file as (3, h, w), RGB in [0, 1]. Raises ValueError if there is none."""
    from PIL import Image as Picture
    from PIL import UnidentifiedImageError

    try:
        with Picture.open(path) as picture:
            array = np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"no picture can be read from {path}: {error}") from error
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255


def read_frames(folder: Path) -> dict[str, Any]:
    """The frames that a run has finished, by name: steps and losses."""
    path = folder / "frames.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def read_asked(folder: Path, names: Sequence[str], height: int, width: int) -> list[Layout]:
    """The layouts that a run was asked for."""
    layouts = []
    for name in names:
        camera = read_calibration(folder / "training" / "calib" / f"{name}.txt").projection
        layouts.append(read_labels(folder / "training" / "label_2" / f"{name}.txt", camera, height, width))
    return layouts
