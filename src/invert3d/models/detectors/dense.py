"""What torchvision's dense detectors share: each anchor or point is a candidate, and post-processing is per class.

What the candidates should be is the smallest change after which post-processing would leave exactly the asked boxes
(Cao & Johnson 2021, *Inverting and Understanding Object Detectors*, section 3.2).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invert3d.models.detectors.box_detector import matched
from invert3d.models.detectors.dense_rule import DenseRule
from invert3d.models.detectors.smallest_change import affinity, chosen, smallest_change
from invert3d.models.detectors.torchvision_detector import TorchvisionDetector
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout


class DenseDetector(TorchvisionDetector):
    """A detector whose head says something of each anchor or point. A family says at least what its ``scores`` are;
    see ``TorchvisionDetector``."""

    heads = {"classification": 1.0, "bbox_regression": 1.0}  # torchvision's names
    published_rule = DenseRule
    roles = {"classification": "class", "bbox_regression": "box"}
    #: what post-processing needs of what the head gives
    outputs: tuple[str, ...] = ("cls_logits", "bbox_regression")

    @property
    def classes(self) -> int:
        """How many classes the network has, with the background."""
        return self.model.head.classification_head.num_classes

    @property
    def suppression(self) -> float:
        """The overlap of two boxes of a kind above which post-processing removes one."""
        return self.model.nms_thresh

    def raw(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """All candidates of pictures of any one size, RGB in [0, 1].

        ``cls_logits`` (B, A, K) and ``bbox_regression`` (B, A, 4) are as ``read_head`` gives them, and what else it
        gives. Constants are the ``anchors`` (B, A, 4), how many of them are in each of the ``levels`` (B, L), and the
        ``sizes`` (B, 4): height and width as resized, and before.
        """
        batch, sizes = self.scaled(images)
        features = self.model.backbone(batch.tensors)
        features = list(features.values()) if isinstance(features, dict) else [features]
        found = self.read_head(features)
        # the generator keeps its anchors in the precision of what it is shown: never in half
        shapes = [images.new_empty(1).expand(level.shape) for level in features]
        generator = self.model.anchor_generator
        anchors = torch.stack(generator(batch, shapes))
        cells = [level.shape[-2] * level.shape[-1] for level in features]
        counts = [a * b for a, b in zip(cells, generator.num_anchors_per_location(), strict=True)]
        levels = torch.tensor(counts, device=images.device)
        constants = {"levels": levels.expand(len(images), -1), "sizes": sizes}
        return {**found, "anchors": anchors, **constants}

    def read_head(self, features: list[Tensor]) -> dict[str, Tensor]:
        """What the head says of each candidate on feature maps, all levels in one: tensors (B, A, C)."""
        return self.model.head(features)

    @torch.no_grad()
    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each picture, best first, by the network's own post-processing, above a score (those below
        the network's ``score_thresh`` are never among them). Cameras are not looked at."""
        resized = [tuple(size[:2]) for size in raw["sizes"].tolist()]
        return self.read(self.postprocessed(raw, resized), raw["sizes"], threshold)

    def postprocessed(self, raw: dict[str, Tensor], resized: list[Any]) -> list[dict[str, Tensor]]:
        """What the network's post-processing leaves in pictures of the sizes ``resized``."""
        counts = raw["levels"][0].tolist()
        split = {name: list(raw[name].split(counts, 1)) for name in self.outputs}
        anchors = [list(each.split(counts)) for each in raw["anchors"]]
        return self.model.postprocess_detections(split, anchors, resized)

    def scores(self, raw: dict[str, Tensor]) -> Float[Tensor, "b a k"]:
        """The score of each candidate for each class, as post-processing compares it with ``score_thresh``."""
        raise NotImplementedError

    def decoded(self, regression: Float[Tensor, "b n 4"], anchors: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n 4"]:
        """The boxes that regressions stand for, in pixels as resized."""
        return self.model.box_coder.decode_single(regression.flatten(0, 1), anchors.flatten(0, 1)).view_as(regression)

    def affinity(
        self, raw: dict[str, Tensor], found: Float[Tensor, "b a 4"], boxes: Float[Tensor, "b n 4"], kinds: Tensor
    ) -> Float[Tensor, "b a n"]:
        """How much each candidate, now the box ``found``, suggests itself for each object:
        ``smallest_change.affinity``, with generalized IoU.

        Boxes are not cut off at the border of the picture, as in the loss: of one that reaches far beyond, most of the
        way is still to go.
        """
        from torchvision.ops import box_iou, generalized_box_iou

        shares = torch.vmap(generalized_box_iou)(found, boxes).nan_to_num(-1.0)  # two empty boxes have none
        near = torch.vmap(box_iou)(found, boxes) > self.suppression
        return affinity(shares, near, self.scores(raw), kinds, self.model.score_thresh)

    def published_positives(self, raw: dict[str, Tensor], boxes: Float[Tensor, "b n 4"]) -> Bool[Tensor, "b a n"]:
        """Which candidates are trained to be which object, as the public code of the paper has it: anchors that overlap
        it by at least 0.7, each for one object only, and those that overlap it most."""
        from torchvision.ops import box_iou

        shares = torch.vmap(box_iou)(raw["anchors"], boxes)
        first = F.one_hot(shares.argmax(2), shares.shape[2]).bool()
        most = (shares == shares.amax(1, keepdim=True)) & (shares > 0)
        return first & ((shares >= 0.7) | most.any(2, keepdim=True))

    def granted(
        self, raw: dict[str, Tensor], candidates: Int[Tensor, "b n"], asked: Bool[Tensor, "b n"]
    ) -> dict[str, Tensor]:
        """The candidates where those that become objects are given all that is not of one class only."""
        return raw

    @torch.no_grad()
    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The smallest change of the candidates after which post-processing would leave exactly the objects.

        The candidate with the largest ``affinity`` to an object becomes it. Every other one above the score threshold
        becomes background, but for those that an object of their kind suppresses, or that lie in a region to be
        ignored.

        Returns:
            ``labels`` (B, A, K): 1 for an object, 0 for background, -1 for what may stay as it is; the ``candidates``
            (B, N) that become the objects, ``asked`` (B, N), and their ``boxes`` (B, N, 4) in pixels as resized.
        """
        from torchvision.ops import clip_boxes_to_image

        asked = targets["states"] == 1
        boxes = self.boxes_as_resized(targets, raw["sizes"]).to(raw["cls_logits"])
        height, width = raw["sizes"][0, :2].tolist()
        found = self.decoded(raw["bbox_regression"], raw["anchors"])
        candidates = matched(self.affinity(raw, found, boxes, targets["kinds"].clamp_min(0)), asked)
        fires = self.scores(self.granted(raw, candidates, asked)) > self.model.score_thresh
        found = clip_boxes_to_image(found, (height, width))
        labels = smallest_change(found, fires, candidates, boxes, targets, self.suppression)
        return {"labels": labels, "candidates": candidates, "asked": asked, "boxes": boxes}

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """The cross-entropy of the candidates that must change, summed, and generalized IoU loss of those that become
        objects, both divided by the number of objects. Raises ValueError for another divisor: there are no slots.

        Cross-entropy and not the focal loss of training, which fades where a class is nearly what it should be: a false
        detection near the threshold would stay.
        """
        from torchvision.ops import generalized_box_iou_loss

        self.check_per(per)
        asked = assigned["asked"]
        count = asked.sum(1).clamp_min(1)
        gaps = generalized_box_iou_loss(self.chosen_boxes(raw, assigned), assigned["boxes"])
        return {
            "classification": self.entropy(raw, assigned["labels"]).sum((1, 2)) / count,
            "bbox_regression": torch.where(asked, gaps, 0).sum(1) / count,
        }

    def entropy(self, raw: dict[str, Tensor], labels: Int[Tensor, "b a k"]) -> Float[Tensor, "b a c"]:
        """Binary cross-entropy of each class of the candidates that must change; 0 where the label is -1."""
        logits = raw["cls_logits"]
        entropy = F.binary_cross_entropy_with_logits(logits, (labels == 1).to(logits), reduction="none")
        return torch.where(labels >= 0, entropy, 0)

    def classification_losses(self, raw: dict[str, Tensor], labels: Int[Tensor, "b a k"]) -> Float[Tensor, "b a c"]:
        """The loss that the detector is trained with, of each class of the candidates that must change: focal loss; 0
        where the label is -1."""
        from torchvision.ops import sigmoid_focal_loss

        focal = sigmoid_focal_loss(raw["cls_logits"], (labels == 1).to(raw["cls_logits"]))
        return torch.where(labels >= 0, focal, 0)

    def object_readings(
        self, raw: dict[str, Tensor], assigned: dict[str, Tensor], kinds: Int[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n 4"]]:
        """See ``BoxDetector.object_readings``."""
        scores = chosen(raw | {"scores": self.scores(raw)}, assigned, "scores")[0]
        found = self.decoded(*chosen(raw, assigned, "bbox_regression", "anchors"))
        return scores.gather(2, kinds[..., None])[..., 0], found

    def chosen_boxes(self, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> Float[Tensor, "b n 4"]:
        """The boxes of the candidates that become objects, as their loss sees them."""
        return self.decoded(*chosen(raw, assigned, "bbox_regression", "anchors"))
