"""Missed objects: what would have made a detector see them? The control asks for the same category and box at a random
empty place of the same picture."""

import numpy as np
import torch
from torch import Tensor

from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import seed_of
from invert3d.study.layouts.changes import Pair, Question, Words
from invert3d.study.layouts.context import only
from invert3d.study.layouts.job import redetected
from invert3d.study.layouts.scenes import Scenes
from invert3d.study.layouts.score import sure

TRIES = 200  # places that are looked at for an empty one
MISSED = Words(
    question="missed object",
    control="empty place",
    questions="missed objects",
    controls="empty places",
    seen=True,
    table="missed",
)


def missed_pairs(detector: Detector, scenes: Scenes, most: int, seed: int = 0) -> list[Pair]:
    """Labeled objects that no detection above ``SHOWN`` overlaps by half, whatever its category, each with an empty
    place; at most ``most``, in order. Those for which no place is empty are left out.

    Raises ValueError if there is none.
    """
    from torchvision.ops import box_iou

    real, pairs = scenes.real(), []
    if real is None:
        raise ValueError("missed objects are looked for in real pictures: these layouts have none")
    for name, picture, layout, found in zip(
        scenes.names, real, scenes.layouts, redetected(detector, list(real), scenes.layouts), strict=True
    ):
        there = sure(found)
        overlaps = box_iou(layout.boxes, there.boxes)
        for row, kind in enumerate(layout.kinds):
            if kind == "DontCare" or (len(there) and float(overlaps[row].max()) >= 0.5):
                continue
            rng = np.random.default_rng(seed_of(seed, "empty", name, row))
            place = empty_place(rng, layout.boxes[row], torch.cat([layout.boxes, there.boxes]), layout)
            if place is not None:
                both = [one_at(picture, kind, box) for box in (layout.boxes[row], place)]
                pairs.append(Pair(name=f"{name}-{row}", question=both[0], control=both[1]))
    if not pairs:
        raise ValueError(f"the detector misses nothing in {len(scenes.names)} pictures that has room elsewhere")
    return pairs[:most]


def one_at(picture: Tensor, kind: str, box: Tensor) -> Question:
    """The question for one object in a picture; nothing is asked of the rest."""
    one = Layout.of_boxes([kind], box[None], picture.shape[1], picture.shape[2])
    return Question(picture=picture, asked=only(one), about=one)


def empty_place(rng: np.random.Generator, box: Tensor, others: Tensor, layout: Layout) -> Tensor | None:
    """A box (4,) of the same size somewhere in the picture that touches none of the others; None if 200 do."""
    wide, high = (box[2:] - box[:2]).tolist()
    for _ in range(TRIES):
        left, top = rng.uniform(0, layout.width - wide), rng.uniform(0, layout.height - high)
        place = box.new_tensor([left, top, left + wide, top + high])
        apart = (others[:, :2] >= place[2:]) | (others[:, 2:] <= place[:2])
        if apart.any(1).all():
            return place
    return None
