"""Detectors, each reached through one protocol, whatever is inside (docs/explanation/detectors.md)."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout


@runtime_checkable
class Detector(Protocol):
    """A detector taken apart at its seams. It is an ``nn.Module`` whose forward is ``raw``.

    ``finalize(raw(image))`` of a prepared image is what the detector itself says, bit for bit. Everything between
    ``raw`` and ``losses`` is a dictionary of tensors with the batch first.

    Attributes:
        kinds: what it finds.
        height, width: of the pictures it takes.
        heads: the names of its losses, with the weights it is trained with; 0 for those it is not trained with.
    """

    @property
    def kinds(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def height(self) -> int: ...  # noqa: D102

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def heads(self) -> Mapping[str, float]: ...  # noqa: D102

    def prepare(self, picture: Tensor, layout: Layout) -> tuple[Tensor, Layout]:
        """A picture (3, H, W), RGB in [0, 1], of any size, and its layout, as the network sees them: (3, h, w)."""
        ...

    def prepare_layout(self, layout: Layout) -> Layout:
        """The layout alone, where there is no picture."""
        ...

    def count_assignable(self, layout: Layout) -> int:
        """How many objects of a prepared layout the detector can be asked for."""
        ...

    def raw(self, images: Tensor) -> dict[str, Tensor]:
        """All candidates in images (B, 3, h, w), RGB in [0, 1], differentiable, nothing thrown away."""
        ...

    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each image above a score, best first. 3-D detectors need the cameras (B, 3, 4)."""
        ...

    def targets(self, layouts: Sequence[Layout]) -> dict[str, Tensor]:
        """Layouts of prepared images as the target of the loop: fields of ``ops.objects.Objects``, cameras too."""
        ...

    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the candidates should be, given what they are: anchors, heatmaps, pseudo-targets. No gradient."""
        ...

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """How far the candidates are from that, head by head: one number a sample, (B,).

        A sum over objects is divided by what ``per`` says: their number, or, ``slot``, as published.
        """
        ...

    def agrees(
        self, raw: dict[str, Tensor], targets: dict[str, Tensor], threshold: float = 0.3, within: float = 0.02
    ) -> Tensor:
        """Whether the detections above a score are exactly the objects that are asked for: (B,) booleans.

        The corners of each box are on average ``within`` diagonals of the asked box from where they should be.
        """
        ...


@torch.no_grad()
def detect(detector: Detector, images: Tensor, cameras: Tensor | None = None, threshold: float = 0.1) -> list[Layout]:
    """What a detector finds in prepared pictures (B, 3, h, w)."""
    return detector.finalize(detector.raw(images), cameras, threshold)
