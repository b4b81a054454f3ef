"""torchvision's own detectors on a thin backbone, for laptops: RetinaNet, FCOS, Faster R-CNN and Mask R-CNN.

Heads have two convolutions a tower in place of four, the box head of the two-stage ones 256 units in place of 1,024.
Everything else, from anchors to post-processing, is torchvision's. Pictures are square and not resized.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from invert3d.models.detectors.dla import conv_norm
from invert3d.models.detectors.fcos import FCOSDetector
from invert3d.models.detectors.mask_rcnn import MaskRCNNDetector
from invert3d.models.detectors.networks import residual_stage
from invert3d.models.detectors.rcnn import FasterRCNNDetector
from invert3d.models.detectors.retinanet import RetinaNetDetector
from invert3d.models.detectors.torchvision_detector import TorchvisionDetector
from invert3d.models.weights import WeightCard, bundled, find_card, load_checkpoint
from invert3d.registry import unknown

RATIOS = (0.5, 1.0, 2.0)


class ThinBackbone(nn.Module):
    """Residual stages and a feature pyramid (Lin et al. 2017) over pictures (B, 3, H, W).

    ``levels`` of the pyramid from a stride of 4 (``first`` = 2) or 8 (3) on, each of ``features`` channels, by name.
    """

    def __init__(self, width: int = 32, features: int = 64, first: int = 3) -> None:
        super().__init__()
        from torchvision.ops import FeaturePyramidNetwork
        from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

        channels = [width, 2 * width, 4 * width, 4 * width]  # at strides of 4, 8, 16 and 32
        self.stem = nn.Sequential(conv_norm(3, width // 2, 3, 2), conv_norm(width // 2, width, 3, 2))
        stages = [residual_stage(before, after, 2) for before, after in zip(channels, channels[1:], strict=False)]
        self.stages = nn.ModuleList([residual_stage(width, width, 1), *stages])
        self.skipped = first - 2
        norm = partial(nn.GroupNorm, 8)
        self.fpn = FeaturePyramidNetwork(channels[self.skipped :], features, LastLevelMaxPool(), norm)
        self.out_channels = features

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        x, maps = self.stem(x), []
        for stage in self.stages:
            maps.append(x := stage(x))
        return self.fpn(OrderedDict((str(k), each) for k, each in enumerate(maps[self.skipped :])))


def thin_detector(family: str, classes: int, *, size: int = 160, width: int = 32, features: int = 64) -> Any:
    """One of torchvision's detectors, with random weights.

    Args:
        family: ``retinanet``, ``fcos``, ``fasterrcnn`` or ``maskrcnn``.
        classes: how many, with the background.
        size: height and width of its pictures, in pixels.
        width, features: channels of the first stage, and of the pyramid.

    Raises:
        ValueError: an unknown family.
    """
    if family not in FAMILIES:
        raise ValueError(unknown("family", family, FAMILIES))
    same = {"min_size": size, "max_size": size, "image_mean": [0.45] * 3, "image_std": [0.25] * 3}
    return FAMILIES[family](classes, width, features, same)


def thin_adapter(family: str, classes: Sequence[str], *, size: int, width: int, features: int) -> TorchvisionDetector:
    """A thin detector with random weights behind the protocol; ``classes`` are names, the background's first."""
    model = thin_detector(family, len(classes), size=size, width=width, features=features)
    return ADAPTERS[family](model, classes, height=size, width=size).eval()


def thin_from_card(card: WeightCard, path: Path) -> TorchvisionDetector:
    """The detector that a card describes, with its weights. Raises ValueError if they do not fit."""
    try:
        detector = thin_adapter(card.architecture, card.classes, **card.options)
    except TypeError as error:
        raise ValueError(f"the card of {card.name} does not fit {card.architecture}: {error}") from error
    load_checkpoint(detector.model, path)
    return detector.eval()


