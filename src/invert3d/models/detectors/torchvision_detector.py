"""What torchvision's detectors of boxes in pictures share behind the protocol: normalizing, resizing, suppression."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invert3d.models.detectors.suppressing import SuppressingDetector
from invert3d.ops.layouts import Layout


class TorchvisionDetector(SuppressingDetector):
    """A detector of ``torchvision.models.detection``, which is called part by part.

    Normalizing and resizing are the network's own (``GeneralizedRCNNTransform``) and belong to ``raw``, so pictures are
    asked for, and boxes are given, in pixels before them. Build the network with ``min_size`` and ``max_size`` equal
    to the sides of the pictures and nothing is resized.

    ``kinds`` name each of its classes, the background (class 0) among them; ``height`` and ``width`` are of the
    pictures to invert.
    """

    #: the class that this takes apart, as ``torchvision.models.detection`` knows it
    network: str
    #: where Grad-CAM looks: what the backbone hands to the heads
    features_layer = "model.backbone"

    def __init__(self, model: nn.Module, kinds: Sequence[str], *, height: int, width: int) -> None:
        """Raises TypeError for another network, ValueError for another number of classes."""
        import torchvision.models.detection as torchvision_detectors

        super().__init__()
        if not isinstance(model, attrgetter(self.network)(torchvision_detectors)):
            raise TypeError(
                f"model must be a torchvision.models.detection.{self.network}, not a {type(model).__name__}"
            )
        self.model, self.kinds, self.height, self.width = model, tuple(kinds), height, width
        if len(kinds) != self.classes:
            raise ValueError(
                f"the network has {self.classes} classes, with the background, and {len(kinds)} names are given"
            )

    @property
    def classes(self) -> int:
        """How many classes the network has, with the background."""
        raise NotImplementedError

    @property
    def mean_color(self) -> Sequence[float]:
        """See ``BoxDetector.mean_color``."""
        return self.model.transform.image_mean

    def scaled(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Any, Tensor]:
        """The ``ImageList`` that the network makes of pictures of one size, and the ``sizes`` (B, 4) of each: height
        and width as resized, and before."""
        batch, _ = self.model.transform([*images])
        sizes = torch.tensor([*batch.image_sizes[0], *images.shape[-2:]], device=images.device)
        return batch, sizes.expand(len(images), -1)

    def read(self, found: list[dict[str, Tensor]], sizes: Tensor, threshold: float) -> list[Layout]:
        """The layouts of what the network's post-processing found in pictures as resized, above a score, with masks (a
        probability above 1/2) where it found some."""
        resized, original = ([tuple(size[part]) for size in sizes.tolist()] for part in (slice(2), slice(2, 4)))
        return self.layouts(self.model.transform.postprocess(found, resized, original), original, threshold)

    def boxes_as_resized(self, targets: dict[str, Tensor], sizes: Tensor) -> Float[Tensor, "b n 4"]:
        """The boxes of targets, in pixels as the network resizes them."""
        scale = (sizes[:, :2] / sizes[:, 2:]).flip(1)
        return targets["boxes"] * torch.cat([scale, scale], 1)[:, None]
