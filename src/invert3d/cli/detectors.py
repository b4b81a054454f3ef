"""``invert3d train centernet3d``."""

import os
import time
from pathlib import Path
from typing import Any

from invert3d.cli.show import print_table
from invert3d.engine.progress import Meter
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.ops.centers import CenterCodec
from invert3d.ops.seeds import HELD_OUT
from invert3d.registry import registered, unknown
from invert3d.study.detectors import HOME, save_detector, train_detector
from invert3d.study.networks import checked_device
from invert3d.training.classifiers import FitSettings
from invert3d.training.frames import Frames, folder_frames, street_frames


def train_centernet3d(
    *,
    backbone: str = "small",
    data: str = "streets",
    size: str = "96x320",
    name: str | None = None,
    out: Path | None = None,
    frames: int = 4000,
    held_out: int = 200,
    steps: int = 6000,
    batch: int = 16,
    rate: float = 2e-3,
    width: int | None = None,
    deconv: int | None = None,
    hidden: int | None = None,
    skips: bool = False,
    center: str = "projected",
    radius: str = "published",
    bf16: bool = True,
    jobs: int = 1,
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """Train a monocular 3-D detector; writes weights and their card.

    Parameters
    ----------
    backbone
        small, resnet18 or dla34.
    data
        streets, or the path of a folder in KITTI's form (with ImageSets/train.txt and val.txt).
    size
        Height x width of the pictures it takes.
    name
        What to call it; by default centernet3d-BACKBONE-DATA.
    out
        The folder to write to; by default that of the bundled detectors.
    frames
        Streets to train on.
    held_out
        Frames to measure on.
    steps
        Batches.
    batch
        Pictures a batch.
    rate
        Largest learning rate.
    width
        Channels of the first stage of small (32) or resnet18 (64).
    deconv
        Channels of the transposed convolutions of resnet18 (256).
    hidden
        Channels inside each head.
    skips
        Give resnet18 skip connections and maps of half the size.
    center
        The point that stands for an object: projected (the middle of its box in space), or box (as published).
    radius
        Rule of the bumps in the heatmap: published, or corrected.
    bf16
        Half-precision arithmetic, where the processor has it.
    jobs
        Processes that make streets.
    seed
        Fixes data and draws.
    device
        cpu, cuda, ...
    """
    if backbone not in registered("center_network"):
        raise ValueError(unknown("backbone", backbone, registered("center_network")))
    checked_device(device)
    if min(frames, held_out, steps, batch) < 1:
        raise ValueError("frames, held-out frames, steps and batch must be at least 1")
    height, across = parsed_size(size)
    options: dict[str, Any] = {
        key: value for key, value in (("width", width), ("deconv", deconv), ("hidden", hidden)) if value is not None
    }
    if skips:
        options["skips"] = True
    codec = CenterCodec(center=center, radius=radius)  # type: ignore[arg-type]
    settings = FitSettings(steps=steps, batch=batch, rate=rate, bf16=bf16, seed=seed)
    import torch

    torch.manual_seed(seed)
    detector = CenterNet3D(backbone, height=height, width=across, codec=codec, order="rgb", options=options).to(device)
    train, test = _frames(detector, data, frames, held_out, jobs, seed)
    label = name or f"centernet3d-{backbone}-{Path(data).stem}"
    command = (
        f"invert3d train centernet3d --backbone {backbone} --data {data} --size {size} --name {label} "
        f"--frames {len(train)} --held-out {len(test)} --steps {steps} --batch {batch} --rate {rate:g} "
        + "".join(f"--{key} " if value is True else f"--{key} {value} " for key, value in options.items())
        + f"--center {center} --radius {radius} --seed {seed}"
    )
    meter, started = Meter("training", steps), time.perf_counter()
    try:
        train_detector(detector, train, settings, lambda done, loss: meter.update(done, loss=f"{loss:.3f}"))
    finally:
        meter.stop()
    folder = out or HOME
    folder.mkdir(parents=True, exist_ok=True)
    card = save_detector(
        detector,
        label,
        folder,
        options=options,
        data=train.source,
        licence=train.licence,
        command=command,
        seed=seed,
        held_out=test,
        seconds=time.perf_counter() - started,
        settings=settings,
    )
    views = ("2d", "aos", "bev", "3d")
    rows = [[kind, *(card.ap.get(f"{view} {kind}", "–") for view in views)] for kind in detector.kinds]
    print_table(f"{label}: AP of {card.held_out} held-out frames, moderate", ["kind", *views], rows)


def parsed_size(text: str) -> tuple[int, int]:
    """Height and width of "96x320". Raises ValueError for anything else."""
    high, cross, wide = text.lower().partition("x")
    if not (cross and high.isdigit() and wide.isdigit() and int(high) and int(wide)):
        raise ValueError(f"a size is HEIGHTxWIDTH, such as 96x320, not {text!r}")
    return int(high), int(wide)


def _frames(detector: CenterNet3D, data: str, count: int, held_out: int, jobs: int, seed: int) -> tuple[Frames, Frames]:
    if data != "streets":
        return folder_frames(detector, Path(data), "train"), folder_frames(detector, Path(data), "val", held_out)
    os.environ["OMP_NUM_THREADS"] = "1"
    size = (detector.height, detector.width)
    meter = Meter("making streets", count + held_out)
    try:
        train = street_frames(count, *size, seed=seed, jobs=jobs, report=meter.update)
        test = street_frames(held_out, *size, seed=HELD_OUT, jobs=jobs, report=lambda done: meter.update(count + done))
    finally:
        meter.stop()
    return train, test
