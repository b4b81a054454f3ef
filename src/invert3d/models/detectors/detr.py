"""DETR of transformers behind the protocol: Carion et al., *End-to-End Object Detection with Transformers*, 2020."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invert3d.models.detectors.query import QueryDetector


class DetrDetector(QueryDetector):
    """A ``transformers.DetrForObjectDetection``; see ``QueryDetector``.

    The classes of a query compete with one more, no object, the last (softmax), and a query is of its likeliest class.
    So a query that must not be seen becomes no object.
    """

    network, image_processor = "DetrForObjectDetection", "DetrImageProcessor"
    classification = "loss_ce"
    roles = {"loss_ce": "class", "loss_bbox": "box", "loss_giou": "box"}

    @property
    def costs(self) -> tuple[float, float, float]:
        """See ``QueryDetector.costs``."""
        config = self.model.config
        return config.class_cost, config.bbox_cost, config.giou_cost

    @property
    def box_weights(self) -> tuple[float, float]:
        """See ``QueryDetector.box_weights``."""
        return self.model.config.bbox_loss_coefficient, self.model.config.giou_loss_coefficient

    def scores(self, logits: Float[Tensor, "b q c"]) -> Float[Tensor, "b q k"]:
        """See ``QueryDetector.scores``."""
        return logits.softmax(-1)[..., :-1]

    def fires(self, logits: Float[Tensor, "b q c"]) -> Bool[Tensor, "b q k"]:
        """See ``QueryDetector.fires``."""
        scores = self.scores(logits)
        return F.one_hot(scores.argmax(-1), scores.shape[-1]).bool() & (scores > self.score_thresh)

    def class_costs(self, logits: Float[Tensor, "b q c"]) -> Float[Tensor, "b q k"]:
        """See ``QueryDetector.class_costs``."""
        return -self.scores(logits)

    def classification_loss(self, logits: Float[Tensor, "b q c"], labels: Int[Tensor, "b q k"]) -> Float[Tensor, "b"]:
        """Cross entropy to the object's class, or to no object, which in training counts a tenth."""
        objects = labels == 1
        wanted = torch.where(objects.any(-1), objects.byte().argmax(-1), labels.shape[-1])
        entropy = F.cross_entropy(logits.transpose(1, 2), wanted, reduction="none")
        return torch.where((labels >= 0).any(-1), entropy, 0).sum(1)
