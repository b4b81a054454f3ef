"""Any network that scores boxes, put behind the protocol by one function: YOLO and its relatives, for example."""

import copy
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from invert3d.models.detectors.box_detector import matched
from invert3d.models.detectors.smallest_change import affinity, chosen, smallest_change
from invert3d.models.detectors.suppressing import SuppressingDetector
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout

SMALLEST = 1e-2  #: post-processing removes boxes with a shorter side, in pixels

#: of a network and pictures (B, 3, h, w), RGB in [0, 1]: scores (B, A, K) in [0, 1], boxes (B, A, 4) in pixels
Candidates = Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]


class CandidateDetector(SuppressingDetector):
    """A network whose candidates have a score for each class and a box, with the post-processing of most detectors:
    scores above a threshold, and of boxes of a kind that overlap only the best.

    A candidate's scores may be any differentiable function of what the network says, e.g. the product of the
    probabilities of an object and of each class. What the candidates should be is ``smallest_change``; how far they are
    from that is the binary cross-entropy of scores and the generalized IoU loss of boxes.
    """

    heads = {"classification": 1.0, "bbox_regression": 1.0}
    roles = {"classification": "class", "bbox_regression": "box"}

    def __init__(
        self,
        network: nn.Module,
        candidates: Candidates,
        kinds: Sequence[str],
        *,
        height: int,
        width: int,
        threshold: float = 0.25,
        suppression: float = 0.5,
    ) -> None:
        """
        Args:
            network: in eval mode.
            candidates: a function of the network and pictures (B, 3, height, width), RGB in [0, 1], to the scores
                (B, A, K), in [0, 1], and boxes (B, A, 4), left, top, right, bottom in pixels, of **all** candidates,
                with a gradient. Normalizing belongs to it. For more than one process (``workers``) it must be a
                function of a module, not a lambda.
            kinds: names of the K classes. A background is not among them; ``kinds`` of the detector begins with one.
            height, width: of the pictures.
            threshold: the score above which a candidate is a detection.
            suppression: the overlap of two boxes of a kind above which the one with the lower score is removed.

        Raises:
            ValueError: what ``candidates`` says of a gray picture has another shape, scores out of [0, 1], or no
                gradient; or a threshold is not between 0 and 1.
        """
        super().__init__()
        for name, value in (("threshold", threshold), ("suppression", suppression)):
            if not 0 < value < 1:
                raise ValueError(f"the {name} must be between 0 and 1, not {value}")
        self.model, self.candidates, self.kinds = network, candidates, ("background", *kinds)
        self.height, self.width, self.threshold, self.suppression = height, width, threshold, suppression
        self._check()

    @torch.enable_grad()
    def _check(self) -> None:
        """Raise ValueError for candidates that nothing can be made of; see ``__init__``."""
        like = next(self.model.parameters())
        gray = like.new_full((1, 3, self.height, self.width), 0.5).requires_grad_()
        fixed = copy.deepcopy(self.model).requires_grad_(False)  # what has a gradient has it in the picture
        scores, boxes = self.candidates(fixed, gray)
        count = len(self.kinds) - 1
        if scores.dim() != 3 or len(scores) != 1 or scores.shape[2] != count:
            raise ValueError(
                f"candidates: the scores of one picture are {tuple(scores.shape)}; those of A candidates in {count} "
                f"classes are (1, A, {count})"
            )
        if boxes.shape != (*scores.shape[:2], 4):
            raise ValueError(f"candidates: boxes {tuple(boxes.shape)} do not go with scores {tuple(scores.shape)}")
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(f"candidates: scores are in [0, 1], not from {scores.min():.3g} to {scores.max():.3g}")
        if not (scores.requires_grad and boxes.requires_grad):
            name = "boxes" if scores.requires_grad else "scores"
            raise ValueError(f"candidates: no gradient goes from the {name} to the picture: no_grad, or a detach?")

    def raw(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """All candidates: ``scores`` (B, A, K), without the background, and ``boxes`` (B, A, 4) in pixels."""
        scores, boxes = self.candidates(self.model, images)
        return {"scores": scores, "boxes": boxes}

    @torch.no_grad()
    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each picture, best first: above the score and the detector's own threshold, those that
        none of their kind suppresses. Cameras are not looked at."""
        from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

        layouts = []
        for scores, boxes in zip(raw["scores"], raw["boxes"], strict=True):
            rows, labels = (scores > max(threshold, self.threshold)).nonzero(as_tuple=True)
            found, sure = clip_boxes_to_image(boxes[rows], (self.height, self.width)), scores[rows, labels]
            there = remove_small_boxes(found, SMALLEST)
            kept = there[batched_nms(found[there], sure[there], labels[there], self.suppression)]
            names = [self.kinds[1 + k] for k in labels[kept].tolist()]
            layouts.append(Layout.of_boxes(names, found[kept], self.height, self.width, sure[kept]))
        return layouts

    @torch.no_grad()
    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The smallest change of the candidates after which post-processing would leave exactly the objects. Which
        candidate becomes an object is said by ``smallest_change.affinity``, with generalized IoU.

        Returns:
            ``labels`` (B, A, K): 1 for an object, 0 for background, -1 for what may stay as it is; the ``candidates``
            (B, N) that become the objects, ``asked`` (B, N), and their ``boxes`` (B, N, 4).
        """
        from torchvision.ops import box_iou, clip_boxes_to_image, generalized_box_iou

        asked, boxes, found = targets["states"] == 1, targets["boxes"].to(raw["boxes"]), raw["boxes"]
        shares = torch.vmap(generalized_box_iou)(found, boxes).nan_to_num(-1.0)
        kinds = (targets["kinds"] - 1).clamp_min(0)  # the scores have no background
        near = torch.vmap(box_iou)(found, boxes) > self.suppression
        candidates = matched(affinity(shares, near, raw["scores"], kinds, self.threshold), asked)
        found = clip_boxes_to_image(found, (self.height, self.width))
        fires = (raw["scores"] > self.threshold) & (found[..., 2:] - found[..., :2] >= SMALLEST).all(2, keepdim=True)
        fires = F.pad(fires, (1, 0))  # class 0 is the background
        labels = smallest_change(found, fires, candidates, boxes, targets, self.suppression)[..., 1:]
        return {"labels": labels, "candidates": candidates, "asked": asked, "boxes": boxes}

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """Binary cross-entropy of the scores that must change, and generalized IoU loss of the boxes that become
        objects, both divided by the number of objects. Raises ValueError for another divisor: there are no slots."""
        from torchvision.ops import generalized_box_iou_loss

        self.check_per(per)
        asked = assigned["asked"]
        count = asked.sum(1).clamp_min(1)
        (found,) = chosen(raw, assigned, "boxes")
        gaps = generalized_box_iou_loss(found, assigned["boxes"])
        return {
            "classification": _entropy(raw["scores"], assigned["labels"]).sum((1, 2)) / count,
            "bbox_regression": torch.where(asked, gaps, 0).sum(1) / count,
        }

    def object_readings(
        self, raw: dict[str, Tensor], assigned: dict[str, Tensor], kinds: Int[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n 4"]]:
        """See ``BoxDetector.object_readings``."""
        scores, found = chosen(raw, assigned, "scores", "boxes")
        return scores.gather(2, (kinds - 1).clamp_min(0)[..., None])[..., 0], found


def _entropy(scores: Float[Tensor, "b a k"], labels: Int[Tensor, "b a k"]) -> Float[Tensor, "b a k"]:
    """Binary cross-entropy where a score must change, else 0."""
    entropy = F.binary_cross_entropy(scores, (labels == 1).to(scores), reduction="none")
    return torch.where(labels >= 0, entropy, 0)
