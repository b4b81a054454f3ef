"""Detectors, each reached through one protocol, whatever is inside (docs/explanation/detectors.md)."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

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
    def kinds(self) -> tuple[str, ...]: ...

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def heads(self) -> Mapping[str, float]: ...

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


@runtime_checkable
class HeadReader(Detector, Protocol):
    """A detector that also says what its heads read at an object, whether post-processing would keep it or not."""

    def read_heads(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the heads say of each asked object, (B, N) by name: a ``score``, and how right the rest is. NaN where
        nothing is asked."""
        ...


class PictureDetector(nn.Module):
    """What all detectors here share: how a picture of another size and its layout are fitted in."""

    height: int
    width: int
    #: the heads whose loss is about the class of an object, its box or its mask, and which of these. Of several about
    #: the same, the last has the last word
    roles: Mapping[str, str] = {}

    def fitted(self, height: int, width: int) -> tuple[int, int, int]:
        """The rows and columns that a picture is scaled to, and how many rows stay free above it."""
        raise NotImplementedError

    def placed(self, picture: Tensor, rows: int, columns: int, above: int) -> Tensor:
        """The picture scaled, in its place."""
        raise NotImplementedError

    def prepare(self, picture: Tensor, layout: Layout) -> tuple[Tensor, Layout]:
        """The picture (3, H, W) as the network sees it, and its layout with it. Raises ValueError if they differ in
        size."""
        size = tuple(picture.shape[1:])
        if size != (layout.height, layout.width):
            raise ValueError(f"the picture is {size[0]} x {size[1]}, its layout says {layout.height} x {layout.width}")
        if size == (self.height, self.width):
            return picture, layout
        return self.placed(picture, *self.fitted(*size)), self.prepare_layout(layout)

    def prepare_layout(self, layout: Layout) -> Layout:
        """A layout as the network sees it, where there is no picture."""
        rows, columns, above = self.fitted(layout.height, layout.width)
        across, down = columns / layout.width, rows / layout.height
        # the middles of pixels are what scaling keeps: (u + 1/2) s - 1/2
        return layout.warped(across, down, across / 2 - 0.5, above + down / 2 - 0.5, self.height, self.width)

    def raw(self, images: Tensor) -> dict[str, Tensor]:
        """See ``Detector.raw``."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.raw(images)


def categories(detector: Detector) -> tuple[str, ...]:
    """The kinds that a detector can be asked for: not the background, where that is one of its kinds."""
    height, width = detector.height, detector.width
    box = torch.tensor([[width / 4, height / 4, width / 2, height / 2]])
    single = (Layout.of_boxes([kind], box, height, width) for kind in detector.kinds)
    return tuple(layout.kinds[0] for layout in single if detector.count_assignable(layout))


@torch.no_grad()
def detect(detector: Detector, images: Tensor, cameras: Tensor | None = None, threshold: float = 0.1) -> list[Layout]:
    """What a detector finds in prepared pictures (B, 3, h, w)."""
    return detector.finalize(detector.raw(images), cameras, threshold)
