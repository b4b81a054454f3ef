"""Detectors, each reached through one protocol, whatever is inside (docs/explanation/detectors.md)."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from invert3d.ops.layouts import Layout


class Detector(Protocol):
    """A detector taken apart at its seams. It is an ``nn.Module`` whose forward is ``raw``.

    ``finalize(raw(image), cameras)`` of a prepared image is what the detector itself says, bit for bit.
    """

    kinds: tuple[str, ...]
    height: int
    width: int

    def prepare(self, image: Tensor, layout: Layout) -> tuple[Tensor, Layout]:
        """A picture (3, H, W), RGB in [0, 1], of any size, and its layout, as the network sees them: (3, h, w)."""
        ...

    def raw(self, images: Tensor) -> Tensor:
        """All candidates of images (B, 3, h, w), RGB in [0, 1]: one tensor, the batch first, nothing thrown away."""
        ...

    def finalize(self, raw: Tensor, cameras: Tensor) -> list[Layout]:
        """What candidates come to, given the cameras (B, 3, 4): the detections of each image, best first."""
        ...

    def targets(self, layouts: Sequence[Layout]) -> Tensor:
        """Layouts of prepared images as a target (B, N, 26) of the loop, see ``ops.objects``."""
        ...
