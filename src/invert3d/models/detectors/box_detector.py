"""What detectors of boxes in pictures share behind the protocol, whoever wrote them: sizes, targets, agreement."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from invert3d.models.detectors import PictureDetector
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import IN_SPACE, pack
from invert3d.ops.overlaps import intersection_over_first


class BoxDetector(PictureDetector):
    """A detector of boxes in pictures: somebody's ``model``, called part by part.

    Attributes:
        kinds: the name of each of its classes.
        height, width: of the pictures to invert.
        mean_color: of the pictures that the network was trained on, RGB in [0, 1].
    """

    model: Any
    kinds: tuple[str, ...]
    mean_color: Sequence[float] = (0.5, 0.5, 0.5)

    def fitted(self, height: int, width: int) -> tuple[int, int, int]:
        """Scaled to fit, at the top left."""
        scale = min(self.height / height, self.width / width)
        return max(1, round(height * scale)), max(1, round(width * scale)), 0

    def placed(self, picture: Float[Tensor, "3 H W"], rows: int, columns: int, above: int) -> Tensor:
        """The rest in the network's mean color."""
        whole = picture.new_tensor(self.mean_color)[:, None, None].repeat(1, self.height, self.width)
        whole[:, :rows, :columns] = F.interpolate(picture[None], (rows, columns), mode="bilinear")[0]
        return whole

    def count_assignable(self, layout: Layout) -> int:
        """How many objects of a prepared layout can be asked for: of its kinds, with a box that is not empty."""
        sides = layout.boxes[:, 2:] - layout.boxes[:, :2]
        return sum(kind in self.kinds for kind in layout.select((sides > 0).all(1)).kinds)

    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each picture, best first, by the network's own post-processing, above a score. Cameras are
        not looked at."""
        raise NotImplementedError

    def layouts(self, found: list[dict[str, Tensor]], sizes: Sequence[Sequence[int]], threshold: float) -> list[Layout]:
        """Detections in pictures of these sizes (height, width) as layouts: those above a score, with masks where a
        probability of them is above 1/2."""
        layouts = []
        for each, (height, width) in zip(found, sizes, strict=True):
            kept = each["scores"] > threshold
            names = [self.kinds[k] for k in each["labels"][kept].tolist()]
            masks = each["masks"][kept, 0] > 0.5 if "masks" in each else None
            layouts.append(Layout.of_boxes(names, each["boxes"][kept], height, width, each["scores"][kept], masks))
        return layouts

    def targets(self, layouts: Sequence[Layout]) -> dict[str, Tensor]:
        """Layouts of prepared pictures as one target: states, kinds and boxes.

        Raises ValueError for what this detector can never say.
        """
        for number, layout in enumerate(layouts):
            if wrong := self.impossible(layout):
                raise ValueError(f"layout {number}: {wrong}" if len(layouts) > 1 else wrong)
        fields = pack(layouts, self.kinds).fields()
        return {name: value for name, value in fields.items() if name not in IN_SPACE}

    def impossible(self, layout: Layout) -> str:
        """What this detector can never say of a layout; nothing if it can say it all."""
        return ""

    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``Detector.assign``."""
        raise NotImplementedError

    def asked(self, targets: dict[str, Tensor]) -> Bool[Tensor, "*b n"]:
        """The objects of targets that are asked for: those with a box that is not empty, e.g. moved out of view."""
        boxes = targets["boxes"]
        return (targets["states"] == 1) & (boxes[..., 2:] > boxes[..., :2]).all(-1)

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
        free = spared.any(0)
        # one detection for each object; those that may be ignored are taken last
        worth = hits * (1 + ~free / (1 + hits.shape[0]))
        rows, columns = linear_sum_assignment(worth.cpu(), maximize=True)
        taken = torch.zeros_like(hits)
        taken[rows, columns] = hits[rows, columns]
        return (taken.any(1) | ~asked).all() & (taken.any(0) | free).all()

    def object_readings(
        self, raw: dict[str, Tensor], assigned: dict[str, Tensor], kinds: Int[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n 4"]]:
        """The score for its kind, and the box, of the candidate that is to become each object, in the units of
        ``asked_boxes``."""
        raise NotImplementedError

    def asked_boxes(self, assigned: dict[str, Tensor]) -> Float[Tensor, "b n 4"]:
        """The boxes of the objects, left, top, right, bottom, in the units that the candidates have."""
        return assigned["boxes"]

    @torch.no_grad()
    def read_heads(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Float[Tensor, "b n"]]:
        """What the heads say of each asked object where ``assign`` has it, at the candidate that is to become it: the
        ``score`` of its kind, and the ``IoU`` of the box. NaN where nothing is asked."""
        from torchvision.ops import box_iou

        assigned = self.assign(raw, targets)
        scores, found = self.object_readings(raw, assigned, targets["kinds"].clamp_min(0))
        shares = torch.vmap(box_iou)(found, self.asked_boxes(assigned)).diagonal(dim1=1, dim2=2)
        asked = assigned["asked"]
        return {name: each.masked_fill(~asked, torch.nan) for name, each in (("score", scores), ("IoU", shares))}

    def check_per(self, per: Per) -> None:
        """Raise ValueError for losses per slot: there are no slots, so they are divided by the number of objects."""
        if per != "object":
            name = type(self.model).__name__
            raise ValueError(f"the losses of {name} are divided by the number of objects: per is object, not {per}")

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


def hungarian(cost: Float[Tensor, "b a n"], asked: Bool[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """A candidate for each object that is asked for, no candidate twice, so that the sum of their costs is least; 0 for
    the others (Kuhn, *The Hungarian Method for the Assignment Problem*, 1955)."""
    chosen = torch.zeros(asked.shape, dtype=torch.long)
    for costs, there, row in zip(cost.cpu(), asked.cpu(), chosen, strict=True):
        row[there] = torch.from_numpy(linear_sum_assignment(costs[:, there].T)[1])
    return chosen.to(asked.device)


def in_ignored(
    found: Float[Tensor, "b a 4"], boxes: Float[Tensor, "b n 4"], targets: dict[str, Tensor], classes: int
) -> Bool[Tensor, "b a k"]:
    """Whether a detection of a class would lie mostly in a region of ``targets``, now the ``boxes``, where that class
    is to be ignored."""
    ignored, kinds = (targets["states"] == -1)[:, None], targets["kinds"]
    spared = (intersection_over_first(found, boxes) > 0.5) & ignored
    of_kind = spared.float() @ F.one_hot(kinds.clamp_min(0), classes).float() > 0
    return of_kind | (spared & (kinds == -1)[:, None]).any(2, keepdim=True)


def _corners(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4 2"]:
    """The corners of boxes in a picture."""
    return boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
