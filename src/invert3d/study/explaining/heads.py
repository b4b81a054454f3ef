"""The evidence of each head of a detector for what it found.

The evidence of a head for a detection is minus the loss of that head with the detection itself as the target, and
nothing asked of the rest of the picture. ``Detector.assign`` knows which candidate that is about, so this holds for
every family of detectors. The evidence of a head of classes rises and falls with the class score of that candidate.

The loss of a box is lowest, with a derivative of zero, where the box is the detection's own. So methods that ask for
the derivative at the picture are asked of each side how much better the box fits with that side a little farther out
than farther in (``LayoutContrast``), which has the derivative of the side itself. The four maps become one by the root
of the sum of their squares.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.models.detectors import Detector
from invert3d.objectives.detection import DetectionLoss, LayoutContrast
from invert3d.ops.layouts import Layout
from invert3d.registry import unknown
from invert3d.study.layouts.context import only
from invert3d.study.layouts.job import device_of

#: the share of its length by which a side is moved either way
REACH = 0.005
ROLES = ("class", "box", "mask")


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
    return LayoutContrast(weights=loss.weights), {"asked": targets(out), "against": targets(back)}


def moved(one: Layout, side: int, share: float) -> Layout:
    """One object with a side of its box (0 left, 1 top, 2 right, 3 bottom) moved out by a share of its length."""
    boxes = one.boxes.clone()
    length = boxes[0, 2 + side % 2] - boxes[0, side % 2]
    boxes[0, side] += (share if side > 1 else -share) * length
    return replace(one, boxes=boxes)
