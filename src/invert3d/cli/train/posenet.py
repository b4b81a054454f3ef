"""Train a network that describes pictures by their pose, or by the style of the houses in them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from invert3d.cli.options import BatchOptions, Count, Positive, Seed, Streets, Training, TrainOptions
from invert3d.cli.show import print_table


@dataclass(frozen=True, kw_only=True)
class FitOptions(BatchOptions):
    """What it is trained on, how long, and how.

    Attributes:
        task: pose: the relative pose of two pictures and whether they match. style: what the houses look like. stacked:
            pose by a network that sees both pictures at once, to compare with.
        scenes: Terraces to train on.
        held_out: Terraces to evaluate on.
        views: Pictures of each terrace.
        batch: Pairs of pictures per batch.
        steps: Training steps, one batch each.
        seed: Fixes the data and all random numbers.
    """

    task: Literal["pose", "style", "stacked"] = "pose"
    scenes: Streets = 6000
    held_out: Streets = 200
    views: Count = 4
    batch: Count = 64
    rate: Positive = 1e-3
    steps: Count = 3000
    seed: Seed = 0


def train_posenet(
    variant: str = "smallnet_v5",
    *,
    training: Training = TrainOptions(),
    fit: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),
) -> None:
    """Train a PoseNet on pairs of pictures of procedural terraces, in a run folder with the weights and their card.

    Args:
        variant: smallnet_v5, streetnet or posenet_torch7.
        training.name: What to call it; by default VARIANT-TASK.
    """
    from invert3d.training.descriptors import DescriptorTraining, train_descriptor
    from invert3d.training.fit import FitSettings

    settings = FitSettings(steps=fit.steps, batch=fit.batch, rate=fit.rate, bf16=fit.bf16, seed=fit.seed)
    options = DescriptorTraining(
        variant=variant, task=fit.task, scenes=fit.scenes, held_out=fit.held_out, views=fit.views, settings=settings
    )
    run = training.run(f"{variant}-{fit.task}")
    card = train_descriptor(options, run)
    rows = [[name, f"{value:.3f}"] for name, value in card.scores.items()]
    print_table(f"{run.name}: {card.held_out} held-out terraces", ["", "median or share"], rows)
    print(f"wrote {run.folder}")
