"""torchvision's FCOS behind the protocol: Tian et al., *FCOS: A Simple and Strong Anchor-Free Object Detector*, 2020.

Its candidates are points, the middles of the anchors. Each says how far the four sides of its box are, and how central
in it the point is; the score of a class is the geometric mean of the class's probability and the center-ness.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from invert3d.models.detectors.dense import DenseDetector
from invert3d.models.detectors.smallest_change import chosen
from invert3d.ops.center_losses import Per

#: the share of a side below which the loss of a box sees no shorter one
SHORTEST = 0.1


class FCOSDetector(DenseDetector):
    """A ``torchvision.models.detection.FCOS``, yours or one from ``fcos``; see ``TorchvisionDetector``.

    Of the candidates, ``bbox_regression`` (B, A, 4) is left, top, right and bottom in sides of the anchor, before the
    head's ReLU, which has no gradient where it is 0; ``bbox_ctrness`` (B, A, 1) is a logit.
    """

    network = "FCOS"
    heads = {"classification": 1.0, "bbox_regression": 1.0, "bbox_ctrness": 1.0}  # torchvision's names
    outputs = ("cls_logits", "bbox_regression", "bbox_ctrness")

    def __init__(self, model: nn.Module, kinds: Sequence[str], *, height: int, width: int) -> None:
        """Raises TypeError for another network or regression head, ValueError for another number of classes."""
        from torchvision.models.detection.fcos import FCOSRegressionHead

        super().__init__(model, kinds, height=height, width=width)
        head = type(self.model.head.regression_head)
        if head.forward is not FCOSRegressionHead.forward:
            raise TypeError(f"the regression head must be torchvision's FCOSRegressionHead, not a {head.__name__}")

    def read_head(self, features: list[Tensor]) -> dict[str, Tensor]:
        """See ``DenseDetector.read_head``; the regression is read before the ReLU."""
        levels: list[Tensor] = []
        convolution = self.model.head.regression_head.bbox_reg
        hook = convolution.register_forward_hook(lambda module, inputs, output: levels.append(output))
        try:
            found = self.model.head(features)
        finally:
            hook.remove()
        return found | {"bbox_regression": torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)}

    def postprocessed(self, raw: dict[str, Tensor], resized: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """See ``DenseDetector.postprocessed``."""
        return super().postprocessed(raw | {"bbox_regression": raw["bbox_regression"].relu()}, resized)

    def scores(self, raw: dict[str, Tensor]) -> Float[Tensor, "b a k"]:
        """See ``DenseDetector.scores``."""
        return (raw["cls_logits"].sigmoid() * raw["bbox_ctrness"].sigmoid()).sqrt()

    def decoded(self, regression: Float[Tensor, "b n 4"], anchors: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n 4"]:
        """The boxes that regressions before the ReLU stand for, in pixels as resized."""
        return self.model.box_coder.decode(regression.relu(), anchors)

    def affinity(
        self, raw: dict[str, Tensor], found: Float[Tensor, "b a 4"], boxes: Float[Tensor, "b n 4"], kinds: Tensor
    ) -> Float[Tensor, "b a n"]:
        """See ``DenseDetector.affinity``; less for what FCOS does not learn to find the object with.

        Points in the box within ``center_sampling_radius`` of its center come first, then others in it. One outside
        cannot say the box: the four distances are not negative.
        """
        inside, near = self._points(raw["anchors"], boxes)
        shares = super().affinity(raw, found, boxes, kinds)
        return shares - 3 * (2 - inside.to(shares) - (inside & near).to(shares))

    def _points(self, anchors: Tensor, boxes: Tensor) -> tuple[Bool[Tensor, "b a n"], Bool[Tensor, "b a n"]]:
        """Which points are in which box, and which near its center."""
        points, centers = ((each[..., :2] + each[..., 2:]) / 2 for each in (anchors, boxes))
        away = (points[:, :, None] - centers[:, None]).abs().amax(-1)
        near = away < self.model.center_sampling_radius * (anchors[..., 2:3] - anchors[..., :1])
        return (self.model.box_coder.encode(anchors[:, :, None], boxes[:, None]) > 0).all(-1), near

    def published_positives(self, raw: dict[str, Tensor], boxes: Float[Tensor, "b n 4"]) -> Bool[Tensor, "b a n"]:
        """See ``DenseDetector.published_positives``: points in the box near its center, of the smallest if several."""
        inside, near = self._points(raw["anchors"], boxes)
        sides = (boxes[..., 2:] - boxes[..., :2]).prod(-1)[:, None]
        smallest = torch.where(inside & near, -sides, -torch.inf).argmax(2)
        return inside & near & F.one_hot(smallest, boxes.shape[1]).bool()

    def granted(
        self, raw: dict[str, Tensor], candidates: Int[Tensor, "b n"], asked: Bool[Tensor, "b n"]
    ) -> dict[str, Tensor]:
        """With a center-ness of 1, which all classes of a candidate share."""
        place, logits = candidates[..., None], raw["bbox_ctrness"]
        own = torch.where(asked[..., None], torch.inf, logits.gather(1, place))
        return raw | {"bbox_ctrness": logits.scatter(1, place, own)}

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """See ``DenseDetector.losses``, and cross entropy of the center-ness of what becomes an object, to 1.

        It is trained to be lower off the center. But with less than 1 the object may not be above the threshold, and
        may not suppress what it should.
        """
        losses = super().losses(raw, assigned, per)
        logits, asked = chosen(raw, assigned, "bbox_ctrness")[0][..., 0], assigned["asked"]
        gaps = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="none")
        losses["bbox_ctrness"] = torch.where(asked, gaps, 0).sum(1) / asked.sum(1).clamp_min(1)
        return losses

    def chosen_boxes(self, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> Float[Tensor, "b n 4"]:
        """The boxes of the candidates that become objects, as their loss sees them.

        Generalized IoU has no gradient for a box without an area, and a wrong one for a box turned inside out. So a
        side shorter than a tenth of what is asked counts as that tenth, and its gradient is passed on as it is.
        """
        regression, anchors = chosen(raw, assigned, "bbox_regression", "anchors")
        wanted = self.model.box_coder.encode(anchors, assigned["boxes"]).to(regression)
        passed = torch.maximum(regression, SHORTEST * wanted).detach() + (regression - regression.detach())
        sides = torch.where(wanted > 0, passed, regression.relu())  # 0 is the best where the point is not in the box
        return self.model.box_coder.decode(sides, anchors)
