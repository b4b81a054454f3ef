"""torchvision's RetinaNet behind the protocol: Lin et al., *Focal Loss for Dense Object Detection*, 2017."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from invert3d.models.detectors.dense import DenseDetector, load_checkpoint
from invert3d.registry import register


class RetinaNetDetector(DenseDetector):
    """A ``torchvision.models.detection.RetinaNet``, yours or one from ``retinanet`` or ``retinanet_v2``; see
    ``BoxDetector``."""

    network = "RetinaNet"

    def scores(self, raw: dict[str, Tensor]) -> Float[Tensor, "b a k"]:
        """See ``DenseDetector.scores``."""
        return raw["cls_logits"].sigmoid()

    def affinity(
        self, raw: dict[str, Tensor], found: Float[Tensor, "b a 4"], boxes: Float[Tensor, "b n 4"]
    ) -> Float[Tensor, "b a n"]:
        """Generalized IoU of each object and the part of a candidate's box that is in the picture."""
        from torchvision.ops import clip_boxes_to_image

        height, width = raw["sizes"][0, :2].tolist()
        return super().affinity(raw, clip_boxes_to_image(found, (height, width)), boxes)


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
        state = load_checkpoint(model, checkpoint, f"RetinaNet with {len(names)} classes")
        if len(names) == len(coco) and not any("num_batches_tracked" in key for key in state):
            for module in model.modules():  # torchvision's own weights were trained so
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = 0.0
    return RetinaNetDetector(model, names, height=height, width=width).eval()


@register("detector", "retinanet_v2")
def retinanet_v2(
    *, checkpoint: Path | None = None, class_names: Sequence[str] = (), height: int = 480, width: int = 640
) -> RetinaNetDetector:
    """RetinaNet as torchvision improved it (v2: group norm in its heads, trained longer), in eval mode.

    ``checkpoint`` is a state dict, e.g. ``retinanet_resnet50_fpn_v2_coco-5905b1c5.pth``; all else as in ``retinanet``.
    """
    from torchvision.models.detection import RetinaNet_ResNet50_FPN_V2_Weights, retinanet_resnet50_fpn_v2

    names = tuple(class_names) or tuple(RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1.meta["categories"])
    sides = {"min_size": min(height, width), "max_size": max(height, width)}
    model = retinanet_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=len(names), **sides)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint, f"RetinaNet v2 with {len(names)} classes")
    return RetinaNetDetector(model, names, height=height, width=width).eval()
