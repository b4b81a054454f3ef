"""Train a classifier of clouds or voxels; train ARCHITECTURE is a shortcut."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.options import BatchOptions, Count, File, Pair, Seed, Switch, Training, TrainOptions, between


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What a network is trained on, and begins with.

    Attributes:
        start: A checkpoint to start from.
        width: Channels of the first convolution of a voxel network; by default as published.
        data: shapes, modelnet10-voxels, both (modelnet10-voxels+shapes, clouds only), or the path of a ModelNet10/40
            folder (OFF, HDF5 or text; clouds only) or of an .npz like that of modelnet10-voxels.
        per_class: Procedural shapes of each class.
        clutter: Add a class of shapes that belong to none of the others.
        values: Input values of empty and full voxels for a voxel network, such as -1 5.
        data_seed: Seed of the data; by default that of --seed.
    """

    start: File | None = None
    width: Count | None = None
    data: str = "shapes"
    per_class: Count = 400
    clutter: Switch = True
    values: Pair = (0.0, 1.0)
    data_seed: Seed | None = None


@dataclass(frozen=True, kw_only=True)
class FitOptions(BatchOptions):
    """How long it is trained and how.

    Attributes:
        steps: Training steps, one batch each.
        points: Points per cloud.
        abstract: Share of the training clouds that are resampled as a few Gaussian blobs.
        seed: Fixes the data and all random numbers.
    """

    steps: Count = 2200
    points: Count = 512
    abstract: Annotated[float, between(0, 1)] = 0.5
    seed: Seed = 0


def train_shapes(
    architecture: str,
    *,
    training: Training = TrainOptions(),
    source: Annotated[DataOptions, Parameter(name="*")] = DataOptions(),
    fit: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),
) -> None:
    """Train a reference network, in a run folder with the weights and their card.

    Args:
        architecture: pointnet, pointnet_vanilla, pointnet2_ssg, pointnet2_msg, dgcnn; vrn, voxnet, voxel_nin, winn3d;
            or one you registered.
    """
    from invert3d.training.classifiers import TrainSettings
    from invert3d.training.runs import ClassifierTraining, train_classifier

    options = ClassifierTraining(architecture=architecture, settings=TrainSettings(**asdict(fit)), **asdict(source))
    run = training.run(f"{architecture}-{Path(source.data).stem}")
    card = train_classifier(options, run)
    print(
        f"{card.name}: {card.scores['accuracy']:.2%} of {card.held_out} held-out shapes, "
        f"{card.scores['accuracy_fresh']:.2%} of those that repeat no training shape; {card.notes}\nwrote {run.folder}"
    )
