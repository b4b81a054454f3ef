"""False detections: how little must change until they are gone? The control is a right detection of like score.

Where a false detection needs less, it depends on a detail of the picture. Where it needs as much as a right one, what
the detector sees there is as much of an object to it.
"""

from dataclasses import replace

import torch
from torch import Tensor

from invert3d.evaluate.layouts import match
from invert3d.models.detectors import Detector, categories, detect
from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import intersection_over_first
from invert3d.study.layouts.changes import Pair, Question, Words
from invert3d.study.layouts.job import device_of, frozen
from invert3d.study.layouts.scenes import Scenes
from invert3d.study.layouts.score import sure

NEAR = 0.25  #: the IoU with a labeled object above which a detection is not of nothing
LIKE = 0.05  #: how far apart scores are at most that are alike

FALSE = Words(
    question="false detection",
    control="right detection",
    questions="false detections",
    controls="right detections",
    seen=False,
    table="false",
)


def false_pairs(detector: Detector, scenes: Scenes, most: int) -> list[Pair]:
    """Detections above ``SHOWN`` where nothing is: no labeled object has an IoU of more than ``NEAR`` with them. Each
    comes with the right detection of the nearest score, at most ``LIKE`` away, which is taken once; at most ``most``,
    in order.

    Raises ValueError if there is none.
    """
    from torchvision.ops import box_iou

    real = scenes.real()
    if real is None:
        raise ValueError("false detections are looked for in real pictures: these layouts have none")
    wrong: list[tuple[str, Question]] = []
    right: list[Question] = []
    for name, picture, truth in zip(scenes.names, real, scenes.layouts, strict=True):
        found = all_found(detector, picture)
        there = sure(found)
        hits = set(match(truth, there)[:, 1].tolist())
        empty = (box_iou(there.boxes, truth.boxes) <= NEAR).all(1).tolist()
        for row in range(len(there)):
            if row in hits:
                right.append(gone(picture, found, row))
            elif empty[row]:
                wrong.append((f"{name}-{row}", gone(picture, found, row)))
    pairs = []
    for name, question in wrong:
        away = [abs(score_of(each) - score_of(question)) for each in right]
        if away and min(away) <= LIKE:
            pairs.append(Pair(name=name, question=question, control=right.pop(away.index(min(away)))))
    if not pairs:
        raise ValueError(f"no false detection has a right one of like score in {len(scenes.names)} pictures")
    return pairs[:most]


def all_found(detector: Detector, picture: Tensor) -> Layout:
    """All detections in a picture (3, h, w), best first, also weak ones, of categories that can be asked for."""
    with frozen(detector):
        found = detect(detector, picture[None].to(device_of(detector)), threshold=0.0)[0].to("cpu")
    return found.of_kinds(categories(detector))


def gone(picture: Tensor, found: Layout, row: int) -> Question:
    """The question for a picture without one of the detections, and without those of other categories that overlap it
    by half: they are of the same thing. The other sure ones stay, and those that are not sure may, unless the one in
    question lies in them."""
    from torchvision.ops import box_iou

    there = len(sure(found))
    about = found.select(torch.tensor([row]))
    others = box_iou(about.boxes, found.boxes)[0] < 0.5
    weak = others & (torch.arange(len(found)) >= there)
    weak &= intersection_over_first(about.boxes, found.boxes)[0] <= 0.5  # else it would be spared itself
    kept, spared = found.select(others & (torch.arange(len(found)) < there)), found.select(weak)
    boxes = torch.cat([kept.boxes, spared.boxes])
    kinds = [*kept.kinds, *["DontCare"] * len(spared)]
    asked = Layout.of_boxes(kinds, boxes, found.height, found.width)
    return Question(picture=picture, asked=asked, about=replace(about, masks=None))


def score_of(question: Question) -> float:
    """The score of what a question is about."""
    return float(question.about.scores[0])
