"""What torchvision's detectors of boxes in pictures share behind the protocol: sizes, targets, agreement."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from invert3d.models.detectors import PictureDetector
from invert3d.ops.layouts import Layout, area
from invert3d.ops.objects import IN_SPACE, pack
from invert3d.ops.overlaps import intersection_over_first


class BoxDetector(PictureDetector):
    """A detector of ``torchvision.models.detection``, which is called part by part.

    Normalizing and resizing are the network's own (``GeneralizedRCNNTransform``) and belong to ``raw``, so pictures are
    asked for, and boxes are given, in pixels before them. Build the network with ``min_size`` and ``max_size`` equal
    to the sides of the pictures and nothing is resized.

    ``kinds`` name each of its classes, the background (class 0) among them; ``height`` and ``width`` are of the
    pictures to invert.
    """

    #: the class that this takes apart, as ``torchvision.models.detection`` knows it
    network: str
    model: Any

    def __init__(self, model: nn.Module, kinds: Sequence[str], *, height: int, width: int) -> None:
        """Raises TypeError for another network, ValueError for another number of classes."""
        import torchvision.models.detection as torchvision_detectors

        super().__init__()
        if not isinstance(model, attrgetter(self.network)(torchvision_detectors)):
            raise TypeError(
                f"model must be a torchvision.models.detection.{self.network}, not a {type(model).__name__}"
            )
        self.model, self.kinds, self.height, self.width = model, tuple(kinds), height, width
        if len(kinds) != self.classes:
            raise ValueError(
                f"the network has {self.classes} classes, with the background, and {len(kinds)} names are given"
            )

    @property
    def classes(self) -> int:
        """How many classes the network has, with the background."""
        raise NotImplementedError

    @property
    def suppression(self) -> float:
        """The overlap of two boxes of a kind above which post-processing removes one."""
        raise NotImplementedError

    def fitted(self, height: int, width: int) -> tuple[int, int, int]:
        """Scaled to fit, at the top left."""
        scale = min(self.height / height, self.width / width)
        return max(1, round(height * scale)), max(1, round(width * scale)), 0

    def placed(self, picture: Float[Tensor, "3 H W"], rows: int, columns: int, above: int) -> Tensor:
        """The rest in the network's mean color."""
        whole = picture.new_tensor(self.model.transform.image_mean)[:, None, None].repeat(1, self.height, self.width)
        whole[:, :rows, :columns] = F.interpolate(picture[None], (rows, columns), mode="bilinear")[0]
        return whole

    def count_assignable(self, layout: Layout) -> int:
        """How many objects of a prepared layout can be asked for: of its kinds, with a box that is not empty."""
        sides = layout.boxes[:, 2:] - layout.boxes[:, :2]
        return sum(kind in self.kinds for kind in layout.select((sides > 0).all(1)).kinds)

    def scaled(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Any, Tensor]:
        """The ``ImageList`` that the network makes of pictures of one size, and the ``sizes`` (B, 4) of each: height
        and width as resized, and before."""
        batch, _ = self.model.transform([*images])
        sizes = torch.tensor([*batch.image_sizes[0], *images.shape[-2:]], device=images.device)
        return batch, sizes.expand(len(images), -1)

    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each picture, best first, by the network's own post-processing, above a score. Cameras are
        not looked at."""
        raise NotImplementedError

    def read(self, found: list[dict[str, Tensor]], sizes: Tensor, threshold: float) -> list[Layout]:
        """The layouts of what the network's post-processing found in pictures as resized, above a score, with masks (a
        probability above 1/2) where it found some."""
        resized, original = ([tuple(size[part]) for size in sizes.tolist()] for part in (slice(2), slice(2, 4)))
        found = self.model.transform.postprocess(found, resized, original)
        layouts = []
        for each, (height, width) in zip(found, original, strict=True):
            kept = each["scores"] > threshold
            names = [self.kinds[k] for k in each["labels"][kept].tolist()]
            masks = each["masks"][kept, 0] > 0.5 if "masks" in each else None
            layouts.append(Layout.of_boxes(names, each["boxes"][kept], height, width, each["scores"][kept], masks))
        return layouts

    def targets(self, layouts: Sequence[Layout]) -> dict[str, Tensor]:
        """Layouts of prepared pictures as one target: states, kinds and boxes.

        Raises ValueError where two boxes of a kind overlap so much that post-processing would remove one of them.
        """
        from torchvision.ops import box_iou

        for number, layout in enumerate(layouts):
            shares = box_iou(layout.boxes, layout.boxes).triu(1)
            for i, j in (shares > self.suppression).nonzero().tolist():
                if layout.kinds[i] == layout.kinds[j] != "DontCare":
                    raise ValueError(
                        f"layout {number} has two boxes of kind {layout.kinds[i]} that overlap by {shares[i, j]:.2f}: "
                        f"above {self.suppression:g} this detector removes one of them"
                    )
        fields = pack(layouts, self.kinds).fields()
        return {name: value for name, value in fields.items() if name not in IN_SPACE}

    def asked(self, targets: dict[str, Tensor]) -> Bool[Tensor, "*b n"]:
        """The objects of targets that are asked for: those with a box that is not empty, e.g. moved out of view."""
        boxes = targets["boxes"]
        return (targets["states"] == 1) & (boxes[..., 2:] > boxes[..., :2]).all(-1)

    def boxes_as_resized(self, targets: dict[str, Tensor], sizes: Tensor) -> Float[Tensor, "b n 4"]:
        """The boxes of targets, in pixels as the network resizes them."""
        scale = (sizes[:, :2] / sizes[:, 2:]).flip(1)
        return targets["boxes"] * torch.cat([scale, scale], 1)[:, None]

    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``Detector.assign``."""
        raise NotImplementedError

    def object_readings(
        self, raw: dict[str, Tensor], assigned: dict[str, Tensor], kinds: Int[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n 4"]]:
        """The score for its kind, and the box in pixels as resized, of the candidate that is to become each object."""
        raise NotImplementedError

    @torch.no_grad()
    def read_heads(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Float[Tensor, "b n"]]:
        """What the heads say of each asked object where ``assign`` has it, at the candidate that overlaps it most: the
        ``score`` of its kind, and the ``IoU`` of the box. NaN where nothing is asked."""
        assigned = self.assign(raw, targets)
        scores, found = self.object_readings(raw, assigned, targets["kinds"].clamp_min(0))
        shares = paired_iou(found, assigned["boxes"])
        asked = assigned["asked"]
        return {name: each.masked_fill(~asked, torch.nan) for name, each in (("score", scores), ("IoU", shares))}

    @torch.no_grad()
    def agrees(
        self, raw: dict[str, Tensor], targets: dict[str, Tensor], threshold: float = 0.3, within: float = 0.02
    ) -> Bool[Tensor, "b"]:
        """Whether the detections above a score are exactly the objects, each corner ``within`` diagonals on average.

        What mostly lies in a region to be ignored is neither needed nor counted.
        """
        found = self.finalize(raw, None, threshold)
        samples = ({name: value[i] for name, value in targets.items()} for i in range(len(found)))
        return torch.stack([self.same(*pair, within) for pair in zip(found, samples, strict=True)])

    def same(self, layout: Layout, target: dict[str, Tensor], within: float) -> Bool[Tensor, ""]:
        """Whether a layout is exactly the objects of the target of one picture."""
        boxes, kinds, states = target["boxes"], target["kinds"], target["states"]
        asked = self.asked(target)
        of_kind = kinds[:, None] == self.places(layout, kinds)
        gaps = _corners(boxes)[:, None] - _corners(layout.boxes)
        diagonals = (boxes[:, 2:] - boxes[:, :2]).norm(dim=-1, keepdim=True).clamp_min(1e-3)
        hits = of_kind & (gaps.norm(dim=-1).mean(-1) <= within * diagonals) & asked[:, None]
        spared = (of_kind | (kinds == -1)[:, None]) & (states == -1)[:, None]
        spared &= intersection_over_first(layout.boxes, boxes).T > 0.5
        return ((hits.sum(1) == 1) | ~asked).all() & ((hits.sum(0) == 1) | spared.any(0)).all()

    def places(self, layout: Layout, like: Tensor) -> Int[Tensor, "n"]:
        """The places of a layout's kinds in the list of all."""
        return like.new_tensor([self.kinds.index(kind) for kind in layout.kinds])


def matched(shares: Float[Tensor, "b a n"], asked: Bool[Tensor, "b n"]) -> Tensor:
    """A candidate (B, N) for each object, no candidate twice: the pair that shares most first, and so on."""
    shares = torch.where(asked[:, None], shares, torch.finfo(shares.dtype).min)
    rows, count = torch.arange(len(shares), device=shares.device), shares.shape[2]
    chosen = torch.zeros_like(asked, dtype=torch.long)
    for _ in range(count):
        candidate, number = (each(shares.flatten(1).argmax(1), count) for each in (torch.floor_divide, torch.remainder))
        chosen[rows, number] = candidate
        shares[rows, candidate] = shares[rows, :, number] = -torch.inf
    return chosen


def paired_iou(one: Float[Tensor, "*b 4"], other: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b"]:
    """Intersection over union of boxes, pair by pair; 0 for two without an area."""
    sides = torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])
    shared = sides.clamp_min(0).prod(-1)
    return shared / (area(one) + area(other) - shared).clamp_min(1e-6)


def _corners(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4 2"]:
    """The corners of boxes in a picture."""
    return boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
