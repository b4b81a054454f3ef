"""What the public code of *Inverting and Understanding Object Detectors* asks of a dense detector."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from invert3d.models.detectors.published_rule import level_weights


@dataclass(frozen=True, kw_only=True)
class DenseRule:
    """The public code's rule for RetinaNet (Cao & Johnson 2021, section 3.2). It has none for FCOS and SSD: FCOS's
    points and SSD's anchors take the place of RetinaNet's anchors, and the loss of classes is the detector's own.

    A candidate becomes an object where the detector's own matcher would train it to be one
    (``DenseDetector.published_positives``), or where it says so already: its score is above ``kept`` and its box
    overlaps the object by more than a half. Other candidates above ``kept`` become background.

    Attributes:
        levels: weights of the candidates of each level of the pyramid, fine to coarse.
    """

    detector: Any
    kept: float
    levels: tuple[float, ...]

    classifier = "classification"

    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``PublishedRule``.

        Returns:
            ``labels`` (B, A, K): 1 for an object, 0 for another class or background, -1 for a candidate that may stay;
            ``owner`` (B, A): the object that a candidate becomes, or -1; ``best`` (B, N): of the candidates that the
            matcher gives to an object, the one with the highest logit, and ``reached`` (B, N), whether there is any;
            the ``kinds`` (B, N) and ``boxes`` (B, N, 4), in pixels as resized, of the objects.
        """
        from torchvision.ops import box_iou

        detector, logits = self.detector, raw["cls_logits"]
        boxes = detector.boxes_as_resized(targets, raw["sizes"]).to(logits)
        asked, kinds = detector.asked(targets)[:, None], targets["kinds"].clamp_min(0)
        positive = detector.published_positives(raw, boxes) & asked
        found = detector.decoded(raw["bbox_regression"], raw["anchors"])
        overlap = torch.where(asked, torch.vmap(box_iou)(found, boxes), -1.0)
        sure, trained = detector.scores(raw).amax(2) > self.kept, positive.any(2)
        hit = (overlap > 0.5) & (sure & ~trained)[..., None]
        owner = torch.where(trained, positive.float().argmax(2), torch.where(hit, overlap, -1.0).argmax(2))
        objects = trained | hit.any(2)
        wanted = F.one_hot(kinds.gather(1, owner), logits.shape[-1]) * objects[..., None]
        labels = torch.where((objects | sure)[..., None], wanted, -1).to(torch.int8)
        own = logits.gather(2, kinds[:, None].expand(-1, logits.shape[1], -1))
        best = torch.where(positive, own, -torch.inf).argmax(1)
        return {
            "labels": labels,
            "owner": torch.where(objects, owner, -1),
            "best": best,
            "reached": positive.any(1),
            "kinds": kinds,
            "boxes": boxes,
        }

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss of classes, a mean over the candidates that become something, generalized IoU loss, a mean over
        those that become objects, and minus the logit of the best candidate of each object, a mean over objects."""
        from torchvision.ops import generalized_box_iou_loss

        detector, labels, owner = self.detector, assigned["labels"], assigned["owner"]
        weights = level_weights(self.levels, raw["levels"][0])
        scored = detector.classification_losses(raw, labels).sum(2)
        found = detector.decoded(raw["bbox_regression"], raw["anchors"])
        wanted = assigned["boxes"].gather(1, owner.clamp_min(0)[..., None].expand(-1, -1, 4))
        gaps = generalized_box_iou_loss(found, wanted)
        logits, best = raw["cls_logits"], assigned["best"][..., None]
        logits = logits.gather(1, best.expand(-1, -1, logits.shape[-1]))
        own = logits.gather(2, assigned["kinds"][..., None])[..., 0]
        return {
            "classification": _mean(scored * weights, (labels >= 0).any(2)),
            "bbox_regression": _mean(gaps * weights, owner >= 0),
            "foreground": -_mean(own, assigned["reached"]),
        }


def _mean(values: Float[Tensor, "b c"], there: Bool[Tensor, "b c"]) -> Float[Tensor, "b"]:
    """The mean of the values that are there; 0 without any."""
    return torch.where(there, values, 0).sum(1) / there.sum(1).clamp_min(1)