def keep_backbone(model: Any, spec: str) -> list[nn.BatchNorm2d]:
    """Start from the backbone of another detector, and keep of it what torchvision keeps of a pretrained one.

    The stages are copied. The stem, the first stage and all batch norms get no gradient; the pyramid stays the model's.

    Args:
        model: a thin detector of torchvision's, changed in place.
        spec: the name of bundled weights or the path of a card, of any family.

    Returns:
        The batch norms, which must stay in eval mode while the rest is trained.

    Raises:
        ValueError: no such weights, or stages of other shapes.
    """
    if (found := find_card(spec, "2-D detector")) is None:
        raise ValueError(unknown("detector", spec, bundled("2-D detector")))
    own, given = model.backbone, thin_from_card(*found).model.backbone
    for part in ("stem", "stages"):
        try:
            own.get_submodule(part).load_state_dict(given.get_submodule(part).state_dict())
        except RuntimeError as error:
            raise ValueError(f"the backbone of {spec} is of another width: {spec} has {found[0].options}") from error
    norms = [each for each in own.modules() if isinstance(each, nn.BatchNorm2d)]
    for each in (own.stem, own.stages[0], *norms):
        each.requires_grad_(False)
    return norms


def _anchors(*sizes: tuple[int, ...]) -> Any:
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    return AnchorGenerator(sizes, (RATIOS,) * len(sizes))


def _retinanet(classes: int, width: int, features: int, same: dict[str, Any]) -> nn.Module:
    from torchvision.models.detection import RetinaNet
    from torchvision.models.detection.retinanet import RetinaNetHead

    anchors = _anchors((14, 20), (28, 40), (56, 80), (112, 150))
    head = RetinaNetHead(features, anchors.num_anchors_per_location()[0], classes, partial(nn.GroupNorm, 8))
    for part in (head.classification_head, head.regression_head):
        part.conv = part.conv[:2]
    return RetinaNet(ThinBackbone(width, features), classes, anchor_generator=anchors, head=head, **same)


def _fcos(classes: int, width: int, features: int, same: dict[str, Any]) -> nn.Module:
    from torchvision.models.detection import FCOS
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.fcos import FCOSHead

    # half of the strides: a level takes boxes whose farthest side is 4 to 8 of these away from the point
    anchors = AnchorGenerator(((4,), (8,), (16,), (32,)), ((1.0,),) * 4)
    head = FCOSHead(features, 1, classes, num_convs=2)
    backbone = ThinBackbone(width, features)
    return FCOS(backbone, classes, anchor_generator=anchors, head=head, center_sampling_radius=3.0, **same)


def _two_stages(classes: int, width: int, features: int, same: dict[str, Any]) -> dict[str, Any]:
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign

    few = {"rpn_pre_nms_top_n_train": 400, "rpn_pre_nms_top_n_test": 300, "rpn_batch_size_per_image": 64}
    few |= {"rpn_post_nms_top_n_train": 200, "rpn_post_nms_top_n_test": 100, "box_batch_size_per_image": 64}
    return {
        "backbone": ThinBackbone(width, features, first=2),
        "rpn_anchor_generator": _anchors((12,), (24,), (48,), (84,), (140,)),
        "box_roi_pool": MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2, canonical_scale=56, canonical_level=4),
        "box_head": TwoMLPHead(features * 49, 256),
        "box_predictor": FastRCNNPredictor(256, classes),
        **few,
        **same,
    }


def _fasterrcnn(classes: int, width: int, features: int, same: dict[str, Any]) -> nn.Module:
    from torchvision.models.detection import FasterRCNN

    return FasterRCNN(**_two_stages(classes, width, features, same))


def _maskrcnn(classes: int, width: int, features: int, same: dict[str, Any]) -> nn.Module:
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 14, 2, canonical_scale=56, canonical_level=4)
    masks = {"mask_head": MaskRCNNHeads(features, (64, 64), 1), "mask_predictor": MaskRCNNPredictor(64, 64, classes)}
    return MaskRCNN(mask_roi_pool=pool, **masks, **_two_stages(classes, width, features, same))


FAMILIES: dict[str, Callable[[int, int, int, dict[str, Any]], nn.Module]] = {
    "retinanet": _retinanet,
    "fcos": _fcos,
    "fasterrcnn": _fasterrcnn,
    "maskrcnn": _maskrcnn,
}
ADAPTERS: dict[str, type[TorchvisionDetector]] = {
    "retinanet": RetinaNetDetector,
    "fcos": FCOSDetector,
    "fasterrcnn": FasterRCNNDetector,
    "maskrcnn": MaskRCNNDetector,
}
