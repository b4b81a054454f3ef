"""How much like an object anything is that a detector finds: what can be asked of a detector that is a black box.

The similarity of D-RISE (Petsiuk et al. 2021, *Black-box Explanation of Object Detectors via Saliency Maps*) is the
largest product over the detections of the overlap, the cosine of the class vectors and the score. Here class and box
are asked for apart. Post-processing leaves one class of each detection, so the cosine is 1 or 0.
"""

from typing import Literal, get_args

import torch

from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import mask_iou

#: which part of a detection is asked for: what it is, where it is, which pixels it has
Part = Literal["class", "box", "mask"]
PARTS: tuple[Part, ...] = get_args(Part)


def similarity(found: Layout, one: Layout, part: Part) -> float:
    """How much like an object the most similar detection of its kind is, 0 to 1; 0 if there is none.

    Args:
        found: detections with scores.
        one: a layout of one object, in a picture of the same size.
        part: ``class`` is the score of a detection whose box overlaps it by at least a half, ``box`` the overlap of the
            boxes, ``mask`` that of the masks (0 where a layout has none).
    """
    from torchvision.ops import box_iou

    alike = found.select(torch.tensor([kind == one.kinds[0] for kind in found.kinds], dtype=torch.bool))
    if not len(alike):
        return 0.0
    if part == "mask":
        masks = alike.masks, one.masks
        return (
            0.0
            if masks[0] is None or masks[1] is None
            else float(mask_iou(masks[0], masks[1].to(masks[0].device)).max())
        )
    shares = box_iou(alike.boxes, one.boxes.to(alike.boxes))[:, 0].nan_to_num(0.0)
    return float((shares if part == "box" else alike.scores * (shares >= 0.5)).max())
