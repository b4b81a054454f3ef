"""``invert3d prune``."""

from pathlib import Path
from typing import Literal

from invert3d.cli.show import print_table, split_names


def prune(
    model: str,
    *,
    checkpoint: Path | None = None,
    data: str = "modelnet10-voxels",
    density: float = 0.02,
    way: Literal["gradual", "surgery", "magnitude"] = "gradual",
    epochs: float = 1.0,
    batch: int = 32,
    rate: float = 1e-3,
    values: tuple[float, float] | None = None,
    per_class: int = 400,
    bf16: bool = True,
    class_names: str | None = None,
    name: str | None = None,
    out: Path = Path("runs/prune"),
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
    record: bool = False,
) -> None:
    """Take most weights away from a trained network, train the rest, and say what that cost.

    Parameters
    ----------
    model
        Bundled weights, or an architecture with --checkpoint.
    checkpoint
        Weights for the model.
    data
        What it was trained on: shapes, modelnet10-voxels, or the path of a ModelNet folder.
    density
        Share of the weights that stays, between 0 and 1.
    way
        gradual: ever more of the smallest weights of all layers, which may return; surgery: dynamic network surgery,
        one threshold a layer; magnitude: the smallest weights of all layers, once.
    epochs
        How long the rest is trained; one sees as many shapes as there are to train on.
    batch
        Shapes a batch.
    rate
        Largest learning rate.
    values
        What a voxel network of --checkpoint is fed for an empty and for a full voxel; by default 0 and 1.
    per_class
        Procedural shapes of each class.
    bf16
        Half-precision arithmetic, where the processor has it.
    class_names
        The model's classes, comma separated, or a file with one a line.
    name
        What to call the pruned weights; by default MODEL-pruned.
    out
        The folder to write: weights, their card, table.json, filters.png.
    seed
        Fixes data and draws.
    device
        cpu, cuda, ...
    overwrite
        Replace the folder.
    record
        Write docs/results/pruning.json.
    """
    from invert3d.study.networks import open_network
    from invert3d.study.pruning.job import prune_and_save
    from invert3d.training.classifiers import TrainSettings

    network = open_network(model, checkpoint=checkpoint, device=device, values=values, classes=split_names(class_names))
    table = prune_and_save(
        network,
        data,
        density,
        way,
        epochs=epochs,
        name=name or f"{model}-pruned",
        out=out,
        per_class=per_class,
        settings=TrainSettings(batch=batch, rate=rate, bf16=bf16, seed=seed),
        overwrite=overwrite,
        keep=record,
    )
    print_table(table["title"], table["columns"], table["rows"], table["note"])
    print(f"wrote {out}")


def survival(
    whole: str = "vrn-modelnet10",
    *left: str,
    methods: str = "gradient,guided,integrated_gradients",
    per_class: int = 4,
    seed: int = 0,
    device: str = "cpu",
    record: bool = False,
) -> None:
    """Whether explanations survive pruning: the whole network and what is left of it on the same shapes.

    Parameters
    ----------
    whole
        Bundled weights.
    left
        Bundled weights that were pruned from them; by default all there are.
    methods
        Names, comma separated.
    per_class
        Held-out shapes of each class; those that the whole network gets wrong are left out.
    seed
        Fixes everything.
    device
        cpu, cuda, ...
    record
        Write docs/results/pruning.json.
    """
    from invert3d.jobs.record import record as write_record
    from invert3d.models.weights import bundled
    from invert3d.study.networks import open_network
    from invert3d.study.pruning.survival import COLUMNS
    from invert3d.study.pruning.survival import survival as compare

    names = left or [name for name in bundled() if name.startswith(f"{whole}-pruned")]
    if not names:
        raise ValueError(f"no pruned weights of {whole} are bundled: name some, or make them with invert3d prune")
    network, rows = open_network(whole, device=device), []
    for name in names:
        for method in split_names(methods) or []:
            rows.append(compare(network, open_network(name, device=device), method, per_class=per_class, seed=seed))
            print(rows[-1], flush=True)
    print_table("Do explanations survive pruning?", list(COLUMNS), [[row[c] for c in COLUMNS] for row in rows])
    if record:
        print(f"recorded in {write_record('pruning', {}, [{'table': 'survival', **row} for row in rows])}")
