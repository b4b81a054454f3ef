"""``invert3d train``."""

from pathlib import Path

from invert3d.engine.progress import Meter
from invert3d.models.weights import FOLDER
from invert3d.registry import lookup
from invert3d.study.networks import checked_device
from invert3d.training.classifiers import TrainSettings, data_space, train_and_save
from invert3d.training.data import training_data


def train(
    architecture: str,
    *,
    data: str = "shapes",
    name: str | None = None,
    out: Path | None = None,
    steps: int = 2200,
    batch: int = 16,
    points: int = 512,
    rate: float = 2e-3,
    abstract: float = 0.5,
    start: Path | None = None,
    per_class: int = 400,
    clutter: bool = True,
    bf16: bool = True,
    width: int | None = None,
    values: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    data_seed: int | None = None,
    device: str = "cpu",
) -> None:
    """Train a reference network; writes weights and their card.

    Parameters
    ----------
    architecture
        pointnet, pointnet_vanilla, pointnet2_ssg, pointnet2_msg, dgcnn; vrn, voxnet, voxel_nin; or one you registered.
    data
        shapes, modelnet10-voxels, or the path of a ModelNet10/40 folder (OFF, HDF5 or text; clouds only).
    name
        What to call the weights; by default ARCHITECTURE-DATA.
    out
        The folder to write to; by default that of the bundled weights.
    steps
        Batches.
    batch
        Clouds or grids a batch.
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
    width
        Channels of the first convolution of a voxel network; by default as published.
    values
        What a voxel network is fed for an empty and for a full voxel, such as -1 5.
    seed
        Fixes data and draws.
    data_seed
        Fixes the data alone, if another than the seed.
    device
        cpu, cuda, ...
    """
    made = lookup("model", architecture)
    if width is not None and not hasattr(made, "grid_sizes"):
        raise ValueError(f"{architecture} has no width; networks of voxels have")
    checked_device(device)
    settings = TrainSettings(
        steps=steps, batch=batch, points=points, rate=rate, abstract=abstract, bf16=bf16, seed=seed
    )
    print(f"reading {data} ...", flush=True)
    voxels = data_space(architecture, values)
    shapes = training_data(
        data, per_class=per_class, seed=seed if data_seed is None else data_seed, clutter=clutter, voxels=voxels
    )
    label = name or f"{architecture}-{Path(data).stem}"
    command = (
        f"invert3d train {architecture} --data {data} --name {label} --steps {steps} --batch {batch} "
        + (f"--values {values[0]:g} {values[1]:g} " if voxels else f"--points {points} --abstract {abstract:g} ")
        + f"--rate {rate:g} --seed {seed}"
        + (f" --width {width}" if width else "")
        + (f" --per-class {per_class}" if data == "shapes" and per_class != 400 else "")
        + (f" --data-seed {data_seed}" if data_seed is not None else "")
        + ("" if clutter else " --no-clutter")
        + (f" --start {start.name}" if start else "")
    )
    meter = Meter("training", steps)
    try:
        card = train_and_save(
            architecture,
            label,
            shapes,
            settings,
            out or FOLDER,
            command,
            device,
            lambda done, loss: meter.update(done, loss=f"{loss:.3f}"),
            start,
            {"width": width} if width else None,
        )
    finally:
        meter.stop()
    print(
        f"{card.name}: {card.accuracy:.2%} of {card.held_out} held-out shapes, "
        f"{card.accuracy_fresh:.2%} of those that repeat no training shape; {card.notes}"
    )
