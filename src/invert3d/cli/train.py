"""``invert3d train``."""

from pathlib import Path

from invert3d.engine.progress import Meter
from invert3d.models.weights import FOLDER
from invert3d.registry import lookup
from invert3d.study.datasets import training_data
from invert3d.study.networks import checked_device
from invert3d.study.train import TrainSettings, train_and_save


def train(
    architecture: str, *, data: str = "shapes", name: str | None = None, out: Path | None = None, steps: int = 2200,
    batch: int = 16, points: int = 512, rate: float = 2e-3, abstract: float = 0.5, start: Path | None = None,
    per_class: int = 400, clutter: bool = True, bf16: bool = True,
    seed: int = 0, data_seed: int | None = None, device: str = "cpu",
) -> None:  # fmt: skip
    """Train a reference network; writes weights and their card.

    Parameters
    ----------
    architecture
        pointnet, pointnet_vanilla, pointnet2_ssg, pointnet2_msg, dgcnn, or one you registered.
    data
        shapes, modelnet10-voxels, or the path of a ModelNet10/40 folder (OFF, HDF5 or text).
    name
        What to call the weights; by default ARCHITECTURE-DATA.
    out
        The folder to write to; by default that of the bundled weights.
    steps
        Batches.
    batch
        Clouds a batch.
    points
        Points a cloud.
    rate
        Largest learning rate.
    abstract
        Share of the training clouds that are redrawn as a few lumps.
    start
        A checkpoint to go on from.
    per_class
        Procedural shapes of each class.
    clutter
        Also learn a class of things that are none of the others.
    bf16
        Half-precision arithmetic, where the processor has it.
    seed
        Fixes data and draws.
    data_seed
        Fixes the data alone, if another than the seed.
    device
        cpu, cuda, ...
    """
    lookup("model", architecture)
    checked_device(device)
    settings = TrainSettings(
        steps=steps, batch=batch, points=points, rate=rate, abstract=abstract, bf16=bf16, seed=seed
    )
    print(f"reading {data} ...", flush=True)
    clouds = training_data(data, per_class=per_class, seed=seed if data_seed is None else data_seed, clutter=clutter)
    label = name or f"{architecture}-{Path(data).stem}"
    command = (f"invert3d train {architecture} --data {data} --name {label} --steps {steps} --batch {batch} "
               f"--points {points} --rate {rate:g} --abstract {abstract:g} --seed {seed}"
               + (f" --start {start.name}" if start else ""))  # fmt: skip
    meter = Meter("training", steps)
    try:
        card = train_and_save(
            architecture, label, clouds, settings, out or FOLDER, command, device,
            lambda done, loss: meter.update(done, loss=f"{loss:.3f}"), start,
        )  # fmt: skip
    finally:
        meter.stop()
    print(f"{card.name}: {card.accuracy:.2%} of {card.held_out} held-out shapes; {card.notes}")
