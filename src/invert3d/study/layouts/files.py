"""Files of inverted layouts: pictures of 8 bits, and a run as a folder in KITTI's form."""

import io
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invert3d.data.kitti import Calibration, write_calibration, write_labels
from invert3d.ops.files import write_bytes
from invert3d.ops.layouts import Layout


@dataclass(frozen=True)
class BoxesRun:
    """Inverted layouts: pictures (A, 3, h, w) of 8 bits as RGB in [0, 1], what was asked and what is read from them."""

    names: tuple[str, ...]
    pictures: Tensor
    asked: tuple[Layout, ...]
    found: tuple[Layout, ...]
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    seconds: float
    originals: dict[str, Tensor] = field(default_factory=dict)
    interrupted: bool = False
    trace: dict[str, Tensor] = field(default_factory=dict)


def pixels(picture: Tensor) -> np.ndarray:
    """A picture (3, h, w) in [0, 1] as (h, w, 3) uint8."""
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def levels_between(one: Tensor, other: Tensor) -> tuple[float, float]:
    """How far apart two pictures (3, h, w) in [0, 1] are as files of 8 bits: the largest difference of a value, and
    the root mean square of all, in levels of 255."""
    change = pixels(one).astype(float) - pixels(other)
    return float(abs(change).max()), float((change**2).mean() ** 0.5)


def png(picture: Tensor) -> bytes:
    """A picture (3, h, w) in [0, 1] as an 8-bit PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels(picture)).save(buffer, "PNG")
    return buffer.getvalue()


def picture_from(data: bytes) -> Tensor:
    """The picture (3, h, w), RGB in [0, 1], in the bytes of a file."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        array = np.asarray(picture.convert("RGB"))
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255


def read_picture(path: Path) -> Tensor:
    """A picture file as (3, h, w), RGB in [0, 1]. Raises ValueError if there is none, or it is damaged."""
    try:
        return picture_from(Path(path).read_bytes())
    except Exception as error:  # Pillow raises half a dozen kinds
        raise ValueError(f"no picture can be read from {path}: {error}") from error


def write_run_files(folder: Path, run: BoxesRun) -> None:
    """A run as a folder in KITTI's form: pictures, what was asked, what is read, and the real pictures."""
    whole = folder / "training"
    for i, name in enumerate(run.names):
        write_bytes(whole / "image_2" / f"{name}.png", png(run.pictures[i]))
        write_labels(_made(whole / "label_2" / f"{name}.txt"), run.asked[i])
        write_calibration(_made(whole / "calib" / f"{name}.txt"), Calibration.of(run.asked[i].projection))
        readable = replace(run.found[i], sizes=run.found[i].sizes.clamp_min(0.01))  # others could not be read again
        write_labels(_made(folder / "found" / f"{name}.txt"), readable)
        if name in run.originals:
            write_bytes(folder / "original" / f"{name}.png", png(run.originals[name]))


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
