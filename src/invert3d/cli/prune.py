"""``invert3d prune``."""

from pathlib import Path
from typing import Literal

from invert3d.cli.show import print_table


def prune(
    model: str, *, checkpoint: Path | None = None, data: str = "modelnet10-voxels", density: float = 0.02,
    way: Literal["gradual", "surgery", "magnitude"] = "gradual", epochs: float = 1.0, batch: int = 32,
    rate: float = 5e-4, values: tuple[float, float] | None = None, per_class: int = 400, bf16: bool = True,
    name: str | None = None,
    out: Path = Path("runs/prune"), seed: int = 0, device: str = "cpu", overwrite: bool = False, record: bool = False,
) -> None:  # fmt: skip
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
    from invert3d.study.pruned import prune_and_save
    from invert3d.study.train import TrainSettings

    network = open_network(model, checkpoint=checkpoint, device=device, values=values)
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
