"""The smallest change of candidates after which post-processing would leave exactly the asked boxes.

For detectors whose post-processing keeps what is above a threshold and suppresses what overlaps it, class by class
(Cao & Johnson 2021, *Inverting and Understanding Object Detectors*, section 3.2).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invert3d.models.detectors.box_detector import in_ignored


def smallest_change(
    found: Float[Tensor, "b a 4"],
    fires: Bool[Tensor, "b a k"],
    candidates: Int[Tensor, "b n"],
    boxes: Float[Tensor, "b n 4"],
    targets: dict[str, Tensor],
    suppression: float,
) -> Int[Tensor, "b a k"]:
    """What each candidate should be in each class: 1 an object, 0 not there, -1 for what may stay as it is.

    Candidates that are to become objects do. All others above the threshold must go, but for those that an object of
    their kind suppresses, or that lie in a region to be ignored.

    Args:
        found: the boxes that candidates stand for, in pixels, within the picture.
        fires: whether the score of a class is above the threshold.
        candidates: which one becomes each object (``matched``), in the place of its box.
        boxes: of the objects.
        targets: ``states`` and ``kinds`` of the objects (``ops.objects.Objects``).
        suppression: the overlap of two boxes of a kind above which one is removed.
    """
    asked, place = (targets["states"] == 1)[..., None], candidates[..., None]
    moved = torch.where(asked, boxes, found.gather(1, place.expand(-1, -1, 4)))
    found = found.scatter(1, place.expand(-1, -1, 4), moved)
    kinds = F.one_hot(targets["kinds"].clamp_min(0), fires.shape[-1]).bool()
    labels = torch.where(fires & ~_free(found, boxes, kinds, targets, suppression), 0, -1)
    own = labels.gather(1, place.expand(-1, -1, labels.shape[-1]))
    return labels.scatter(1, place.expand_as(own), torch.where(kinds & asked, 1, own)).to(torch.int8)


def affinity(
    shares: Float[Tensor, "b a n"],
    near: Bool[Tensor, "b a n"],
    scores: Float[Tensor, "b a k"],
    kinds: Int[Tensor, "b n"],
    threshold: float,
) -> Float[Tensor, "b a n"]:
    """How much each candidate suggests itself for each object.

    Post-processing keeps the best score and compares no boxes with what is asked. So candidates that are found, above
    the ``threshold``, and so ``near`` an object that one would suppress the other come first, by their ``scores`` of
    its kind. All others come after them, as their ``shares`` of overlap (at most 1) say.
    """
    own = scores.gather(2, kinds[:, None].expand(-1, scores.shape[1], -1))
    return torch.where(near & (own > threshold), 1 + own, shares)


def _free(
    found: Tensor, boxes: Tensor, kinds: Tensor, targets: dict[str, Tensor], suppression: float
) -> Bool[Tensor, "b a k"]:
    """Whether a candidate of a class may fire: an object of the kind suppresses it, or it is to be ignored."""
    from torchvision.ops import box_iou

    objects = (targets["states"] == 1)[:, None]
    suppressed = (torch.vmap(box_iou)(found, boxes) > suppression) & objects
    of_kind = suppressed.float() @ kinds.float() > 0  # (B, A, K): paired with some object of the kind
    return of_kind | in_ignored(found, boxes, targets, kinds.shape[-1])


def chosen(raw: dict[str, Tensor], assigned: dict[str, Tensor], *names: str) -> list[Tensor]:
    """Tensors (B, N, C) of the candidates that become objects, of those (B, A, C) of all."""
    place = assigned["candidates"][..., None]
    return [raw[name].gather(1, place.expand(-1, -1, raw[name].shape[-1])) for name in names]
