"""torchvision's SSD behind the protocol: Liu et al., *SSD: Single Shot MultiBox Detector*, 2016."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from invert3d.models.detectors.dense import DenseDetector
from invert3d.ops.layouts import Layout


class SSDDetector(DenseDetector):
    """A ``torchvision.models.detection.ssd.SSD`` or SSDlite, yours or one from ``ssd``; see ``BoxDetector``.

    The classes of a candidate compete (softmax), and one of them is the background. So what must not fire becomes
    background, in all classes at once. The network resizes pictures to its own fixed size.
    """

    network = "ssd.SSD"

    @property
    def classes(self) -> int:
        """How many classes the network has, with the background."""
        return self.model.head.classification_head.num_columns

    def count_assignable(self, layout: Layout) -> int:
        """How many objects of a prepared layout can be asked for: of its kinds, with a box that is not empty."""
        return super().count_assignable(layout.of_kinds(self.kinds[1:]))

    def targets(self, layouts: Sequence[Layout]) -> dict[str, Tensor]:
        """Layouts of prepared pictures as one target: states, kinds and boxes.

        Raises ValueError where two boxes of a kind overlap so much that post-processing would remove one of them, and
        for an object that is background.
        """
        if any(self.kinds[0] in layout.kinds for layout in layouts):
            raise ValueError(f"{self.kinds[0]} is the background of this detector, which it never detects")
        return super().targets(layouts)

    def postprocessed(self, raw: dict[str, Tensor], resized: list[Any]) -> list[dict[str, Tensor]]:
        """See ``DenseDetector.postprocessed``; here levels are not told apart."""
        outputs = {name: raw[name] for name in self.outputs}
        return self.model.postprocess_detections(outputs, list(raw["anchors"]), resized)

    def scores(self, raw: dict[str, Tensor]) -> Float[Tensor, "b a k"]:
        """See ``DenseDetector.scores``; the background has none."""
        return F.pad(raw["cls_logits"].softmax(-1)[..., 1:], (1, 0))

    def entropy(self, raw: dict[str, Tensor], labels: Int[Tensor, "b a k"]) -> Float[Tensor, "b a 1"]:
        """Of the candidates that must change: cross-entropy to the object's class, or to the background. SSD is trained
        with it, too."""
        wanted = (labels == 1).long().argmax(-1)  # 0 where there is no object
        entropy = F.cross_entropy(raw["cls_logits"].transpose(1, 2), wanted, reduction="none")
        return torch.where((labels >= 0).any(-1), entropy, 0)[..., None]

    classification_losses = entropy
