"""What the public code of *Inverting and Understanding Object Detectors* asks of Faster and Mask R-CNN."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invert3d.models.detectors.published_rule import level_weights
from invert3d.models.detectors.regions import put, rows_at

SMOOTH = 1 / 9  #: below this the loss of a box is quadratic: torchvision's own, in both stages
LOGITS = 100  #: what the sum of the objects' logits is divided by


@dataclass(frozen=True, kw_only=True)
class TwoStageRule:
    """The training losses of both stages, on targets of the detector's own matchers (Cao & Johnson 2021, section 3.3).

    Stage 1 is trained on its anchors, stage 2 on the proposals and, as rows of its own, on the asked boxes. In training
    a sampler draws some of the candidates at random; here each counts with the probability that it is drawn. So the
    loss is the mean of those that the public code takes at random, and the same each time.

    Attributes:
        kept: not used; dense detectors need it.
        levels: weights of the candidates of each level of the pyramid, fine to coarse, in stage 1.
    """

    detector: Any
    kept: float
    levels: tuple[float, ...]

    classifier = "classifier"

    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``PublishedRule``.

        Returns:
            For stage 1 ``rpn_owner`` (B, A), the object that an anchor becomes, or -1; ``rpn_drawn`` (B, A), the
            probability that it is drawn; and ``rpn_wanted`` (B, A, 4), its regression. For stage 2 the same of P
            proposals and N asked boxes, ``owner`` and ``drawn`` (B, P + N), ``wanted`` (B, P + N, 4). The ``kinds``
            (B, N) and ``boxes`` (B, N, 4), in pixels as resized, of the objects, and which are ``asked`` (B, N).
        """
        detector, model = self.detector, self.detector.model
        asked, kinds = detector.asked(targets), targets["kinds"].clamp_min(0)
        boxes = detector.boxes_as_resized(targets, raw["sizes"]).to(raw["anchors"])
        everywhere = torch.ones_like(raw["objectness"][..., 0], dtype=torch.bool)
        looked, there = torch.cat([raw["proposals"], boxes], 1), torch.cat([raw["proposed"], asked], 1)
        first = _matched(model.rpn, raw["anchors"], everywhere, boxes, asked)
        second = _matched(model.roi_heads, looked, there, boxes, asked)
        stages = {f"rpn_{name}": value for name, value in first.items()} | second
        return {**stages, "kinds": kinds, "boxes": boxes, "asked": asked}

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
        """Stage 1: binary cross-entropy and smooth L1 loss, sums over candidates, weighted by level, divided by how
        many candidates training draws. Stage 2: cross-entropy and smooth L1 loss, divided by how many are drawn here;
        and minus the logits of the asked boxes' own classes, summed, divided by 100."""
        kinds, asked, boxes = (assigned[name] for name in ("kinds", "asked", "boxes"))
        owner, drawn = assigned["rpn_owner"], assigned["rpn_drawn"]
        drawn = drawn * level_weights(self.levels, raw["levels"][0]) / _sampler(self.detector.model.rpn)[0]
        objectness = raw["objectness"][..., 0]
        scored = F.binary_cross_entropy_with_logits(objectness, (owner >= 0).to(objectness), reduction="none")
        gaps = _smooth(raw["rpn_deltas"], assigned["rpn_wanted"], owner)
        losses = {"objectness": (drawn * scored).sum(1), "rpn_box_reg": (drawn * gaps).sum(1)}

        looked = self.detector.look(raw, [own[rows] for own, rows in zip(boxes, asked, strict=True)])
        logits, regression = (put(each, asked).to(boxes) for each in looked)
        own = torch.where(asked, logits.gather(2, kinds[..., None])[..., 0], 0).sum(1) / LOGITS
        logits = torch.cat([raw["class_logits"], logits], 1)
        regression = torch.cat([raw["box_regression"], regression], 1).unflatten(2, (-1, 4))
        owner, drawn = assigned["owner"], assigned["drawn"]
        drawn = drawn / drawn.sum(1, keepdim=True).clamp_min(1)
        classes = torch.where(owner >= 0, kinds.gather(1, owner.clamp_min(0)), 0)  # 0 is the background
        missed = F.cross_entropy(logits.transpose(1, 2), classes, reduction="none")
        found = regression.gather(2, classes[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
        gaps = _smooth(found, assigned["wanted"], owner)
        losses |= {"classifier": (drawn * missed).sum(1), "box_reg": (drawn * gaps).sum(1)}
        return {**losses, "foreground": -own}


class MaskRule(TwoStageRule):
    """``TwoStageRule``, and where all layouts have masks the loss of the mask within each asked box."""

    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``TwoStageRule.assign``, and what ``MaskRCNNDetector.assign`` says of masks."""
        return super().assign(raw, targets) | self.detector.asked_masks(targets)

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``TwoStageRule.losses`` and ``MaskRCNNDetector.mask_losses``."""
        return super().losses(raw, assigned) | self.detector.mask_losses(raw, assigned)


def _matched(
    stage: Any, found: Float[Tensor, "b r 4"], there: Bool[Tensor, "b r"], boxes: Tensor, asked: Bool[Tensor, "b n"]
) -> dict[str, Tensor]:
    """The ``owner``, ``drawn`` and ``wanted`` of a stage's candidates, by its matcher, sampler and coder."""
    from torchvision.ops import box_iou

    owner = torch.full_like(there, -1, dtype=torch.long)
    for i, chosen in enumerate(asked):
        numbers = chosen.nonzero()[:, 0]
        if len(numbers):
            places = stage.proposal_matcher(box_iou(boxes[i, numbers], found[i]))
            owner[i] = torch.where(places >= 0, numbers[places.clamp_min(0)], places)
    count, share = _sampler(stage)
    objects, background = there & (owner >= 0), there & (owner == stage.proposal_matcher.BELOW_LOW_THRESHOLD)
    positives = objects.sum(1, keepdim=True).clamp_max(int(count * share))
    negatives = torch.minimum(background.sum(1, keepdim=True), count - positives)
    drawn = objects * _probability(positives, objects) + background * _probability(negatives, background)
    pairs = rows_at(boxes, owner.clamp_min(0)), found
    wanted = stage.box_coder.encode_single(*(each.flatten(0, 1) for each in pairs)).view_as(found)
    wanted = torch.where(objects[..., None], wanted, 0)
    return {"owner": torch.where(objects, owner, -1), "drawn": drawn.to(found), "wanted": wanted}


def _sampler(stage: Any) -> tuple[int, float]:
    """How many candidates of a picture a stage is trained on, and which share of them may be objects."""
    return stage.fg_bg_sampler.batch_size_per_image, stage.fg_bg_sampler.positive_fraction


def _probability(chosen: Int[Tensor, "b 1"], of: Bool[Tensor, "b r"]) -> Float[Tensor, "b 1"]:
    return chosen / of.sum(1, keepdim=True).clamp_min(1)


def _smooth(found: Float[Tensor, "b r 4"], wanted: Float[Tensor, "b r 4"], owner: Tensor) -> Float[Tensor, "b r"]:
    """Smooth L1 loss of the regressions that become objects, summed over the four; 0 for the others."""
    gaps = F.smooth_l1_loss(found, wanted, beta=SMOOTH, reduction="none").sum(2)
    return torch.where(owner >= 0, gaps, 0)
