"""torchvision's Mask R-CNN behind the protocol: He et al., *Mask R-CNN*, 2017."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from invert3d.models.detectors.rcnn import FasterRCNNDetector
from invert3d.models.detectors.rcnn_rule import MaskRule
from invert3d.models.detectors.regions import features, put, resized
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import mask_iou

SMALLEST = 1e-6  #: a probability that is compared is at least so far from 0 and 1


class MaskRCNNDetector(FasterRCNNDetector):
    """A ``torchvision.models.detection.MaskRCNN``, yours or one from ``maskrcnn``; see ``FasterRCNNDetector``.

    Its detections have masks. It is asked for masks where all layouts have them; where some have not, there is no loss
    of the head ``mask``.
    """

    network = "MaskRCNN"
    heads = {**FasterRCNNDetector.heads, "mask": 1.0}
    published_rule = MaskRule
    roles = {**FasterRCNNDetector.roles, "mask": "mask"}

    def mask_logits(self, raw: dict[str, Tensor], boxes: list[Tensor], labels: Tensor) -> Tensor:
        """The mask logits (R, M, M) within the boxes (R_i, 4) of each picture, of the class in ``labels`` (R,)."""
        heads = self.model.roi_heads
        logits = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features(raw), boxes, resized(raw))))
        return logits[torch.arange(len(labels), device=labels.device), labels]

    def detections(self, raw: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """What the network's own post-processing finds in each picture as resized, with probabilities of masks."""
        found = super().detections(raw)
        boxes, labels = ([each[name] for each in found] for name in ("boxes", "labels"))
        masks = self.mask_logits(raw, boxes, torch.cat(labels)).sigmoid()[:, None]
        parts = masks.split([len(each) for each in boxes])
        return [{**each, "masks": part} for each, part in zip(found, parts, strict=True)]

    @torch.no_grad()
    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``FasterRCNNDetector.assign``. Where the targets have masks, so has what is returned: ``masks``
        (B, N, H, W), and ``crops`` (B, N, 4), the boxes of the objects in their pixels."""
        return super().assign(raw, targets) | self.asked_masks(targets)

    def asked_masks(self, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """What ``assign`` returns of masks; nothing without masks."""
        return {"masks": targets["masks"], "crops": targets["boxes"]} if "masks" in targets else {}

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """Those of ``FasterRCNNDetector``, and ``mask``: the binary cross-entropy of each mask in the pixels of the
        picture, as post-processing pastes it into the asked box; a sum over the pixels divided by the area of the box,
        and a mean over the objects (B,). No ``mask`` without masks.

        The loss of training compares it in the cells of the box, whose number is fixed, and the masks of small objects
        are then pasted inexactly. Pixels of an object outside of what is pasted do not count: no mask can show them.
        """
        losses = super().losses(raw, assigned, per)
        if "masks" not in assigned:
            return losses
        asked, crops = assigned["asked"], assigned["crops"]
        said = self.pasted(raw, assigned["boxes"], asked, assigned["kinds"][asked])
        wanted, area = assigned["masks"][asked].to(said), (crops[..., 2:] - crops[..., :2]).prod(-1)[asked]
        gaps = F.binary_cross_entropy(said * (1 - 2 * SMALLEST) + SMALLEST, wanted, reduction="none")
        missed = torch.where(said > 0, gaps, 0).sum((1, 2)) / area.clamp_min(1)  # 0 where nothing is pasted
        return losses | {"mask": put(missed, asked).sum(1) / asked.sum(1).clamp_min(1)}

    def pasted(
        self, raw: dict[str, Tensor], boxes: Float[Tensor, "b n 4"], there: Bool[Tensor, "b n"], kinds: Tensor
    ) -> Float[Tensor, "r h w"]:
        """The probability that a pixel of the picture shows an object: of the objects that are ``there``, one after the
        other, and of their ``kinds`` (R,); 0 outside of their boxes, which are in pixels as resized."""
        from torchvision.models.detection.roi_heads import paste_masks_in_image

        sizes = raw["sizes"]
        masks = self.mask_logits(raw, [each[rows] for each, rows in zip(boxes, there, strict=True)], kinds).sigmoid()
        scale = (sizes[:, 2:] / sizes[:, :2]).flip(1)[:, None].repeat(1, 1, 2)
        return paste_masks_in_image(masks[:, None], (boxes * scale)[there], tuple(sizes[0, 2:].tolist()))[:, 0]

    def as_trained(self, layout: Layout) -> Layout:
        """A layout as a detector finds it that says exactly what it is trained to say: with scores of 1, and the masks
        in the cells of their boxes, pasted into the picture. Small objects lose a part of their outline in that."""
        from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

        best = replace(layout, scores=torch.ones_like(layout.scores))
        if layout.masks is None or not len(layout):
            return best
        cells = 2 * self.model.roi_heads.mask_roi_pool.output_size[0]  # the predictor doubles them
        masks = project_masks_on_boxes(layout.masks, layout.boxes, torch.arange(len(layout)), cells)
        pasted = paste_masks_in_image(masks[:, None], layout.boxes, (layout.height, layout.width))
        return replace(best, masks=pasted[:, 0] > 0.5)

    def mask_losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
        """``mask``, as it is trained: the binary cross-entropy of the mask in the cells of each asked box, a mean over
        them and over the objects (B,). Nothing without masks."""
        from torchvision.models.detection.roi_heads import project_masks_on_boxes

        if "masks" not in assigned:
            return {}
        asked = assigned["asked"]
        boxes = [each[rows] for each, rows in zip(assigned["boxes"], asked, strict=True)]
        logits = self.mask_logits(raw, boxes, assigned["kinds"][asked])
        places = torch.arange(len(logits), device=logits.device)
        crops = assigned["crops"][asked].to(logits)
        wanted = project_masks_on_boxes(assigned["masks"][asked], crops, places, logits.shape[-1])
        missed = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((1, 2))
        return {"mask": put(missed, asked).sum(1) / asked.sum(1).clamp_min(1)}

    @torch.no_grad()
    def read_heads(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Float[Tensor, "b n"]]:
        """See ``BoxDetector.read_heads``; where there are masks, also the ``mask IoU`` in the picture."""
        said = super().read_heads(raw, targets)
        if "masks" not in targets:
            return said
        assigned = self.assign(raw, targets)
        asked, kinds = assigned["asked"], assigned["kinds"]
        found = self.object_readings(raw, assigned, kinds)[1]
        pasted = self.pasted(raw, found, asked, kinds[asked])
        shares = torch.full_like(said["IoU"], torch.nan)
        shares[asked] = mask_iou(targets["masks"][asked], pasted > 0.5).diagonal()
        return said | {"mask IoU": shares}

    def same(self, layout: Layout, target: dict[str, Tensor], within: float) -> Bool[Tensor, ""]:
        """Whether a layout is exactly the objects of the target of one picture; each mask, if masks are asked for,
        overlaps its own by more than half."""
        agreed = super().same(layout, target, within)
        if "masks" not in target or layout.masks is None:
            return agreed
        shares = mask_iou(target["masks"], layout.masks.to(agreed.device))
        hits = (shares > 0.5) & (target["kinds"][:, None] == self.places(layout, target["kinds"]))
        return agreed & (hits.any(1) | ~self.asked(target)).all()
