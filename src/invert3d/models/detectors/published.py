"""The networks of ``torchvision.models.detection`` as published, with the weights of a file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from invert3d.models.weights import read_checkpoint


def published(
    build: Callable[..., nn.Module],
    weights: Any,
    checkpoint: Path | None,
    class_names: Sequence[str],
    height: int,
    width: int,
) -> tuple[nn.Module, tuple[str, ...]]:
    """A network in eval mode that takes pictures of a size without resizing them, and the names of its classes.

    Args:
        build: a function of torchvision, e.g. ``fasterrcnn_resnet50_fpn``.
        weights: its entry for COCO, e.g. ``FasterRCNN_ResNet50_FPN_Weights.COCO_V1``, for the names; nothing is
            downloaded.
        checkpoint: a state dict, opened without running code; without one the weights are random.
        class_names: of all classes, with the background's; those of COCO where there are none.

    Raises ValueError where the checkpoint does not fit.
    """
    coco = weights.meta["categories"]
    names = tuple(class_names) or tuple(coco)
    sides = {"min_size": min(height, width), "max_size": max(height, width)}
    model = build(weights=None, weights_backbone=None, num_classes=len(names), **sides)
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
            what = f"{Path(checkpoint).name} does not fit {type(model).__name__} with {len(names)} classes"
            raise ValueError(f"{what}: {problem}") from None
    return model.eval(), names
