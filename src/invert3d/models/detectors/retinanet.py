"""torchvision's RetinaNet behind the protocol: Lin et al., *Focal Loss for Dense Object Detection*, 2017.

What the candidates should be is the smallest change after which post-processing would leave exactly the asked boxes
(Cao & Johnson 2021, *Inverting and Understanding Object Detectors*, section 3.2).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from invert3d.models.detectors import PictureDetector
from invert3d.models.weights import read_checkpoint
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import IN_SPACE, pack
from invert3d.ops.overlaps import intersection_over_first
from invert3d.registry import register


class RetinaNetDetector(PictureDetector):
    """A ``torchvision.models.detection.RetinaNet``, yours or one from ``retinanet``, which it calls part by part.

    Normalizing and resizing are the network's own (``GeneralizedRCNNTransform``) and belong to ``raw``, so pictures are
    asked for, and boxes are given, in pixels before them. Build the network with ``min_size`` and ``max_size`` equal
    to the sides of the pictures and nothing is resized.

    ``kinds`` name each of its classes, the background (class 0) among them; ``height`` and ``width`` are of the
    pictures to invert. Raises TypeError for another network, ValueError for another number of classes.
    """

    heads = {"classification": 1.0, "bbox_regression": 1.0}  # torchvision's names

    def __init__(self, model: nn.Module, kinds: Sequence[str], *, height: int, width: int) -> None:
        from torchvision.models.detection import RetinaNet

        super().__init__()
        if not isinstance(model, RetinaNet):
            raise TypeError(f"model must be a torchvision.models.detection.RetinaNet, not a {type(model).__name__}")
        classes = model.head.classification_head.num_classes
        if len(kinds) != classes:
            raise ValueError(
                f"the network has {classes} classes, with the background, and {len(kinds)} names are given"
            )
        self.model, self.kinds, self.height, self.width = model, tuple(kinds), height, width

    def fitted(self, height: int, width: int) -> tuple[int, int, int]:
        """Scaled to fit, at the top left."""
        scale = min(self.height / height, self.width / width)
        return max(1, round(height * scale)), max(1, round(width * scale)), 0

    def placed(self, picture: Float[Tensor, "3 H W"], rows: int, columns: int, above: int) -> Tensor:
        """The rest in the network's mean color."""
        whole = picture.new_tensor(self.model.transform.image_mean)[:, None, None].repeat(1, self.height, self.width)
        whole[:, :rows, :columns] = F.interpolate(picture[None], (rows, columns), mode="bilinear")[0]
        return whole

    def count_assignable(self, layout: Layout) -> int:
        """How many objects of a prepared layout can be asked for: of its kinds, with a box that is not empty."""
        sides = layout.boxes[:, 2:] - layout.boxes[:, :2]
        return sum(kind in self.kinds for kind in layout.select((sides > 0).all(1)).kinds)

    def raw(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """All candidates of pictures of any one size, RGB in [0, 1].

        ``cls_logits`` (B, A, K) and ``bbox_regression`` (B, A, 4) are as torchvision's head gives them. Constants are
        the ``anchors`` (B, A, 4), how many of them are in each of the ``levels`` (B, L), and the ``sizes`` (B, 4):
        height and width as resized, and before.
        """
        batch, _ = self.model.transform([*images])
        features = self.model.backbone(batch.tensors)
        features = list(features.values()) if isinstance(features, dict) else [features]
        found = self.model.head(features)
        # the generator keeps its anchors in the precision of what it is shown: never in half
        shapes = [images.new_empty(1).expand(level.shape) for level in features]
        anchors = torch.stack(self.model.anchor_generator(batch, shapes))
        cells = torch.tensor([level.shape[-2] * level.shape[-1] for level in features], device=images.device)
        sizes = torch.tensor([*batch.image_sizes[0], *images.shape[-2:]], device=images.device)
        levels = cells * (anchors.shape[1] // cells.sum())
        constants = {"levels": levels.expand(len(images), -1), "sizes": sizes.expand(len(images), -1)}
        return {**found, "anchors": anchors, **constants}

    @torch.no_grad()
    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each picture, best first, by the network's own post-processing, above a score (those below
        the network's ``score_thresh`` are never among them). Cameras are not looked at."""
        counts, sizes = raw["levels"][0].tolist(), raw["sizes"].tolist()
        split = {name: list(raw[name].split(counts, 1)) for name in ("cls_logits", "bbox_regression")}
        anchors = [list(each.split(counts)) for each in raw["anchors"]]
        resized, original = ([tuple(size[part]) for size in sizes] for part in (slice(2), slice(2, 4)))
        found = self.model.postprocess_detections(split, anchors, resized)
        found = self.model.transform.postprocess(found, resized, original)
        layouts = []
        for each, (height, width) in zip(found, original, strict=True):
            kept = each["scores"] > threshold
            names = [self.kinds[k] for k in each["labels"][kept].tolist()]
            layouts.append(Layout.of_boxes(names, each["boxes"][kept], height, width, each["scores"][kept]))
        return layouts

    def targets(self, layouts: Sequence[Layout]) -> dict[str, Tensor]:
        """Layouts of prepared pictures as one target: states, kinds and boxes.

        Raises ValueError where two boxes of a kind overlap so much that post-processing would remove one of them.
        """
        from torchvision.ops import box_iou

        for number, layout in enumerate(layouts):
            shares = box_iou(layout.boxes, layout.boxes).triu(1)
            for i, j in (shares > self.model.nms_thresh).nonzero().tolist():
                if layout.kinds[i] == layout.kinds[j] != "DontCare":
                    raise ValueError(
                        f"layout {number} has two boxes of kind {layout.kinds[i]} that overlap by {shares[i, j]:.2f}: "
                        f"above {self.model.nms_thresh:g} this detector removes one of them"
                    )
        fields = pack(layouts, self.kinds).fields()
        return {name: value for name, value in fields.items() if name not in IN_SPACE}

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
        scale = (raw["sizes"][:, :2] / raw["sizes"][:, 2:]).flip(1)  # from pictures to pictures as resized
        boxes = (targets["boxes"] * torch.cat([scale, scale], 1)[:, None]).to(logits)
        height, width = raw["sizes"][0, :2].tolist()
        found = clip_boxes_to_image(self._boxes(raw["bbox_regression"], raw["anchors"]), (height, width))
        candidates = _matched(torch.vmap(generalized_box_iou)(found, boxes), asked)
        place = candidates[..., None]
        moved = torch.where(asked[..., None], boxes, found.gather(1, place.expand(-1, -1, 4)))
        found = found.scatter(1, place.expand(-1, -1, 4), moved)
        shares = torch.vmap(box_iou)(found, boxes)
        kinds = F.one_hot(targets["kinds"].clamp_min(0), logits.shape[-1]).bool()
        suppressed = (shares > self.model.nms_thresh) & asked[:, None]
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

    @torch.no_grad()
    def agrees(
        self, raw: dict[str, Tensor], targets: dict[str, Tensor], threshold: float = 0.3, within: float = 0.02
    ) -> Bool[Tensor, "b"]:
        """Whether the detections above a score are exactly the objects, each corner ``within`` diagonals on average.

        What mostly lies in a region to be ignored is neither needed nor counted.
        """
        agreed = []
        for i, layout in enumerate(self.finalize(raw, None, threshold)):
            boxes, kinds, states = (targets[name][i] for name in ("boxes", "kinds", "states"))
            found = kinds.new_tensor([self.kinds.index(kind) for kind in layout.kinds])
            same = kinds[:, None] == found
            gaps = _corners(boxes)[:, None] - _corners(layout.boxes)
            diagonals = (boxes[:, 2:] - boxes[:, :2]).norm(dim=-1, keepdim=True).clamp_min(1e-3)
            hits = same & (gaps.norm(dim=-1).mean(-1) <= within * diagonals) & (states == 1)[:, None]
            spared = (same | (kinds == -1)[:, None]) & (states == -1)[:, None]
            spared &= intersection_over_first(layout.boxes, boxes).T > 0.5
            agreed.append(((hits.sum(1) == 1) | (states != 1)).all() & ((hits.sum(0) == 1) | spared.any(0)).all())
        return torch.stack(agreed)

    def _boxes(self, regression: Float[Tensor, "b n 4"], anchors: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n 4"]:
        """The boxes that regressions stand for, in pixels as resized."""
        return self.model.box_coder.decode_single(regression.flatten(0, 1), anchors.flatten(0, 1)).view_as(regression)


def _matched(shares: Float[Tensor, "b a n"], asked: Bool[Tensor, "b n"]) -> Tensor:
    """A candidate (B, N) for each object, no candidate twice: the pair that overlaps most first, and so on."""
    shares = torch.where(asked[:, None], shares, -2.0)  # a generalized IoU is above -1
    rows, count = torch.arange(len(shares), device=shares.device), shares.shape[2]
    chosen = torch.zeros_like(asked, dtype=torch.long)
    for _ in range(count):
        candidate, number = (each(shares.flatten(1).argmax(1), count) for each in (torch.floor_divide, torch.remainder))
        chosen[rows, number] = candidate
        shares[rows, candidate] = shares[rows, :, number] = -3.0
    return chosen


def _corners(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4 2"]:
    """The corners of boxes in a picture."""
    return boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]


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
