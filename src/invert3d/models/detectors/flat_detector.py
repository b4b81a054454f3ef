"""What detectors of boxes in pictures share behind the protocol: targets and agreement."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invert3d.models.detectors import PictureDetector
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import IN_SPACE, pack
from invert3d.ops.overlaps import intersection_over_first


class FlatDetector(PictureDetector):
    """A detector of boxes in pictures, of any architecture.

    Attributes:
        kinds: the names of its classes, the background's first.
        suppression: the overlap of two boxes of a kind above which post-processing removes one.
        surround: the color, RGB in [0, 1], of what a picture of other proportions leaves free.
    """

    kinds: tuple[str, ...]
    suppression: float
    surround: tuple[float, ...] = (0.5, 0.5, 0.5)

    def fitted(self, height: int, width: int) -> tuple[int, int, int]:
        """Scaled to fit, at the top left."""
        scale = min(self.height / height, self.width / width)
        return max(1, round(height * scale)), max(1, round(width * scale)), 0

    def placed(self, picture: Float[Tensor, "3 H W"], rows: int, columns: int, above: int) -> Tensor:
        """The picture scaled, at the top left; the rest in the color ``surround``."""
        whole = picture.new_tensor(self.surround)[:, None, None].repeat(1, self.height, self.width)
        whole[:, :rows, :columns] = F.interpolate(picture[None], (rows, columns), mode="bilinear")[0]
        return whole

    def count_assignable(self, layout: Layout) -> int:
        """How many objects of a prepared layout can be asked for: of its kinds, with a box that is not empty."""
        sides = layout.boxes[:, 2:] - layout.boxes[:, :2]
        return sum(kind in self.kinds[1:] for kind in layout.select((sides > 0).all(1)).kinds)

    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """The detections of each picture, best first, by the network's own post-processing, above a score. Cameras are
        not looked at."""
        raise NotImplementedError

    def targets(self, layouts: Sequence[Layout]) -> dict[str, Tensor]:
        """Layouts of prepared pictures as one target: states, kinds and boxes.

        Raises ValueError where the background is asked for, and where two boxes of a kind overlap so much that
        post-processing would remove one of them.
        """
        for number, layout in enumerate(layouts):
            if wrong := self._impossible(layout):
                raise ValueError(f"layout {number}: {wrong}" if len(layouts) > 1 else wrong)
        fields = pack(layouts, self.kinds).fields()
        return {name: value for name, value in fields.items() if name not in IN_SPACE}

    def _impossible(self, layout: Layout) -> str:
        """What this detector can never say of a layout; nothing if it can say it all."""
        from torchvision.ops import box_iou

        if self.kinds[0] in layout.kinds:
            return f"object {layout.kinds.index(self.kinds[0]) + 1} is {self.kinds[0]}, which this detector never finds"
        shares = box_iou(layout.boxes, layout.boxes).triu(1)
        for i, j in (shares > self.suppression).nonzero().tolist():
            if layout.kinds[i] == layout.kinds[j] != "DontCare":
                return (
                    f"objects {i + 1} and {j + 1}, both {layout.kinds[i]}, overlap by {shares[i, j]:.2f}: above "
                    f"{self.suppression:g} this detector removes one of them"
                )
        return ""

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
        return ((hits.sum(1) == 1) | ~asked).all() & ((hits.sum(0) == 1) | spared.any(0)).all()

    def places(self, layout: Layout, like: Tensor) -> Int[Tensor, "n"]:
        """The places of a layout's kinds in the list of all."""
        return like.new_tensor([self.kinds.index(kind) for kind in layout.kinds])


def _corners(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4 2"]:
    """The corners of boxes in a picture."""
    return boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
