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
        stem: full, as published, or folded, which takes a third of the time.
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
        kept: The same for the last iteration: the shapes that are generated.
        ascent: Steps of gradient ascent for them, at most.
        speed: Learning rate of the ascent.
        alpha: Weight of telling real shapes from pseudo-negatives, beside that of the classes.
        penalty: Weight of the gradient penalty, beside that of telling them apart.
        seed: Fixes all random numbers.
    """

    batch: Count = 20
    steps: Count = 1200
    rate: Annotated[float, Parameter(help="Largest learning rate.")] = 1e-4
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
    """Train the network of 3DWINN as published, and keep the shapes that it ends with.

    Args:
        training.name: What to call it; by default cascades-SIZE.
    """
    from invert3d.training.cascades import CascadeSettings
    from invert3d.training.generators import CascadeTraining, train_published

    run = training.run(f"cascades-{network.size}")
    print_card(train_published(CascadeTraining(settings=CascadeSettings(**asdict(fit)), **asdict(network)), run), run)
