"""torchvision's RetinaNet behind the protocol: Lin et al., *Focal Loss for Dense Object Detection*, 2017.

What the candidates should be is the smallest change after which post-processing would leave exactly the asked boxes
(Cao & Johnson 2021, *Inverting and Understanding Object Detectors*, section 3.2).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from invert3d.models.detectors.box_detector import BoxDetector, matched
from invert3d.models.weights import read_checkpoint
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import intersection_over_first
from invert3d.registry import register


class RetinaNetDetector(BoxDetector):
    """A ``torchvision.models.detection.RetinaNet``, yours or one from ``retinanet``; see ``BoxDetector``."""

    network = "RetinaNet"
    heads = {"classification": 1.0, "bbox_regression": 1.0}  # torchvision's names

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

        ``cls_logits`` (B, A, K) and ``bbox_regression`` (B, A, 4) are as torchvision's head gives them. Constants are
        the ``anchors`` (B, A, 4), how many of them are in each of the ``levels`` (B, L), and the ``sizes`` (B, 4):
        height and width as resized, and before.
        """
        batch, sizes = self.scaled(images)
        features = self.model.backbone(batch.tensors)
        features = list(features.values()) if isinstance(features, dict) else [features]
        found = self.model.head(features)
        # the generator keeps its anchors in the precision of what it is shown: never in half
        shapes = [images.new_empty(1).expand(level.shape) for level in features]
        anchors = torch.stack(self.model.anchor_generator(batch, shapes))
        cells = torch.tensor([level.shape[-2] * level.shape[-1] for level in features], device=images.device)
        levels = cells * (anchors.shape[1] // cells.sum())
        constants = {"levels": levels.expand(len(images), -1), "sizes": sizes}
        return {**found, "anchors": anchors, **constants}

    @torch.no_grad()
    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each picture, best first, by the network's own post-processing, above a score (those below
        the network's ``score_thresh`` are never among them). Cameras are not looked at."""
        counts = raw["levels"][0].tolist()
        split = {name: list(raw[name].split(counts, 1)) for name in ("cls_logits", "bbox_regression")}
        anchors = [list(each.split(counts)) for each in raw["anchors"]]
        resized = [tuple(size[:2]) for size in raw["sizes"].tolist()]
        return self.read(self.model.postprocess_detections(split, anchors, resized), raw["sizes"], threshold)

    @torch.no_grad()
    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The smallest change of the candidates after which post-processing would leave exactly the objects.

        The candidate that overlaps an object most becomes it. Every other one above the score threshold becomes
        background, but for those that an object of their kind suppresses, or that lie in a region to be ignored.

        Returns:
            ``labels`` (B, A, K): 1 for an object, 0 for background, -1 for what may stay as it is; the ``candidates``
            (B, N) that become the objects, ``asked`` (B, N), and their ``boxes`` (B, N, 4) in pixels as resized.
        """
        from torchvision.ops import box_iou, clip_boxes_to_image, generalized_box_iou

        asked, logits = targets["states"] == 1, raw["cls_logits"]
        boxes = self.boxes_as_resized(targets, raw["sizes"]).to(logits)
        height, width = raw["sizes"][0, :2].tolist()
        found = clip_boxes_to_image(self._boxes(raw["bbox_regression"], raw["anchors"]), (height, width))
        candidates = matched(torch.vmap(generalized_box_iou)(found, boxes), asked)
        place = candidates[..., None]
        moved = torch.where(asked[..., None], boxes, found.gather(1, place.expand(-1, -1, 4)))
        found = found.scatter(1, place.expand(-1, -1, 4), moved)
        shares = torch.vmap(box_iou)(found, boxes)
        kinds = F.one_hot(targets["kinds"].clamp_min(0), logits.shape[-1]).bool()
        suppressed = (shares > self.suppression) & asked[:, None]
        spared = (intersection_over_first(found, boxes) > 0.5) & (targets["states"] == -1)[:, None]
        of_kind = (suppressed | spared).float() @ kinds.float() > 0  # (B, A, K): paired with some object of the kind
        free = of_kind | (spared & (targets["kinds"] == -1)[:, None]).any(2, keepdim=True)
        labels = torch.where((logits.sigmoid() > self.model.score_thresh) & ~free, 0, -1)
        own = labels.gather(1, place.expand(-1, -1, labels.shape[-1]))
        labels = labels.scatter(1, place.expand_as(own), torch.where(kinds & asked[..., None], 1, own))
        return {"labels": labels.to(torch.int8), "candidates": candidates, "asked": asked, "boxes": boxes}

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """Focal loss of the candidates that must change, and generalized IoU loss of those that become objects, both
        divided by the number of objects. Raises ValueError for another divisor: there are no slots."""
        from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

        if per != "object":
            raise ValueError(f"the losses of RetinaNet are divided by the number of objects: per is object, not {per}")
        asked, labels = assigned["asked"], assigned["labels"]
        count = asked.sum(1).clamp_min(1)
        focal = sigmoid_focal_loss(raw["cls_logits"], (labels == 1).to(raw["cls_logits"]))
        place = assigned["candidates"][..., None].expand(-1, -1, 4)
        found = self._boxes(raw["bbox_regression"].gather(1, place), raw["anchors"].gather(1, place))
        gaps = generalized_box_iou_loss(found, assigned["boxes"])
        return {
            "classification": torch.where(labels >= 0, focal, 0).sum((1, 2)) / count,
            "bbox_regression": torch.where(asked, gaps, 0).sum(1) / count,
        }

    def _boxes(self, regression: Float[Tensor, "b n 4"], anchors: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n 4"]:
        """The boxes that regressions stand for, in pixels as resized."""
        return self.model.box_coder.decode_single(regression.flatten(0, 1), anchors.flatten(0, 1)).view_as(regression)


@register("detector", "retinanet")
def retinanet(
    *, checkpoint: Path | None = None, class_names: Sequence[str] = (), height: int = 480, width: int = 640
) -> RetinaNetDetector:
    """RetinaNet on a ResNet-50 with a feature pyramid (torchvision's v1), in eval mode.

    ``checkpoint`` is a state dict, e.g. ``retinanet_resnet50_fpn_coco-eeacb38b.pth``, opened without running code;
    without one the weights are random. ``class_names`` are of all its classes, with the background's; those of COCO
    (91) by default. The network resizes nothing. Raises ValueError where the checkpoint does not fit.
    """
    from torchvision.models.detection import RetinaNet_ResNet50_FPN_Weights, retinanet_resnet50_fpn

    coco = RetinaNet_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    names = tuple(class_names) or tuple(coco)
    sides = {"min_size": min(height, width), "max_size": max(height, width)}
    model = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=len(names), **sides)
    if checkpoint is not None:
        state = read_checkpoint(checkpoint)
        if len(names) == len(coco) and not any("num_batches_tracked" in key for key in state):
            for module in model.modules():  # torchvision's own weights were trained so
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = 0.0
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            problem = " ".join(str(error).split())[:200]
            what = f"{Path(checkpoint).name} does not fit RetinaNet with {len(names)} classes"
            raise ValueError(f"{what}: {problem}") from None
    return RetinaNetDetector(model, names, height=height, width=width).eval()
