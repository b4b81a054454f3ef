"""RT-DETR of transformers behind the protocol: Zhao et al., *DETRs Beat YOLOs on Real-time Object Detection*, 2024.

Its encoder says a box and classes for each of its tokens, and the best of them become the queries of the decoder,
detached. An object whose token is not chosen gives the picture no gradient through the decoder. So the encoder is a
stage of its own, as region proposals are in Faster R-CNN.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from invert3d.models.detectors.box_detector import hungarian
from invert3d.models.detectors.query import NEVER, QueryDetector, per_object
from invert3d.ops.center_losses import Per

#: coordinates above this are those of tokens at the border, which have no anchor
NOWHERE = 1e4


class RTDetrDetector(QueryDetector):
    """A ``transformers.RTDetrForObjectDetection``; see ``QueryDetector``.

    Each class of a query has a score of its own (sigmoid), so one query can be several detections. Of the candidates,
    ``enc_outputs_class`` (B, S, K) and ``enc_outputs_coord_logits`` (B, S, 4) are of the encoder's tokens.
    """

    network, image_processor = "RTDetrForObjectDetection", "RTDetrImageProcessor"
    outputs = (*QueryDetector.outputs, "enc_outputs_class", "enc_outputs_coord_logits")
    classification = "loss_vfl"
    roles = {"loss_vfl": "class", "loss_bbox": "box", "loss_giou": "box"}

    def __init__(
        self, model: nn.Module, processor: Any, *, height: int, width: int, score_thresh: float = 0.05
    ) -> None:
        """See ``QueryDetector``. Raises ValueError also for pictures that are not a whole number of its cells."""
        super().__init__(model, processor, height=height, width=width, score_thresh=score_thresh)
        stride = max(self.model.config.feat_strides)
        if height % stride or width % stride:
            raise ValueError(f"RT-DETR takes pictures whose sides are multiples of {stride}, not {height} x {width}")

    @property
    def costs(self) -> tuple[float, float, float]:
        """See ``QueryDetector.costs``."""
        config = self.model.config
        return config.matcher_class_cost, config.matcher_bbox_cost, config.matcher_giou_cost

    @property
    def box_weights(self) -> tuple[float, float]:
        """See ``QueryDetector.box_weights``."""
        return self.model.config.weight_loss_bbox, self.model.config.weight_loss_giou

    @property
    def heads(self) -> Mapping[str, float]:
        """See ``QueryDetector.heads``; those of the encoder end in ``_enc`` and weigh as much."""
        own = {**super().heads, "loss_vfl": self.model.config.weight_loss_vfl}
        return {**own, **{f"{name}_enc": weight for name, weight in own.items()}}

    def fitted(self, height: int, width: int) -> tuple[int, int, int]:
        """Scaled to the whole size, each side by its own factor, as RT-DETR is trained."""
        return self.height, self.width, 0

    def scores(self, logits: Float[Tensor, "b q c"]) -> Float[Tensor, "b q k"]:
        """See ``QueryDetector.scores``."""
        return logits.sigmoid()

    def fires(self, logits: Float[Tensor, "b q c"]) -> Bool[Tensor, "b q k"]:
        """See ``QueryDetector.fires``."""
        return self.scores(logits) > self.score_thresh

    def class_costs(self, logits: Float[Tensor, "b q c"]) -> Float[Tensor, "b q k"]:
        """See ``QueryDetector.class_costs``: focal loss of the class less that of its absence."""
        alpha, gamma = self.model.config.matcher_alpha, self.model.config.matcher_gamma
        score = logits.sigmoid()
        present = -alpha * (1 - score) ** gamma * (score + 1e-8).log()
        return present + (1 - alpha) * score**gamma * (1 - score + 1e-8).log()

    def classification_loss(self, logits: Float[Tensor, "b q c"], labels: Int[Tensor, "b q k"]) -> Float[Tensor, "b"]:
        """Varifocal loss (Zhang et al. 2021), with a score of 1 for an object.

        It is trained to be the overlap of query and object. But that of a box which is not there yet is 0.
        """
        config, objects = self.model.config, labels == 1
        weight = torch.where(objects, 1, config.focal_loss_alpha * logits.detach().sigmoid() ** config.focal_loss_gamma)
        entropy = F.binary_cross_entropy_with_logits(logits, objects.to(logits), reduction="none")
        return torch.where(labels >= 0, weight * entropy, 0).sum((1, 2))

    @torch.no_grad()
    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``QueryDetector.assign``. In the encoder each object gets a token with an anchor by its box alone,
        whatever the class: the ``tokens`` (B, N). All others may stay: which of them become queries is for the decoder
        to reject."""
        assigned, places = super().assign(raw, targets), raw["enc_outputs_coord_logits"]
        costs = self.box_costs(places.sigmoid(), assigned["boxes"])
        nowhere = (places > NOWHERE).any(-1, keepdim=True)
        return assigned | {"tokens": hungarian(costs.masked_fill(nowhere, NEVER), assigned["asked"])}

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """See ``QueryDetector.losses``, and the same for the encoder's tokens that become objects."""
        losses, tokens = super().losses(raw, assigned, per), assigned["tokens"][..., None]
        found = torch.take_along_dim(raw["enc_outputs_coord_logits"], tokens, 1).sigmoid()
        logits = torch.take_along_dim(raw["enc_outputs_class"], tokens, 1)
        own = torch.take_along_dim(logits, assigned["kinds"][..., None], 2)[..., 0]
        missed = torch.where(assigned["asked"], F.softplus(-own), 0).sum(1)
        encoder = {"loss_vfl": per_object(missed, assigned), **self.box_losses(found, assigned)}
        return losses | {f"{name}_enc": value for name, value in encoder.items()}
