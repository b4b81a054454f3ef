"""What torchvision's dense detectors share: each anchor or point is a candidate, and post-processing is per class.

What the candidates should be is the smallest change after which post-processing would leave exactly the asked boxes
(Cao & Johnson 2021, *Inverting and Understanding Object Detectors*, section 3.2).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invert3d.models.detectors.box_detector import BoxDetector, matched
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import intersection_over_first


class DenseDetector(BoxDetector):
    """A detector whose head says something of each anchor or point. A family says at least what its ``scores`` are;
    see ``BoxDetector``."""

    heads = {"classification": 1.0, "bbox_regression": 1.0}  # torchvision's names
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
        self, raw: dict[str, Tensor], found: Float[Tensor, "b a 4"], boxes: Float[Tensor, "b n 4"]
    ) -> Float[Tensor, "b a n"]:
        """How much each candidate, now the box ``found``, suggests itself for each object: their generalized IoU.

        Boxes are not cut off at the border of the picture, as in the loss: of one that reaches far beyond, most of the
        way is still to go.
        """
        from torchvision.ops import generalized_box_iou

        return torch.vmap(generalized_box_iou)(found, boxes)

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

        asked, logits = targets["states"] == 1, raw["cls_logits"]
        boxes = self.boxes_as_resized(targets, raw["sizes"]).to(logits)
        height, width = raw["sizes"][0, :2].tolist()
        found = self.decoded(raw["bbox_regression"], raw["anchors"])
        candidates = matched(self.affinity(raw, found, boxes), asked)
        found = clip_boxes_to_image(found, (height, width))
        place = candidates[..., None]
        moved = torch.where(asked[..., None], boxes, found.gather(1, place.expand(-1, -1, 4)))
        found = found.scatter(1, place.expand(-1, -1, 4), moved)
        kinds = F.one_hot(targets["kinds"].clamp_min(0), logits.shape[-1]).bool()
        fires = self.scores(self.granted(raw, candidates, asked)) > self.model.score_thresh
        labels = torch.where(fires & ~self._free(found, boxes, kinds, targets), 0, -1)
        own = labels.gather(1, place.expand(-1, -1, labels.shape[-1]))
        labels = labels.scatter(1, place.expand_as(own), torch.where(kinds & asked[..., None], 1, own))
        return {"labels": labels.to(torch.int8), "candidates": candidates, "asked": asked, "boxes": boxes}

    def _free(self, found: Tensor, boxes: Tensor, kinds: Tensor, targets: dict[str, Tensor]) -> Bool[Tensor, "b a k"]:
        """Whether a candidate of a class may fire: an object of the kind suppresses it, or it is to be ignored."""
        from torchvision.ops import box_iou

        states = targets["states"][:, None]
        suppressed = (torch.vmap(box_iou)(found, boxes) > self.suppression) & (states == 1)
        spared = (intersection_over_first(found, boxes) > 0.5) & (states == -1)
        of_kind = (suppressed | spared).float() @ kinds.float() > 0  # (B, A, K): paired with some object of the kind
        return of_kind | (spared & (targets["kinds"] == -1)[:, None]).any(2, keepdim=True)

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """The ``classification_loss`` of the candidates that must change, and generalized IoU loss of those that become
        objects, both divided by the number of objects. Raises ValueError for another divisor: there are no slots."""
        from torchvision.ops import generalized_box_iou_loss

        if per != "object":
            name = type(self.model).__name__
            raise ValueError(f"the losses of {name} are divided by the number of objects: per is object, not {per}")
        asked = assigned["asked"]
        count = asked.sum(1).clamp_min(1)
        gaps = generalized_box_iou_loss(self.chosen_boxes(raw, assigned), assigned["boxes"])
        return {
            "classification": self.classification_loss(raw, assigned["labels"]) / count,
            "bbox_regression": torch.where(asked, gaps, 0).sum(1) / count,
        }

    def classification_loss(self, raw: dict[str, Tensor], labels: Int[Tensor, "b a k"]) -> Float[Tensor, "b"]:
        """Of the candidates that must change, summed: focal loss."""
        from torchvision.ops import sigmoid_focal_loss

        focal = sigmoid_focal_loss(raw["cls_logits"], (labels == 1).to(raw["cls_logits"]))
        return torch.where(labels >= 0, focal, 0).sum((1, 2))

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


def chosen(raw: dict[str, Tensor], assigned: dict[str, Tensor], *names: str) -> list[Tensor]:
    """Tensors (B, N, C) of the candidates that become objects, of those (B, A, C) of all."""
    place = assigned["candidates"][..., None]
    return [raw[name].gather(1, place.expand(-1, -1, raw[name].shape[-1])) for name in names]
