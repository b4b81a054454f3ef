"""Train a decoder: from what a layer of a network makes of an input back to the input."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.options import (
    BatchOptions,
    Count,
    ModelOptions,
    Opening,
    Positive,
    Seed,
    Share,
    Streets,
    Training,
    TrainOptions,
    above_zero,
    between,
)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What it is trained on, and how large it is.

    Attributes:
        data: For networks of clouds and grids: shapes, modelnet10-voxels, or a path. Those of pictures learn from
            terraces.
        scenes: Terraces to train on.
        held_out: Terraces to evaluate on.
        views: Pictures of each terrace.
        per_class: Procedural shapes of each class.
        width: Base number of channels.
    """

    data: str = "shapes"
    scenes: Streets = 4000
    held_out: Streets = 50
    views: Count = 4
    per_class: Count = 400
    width: Count = 32


@dataclass(frozen=True, kw_only=True)
class FitOptions(BatchOptions):
    """How it is trained.

    Attributes:
        batch: Inputs per batch.
        steps: Training steps, one batch each.
        consistency: Weight of the squared relative distance of the descriptors of an input and of what is made of it.
        adversary: Weight of an adversary of pictures, relative to the ratio of gradients; 0 trains without one.
        begins: Share of the steps after which the adversary begins.
        noise: Standard deviation of the noise that the adversary sees pictures under; it fades.
        average: Decay of the exponential moving average of the weights.
        decoder_factor: Learning rate of the decoder once the adversary has begun, relative to --rate.
        critic_factor: Learning rate of the adversary, relative to --rate.
        seed: Fixes the data and all random numbers.
    """

    batch: Count = 32
    steps: Count = 2000
    rate: Positive = 1e-3
    consistency: Annotated[float, between(0, 1000)] = 0.0
    adversary: Annotated[float, between(0, 1000)] = 0.0
    begins: Annotated[float, between(0, 1)] = 0.3
    noise: Annotated[float, between(0, 10)] = 0.1
    average: Annotated[float, between(0, 1)] = 0.995
    decoder_factor: Share = 0.25
    critic_factor: Annotated[float, above_zero(100)] = 0.5
    seed: Seed = 0


def train_decoder(
    of: str,
    *,
    training: Training = TrainOptions(),
    data: Annotated[DataOptions, Parameter(name="*")] = DataOptions(),
    fit: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),
    opening: Opening = ModelOptions(),
) -> None:
    """Train a decoder of a layer of a frozen network, in a run folder with the weights and their card.

    Args:
        of: NETWORK:LAYER, as in posenet-facades:fc5.
        training.name: What to call it; by default NETWORK-LAYER-decoder.
    """
    from invert3d.training.decoder_runs import DecoderTraining, train_decoder
    from invert3d.training.decoders import DecoderSettings

    name, _, layer = of.rpartition(":")
    if not name or not layer:
        raise ValueError(f"{of!r} is not NETWORK:LAYER, such as posenet-facades:fc5")
    options = DecoderTraining(network=name, layer=layer, settings=DecoderSettings(**asdict(fit)), **asdict(data))
    run = training.run(f"{Path(name.split(':')[-1]).stem}-{layer}-decoder")
    card = train_decoder(options, replace(opening, device=training.device).open(name), run)
    print(
        f"{card.name}: relative loss {card.scores['relative loss']:.4f}, difference {card.scores['difference']:.5f} on "
        f"{card.held_out} held-out inputs\nwrote {run.folder}"
    )
