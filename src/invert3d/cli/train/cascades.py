"""Train a voxel network as 3DWINN was published: cascades of critics, each against what the ones before made."""

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from invert3d.cli.options import BatchOptions, Count, Positive, Seed, Training, TrainOptions, between
from invert3d.cli.train.introspective import GeneratorOptions, print_card


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(GeneratorOptions):
    """The network.

    Attributes:
        stem: full, as published, or folded: 2 x 2 x 2 voxels become 8 channels, then one convolution.
    """

    stem: Literal["full", "folded"] = "full"


@dataclass(frozen=True, kw_only=True)
class FitOptions(BatchOptions):
    """How it is trained.

    Attributes:
        batch: Real shapes per batch, and as many pseudo-negatives.
        steps: Training steps of all cascades, one batch each.
        cascades: Number of cascades.
        iterations: Iterations of each; after each, pseudo-negatives are made.
        made: Pseudo-negatives of each class that an iteration makes.
        kept: Shapes of each class that are generated in the end, in voxels.npz.
        ascent: Steps of Adam for a pseudo-negative, at most.
        speed: Learning rate of Adam on the voxels.
        alpha: Weight of the critic's loss, beside the classification loss.
        penalty: Weight of the gradient penalty, relative to alpha.
        seed: Fixes all random numbers.
    """

    batch: Count = 20
    steps: Count = 1200
    rate: Annotated[float, Parameter(help="Peak learning rate.")] = 1e-4
    cascades: Count = 4
    iterations: Count = 5
    made: Count = 10
    kept: Count = 50
    ascent: Count = 100
    speed: Positive = 0.005
    alpha: Annotated[float, between(0, 1000)] = 1.0
    penalty: Annotated[float, between(0, 1000)] = 10.0
    seed: Seed = 0


def train_cascades(
    *,
    training: Training = TrainOptions(),
    network: Annotated[NetworkOptions, Parameter(name="*")] = NetworkOptions(),
    fit: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),
) -> None:
    """Train the network of 3DWINN as published; the shapes that its cascades end with are in voxels.npz.

    Args:
        training.name: What to call it; by default cascades-SIZE.
    """
    from invert3d.training.cascades import CascadeSettings
    from invert3d.training.generators import CascadeTraining, train_published

    run = training.run(f"cascades-{network.size}")
    print_card(train_published(CascadeTraining(settings=CascadeSettings(**asdict(fit)), **asdict(network)), run), run)
