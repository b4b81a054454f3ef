"""Train a variational autoencoder of voxel shapes, a baseline for introspective networks."""

from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.options import BatchOptions, Count, Seed, Training, TrainOptions
from invert3d.cli.train.introspective import GeneratorOptions, print_card


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(GeneratorOptions):
    """The network.

    Attributes:
        codes: Latent dimensions.
    """

    codes: Count = 64


@dataclass(frozen=True, kw_only=True)
class FitOptions(BatchOptions):
    """How it is trained.

    Attributes:
        batch: Shapes per batch.
        steps: Training steps, one batch each.
        seed: Fixes all random numbers.
    """

    batch: Count = 20
    steps: Count = 2400
    rate: Annotated[float, Parameter(help="Peak learning rate.")] = 1e-3
    seed: Seed = 0


def train_vae(
    *,
    training: Training = TrainOptions(),
    network: Annotated[NetworkOptions, Parameter(name="*")] = NetworkOptions(),
    fit: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),
) -> None:
    """Train a variational autoencoder that makes voxel shapes of classes, and classifies them.

    Args:
        training.name: What to call it; by default vae-SIZE.
    """
    from invert3d.training.generators import VAETraining, train_autoencoder
    from invert3d.training.vae import VAESettings

    run = training.run(f"vae-{network.size}")
    print_card(train_autoencoder(VAETraining(settings=VAESettings(**asdict(fit)), **asdict(network)), run), run)
