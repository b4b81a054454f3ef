"""torchvision's Faster R-CNN behind the protocol: Ren et al., *Faster R-CNN*, 2015.

Its first stage scores anchors and proposes some of them, its second stage looks at each proposal again. What either
should say is the smallest change after which exactly the asked boxes would be left (Cao & Johnson 2021, *Inverting and
Understanding Object Detectors*, section 3.3). Nothing is drawn at random, unlike in torchvision's training losses.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invert3d.models.detectors.box_detector import matched
from invert3d.models.detectors.rcnn_rule import TwoStageRule
from invert3d.models.detectors.regions import FEATURES, decoded, features, put, resized, rows_at
from invert3d.models.detectors.smallest_change import affinity
from invert3d.models.detectors.torchvision_detector import TorchvisionDetector
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import intersection_over_first

SMALLEST = 1e-2  #: post-processing removes boxes with a shorter side, in pixels


class FasterRCNNDetector(TorchvisionDetector):
    """A ``torchvision.models.detection.FasterRCNN``, yours or one from ``fasterrcnn``; see ``TorchvisionDetector``.

    Class 0 is the background: it cannot be asked for.
    """

    network = "FasterRCNN"
    heads = {"objectness": 1.0, "rpn_box_reg": 1.0, "classifier": 1.0, "box_reg": 1.0}  # torchvision's, without loss_
    published_rule = TwoStageRule
    roles = {"objectness": "class", "rpn_box_reg": "box", "classifier": "class", "box_reg": "box"}

    @property
    def classes(self) -> int:
        """How many classes the network has, with the background."""
        return self.model.roi_heads.box_predictor.cls_score.out_features

    @property
    def suppression(self) -> float:
        """The overlap of two boxes of a kind above which post-processing removes one."""
        return self.model.roi_heads.nms_thresh

    def raw(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """All candidates of both stages, of pictures of any one size, RGB in [0, 1].

        Stage 1: ``objectness`` (B, A, 1) and ``rpn_deltas`` (B, A, 4) of the ``anchors`` (B, A, 4), how many of them
        are in each of the ``levels`` (B, L), and the ``sizes`` (B, 4): height and width as resized, and before.

        Stage 2: ``class_logits`` (B, P, K), of which class 0 is the background, and ``box_regression`` (B, P, 4 K) of
        the ``proposals`` (B, P, 4), padded to the same number: ``proposed`` (B, P) says which are there. They are those
        that the network itself chooses, in its order, and are constants. Other boxes can be looked at in the maps of
        the backbone, ``features_0`` (B, C, h/s, w/s) and so on.
        """
        batch, sizes = self.scaled(images)
        features = self.model.backbone(batch.tensors)
        features = {"0": features} if isinstance(features, Tensor) else features
        maps = {f"{FEATURES}{name}": level for name, level in features.items()}
        raw = {**self._candidates(images, batch, list(features.values())), "sizes": sizes, **maps}
        proposals = self._proposals(raw)
        counts = torch.tensor([len(boxes) for boxes in proposals], device=images.device)
        proposed = torch.arange(int(counts.max()), device=images.device) < counts[:, None]
        names = ("class_logits", "box_regression")
        seen = {name: put(each, proposed) for name, each in zip(names, self.look(raw, proposals), strict=True)}
        return {**raw, **seen, "proposals": put(torch.cat(proposals), proposed), "proposed": proposed}

    def _candidates(self, images: Tensor, batch: Any, maps: list[Tensor]) -> dict[str, Tensor]:
        """What stage 1 says of its anchors, with the gradient that torchvision's own forward cuts off."""
        from torchvision.models.detection.rpn import concat_box_prediction_layers

        # the generator keeps its anchors in the precision of what it is shown: never in half
        shapes = [images.new_empty(1).expand(level.shape) for level in maps]
        anchors = torch.stack(self.model.rpn.anchor_generator(batch, shapes))
        objectness, deltas = self.model.rpn.head(maps)
        levels = torch.tensor([level[0].numel() for level in objectness], device=images.device)
        objectness, deltas = (each.to(images) for each in concat_box_prediction_layers(objectness, deltas))
        found = {"objectness": objectness.view(*anchors.shape[:2], 1), "rpn_deltas": deltas.view_as(anchors)}
        return {**found, "anchors": anchors, "levels": levels.expand(len(images), -1)}

    @torch.no_grad()
    def _proposals(self, raw: dict[str, Tensor]) -> list[Tensor]:
        """The boxes (P, 4) of each picture that stage 1 proposes, in pixels as resized."""
        boxes = decoded(self.model.rpn.box_coder, raw["rpn_deltas"], raw["anchors"])[:, :, 0]
        return self.model.rpn.filter_proposals(boxes, raw["objectness"], resized(raw), raw["levels"][0].tolist())[0]

    def look(self, raw: dict[str, Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """What stage 2 says of the boxes (R_i, 4) of each picture: class logits (R, K) and regressions (R, 4 K)."""
        heads = self.model.roi_heads
        return heads.box_predictor(heads.box_head(heads.box_roi_pool(features(raw), boxes, resized(raw))))

    def detections(self, raw: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """What the network's own post-processing finds in each picture as resized."""
        there, heads = raw["proposed"], self.model.roi_heads
        proposals = [boxes[rows] for boxes, rows in zip(raw["proposals"], there, strict=True)]
        logits, regression = raw["class_logits"][there], raw["box_regression"][there]
        found = heads.postprocess_detections(logits, regression, proposals, resized(raw))
        return [dict(zip(("boxes", "scores", "labels"), each, strict=True)) for each in zip(*found, strict=True)]

    @torch.no_grad()
    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each picture, best first, by the network's own post-processing, above a score (those below
        the network's ``score_thresh`` are never among them). Cameras are not looked at."""
        return self.read(self.detections(raw), raw["sizes"], threshold)

    @torch.no_grad()
    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The smallest change of both stages after which post-processing would leave exactly the objects.

        Stage 1: the candidate that overlaps an object most becomes it. All others may stay: what else is proposed is
        for stage 2 to reject.

        Stage 2: which detection becomes an object is said by ``smallest_change.affinity``; where none overlaps it as
        much as torchvision asks of a proposal in training, what stage 2 says of the asked box itself does. Every other
        row with a score above the threshold must become background, or of a kind whose object suppresses it. What lies
        in a region to be ignored may stay.

        Returns:
            ``labels`` (B, A) of stage 1: 1 for an object, -1 for what may stay as it is (0, background, is not used);
            the ``candidates`` (B, N) that become the objects; the ``rows`` (B, N) of stage 2 that do, of which those
            from P on are the asked boxes; ``allowed`` (B, P + N, K), the classes that each row may have;
            ``asked`` (B, N), and the ``kinds`` (B, N) and ``boxes`` (B, N, 4), in pixels as resized, of the objects.
        """
        from torchvision.ops import clip_boxes_to_image, generalized_box_iou

        asked, kinds = self.asked(targets), targets["kinds"].clamp_min(0)
        boxes = self.boxes_as_resized(targets, raw["sizes"]).to(raw["anchors"])
        found = decoded(self.model.rpn.box_coder, raw["rpn_deltas"], raw["anchors"])[:, :, 0]
        found = clip_boxes_to_image(found, resized(raw)[0])
        candidates = matched(torch.vmap(generalized_box_iou)(found, boxes), asked)
        labels = torch.full_like(raw["objectness"][..., 0], -1, dtype=torch.int8)
        labels = labels.scatter(1, candidates, torch.where(asked, 1, -1).to(labels))
        second = self._assign_rows(raw, targets["states"] == -1, targets["kinds"], boxes, asked)
        return {"labels": labels, "candidates": candidates, **second, "asked": asked, "kinds": kinds, "boxes": boxes}

    def _assign_rows(
        self, raw: dict[str, Tensor], ignored: Tensor, kinds: Tensor, boxes: Tensor, asked: Tensor
    ) -> dict[str, Tensor]:
        """The ``rows`` and ``allowed`` of ``assign``."""
        from torchvision.ops import box_iou, clip_boxes_to_image

        heads, own = self.model.roi_heads, F.one_hot(kinds.clamp_min(0), self.classes).bool()
        found = decoded(heads.box_coder, raw["box_regression"], raw["proposals"])
        found = clip_boxes_to_image(found, resized(raw)[0])  # (B, P, K, 4)
        place = kinds.clamp_min(0)[:, None, :, None].expand(-1, found.shape[1], -1, 4)
        of_kind = found.gather(2, place).transpose(1, 2)  # (B, N, P, 4): the boxes of each object's kind
        shares = torch.vmap(torch.vmap(box_iou))(of_kind, boxes[:, :, None])[..., 0].transpose(1, 2)
        shares = torch.where(raw["proposed"][..., None] & asked[:, None], shares, 0)
        scores = raw["class_logits"].softmax(-1)
        near = torch.where(shares >= heads.proposal_matcher.high_threshold, shares, -1)
        near = affinity(near, shares > self.suppression, scores, kinds.clamp_min(0), heads.score_thresh)
        alone = torch.eye(boxes.shape[1]).to(shares) - 1  # its own box: better than none that is near
        rows = matched(torch.cat([near, alone.expand(len(near), -1, -1)], 1), asked)
        spared = (shares > self.suppression).to(shares) @ own.to(shares) > 0
        spared |= _within(found, boxes, kinds, ignored)
        spared[..., 0] = True
        shown = (scores > heads.score_thresh) & raw["proposed"][..., None]
        shown &= (found[..., 2:] - found[..., :2] >= SMALLEST).all(-1)
        allowed = spared | ~(shown & ~spared).any(-1, keepdim=True)
        allowed = torch.cat([allowed, torch.ones_like(own)], 1)
        place = rows[..., None].expand_as(own)
        return {
            "rows": rows,
            "allowed": allowed.scatter(1, place, torch.where(asked[..., None], own, allowed.gather(1, place))),
        }

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """Binary cross-entropy and generalized IoU loss of stage 1, and of stage 2 cross-entropy with the classes that
        each row may have and generalized IoU loss, all divided by the number of objects. Raises ValueError for another
        divisor: there are no slots."""
        from torchvision.ops import generalized_box_iou_loss

        self.check_per(per)
        asked, labels, boxes = (assigned[name] for name in ("asked", "labels", "boxes"))
        count = asked.sum(1).clamp_min(1)
        objectness, candidates = raw["objectness"][..., 0], assigned["candidates"]
        scored = F.binary_cross_entropy_with_logits(objectness, (labels == 1).to(objectness), reduction="none")
        chosen = (rows_at(raw[name], candidates) for name in ("rpn_deltas", "anchors"))
        proposed = decoded(self.model.rpn.box_coder, *chosen)
        logits, found = self._objects(raw, assigned)
        missed = logits.logsumexp(-1) - logits.masked_fill(~assigned["allowed"], -torch.inf).logsumexp(-1)
        gaps = [generalized_box_iou_loss(each, boxes) for each in (proposed[:, :, 0], found)]
        return {
            "objectness": torch.where(labels >= 0, scored, 0).sum(1) / count,
            "rpn_box_reg": torch.where(asked, gaps[0], 0).sum(1) / count,
            "classifier": missed.sum(1) / count,
            "box_reg": torch.where(asked, gaps[1], 0).sum(1) / count,
        }

    def object_readings(
        self, raw: dict[str, Tensor], assigned: dict[str, Tensor], kinds: Int[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n 4"]]:
        """See ``BoxDetector.object_readings``; of stage 2."""
        logits, found = self._objects(raw, assigned)
        scores = rows_at(logits.softmax(-1), assigned["rows"])
        return scores.gather(2, kinds[..., None])[..., 0], found

    def _objects(self, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits (B, P + N, K) of all proposals and asked boxes, and the box (B, N, 4) of each object where it
        is to be. Stage 2 looks at the asked boxes that are among the rows, and only at them."""
        rows, boxes = assigned["rows"], assigned["boxes"]
        alone = assigned["asked"] & (rows >= raw["proposals"].shape[1])
        looked = self.look(raw, [own[chosen] for own, chosen in zip(boxes, alone, strict=True)])
        logits, regression = (put(each, alone).to(boxes) for each in looked)
        logits = torch.cat([raw["class_logits"], logits], 1)
        parts = ("box_regression", regression), ("proposals", boxes)
        chosen = [rows_at(torch.cat([raw[name], own], 1), rows) for name, own in parts]
        found = decoded(self.model.roi_heads.box_coder, *chosen)
        place = assigned["kinds"][..., None, None].expand(-1, -1, 1, 4)
        return logits, found.gather(2, place)[:, :, 0]


def _within(found: Float[Tensor, "b p k 4"], boxes: Tensor, kinds: Tensor, ignored: Tensor) -> Bool[Tensor, "b p k"]:
    """Which detections lie mostly in a region where their kind is to be ignored."""
    classes = torch.arange(found.shape[2], device=found.device)
    if not ignored.any():
        return torch.zeros(found.shape[:3], dtype=torch.bool, device=found.device)
    inside = intersection_over_first(found.flatten(1, 2), boxes).unflatten(1, found.shape[1:3]) > 0.5
    of_kind = (kinds[:, None] == classes[:, None]) | (kinds == -1)[:, None]  # (B, K, N)
    return (inside & (of_kind & ignored[:, None])[:, None]).any(-1)
