"""How far found objects are from those asked for: depth, center, yaw, size, box, in the units people think in."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invert3d.ops.boxes import wrapped
from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import intersection_over_first, iou3d


@dataclass(frozen=True)
class LayoutErrors:
    """What a detector made of the objects of one scene.

    Attributes:
        pairs: (m, 2) positions of an object in the truth and of the one that was found for it.
        depth, center, size: (m,) meters, not signed: along z, in space, mean over height, width and length.
        yaw: (m,) degrees, 0 to 180.
        center_2d: (m,) pixels between the middles of the boxes in the picture.
        iou3d, iou2d: (m,) 0 to 1.
        missed, false: how many objects were not found, and how many found that are not there.
    """

    pairs: Tensor
    depth: Tensor
    center: Tensor
    yaw: Tensor
    size: Tensor
    center_2d: Tensor
    iou3d: Tensor
    iou2d: Tensor
    missed: int
    false: int

    def means(self) -> dict[str, float]:
        """The means over pairs, and the two counts; NaN if there are no pairs."""
        names = ("depth", "center", "yaw", "size", "center_2d", "iou3d", "iou2d")
        found = {name: float(getattr(self, name).mean()) for name in names}
        return found | {"missed": float(self.missed), "false": float(self.false)}


def match(truth: Layout, found: Layout, overlap: float = 0.25) -> Tensor:
    """Pairs (m, 2) of an object and the detection of the same kind that is it, in the order of the truth.

    The pair that overlaps most in space goes first, and so on down to ``overlap``; what is left over goes by boxes in
    the picture that overlap at least half, for a detection at the wrong depth is not far off in the picture.
    DontCare regions are no objects. Raises ValueError if ``overlap`` is not between 0 and 1.
    """
    if not 0 < overlap <= 1:
        raise ValueError(f"overlap: got {overlap}, accepted is more than 0 and at most 1")
    free = np.array([[one == other != "DontCare" for other in found.kinds] for one in truth.kinds], dtype=bool)
    free, pairs = free.reshape(len(truth), len(found)), []
    for shares, least in ((_in_space(truth, found), overlap), (_in_picture(truth, found), 0.5)):
        wishes = shares.double().numpy(force=True)
        while (free & (wishes >= least)).any():
            row, column = np.unravel_index(np.where(free, wishes, -1).argmax(), free.shape)
            free[row], free[:, column] = False, False
            pairs.append((int(row), int(column)))
    return torch.tensor(sorted(pairs), dtype=torch.long).reshape(-1, 2)


def errors(truth: Layout, found: Layout) -> LayoutErrors:
    """The errors of a scene, of the pairs that ``match`` finds. A detection that mostly lies in a DontCare region is
    not false. Raises ValueError where the pictures' sizes differ, so that pixels cannot be compared."""
    if (truth.height, truth.width) != (found.height, found.width):
        sizes = f"{truth.height} x {truth.width} and {found.height} x {found.width}"
        raise ValueError(f"found: its picture is of another size: {sizes} pixels; use layout.resized")
    pairs = match(truth, found)
    one, other = truth.select(pairs[:, 0]), found.select(pairs[:, 1])
    away = one.centers - other.centers
    regions = truth.of_kinds(["DontCare"]).boxes
    loose = torch.ones(len(found), dtype=torch.bool, device=found.boxes.device)
    loose[pairs[:, 1]] = False
    if len(regions):
        loose &= (intersection_over_first(found.boxes, regions) < 0.5).all(1)
    return LayoutErrors(
        pairs=pairs,
        depth=away[:, 2].abs(),
        center=away.norm(dim=1),
        yaw=wrapped(one.yaws - other.yaws).abs().rad2deg(),
        size=(one.sizes - other.sizes).abs().mean(1),
        center_2d=(_middles(one.boxes) - _middles(other.boxes)).norm(dim=1),
        iou3d=_in_space(one, other).diagonal(),
        iou2d=_in_picture(one, other).diagonal(),
        missed=sum(kind != "DontCare" for kind in truth.kinds) - len(pairs),
        false=int(loose.sum()),
    )


def _in_picture(a: Layout, b: Layout) -> Tensor:
    from torchvision.ops import box_iou

    return box_iou(a.boxes, b.boxes).nan_to_num(0.0)  # an empty box has no overlap


def _in_space(a: Layout, b: Layout) -> Tensor:
    return iou3d((a.sizes, a.centers, a.yaws), (b.sizes, b.centers, b.yaws))


def _middles(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2
