"""Prune a trained network, and measure the loss of accuracy."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from invert3d.cli.options import (
    BatchOptions,
    ClassNames,
    Count,
    File,
    MeasureOptions,
    Measuring,
    Pair,
    PlainName,
    Positive,
    Run,
    Running,
    Share,
    read_class_names,
)
from invert3d.cli.show import print_recorded, print_scores


@dataclass(frozen=True, kw_only=True)
class PruneOptions(BatchOptions):
    """How a network is pruned and trained again.

    Attributes:
        data: The training data: shapes, modelnet10-voxels, or the path of a ModelNet folder
            or of an .npz like that of modelnet10-voxels.
        density: Share of the weights to keep, between 0 and 1.
        way: gradual: prune more and more of the smallest weights of all layers, which may return; surgery: dynamic
            network surgery, one threshold per layer; magnitude: prune the smallest weights of all layers, once.
        epochs: Epochs of training. An epoch has as many shapes as the training set.
        per_class: Procedural shapes of each class.
    """

    data: str = "modelnet10-voxels"
    density: Share = 0.02
    way: Literal["gradual", "surgery", "magnitude"] = "gradual"
    epochs: Positive = 1.0
    batch: Count = 32
    rate: Positive = 1e-3
    per_class: Count = 400


def prune(
    model: str,
    *,
    checkpoint: File | None = None,
    values: Pair | None = None,
    class_names: ClassNames | None = None,
    name: PlainName | None = None,
    pruning: Annotated[PruneOptions, Parameter(name="*")] = PruneOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Prune a trained network, train the remaining weights, and measure the loss of accuracy.

    Args:
        model: Bundled weights, or an architecture with --checkpoint.
        checkpoint: Weights for the model.
        values: Input values of empty and full voxels, for a voxel network with --checkpoint; by default 0 and 1.
        class_names: The model's classes, comma separated, or a file with one per line.
        name: What to call the pruned weights; by default MODEL-pruned.
        run.out: The run folder, by default runs/prune: weights, their card, table.json, filters.png.
    """
    from invert3d.opening.networks import open_network
    from invert3d.study.pruning.job import prune_and_save
    from invert3d.training.classifiers import TrainSettings

    network = open_network(
        model, checkpoint=checkpoint, device=measuring.device, values=values, classes=read_class_names(class_names)
    )
    run = run.at("runs/prune")
    settings = TrainSettings(batch=pruning.batch, rate=pruning.rate, bf16=pruning.bf16, seed=run.seed)
    table, headline, rows = prune_and_save(
        network,
        pruning.data,
        pruning.density,
        pruning.way,
        epochs=pruning.epochs,
        name=name or f"{model}-pruned",
        options=run,
        per_class=pruning.per_class,
        settings=settings,
    )
    print_scores(table)
    if measuring.record:
        print_recorded("pruning", headline, rows)
    print(f"open {run.folder() / 'index.html'}")
