"""Training of torchvision's detectors of boxes and masks, on a thin backbone, with torchvision's own losses."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invert3d.engine.progress import Meter
from invert3d.evaluate.coco import coco_ap
from invert3d.models.detectors import detect
from invert3d.models.detectors.thin import FAMILIES, keep_backbone, thin_adapter
from invert3d.models.weights import WeightCard, load_checkpoint, round_to_half, save_network
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import HELD_OUT, seed_of
from invert3d.registry import unknown
from invert3d.training.fit import Checkpoints, FitSettings, check, fit
from invert3d.training.pictures import Batch, Pictures, batches, folder_pictures
from invert3d.training.rooms import room_pictures
from invert3d.training.runs import TrainRun, asked_of


@dataclass(frozen=True, kw_only=True)
class BoxTraining:
    """A detector of boxes to train.

    Attributes:
        family: ``retinanet``, ``fcos``, ``fasterrcnn`` or ``maskrcnn``.
        data: ``rooms``, or a folder with ``images``, ``instances_train.json`` and ``instances_val.json``.
        size: height and width of its pictures, in pixels.
        pictures, held_out: rooms to train on, and pictures to measure on.
        width, features: channels of the first stage, and of the pyramid.
        flip: mirror half of the pictures. Rooms have motifs that know left from right.
        start: a checkpoint to begin with.
        backbone: a detector, by the name of its weights or the path of its card, from whose backbone it starts.
        settings: how.
    """

    family: str
    data: str = "rooms"
    size: int = 160
    pictures: int = 8000
    held_out: int = 500
    width: int = 32
    features: int = 64
    flip: bool = False
    start: Path | None = None
    backbone: str | None = None
    settings: FitSettings = field(default_factory=lambda: FitSettings(steps=4000, rate=1e-3))

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(unknown("family", self.family, FAMILIES))
        for name in ("pictures", "held_out"):
            check(name, getattr(self, name), 1, 1_000_000)
        check("size", self.size, 64, 2048)
        check("width", self.width, 8, 512)
        check("features", self.features, 32, 512)
        if self.features % 32 or self.width % 2:
            raise ValueError(f"features must be a multiple of 32 and width even, not {self.features}, {self.width}")


class TrainingLosses(nn.Module):
    """A torchvision detector that returns its training losses, a table of scalars. ``kept`` stay in eval mode."""

    def __init__(self, model: nn.Module, kept: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.model, self.kept = model, tuple(kept)

    def train(self, mode: bool = True) -> "TrainingLosses":
        """Switch all but what is kept."""
        super().train(mode)
        for each in self.kept:
            each.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.model([*batch.images], list(batch.targets))


def total(losses: Mapping[str, Tensor], _: Any) -> Tensor:
    """The sum of the losses, each with weight 1, as torchvision's reference training has it."""
    return torch.stack([*losses.values()]).sum()


def train_detector(
    model: nn.Module,
    pictures: Pictures,
    kinds: tuple[str, ...],
    settings: FitSettings,
    *,
    flip: bool = False,
    kept: Sequence[nn.Module] = (),
    keep: Checkpoints | None = None,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Train in place; see ``fit``. ``kinds`` are the classes, the background first; ``kept`` stay in eval mode."""
    stream = batches(pictures, kinds, settings.batch, settings.seed, flip=flip)
    fit(TrainingLosses(model, kept), stream, total, settings, keep=keep, report=report)


def detections(detector: Any, pictures: Pictures, batch: int = 16) -> list[Layout]:
    """What a detector finds in pictures, a layout each."""
    device = next(detector.parameters()).device
    found = [detect(detector, part.to(device).float() / 255, threshold=0.0) for part in pictures.images.split(batch)]
    return [layout.to("cpu") for some in found for layout in some]


def scores_of(detector: Any, held_out: Pictures) -> dict[str, float]:
    """COCO's AP of boxes, and of masks if the detector makes them, in percent, and of each category."""
    found, kinds = detections(detector, held_out), detector.kinds
    truth = [replace(layout, masks=held_out.masks(i)) for i, layout in enumerate(held_out.layouts)]
    scores = coco_ap(truth, found, kinds[1:])
    if any(layout.masks is not None for layout in found):
        scores |= {f"{name} of masks": value for name, value in coco_ap(truth, found, kinds[1:], "masks").items()}
    return {name: round(value, 2) for name, value in scores.items() if value == value}


def train_boxes(options: BoxTraining, run: TrainRun) -> WeightCard:
    """Train a detector; measure it on held-out pictures; write weights and card.

    Raises:
        ValueError: data or a checkpoint that is not there or does not fit, or a folder that cannot be written.
        ModuleNotFoundError: the extra ``detect``, which scores it, is not installed.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with a checkpoint in the folder.
    """
    import faster_coco_eval  # noqa: F401  # refuse before the work, not after it

    asked, settings = asked_of(options, run), options.settings
    if (done := run.finished(asked, "2-D detector")) is not None:
        return done
    train_on, test = pictures_of(options)
    kinds = ("background", *train_on.kinds)
    torch.manual_seed(seed_of(settings.seed, "weights"))
    shape = {"size": options.size, "width": options.width, "features": options.features}
    detector = thin_adapter(options.family, kinds, **shape)
    model = detector.model
    if options.start is not None:
        load_checkpoint(model, options.start)
    kept = keep_backbone(model, options.backbone) if options.backbone is not None else ()
    detector.to(run.device)
    with run.opened(asked, settings.steps) as opened:
        how = {"flip": options.flip, "kept": kept, "keep": opened.keep, "report": opened.report}
        train_detector(model, train_on, kinds, settings, **how)
        opened.meter.stop()
        with Meter(f"measuring on {len(test):,} held-out pictures"):
            round_to_half(model)
            card = WeightCard(
                name=run.name,
                kind="2-D detector",
                architecture=options.family,
                classes=kinds,
                options=shape,
                scores=scores_of(detector.eval(), test),
                held_out=len(test),
                data=train_on.source,
                licence=train_on.licence,
                command=opened.command,
                seed=settings.seed,
                environment=f"torch {torch.__version__}, {platform.machine()}",
                notes=f"{settings.steps} steps of {settings.batch}",
            )
            card = save_network(model, card, opened.run.path)
    return card


def pictures_of(options: BoxTraining) -> tuple[Pictures, Pictures]:
    """The pictures to train on and those that are held out."""
    if options.data == "rooms":
        made = room_pictures(options.pictures, options.size, seed=options.settings.seed)
        return made, room_pictures(options.held_out, options.size, seed=HELD_OUT)
    root = Path(options.data)
    train_on = folder_pictures(root / "instances_train.json", options.size, options.pictures)
    return train_on, folder_pictures(root / "instances_val.json", options.size, options.held_out)
