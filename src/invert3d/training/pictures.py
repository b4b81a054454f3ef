"""Pictures with 2-D boxes and masks in memory, and augmented batches of them for torchvision's detectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int16, UInt8
from torch import Tensor

from invert3d.data.coco import CocoFolder
from invert3d.data.files import bad_file
from invert3d.engine.progress import Meter
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import seed_of
from invert3d.training.fit import Batches
from invert3d.training.frames import relit


@dataclass(frozen=True)
class Pictures:
    """Pictures (M, 3, S, S) RGB of 0 to 255, whose pixel each is (M, S, S): 0 nobody's, i + 1 the i-th object's, and
    their layouts, without masks; ``kinds`` are all categories that there are."""

    images: UInt8[Tensor, "m 3 s s"]
    instances: Int16[Tensor, "m s s"]
    kinds: tuple[str, ...]
    layouts: tuple[Layout, ...]
    source: str
    licence: str

    def __len__(self) -> int:
        return len(self.layouts)

    def masks(self, number: int) -> Tensor:
        """(n, S, S) booleans: which pixels show each object of a picture."""
        count = len(self.layouts[number])
        return self.instances[number] == torch.arange(1, count + 1, dtype=torch.int16)[:, None, None]


def folder_pictures(annotations: Path, size: int, most: int | None = None) -> Pictures:
    """The first ``most`` pictures of a COCO file, scaled to fit into ``size`` x ``size`` pixels at the top left.

    Where masks overlap a pixel is that of the smaller object. Raises BadFile for what cannot be read.
    """
    folder = CocoFolder(annotations)
    ids = folder.ids[:most]
    if not ids:
        raise bad_file(annotations, "has no pictures")
    images = torch.zeros(len(ids), 3, size, size, dtype=torch.uint8)
    instances = torch.zeros(len(ids), size, size, dtype=torch.int16)
    layouts = []
    with Meter(f"reading {folder.annotations.name}", len(ids)) as meter:
        for i, number in enumerate(ids):
            picture = torch.from_numpy(folder.image(number)).permute(2, 0, 1)
            layout = folder.layout(number, masks=True)
            scale = min(size / layout.height, size / layout.width, 1.0)
            rows, columns = (max(1, round(side * scale)) for side in (layout.height, layout.width))
            small = F.interpolate(picture[None].float(), (rows, columns), mode="bilinear", antialias=True)
            images[i, :, :rows, :columns] = small[0].round().clamp(0, 255).to(torch.uint8)
            assert layout.masks is not None
            masks = F.interpolate(layout.masks[:, None].float(), (rows, columns), mode="nearest-exact")[:, 0] > 0.5
            for k in np.argsort(-masks.sum((1, 2)).numpy(), kind="stable").tolist():
                instances[i, :rows, :columns][masks[k]] = k + 1
            boxes = layout.boxes * layout.boxes.new_tensor([columns / layout.width, rows / layout.height] * 2)
            layouts.append(Layout.of_boxes(layout.kinds, boxes, size, size))
            meter.update(i + 1)
    name = f"{folder.annotations.parent.name}/{folder.annotations.name}"
    return Pictures(images, instances, folder.kinds, tuple(layouts), name, "its own")


@dataclass(frozen=True)
class Batch:
    """Pictures (B, 3, S, S), RGB in [0, 1], and of each what torchvision's detectors are trained with: ``boxes``
    (n, 4), ``labels`` (n,) and ``masks`` (n, S, S)."""

    images: Tensor
    targets: Sequence[dict[str, Tensor]]

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.images.device

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        moved = [{name: value.to(device) for name, value in each.items()} for each in self.targets]
        return Batch(self.images.to(device), moved)


def batches(pictures: Pictures, kinds: Sequence[str], size: int, seed: int, *, flip: bool = False) -> Batches:
    """Augmented batches of ``size`` pictures, in another light, under noise; ``flip`` also mirrors half of them.

    A label is a place in ``kinds``. What is none of them is left out.
    """
    targets = [target_of(pictures, i, kinds) for i in range(len(pictures))]

    def batch(step: int) -> tuple[Batch, dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
        rows = torch.randint(len(pictures), (size,), generator=generator)
        mirrored = torch.rand(size, generator=generator) < (0.5 if flip else 0.0)
        x = relit(pictures.images[rows].float() / 255, generator)
        x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        found = []
        for row, turn in zip(rows.tolist(), mirrored.tolist(), strict=True):
            target = {**targets[row], "masks": pictures.masks(row)[targets[row]["rows"]].to(torch.uint8)}
            found.append(flipped(target) if turn else target)
        return Batch(x.contiguous(memory_format=torch.channels_last), found), {}

    return batch


def target_of(pictures: Pictures, number: int, kinds: Sequence[str]) -> dict[str, Tensor]:
    """Boxes (n, 4) and labels (n,) of the objects in a picture that are of some of ``kinds`` and have an area, and
    their ``rows`` (n,) in its layout."""
    layout = pictures.layouts[number]
    places = torch.tensor([kinds.index(kind) if kind in kinds else -1 for kind in layout.kinds], dtype=torch.long)
    rows = ((places >= 0) & (layout.boxes[:, 2:] > layout.boxes[:, :2]).all(1)).nonzero()[:, 0]
    return {"boxes": layout.boxes[rows], "labels": places[rows], "rows": rows}


def flipped(target: dict[str, Tensor]) -> dict[str, Tensor]:
    """The target of the mirrored picture."""
    left, top, right, bottom = target["boxes"].unbind(-1)
    width = target["masks"].shape[-1]
    boxes = torch.stack([width - right, top, width - left, bottom], -1)
    return {**target, "boxes": boxes, "masks": target["masks"].flip(-1)}
