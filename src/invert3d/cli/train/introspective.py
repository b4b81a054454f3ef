"""Train a voxel classifier against pseudo-negatives that it makes itself."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from invert3d.cli.options import BatchOptions, Count, File, Positive, Seed, Switch, Training, TrainOptions, between

if TYPE_CHECKING:
    from invert3d.models.weights import WeightCard
    from invert3d.training.runs import TrainRun


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """What is trained, and on what.

    Attributes:
        data: modelnet10-voxels, shapes, or the path of an .npz like that of modelnet10-voxels.
        per_class: Procedural shapes of each class.
        size: Voxels a side, 16 or 32.
        width: Base number of channels; the last convolution has 16 times as many.
        labels: Whether the network is told the classes; without labels all shapes are of one class.
        start: A checkpoint to start from.
    """

    data: str = "modelnet10-voxels"
    per_class: Count = 400
    size: Literal[16, 32] = 32
    width: Count = 16
    labels: Switch = True
    start: File | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(GeneratorOptions):
    """The network.

    Attributes:
        stem: full, as published, or folded: 2 x 2 x 2 voxels become 8 channels, then one convolution.
        start: A checkpoint to start from, of the same size, width, stem and components.
    """

    stem: Literal["full", "folded"] = "folded"


@dataclass(frozen=True, kw_only=True)
class FitOptions(BatchOptions):
    """How it is trained.

    Attributes:
        batch: Real shapes per batch, and as many pseudo-negatives.
        steps: Training steps, one batch each.
        alpha: Weight of the loss of real shapes and pseudo-negatives, beside the classification loss; 0 trains a plain
            classifier.
        penalty: Weight of the R1 gradient penalty, relative to alpha.
        ascent: Steps of gradient ascent in a training step, at most; grows from 0 over the first half.
        length: L2 norm of a step of ascent.
        kept: Size of the replay buffer of each class.
        renewed: Probability that a pseudo-negative drawn from the buffer begins anew.
        components: Principal components of the class Gaussians that pseudo-negatives begin from.
        jitter: Standard deviation of the noise on real shapes and pseudo-negatives as they are scored.
        adversary: Radius of adversarial training on the classification loss: uniform noise, then a step of FGSM, both
            so large. 0 turns it off.
        average: Decay of the exponential moving average of the weights.
        seed: Fixes all random numbers.
    """

    batch: Count = 20
    steps: Count = 4000
    rate: Annotated[float, Parameter(help="Peak learning rate.")] = 6e-4
    alpha: Annotated[float, between(0, 1000)] = 0.3
    penalty: Annotated[float, between(0, 1000)] = 1.0
    ascent: Count = 6
    length: Positive = 1.0
    kept: Count = 100
    renewed: Annotated[float, between(0, 1)] = 0.1
    components: Count = 64
    jitter: Annotated[float, between(0, 10)] = 0.03
    adversary: Annotated[float, between(0, 1)] = 0.03
    average: Annotated[float, between(0, 1)] = 0.998
    seed: Seed = 0


def train_introspective(
    *,
    training: Training = TrainOptions(),
    network: Annotated[NetworkOptions, Parameter(name="*")] = NetworkOptions(),
    fit: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),
) -> None:
    """Train the network of 3DWINN to classify voxel shapes, and against pseudo-negatives that it makes itself.

    Args:
        training.name: What to call it; by default introspective-SIZE.
    """
    from invert3d.training.generators import IntrospectiveTraining, train_introspection
    from invert3d.training.introspective import IntrospectiveSettings

    settings = IntrospectiveSettings(**asdict(fit))
    run = training.run(f"introspective-{network.size}")
    card = train_introspection(IntrospectiveTraining(settings=settings, **asdict(network)), run)
    print_card(card, run)


def print_card(card: "WeightCard", run: "TrainRun") -> None:
    """How a trained classifier does, and where it is."""
    if card.scores:
        print(
            f"{card.name}: {card.scores['accuracy']:.2%} of {card.held_out} held-out shapes, "
            f"{card.scores['accuracy_fresh']:.2%} of those that repeat no training shape"
        )
    print(f"wrote {run.folder}")
