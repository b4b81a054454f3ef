"""What the public code of *Inverting and Understanding Object Detectors* asks of a dense detector."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.registry import plain


@plain("objective", "published_layout")
class PublishedLayout(Objective):
    """Ordinary training losses of a detector on the picture, with targets that also look at what it says now.

    A candidate becomes an object where the detector's own matcher would train it to be one (``published_positives``:
    for anchors an overlap of at least 0.7, or the largest of the object), or where it says so already: its score is
    above ``kept`` and its box overlaps the object by more than a half. Other candidates above ``kept`` become
    background. The loss is, each term a mean,

        classification * focal(all of those) + regression * GIoU(those that are objects) - foreground * logit

    of the best positive candidate of each object. Candidates of the finer levels of the pyramid count less:
    ``levels`` are the weights of P3 to P7. Settings are those of the public code for RetinaNet; for FCOS, for which
    there is none, points take the place of anchors. Cao & Johnson 2021, section 3.2.
    """

    spaces = frozenset({"image"})

    classification: float = 30.0
    regression: float = 30.0
    foreground: float = 1.0
    kept: float = 0.5
    levels: tuple[float, ...] = (0.125, 0.5, 1.0, 2.0, 8.0)

    def update(self, state: State) -> None:
        from torchvision.ops import box_iou

        raw, target, model = state.outputs, state.view_target, state.model
        if not hasattr(model, "published_positives"):
            raise ValueError(f"the published rule is written for dense detectors, not for {type(model).__name__}")
        boxes = model.boxes_as_resized(target, raw["sizes"]).to(raw["cls_logits"])
        asked = (target["states"] == 1)[:, None]
        positive = model.published_positives(raw, boxes) & asked
        found = model.decoded(raw["bbox_regression"], raw["anchors"])
        overlap = torch.where(asked, torch.vmap(box_iou)(found, boxes), -1.0)
        sure = model.scores(raw).amax(2) > self.kept
        hit = (overlap > 0.5) & sure[..., None] & ~positive.any(2, keepdim=True)
        owner = torch.where(positive.any(2), positive.float().argmax(2), torch.where(hit, overlap, -1.0).argmax(2))
        owner = torch.where((positive | hit).any(2), owner, -1)
        logits = raw["cls_logits"].gather(2, _rows(target["kinds"].clamp_min(0)[:, None], raw["cls_logits"].shape[1]))
        best = torch.where(positive, logits, -torch.inf).argmax(1)
        state.memory_of(self).update(owner=owner, chosen=(owner >= 0) | sure, best=best, boxes=boxes)

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

        raw, memory, target = state.outputs, state.memory_of(self), state.target
        logits, owner, boxes = raw["cls_logits"], memory["owner"], memory["boxes"]
        weights = logits.new_tensor(self.levels)[: raw["levels"].shape[1]]
        weights = weights.repeat_interleave(raw["levels"][0])
        objects, place = owner >= 0, owner.clamp_min(0)
        kinds = target["kinds"].clamp_min(0)
        wanted = F.one_hot(kinds.gather(1, place), logits.shape[-1]) * objects[..., None]
        focal = sigmoid_focal_loss(logits, wanted.to(logits)).sum(2) * weights
        found = state.model.decoded(raw["bbox_regression"], raw["anchors"])
        gaps = generalized_box_iou_loss(found, boxes.gather(1, place[..., None].expand(-1, -1, 4))) * weights
        asked = target["states"] == 1
        best = logits.gather(1, memory["best"][..., None].expand(-1, -1, logits.shape[-1]))
        fore = best.gather(2, kinds[..., None])[..., 0]
        return (
            self.classification * _mean(focal, memory["chosen"])
            + self.regression * _mean(gaps, objects)
            - self.foreground * _mean(fore, asked)
        )


def _mean(values: Tensor, there: Tensor) -> Float[Tensor, "b"]:
    """The mean of values (B, C) where there are some; 0 without any."""
    return torch.where(there, values, 0).sum(1) / there.sum(1).clamp_min(1)


def _rows(places: Tensor, count: int) -> Tensor:
    return places.expand(-1, count, -1)
