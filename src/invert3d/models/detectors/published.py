"""torchvision's detectors as published, with the weights of a file: one registered function each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from invert3d.models.detectors.fcos import FCOSDetector
from invert3d.models.detectors.mask_rcnn import MaskRCNNDetector
from invert3d.models.detectors.rcnn import FasterRCNNDetector
from invert3d.models.detectors.retinanet import RetinaNetDetector
from invert3d.models.detectors.ssd import SSDDetector
from invert3d.models.detectors.torchvision_detector import TorchvisionDetector
from invert3d.models.weights import read_checkpoint
from invert3d.registry import register

#: by name: what takes it apart, torchvision's function, its names of classes, and the epsilon of the batch norms that
#: torchvision's own weights were trained with, where it is not that of the function
PUBLISHED: dict[str, tuple[type[TorchvisionDetector], str, str, float | None]] = {
    "retinanet": (RetinaNetDetector, "retinanet_resnet50_fpn", "RetinaNet_ResNet50_FPN_Weights", 0.0),
    "retinanet_v2": (RetinaNetDetector, "retinanet_resnet50_fpn_v2", "RetinaNet_ResNet50_FPN_V2_Weights", None),
    "fcos": (FCOSDetector, "fcos_resnet50_fpn", "FCOS_ResNet50_FPN_Weights", None),
    "ssd": (SSDDetector, "ssd300_vgg16", "SSD300_VGG16_Weights", None),
    "fasterrcnn": (FasterRCNNDetector, "fasterrcnn_resnet50_fpn", "FasterRCNN_ResNet50_FPN_Weights", 0.0),
    "fasterrcnn_v2": (FasterRCNNDetector, "fasterrcnn_resnet50_fpn_v2", "FasterRCNN_ResNet50_FPN_V2_Weights", None),
    "maskrcnn": (MaskRCNNDetector, "maskrcnn_resnet50_fpn", "MaskRCNN_ResNet50_FPN_Weights", 0.0),
    "maskrcnn_v2": (MaskRCNNDetector, "maskrcnn_resnet50_fpn_v2", "MaskRCNN_ResNet50_FPN_V2_Weights", None),
}


def published(
    name: str,
    *,
    checkpoint: Path | None = None,
    class_names: Sequence[str] = (),
    height: int | None = None,
    width: int | None = None,
) -> TorchvisionDetector:
    """One of torchvision's detectors, in eval mode.

    Args:
        name: a key of ``PUBLISHED``.
        checkpoint: a state dict, e.g. ``retinanet_resnet50_fpn_coco-eeacb38b.pth``, opened without running code;
            without one the weights are random. Nothing is downloaded.
        class_names: of all its classes, the background's first; those of COCO (91) by default.
        height, width: of the pictures it takes, 480 x 640 unless said, which it does not resize; SSD, whose pictures
            are 300 x 300 unless said, resizes others to that.

    Raises:
        ValueError: the checkpoint does not fit.
    """
    from torchvision.models import detection

    detector, build, weights, eps = PUBLISHED[name]
    coco = getattr(detection, weights).COCO_V1.meta["categories"]
    names = tuple(class_names) or tuple(coco)
    usual = (300, 300) if name == "ssd" else (480, 640)
    size = (height or usual[0], width or usual[1])
    sides = {} if name == "ssd" else {"min_size": min(size), "max_size": max(size)}
    model = getattr(detection, build)(weights=None, weights_backbone=None, num_classes=len(names), **sides)
    if checkpoint is not None:
        state = _fill(model, checkpoint, f"{type(model).__name__} with {len(names)} classes")
        if eps is not None and len(names) == len(coco) and not any("num_batches_tracked" in key for key in state):
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = eps
    return detector(model, names, height=size[0], width=size[1]).eval()


def _fill(model: nn.Module, checkpoint: Path, what: str) -> dict[str, Any]:
    """Fill a network from a state dict and return that. Raises ValueError where it does not fit."""
    state = read_checkpoint(checkpoint)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:200]
        raise ValueError(f"{Path(checkpoint).name} does not fit {what}: {problem}") from None
    return state


def _named(name: str) -> Callable[..., TorchvisionDetector]:
    def make(
        *,
        checkpoint: Path | None = None,
        class_names: Sequence[str] = (),
        height: int | None = None,
        width: int | None = None,
    ) -> TorchvisionDetector:
        return published(name, checkpoint=checkpoint, class_names=class_names, height=height, width=width)

    make.__doc__ = f"torchvision's ``{PUBLISHED[name][1]}``; see ``published``."
    return make


for each in PUBLISHED:
    register("detector", each)(_named(each))
