"""Train a detector of boxes in pictures: RetinaNet, FCOS, Faster R-CNN or Mask R-CNN."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.options import BatchOptions, Count, File, Seed, Streets, Training, TrainOptions
from invert3d.cli.show import print_table


@dataclass(frozen=True, kw_only=True)
class ThinOptions:
    """What kind of detector it is.

    Attributes:
        size: Height and width of its input in pixels.
        width: Channels of the first stage of the backbone.
        features: Channels of the feature pyramid.
        start: A checkpoint to start from.
        backbone: A detector to take the backbone from, a name or a card; its first layers and batch norms are kept.
    """

    size: Count = 160
    width: Count = 32
    features: Count = 64
    start: File | None = None
    backbone: str | None = None


@dataclass(frozen=True, kw_only=True)
class FitOptions(BatchOptions):
    """What it is trained on, how long, and how.

    Attributes:
        data: rooms, or a folder with images, instances_train.json and instances_val.json in COCO's form.
        pictures: Pictures to train on.
        held_out: Pictures to evaluate on.
        flip: Mirror half of the pictures.
        steps: Training steps, one batch each.
        seed: Fixes the data and all random numbers.
    """

    data: str = "rooms"
    pictures: Streets = 8000
    held_out: Streets = 500
    flip: bool = False
    steps: Count = 4000
    rate: Annotated[float, Parameter(help="Largest learning rate.")] = 1e-3
    seed: Seed = 0


def train_detector(
    family: str,
    *,
    training: Training = TrainOptions(),
    network: Annotated[ThinOptions, Parameter(name="*")] = ThinOptions(),
    fit: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),
) -> None:
    """Train one of torchvision's detectors on a thin backbone, in a run folder with the weights and their card.

    Args:
        family: retinanet, fcos, fasterrcnn or maskrcnn.
        training.name: What to call it; by default FAMILY-DATA.
    """
    from dataclasses import asdict

    from invert3d.training.boxes import BoxTraining, train_boxes
    from invert3d.training.fit import FitSettings

    settings = FitSettings(steps=fit.steps, batch=fit.batch, rate=fit.rate, bf16=fit.bf16, seed=fit.seed)
    options = BoxTraining(
        family=family,
        data=fit.data,
        pictures=fit.pictures,
        held_out=fit.held_out,
        flip=fit.flip,
        settings=settings,
        **asdict(network),
    )
    run = training.run(f"{family}-{Path(fit.data).stem}")
    card = train_boxes(options, run)
    rows = [[name, f"{value:.1f}"] for name, value in card.scores.items()]
    print_table(f"{run.name}: COCO's AP of {card.held_out} held-out pictures", ["", "AP"], rows)
    print(f"wrote {run.folder}")
