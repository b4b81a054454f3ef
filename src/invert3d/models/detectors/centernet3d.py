"""CenterNet for boxes in space (``ddd``): Zhou, Wang, Krähenbühl, *Objects as Points*, 2019, behind the protocol."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from invert3d.ops.centers import CenterCodec
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import pack
from invert3d.registry import lookup

#: ImageNet's statistics, which the public code applies in this order to channels in the order blue, green, red
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class CenterNet3D(nn.Module):
    """A center heatmap network with its picture size and its conventions.

    Args:
        backbone: ``dla34``, ``resnet18`` or ``small``, with ``options`` for it.
        height, width: of the pictures it takes, in pixels: 384 x 1280 in the public code; multiples of 32.
        codec: the conventions of its maps, in the network's stride; those of the public checkpoints unless said.
        order: of the channels as it takes them. ``bgr`` with statistics in the order of RGB is a quirk that the public
            checkpoints depend on.

    Raises:
        ValueError: for an unknown backbone or a size that 32 does not divide.
    """

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
        stride = getattr(self.network, "stride", 4)
        self.codec = replace(codec or CenterCodec(), stride=stride)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it finds."""
        return self.codec.kinds

    def prepare(self, image: Float[Tensor, "3 H W"], layout: Layout) -> tuple[Tensor, Layout]:
        """The picture scaled by its width to the network's, centered vertically on black, and its layout with it.

        Raises ValueError where picture and layout differ in size.
        """
        size = tuple(image.shape[1:])
        if size != (layout.height, layout.width):
            raise ValueError(f"the picture is {size[0]} x {size[1]}, its layout says {layout.height} x {layout.width}")
        if size == (self.height, self.width):
            return image, layout
        scale = self.width / size[1]
        high = round(size[0] * scale)
        down = (self.height - high) // 2
        if scale < 1:
            small = F.interpolate(image[None], (high, self.width), mode="bilinear", antialias=True)[0]
        else:
            small = F.interpolate(image[None], (high, self.width), mode="bilinear", align_corners=False)[0]
        placed = F.pad(small, (0, 0, down, self.height - high - down))
        return placed.clamp(0, 1), self.prepare_layout(layout)

    def prepare_layout(self, layout: Layout) -> Layout:
        """A layout as the network sees it, where there is no picture."""
        scale = self.width / layout.width
        tall = round(layout.height * scale) / layout.height
        below = (self.height - round(layout.height * scale)) // 2
        # the middles of pixels are what scaling keeps: (u + 1/2) s - 1/2
        right, lower = scale / 2 - 0.5, below + tall / 2 - 0.5
        return layout.warped(scale, tall, right, lower, self.height, self.width)

    def raw(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 19 rows columns"]:
        """The maps of pictures, RGB in [0, 1]."""
        if images.shape[2] % 32 or images.shape[3] % 32:
            raise ValueError(f"pictures must be multiples of 32 pixels high and wide, these are {tuple(images.shape)}")
        images = images.flip(1) if self.order == "bgr" else images
        return self.network((images - self.mean) / self.std)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 19 rows columns"]:
        """As ``raw``."""
        return self.raw(images)

    def finalize(self, raw: Tensor, cameras: Float[Tensor, "b 3 4"], threshold: float = 0.1) -> list[Layout]:
        """The detections of each picture above a score (0.1 as in the public code), best first."""
        return self.codec.decode(raw, cameras.to(raw), threshold=threshold)

    def targets(self, layouts: Sequence[Layout]) -> Float[Tensor, "b n 26"]:
        """Layouts of prepared pictures as one target."""
        return pack(layouts, self.kinds)

    @torch.no_grad()
    def detect(self, images: Tensor, cameras: Tensor, threshold: float = 0.1) -> list[Layout]:
        """What the detector says of prepared pictures (B, 3, h, w)."""
        return self.finalize(self.raw(images), cameras, threshold)
