"""Pictures with layouts in memory, and augmented batches of them."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from invert3d.data.kitti import KittiFolder
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.ops.layouts import Layout, flip_fields
from invert3d.ops.seeds import seed_of
from invert3d.training.fit import Batches


@dataclass(frozen=True)
class Frames:
    """Pictures (M, 3, h, w) RGB of 0 to 255 and what is in them, all of the size that a network takes."""

    images: UInt8[Tensor, "m 3 h w"]
    layouts: tuple[Layout, ...]
    names: tuple[str, ...]
    source: str
    licence: str

    def __len__(self) -> int:
        return len(self.names)

    @property
    def pictures(self) -> Tensor:
        """As networks take them: RGB in [0, 1]."""
        return self.images.float() / 255


def folder_frames(detector: CenterNet3D, root: Path, split: str | None = None, most: int | None = None) -> Frames:
    """The frames of a folder in KITTI's form, prepared for a detector."""
    folder = KittiFolder(root, split)
    ids = folder.ids[:most]
    images, layouts = [], []
    for name in ids:
        picture = torch.from_numpy(folder.image(name).copy()).permute(2, 0, 1).float() / 255
        image, layout = detector.prepare(picture, folder.layout(name))
        images.append((image * 255).round().to(torch.uint8))
        layouts.append(layout)
    source = f"{Path(root).name} {split or ''}".strip()
    return Frames(torch.stack(images), tuple(layouts), tuple(ids), source, "its own")


def batches(frames: Frames, detector: CenterNet3D, size: int, seed: int) -> Batches:
    """Augmented batches: pictures (size, 3, h, w), half of them mirrored, in another light, under noise of three
    grains; and their targets.

    Noise is strong on some (a deviation of up to 0.15): networks that have seen it have gradients that people can read
    (Kaur, Cohen, Lipton, *Are perceptually-aligned gradients a general property of robust classifiers?*, 2019).
    """
    targets = detector.targets(frames.layouts)
    both = {name: torch.stack([value, value]) for name, value in targets.items()}  # as it is, and mirrored
    for name, value in flip_fields(targets, frames.images.shape[-1]).items():
        both[name][1] = value

    def batch(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
        rows = torch.randint(len(frames), (size,), generator=generator)
        flip = torch.rand(size, generator=generator) < 0.5
        x = frames.images[rows].float() / 255
        x = torch.where(flip[:, None, None, None], x.flip(-1), x)
        x = relit(x, generator)
        x = x.contiguous(memory_format=torch.channels_last)
        return x, {name: value[flip.long(), rows] for name, value in both.items()}

    return batch


def relit(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (B, 3, h, w), RGB in [0, 1], in another light each, under noise of one of three grains."""
    size = len(x)
    gain, power = (0.3 * torch.rand(2, size, 1, 1, 1, generator=generator) + 0.85).unbind(0)
    tint = 0.1 * torch.rand(size, 3, 1, 1, generator=generator) + 0.95
    grain = 2 ** int(torch.randint(3, (), generator=generator))
    noise = torch.randn(size, 3, x.shape[2] // grain, x.shape[3] // grain, generator=generator)
    noise *= 0.15 * torch.rand(size, 1, 1, 1, generator=generator) ** 2
    return (gain * tint * x.clamp_min(1e-4) ** power + F.interpolate(noise, x.shape[2:])).clamp(0, 1)


def nominal(layout: Layout, height: int = 384) -> Layout:
    """The layout in a picture of KITTI's height: difficulties are defined in pixels of such a one."""
    return layout.resized(height, round(layout.width * height / layout.height))
