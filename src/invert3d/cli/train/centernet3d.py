"""Train a monocular 3-D detector, on procedural streets or a KITTI folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from invert3d.cli.options import BatchOptions, Count, Seed, Streets, Training, TrainOptions, Workers
from invert3d.cli.show import print_table


@dataclass(frozen=True, kw_only=True)
class DetectorOptions:
    """What kind of detector it is.

    Attributes:
        backbone: small, resnet18 or dla34.
        size: Height x width of its input.
        width: Channels of the first stage of small (32) or resnet18 (64).
        deconv: Channels of the transposed convolutions of resnet18 (256).
        hidden: Channels inside each head.
        skips: Give resnet18 skip connections and output maps at half the input size.
        center: Center point of an object: projected (its 3-D center, projected), or box (its 2-D center, as published).
        radius: Rule for the radius of Gaussians in the heatmap: published, or corrected.
    """

    backbone: str = "small"
    size: str = "96x320"
    width: Count | None = None
    deconv: Count | None = None
    hidden: Count | None = None
    skips: bool = False
    center: Literal["projected", "box"] = "projected"
    radius: Literal["published", "corrected"] = "published"

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the network."""
        given = {"width": self.width, "deconv": self.deconv, "hidden": self.hidden, "skips": self.skips or None}
        return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class FitOptions(BatchOptions):
    """What it is trained on, how long, and how.

    Attributes:
        data: streets, or the path of a folder in KITTI's form (with ImageSets/train.txt and val.txt).
        frames: Streets to train on.
        held_out: Frames to evaluate on.
        steps: Training steps, one batch each.
        workers: Processes that make streets.
        seed: Fixes the data and all random numbers.
    """

    data: str = "streets"
    frames: Streets = 4000
    held_out: Streets = 200
    steps: Count = 6000
    workers: Workers = 1
    seed: Seed = 0


def train_centernet3d(
    *,
    training: Training = TrainOptions(),
    network: Annotated[DetectorOptions, Parameter(name="*")] = DetectorOptions(),
    fit: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),
) -> None:
    """Train a monocular 3-D detector, in a run folder with the weights and their card.

    Args:
        training.name: What to call it; by default centernet3d-BACKBONE-DATA.
    """
    from invert3d.training.fit import FitSettings
    from invert3d.training.runs import DetectorTraining, train_centernet

    height, width = parsed_size(network.size)
    options = DetectorTraining(
        backbone=network.backbone,
        data=fit.data,
        height=height,
        width=width,
        frames=fit.frames,
        held_out=fit.held_out,
        options=network.options(),
        center=network.center,
        radius=network.radius,
        workers=fit.workers,
        settings=FitSettings(steps=fit.steps, batch=fit.batch, rate=fit.rate, bf16=fit.bf16, seed=fit.seed),
    )
    run = training.run(f"centernet3d-{network.backbone}-{Path(fit.data).stem}")
    card = train_centernet(options, run)
    views = ("2d", "aos", "bev", "3d")
    rows = [[kind, *(card.scores.get(f"{view} {kind}", "–") for view in views)] for kind in card.classes]
    print_table(f"{run.name}: AP of {card.held_out} held-out frames, moderate", ["kind", *views], rows)
    print(f"wrote {run.folder}")


def parsed_size(text: str) -> tuple[int, int]:
    """Height and width of "96x320". Raises ValueError for anything else."""
    high, cross, wide = text.lower().partition("x")
    if not (cross and high.isdecimal() and wide.isdecimal() and 0 < int(high) <= 8192 and 0 < int(wide) <= 8192):
        raise ValueError(f"a size is HEIGHTxWIDTH, such as 96x320, up to 8192x8192, not {text!r}")
    return int(high), int(wide)
