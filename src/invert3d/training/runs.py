"""``invert3d train``: a run folder with settings, a log, a checkpoint, and in the end the weights and their card.

run.json          what was asked, command, environment
log.jsonl         step and running loss, about a hundred lines
checkpoint.pt     where it stands, until it is done
NAME.safetensors  the weights, and NAME.json, their card: ``--model FOLDER/NAME.json`` opens them
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from invert3d.engine.progress import Meter
from invert3d.engine.space import Voxels
from invert3d.jobs.crew import Ask
from invert3d.jobs.execute import interruptions
from invert3d.jobs.folder import RunFolder, agree, checked_folder, opened, read_run
from invert3d.jobs.options import Interrupted, RunOptions
from invert3d.jobs.provenance import command_line, environment
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.models.weights import WeightCard, WeightKind, find_card, load_checkpoint
from invert3d.opening.networks import checked_device
from invert3d.opening.options import ModelOptions
from invert3d.ops.centers import CenterCodec
from invert3d.ops.names import checked_name
from invert3d.ops.seeds import HELD_OUT, seed_of
from invert3d.registry import lookup, registered, unknown
from invert3d.training.classifiers import TrainSettings, save, train
from invert3d.training.data import Data, training_data
from invert3d.training.detectors import save_detector, train_detector
from invert3d.training.fit import Checkpoints, FitSettings, check
from invert3d.training.frames import Frames, folder_frames
from invert3d.training.streets import street_frames


@dataclass(frozen=True, kw_only=True)
class TrainRun:
    """Where a training is kept.

    Attributes:
        name: of the weights: letters, digits, spaces and - _ . +
        out: the folder, ``runs/train-NAME`` by default.
        resume: go on with an interrupted training.
        overwrite: replace a run that is there.
        device: ``cpu``, ``cuda``, ...
    """

    name: str
    out: Path | None = None
    resume: bool = False
    overwrite: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        checked_name(self.name, "the weights")
        checked_device(self.device)
        if self.resume and self.overwrite:
            raise ValueError("resume continues a run and overwrite deletes it: choose one of them")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.out or Path("runs") / f"train-{self.name}"

    def finished(self, asked: Mapping[str, Any], kind: WeightKind) -> WeightCard | None:
        """The card of a training that is done, where one is to be resumed.

        Raises ValueError, with nothing changed, unless this can be written there.
        """
        checked_folder(self.folder, resume=self.resume, overwrite=self.overwrite)
        if not self.resume:
            return None
        agree(self.folder, {"kind": "training", "settings": asked})
        card = self.folder / f"{self.name}.json"
        found = find_card(str(card), kind) if card.is_file() else None
        return found[0] if found else None

    @contextlib.contextmanager
    def opened(self, asked: Mapping[str, Any], steps: int) -> Iterator["Opened"]:
        """The folder, while something is trained. Ctrl-C and SIGTERM leave a checkpoint in it, an end leaves none."""
        about = {"command": command_line(), "environment": environment()}
        what = {"kind": "training", "settings": dict(asked)}
        with opened(self.folder, what, about, resume=self.resume, overwrite=self.overwrite) as run:
            keep = Checkpoints(path=run.path / "checkpoint.pt", resume=self.resume)
            meter, ask = Meter("training", steps), Ask()
            try:
                with interruptions(ask):
                    yield Opened(run, keep, str(read_run(run.path)["command"]), steps, meter, ask)
                    keep.path.unlink(missing_ok=True)
            finally:
                meter.stop()


@dataclass(frozen=True)
class Opened:
    """A training that is running: its folder, its checkpoints, the command that began it."""

    run: RunFolder
    keep: Checkpoints
    command: str
    steps: int
    meter: Meter
    ask: Ask

    def report(self, step: int, loss: float) -> None:
        """Show and log a step. Raises Interrupted where the training is to stop."""
        self.meter.update(step, loss=f"{loss:.3f}")
        if step % max(1, self.steps // 100) == 0 or step == self.steps:
            self.run.log(step=step, loss=round(loss, 5))
        if self.ask.stop:
            raise Interrupted(self.ask.signal, self.run.path)


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining:
    """A classifier to train.

    Attributes:
        architecture: a registered model.
        data: ``shapes``, ``modelnet10-voxels``, ``modelnet10-voxels+shapes``, or the path of a ModelNet folder or of an
            .npz like that of ``modelnet10-voxels``.
        data_seed: of procedural shapes; that of the settings by default.
        per_class: procedural shapes of each class.
        clutter: one class more, of things that are none of the others.
        width: channels of the first convolution of a voxel network.
        values: what a voxel network is fed for an empty and for a full voxel.
        start: a checkpoint to begin with.
        settings: how.
    """

    architecture: str
    data: str = "shapes"
    data_seed: int | None = None
    per_class: int = 400
    clutter: bool = True
    width: int | None = None
    values: tuple[float, float] = (0.0, 1.0)
    start: Path | None = None
    settings: TrainSettings = field(default_factory=TrainSettings)

    def __post_init__(self) -> None:
        made = lookup("model", self.architecture)
        check("per_class", self.per_class, 1, 100_000)
        ModelOptions(values=self.values)
        if self.width is not None:
            check("width", self.width, 1, 4096)
            if not hasattr(made, "grid_sizes"):
                raise ValueError(f"{self.architecture} has no width; networks of voxels have")


def train_classifier(options: ClassifierTraining, run: TrainRun) -> WeightCard:
    """Train a classifier, from a checkpoint if there is one; measure it on the held-out shapes; write weights and card.

    Raises:
        ValueError: data or a checkpoint that is not there or does not fit, or a folder that cannot be written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with a checkpoint in the folder.
    """
    asked, settings = asked_of(options, run), options.settings
    if (done := run.finished(asked, "classifier")) is not None:
        return done
    seed = settings.seed if options.data_seed is None else options.data_seed
    network = lookup("model", options.architecture)
    sizes = getattr(network, "grid_sizes", None)
    voxels = Voxels(size=sizes[0], low=options.values[0], high=options.values[1]) if sizes else None
    with Meter(f"getting {options.data} to train on"):
        data = training_data(
            options.data, per_class=options.per_class, seed=seed, clutter=options.clutter, voxels=voxels
        )
    width = {} if options.width is None else {"width": options.width}
    torch.manual_seed(seed_of(settings.seed, "weights"))
    model = network(len(data.classes), **width)
    if options.start is not None:
        load_checkpoint(model, options.start)
    model.to(run.device)
    with run.opened(asked, settings.steps) as opened:
        train(model, data, settings, keep=opened.keep, report=opened.report)
        card = WeightCard(
            name=run.name,
            kind="classifier",
            architecture=options.architecture,
            command=opened.command,
            options=width,
            notes=f"{settings.steps} steps of {settings.batch}",
        )
        return measured(model, data, settings, card, opened)


def measured(model: nn.Module, data: Data, settings: TrainSettings, card: WeightCard, opened: Opened) -> WeightCard:
    """Measure a trained classifier on the held-out shapes, and write it with its card into its run folder."""
    opened.meter.stop()
    with Meter(f"measuring on {len(data.test):,} held-out shapes"):
        return save(model, data, settings, card, opened.run.path)


@dataclass(frozen=True, kw_only=True)
class DetectorTraining:
    """A monocular 3-D detector to train.

    Attributes:
        backbone: a registered network of center maps.
        data: ``streets``, or the path of a folder in KITTI's form.
        height, width: of the pictures it takes.
        frames, held_out: streets to train on, frames to measure on.
        options: of the backbone.
        center, radius: conventions of its maps.
        workers: processes that make streets.
        settings: how.
    """

    backbone: str = "small"
    data: str = "streets"
    height: int = 96
    width: int = 320
    frames: int = 4000
    held_out: int = 200
    options: Mapping[str, Any] = field(default_factory=dict)
    center: str = "projected"
    radius: str = "published"
    workers: int = 1
    settings: FitSettings = field(default_factory=lambda: FitSettings(steps=6000))

    def __post_init__(self) -> None:
        if self.backbone not in registered("center_network"):
            raise ValueError(unknown("backbone", self.backbone, registered("center_network")))
        for name in ("frames", "held_out"):
            check(name, getattr(self, name), 1, 1_000_000)
        check("workers", self.workers, 1, 1024)


def train_centernet(options: DetectorTraining, run: TrainRun) -> WeightCard:
    """Train a detector; measure it on held-out frames; write weights and card. Raises as ``train_classifier``."""
    asked, settings = asked_of(options, run), options.settings
    if (done := run.finished(asked, "detector")) is not None:
        return done
    codec = CenterCodec(center=options.center, radius=options.radius, border="picture")  # type: ignore[arg-type]
    torch.manual_seed(seed_of(settings.seed, "weights"))
    detector = CenterNet3D(
        options.backbone,
        height=options.height,
        width=options.width,
        codec=codec,
        order="rgb",
        options=dict(options.options),
    ).to(run.device)
    train_on, test = frames_of(options, detector)
    with run.opened(asked, settings.steps) as opened:
        train_detector(detector, train_on, settings, keep=opened.keep, report=opened.report)
        card = WeightCard(
            name=run.name,
            kind="detector",
            architecture="centernet3d",
            data=train_on.source,
            licence=train_on.licence,
            command=opened.command,
            seed=settings.seed,
            options=dict(options.options),
            notes=f"{settings.steps} steps of {settings.batch}",
        )
        opened.meter.stop()
        with Meter(f"measuring on {len(test):,} held-out frames"):
            card = save_detector(detector, test, card, opened.run.path)
    return card


def frames_of(options: DetectorTraining, detector: CenterNet3D) -> tuple[Frames, Frames]:
    """The frames to train on and those that are held out."""
    if options.data != "streets":
        root = Path(options.data)
        with Meter(f"reading {root.name}"):
            return folder_frames(detector, root, "train"), folder_frames(detector, root, "val", options.held_out)
    size, crew = (options.height, options.width), RunOptions(workers=options.workers)
    made = street_frames(options.frames, *size, seed=options.settings.seed, options=crew)
    return made, street_frames(options.held_out, *size, seed=HELD_OUT, options=crew)


def asked_of(options: Any, run: TrainRun) -> dict[str, Any]:
    """What the weights of a training, a dataclass with ``settings``, depend on, as plain values. It is resumed
    only where all of it is the same. Of files the names count, not the folders that they are in."""
    table = asdict(options)
    settings = table.pop("settings")
    table.pop("workers", None)
    for each in ("start", "backbone"):
        if table.get(each) is not None:
            table[each] = Path(table[each]).name
    return {"name": run.name, **table, **settings}
