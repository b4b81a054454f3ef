"""torchvision's RetinaNet behind the protocol: Lin et al., *Focal Loss for Dense Object Detection*, 2017."""

from jaxtyping import Float
from torch import Tensor

from invert3d.models.detectors.dense import DenseDetector


class RetinaNetDetector(DenseDetector):
    """A ``torchvision.models.detection.RetinaNet``, yours or one from ``retinanet`` or ``retinanet_v2``; see
    ``TorchvisionDetector``."""

    network = "RetinaNet"

    def scores(self, raw: dict[str, Tensor]) -> Float[Tensor, "b a k"]:
        """See ``DenseDetector.scores``."""
        return raw["cls_logits"].sigmoid()
