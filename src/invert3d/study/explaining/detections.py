"""``invert3d.explain_detection``: which pixels made a 2-D detector find an object, head by head.

The evidence of a head for a detection is minus the loss of that head with the detection itself as the target, and
nothing asked of the rest of the picture. ``Detector.assign`` knows which candidate that is about, so this holds for
every family of detectors. Of the head of classes it rises and falls with the score of the candidate that the detection
came from.

The loss of a box is lowest, with a derivative of zero, where the box is the detection's own. So methods that ask for
the derivative at the picture are asked of each side how much better the box fits with that side a little farther out
than farther in (``LayoutContrast``), which has the derivative of the side itself. The four maps are added as the sides
of a right angle are: root of the sum of squares.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.attribution.attribution import Method
from invert3d.engine.objective import Objective
from invert3d.models.detectors import Detector, detect
from invert3d.objectives.detection import DetectionLoss, LayoutContrast
from invert3d.ops.layouts import Layout
from invert3d.registry import unknown
from invert3d.study.layouts.context import only
from invert3d.study.layouts.job import device_of, frozen

#: a detection must have at least this score to be explained, if it is not asked for
SURE = 0.3
#: the share of its length by which a side is moved either way
REACH = 0.005
ROLES = ("class", "box", "mask")


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why something was found.

    Attributes:
        picture: (3, h, w), RGB in [0, 1], as the detector sees it.
        detection: a layout of one object in it.
        head: the name of the head whose evidence it is.
        map: (h, w), larger for pixels that did more for it; negative where a method says that they spoke against it.
        runs: of the detector.
    """

    picture: Tensor
    detection: Layout
    head: str
    map: Tensor
    runs: int


def explain_detection(
    detector: Detector,
    picture: Tensor | np.ndarray,
    detection: int | Layout = 0,
    head: str = "class",
    method: str | Method = "grad_cam",
) -> Explanation:
    """Say which pixels made a frozen 2-D detector find an object.

    Args:
        detector: see ``open_box_detector``.
        picture: (3, H, W) in [0, 1], or (H, W, 3) of bytes, of any size.
        detection: the number of a detection with a score of at least 0.3, the best is 0; or a layout of one object in
            the picture, which need not be found.
        head: ``class``, ``box`` or ``mask``, or the detector's own name of a head (``Detector.heads``).
        method: ``grad_cam``, ``extremal``, ``d_rise``, another name of a method that explains images, or a ``Method``.

    Raises:
        ValueError: an unknown head or method, a picture that is none, no such detection, or a head that the method
            cannot be asked about.
    """
    from invert3d.study.explaining.ways import way_of

    image, asked = prepared(detector, picture, detection if isinstance(detection, Layout) else None)
    if not isinstance(detection, Layout):
        found = sure(detector, image)
        if not 0 <= detection < len(found):
            raise ValueError(f"there is no detection {detection}: {len(found)} have a score of at least {SURE}")
        asked = found.select(torch.tensor([detection]))
    if len(asked) != 1:
        raise ValueError(f"one object is explained at a time, the layout has {len(asked)}")
    name = head_named(detector, head)
    maps = way_of(method)(detector, image, [asked], [name])[name]
    return Explanation(picture=image, detection=asked, head=name, map=maps.values[0], runs=maps.runs)


def prepared(detector: Detector, picture: Tensor | np.ndarray, layout: Layout | None = None) -> tuple[Tensor, Layout]:
    """A picture (3, H, W) in [0, 1], or (H, W, 3) of bytes, and a layout in it, as the detector sees them. Raises
    ValueError for what is no picture."""
    image = torch.from_numpy(np.array(picture)) if isinstance(picture, np.ndarray) else picture
    if image.dim() == 3 and image.dtype == torch.uint8 and image.shape[2] == 3:
        image = image.permute(2, 0, 1).float() / 255
    if image.dim() != 3 or len(image) != 3 or not image.is_floating_point() or not 0 <= image.min() <= image.max() <= 1:
        shape = tuple(image.shape)
        raise ValueError(f"a picture is (3, H, W) in [0, 1] or (H, W, 3) of bytes, not {shape} of {image.dtype}")
    whole = layout or Layout.of_boxes([], torch.zeros(0, 4), *image.shape[1:])
    return detector.prepare(image, whole)


def sure(detector: Detector, picture: Float[Tensor, "3 h w"], threshold: float = SURE) -> Layout:
    """The detections in a prepared picture with at least a score, best first."""
    with frozen(detector):
        found = detect(detector, picture[None].to(device_of(detector)), threshold=0.0)[0].to("cpu")
    return found.select(found.scores >= threshold)


@dataclass(frozen=True)
class Maps:
    """Maps (D, h, w) of the evidence of a head for D detections, and how often the detector ran for each."""

    values: Tensor
    runs: int


def roles_of(detector: Any) -> dict[str, str]:
    """What each head is about, where the detector says so."""
    return dict(getattr(detector, "roles", {}))


def head_named(detector: Detector, name: str) -> str:
    """The head that has the last word on ``class``, ``box`` or ``mask``, or that of the name. ValueError if none."""
    roles = roles_of(detector)
    if name in detector.heads:
        return name
    about = [head for head, role in roles.items() if role == name]
    if not about:
        raise ValueError(unknown("head", name, [*dict.fromkeys(roles.values()), *detector.heads]))
    return about[-1]


def label_of(detector: Detector, head: str) -> str:
    """``class``, ``box`` or ``mask`` for the head that has the last word on it, else the detector's own name."""
    role = roles_of(detector).get(head)
    return role if role is not None and head_named(detector, role) == head else head


def usual_heads(detector: Detector) -> list[str]:
    """The heads with the last word on class, box and mask, as far as there are any. Raises ValueError for none."""
    known = [role for role in ROLES if role in roles_of(detector).values()]
    if not known:
        raise ValueError(
            f"the detector does not say what its heads are about: name some of {', '.join(detector.heads)}"
        )
    return [head_named(detector, role) for role in known]


def evidence_of(
    detector: Detector, detections: Sequence[Layout], head: str, local: bool
) -> tuple[Objective, dict[str, Any]]:
    """An objective, minus which is the evidence of a head, and its target: a row for each detection, or, for boxes and
    the derivative at the picture (``local``), four for each: its sides."""
    loss, device = DetectionLoss(weights={head: 1.0}), device_of(detector)

    def targets(layouts: Sequence[Layout]) -> dict[str, Tensor]:
        asked = detector.targets([only(each) for each in layouts])
        return {name: value.to(device) for name, value in asked.items()}

    if not local or roles_of(detector).get(head) != "box":
        return loss, targets(detections)
    out, back = ([moved(one, side, way) for one in detections for side in range(4)] for way in (REACH, -REACH))
    return LayoutContrast(loss=loss), {"asked": targets(out), "against": targets(back)}


def moved(one: Layout, side: int, share: float) -> Layout:
    """One object with a side of its box (0 left, 1 top, 2 right, 3 bottom) moved out by a share of its length."""
    boxes = one.boxes.clone()
    length = boxes[0, 2 + side % 2] - boxes[0, side % 2]
    boxes[0, side] += (share if side > 1 else -share) * length
    return replace(one, boxes=boxes)
