"""CenterNet for boxes in space (``ddd``): Zhou, Wang, Krähenbühl, *Objects as Points*, 2019, behind the protocol."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from invert3d.models.detectors import PictureDetector
from invert3d.ops.boxes import corners3d, wrapped
from invert3d.ops.center_losses import WEIGHTS, Per, assign_centers, center_losses
from invert3d.ops.centers import CenterCodec, Maps, alpha_of_bins, centered_corners, depth_of, gather_cells, peaks
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import Objects, pack
from invert3d.registry import lookup

#: ImageNet's statistics, which the public code applies in this order to channels in the order blue, green, red
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class CenterNet3D(PictureDetector):
    """A center heatmap network with its picture size and its conventions.

    Args:
        backbone: ``dla34``, ``resnet18`` or ``small``, with ``options`` for it.
        height, width: of the pictures it takes, in pixels: 384 x 1280 in the public code; multiples of 32.
        codec: the conventions of its maps, in the network's stride; those of the public checkpoints unless said.
        order: of the channels as it takes them. ``bgr`` with statistics in the order of RGB is a quirk that the public
            checkpoints depend on.

    Raises ValueError for an unknown backbone or a size that 32 does not divide.
    """

    #: a loss for each head as published, and one for the boxes that are decoded
    heads = {**WEIGHTS, "corners": 0.0}

    def __init__(
        self,
        backbone: str = "dla34",
        *,
        height: int = 384,
        width: int = 1280,
        codec: CenterCodec | None = None,
        order: str = "bgr",
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if height % 32 or width % 32 or min(height, width) < 32:
            raise ValueError(f"pictures must be multiples of 32 pixels high and wide, not {height} x {width}")
        self.network: nn.Module = lookup("center_network", backbone)(**(options or {}))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions are faster so
        self.backbone, self.height, self.width, self.order = backbone, height, width, order
        self.codec = replace(codec or CenterCodec(), stride=getattr(self.network, "stride", 4))
        self.kinds = self.codec.kinds
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def fitted(self, height: int, width: int) -> tuple[int, int, int]:
        """Scaled by its width to the network's, centered vertically."""
        rows = round(height * (self.width / width))
        return rows, self.width, (self.height - rows) // 2

    def placed(self, picture: Float[Tensor, "3 H W"], rows: int, columns: int, above: int) -> Tensor:
        """On black."""
        smaller = columns < picture.shape[2]
        scaled = F.interpolate(picture[None], (rows, columns), mode="bilinear", antialias=smaller)[0]
        return F.pad(scaled, (0, 0, above, self.height - rows - above)).clamp(0, 1)

    def count_assignable(self, layout: Layout) -> int:
        """How many objects of a prepared layout can be asked for: of its kinds, with their middles in the picture."""
        return self.codec.count_assignable(layout, self.height, self.width)

    def raw(self, images: Float[Tensor, "b 3 h w"]) -> Maps:
        """The maps of pictures, RGB in [0, 1]."""
        if images.shape[2] % 32 or images.shape[3] % 32:
            raise ValueError(f"pictures must be multiples of 32 pixels high and wide, these are {tuple(images.shape)}")
        images = images.flip(1) if self.order == "bgr" else images
        return self.network((images - self.mean) / self.std)

    def finalize(
        self, raw: Maps, cameras: Float[Tensor, "b 3 4"] | None = None, threshold: float = 0.1
    ) -> list[Layout]:
        """The detections of each picture above a score (0.1 as in the public code), best first.

        Raises ValueError without the cameras.
        """
        if cameras is None:
            raise ValueError("boxes in space are read with a camera: give the projections (B, 3, 4) of the pictures")
        return self.codec.decode(raw, cameras.to(raw["hm"]), threshold=threshold)

    def targets(self, layouts: Sequence[Layout]) -> dict[str, Tensor]:
        """Layouts of prepared pictures as one target. Raises ValueError for a layout in the picture only."""
        for number, layout in enumerate(layouts):
            if layout.projection.isnan().any():
                raise ValueError(f"layout {number} has boxes in the picture only: this detector needs them in space")
        return pack(layouts, self.kinds).fields()

    def assign(self, raw: Maps, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The heatmaps, and what the other heads should say in the cells of the objects."""
        return assign_centers(raw, Objects(**targets), self.codec)

    def losses(self, raw: Maps, assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """The published losses of the heads, and the distance of the decoded ``corners``; see ``ops.center_losses``."""
        return center_losses(raw, assigned, self.codec, per)

    @torch.no_grad()
    def agrees(
        self, raw: Maps, targets: dict[str, Tensor], threshold: float = 0.3, within: float = 0.02
    ) -> Bool[Tensor, "b"]:
        """Whether the peaks above a score are exactly the objects, each at most a cell off, its box as asked.

        A peak of another object's neighbor, or near a region, is neither needed nor counted.
        """
        codec, (height, width) = self.codec, raw["hm"].shape[-2:]
        objects = codec.assignable(Objects(**targets), height, width)
        scores, kinds, cells = peaks(raw["hm"].sigmoid(), 100)
        above = scores > threshold
        away = (cells[:, :, None] - codec.cells(objects, height, width)[:, None]).abs().amax(-1)
        same = (away <= 1) & (kinds[:, :, None] == objects.kinds[:, None])
        claimed = (same & objects.asked[:, None]) | ((same | (away <= 2)) & objects.ignored[:, None])
        false = (above & ~claimed.any(-1)).any(1)
        same &= above[..., None]
        once = (same.sum(1) == 1) | ~objects.asked
        near = self._gaps(raw, objects, same, cells) <= within
        return ~false & once.all(1) & (near | ~objects.asked).all(1)

    def _gaps(self, raw: Maps, objects: Objects, same: Tensor, cells: Tensor) -> Tensor:
        """For each object (B, N) how far its corners are from those read at its peak on average, in diagonals."""
        at = cells.gather(1, same.float().argmax(1)[..., None].expand(-1, -1, 2))
        found = centered_corners(*self.codec.boxes_at(raw, at, objects.projection))
        gap = (found - corners3d(objects.sizes, objects.centers, objects.yaws)).norm(dim=-1).mean(-1)
        return torch.where(same.any(1), gap / objects.sizes.norm(dim=-1).clamp_min(1e-3), torch.inf)

    @torch.no_grad()
    def read_heads(self, raw: Maps, targets: dict[str, Tensor]) -> dict[str, Float[Tensor, "b n"]]:
        """What each head says in the cell of each asked object: its score, and errors in the units people think in."""
        size = (raw["hm"].shape[-2], raw["hm"].shape[-1])
        objects = self.codec.assignable(Objects(**targets), *size)
        cells = self.codec.cells(objects, *size)
        found = {name: gather_cells(maps, cells) for name, maps in raw.items()}
        said = {
            "score": found["hm"].sigmoid().gather(-1, objects.kinds.clamp_min(0)[..., None])[..., 0],
            "depth error m": (depth_of(found["dep"][..., 0]) - objects.middles[..., 2]).abs(),
            "yaw error deg": wrapped(alpha_of_bins(found["rot"]) - objects.alphas).abs().rad2deg(),
            "size error m": (found["dim"] - objects.sizes).abs().mean(-1),
            "center error px": (cells + found["reg"] - self.codec.points(objects)).norm(dim=-1) * self.codec.stride,
        }
        return {name: value.masked_fill(~objects.asked, torch.nan) for name, value in said.items()}
