"""torchvision's SSD behind the protocol: Liu et al., *SSD: Single Shot MultiBox Detector*, 2016."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from invert3d.models.detectors.dense import DenseDetector


class SSDDetector(DenseDetector):
    """A ``torchvision.models.detection.ssd.SSD`` or SSDlite, yours or one from ``ssd``; see ``TorchvisionDetector``.

    The classes of a candidate compete (softmax), and one of them is the background. So what must not fire becomes
    background, in all classes at once. The network resizes pictures to its own fixed size.
    """

    network = "ssd.SSD"

    @property
    def classes(self) -> int:
        """How many classes the network has, with the background."""
        return self.model.head.classification_head.num_columns

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
