"""Objects as points: what a center heatmap network is trained for and how its maps are read.

Zhou, Wang, Krähenbühl, *Objects as Points*, 2019, for boxes in space (``ddd``). The maps of images are a dictionary of
heads (`HEADS`): hm (B, 3, h, w), dep (B, 1, h, w), and so on. Four things in the published code are slips, kept under
a name because checkpoints depend on them, with what was meant beside them:

* the radius of a heatmap's bump divides by 2 where the root of a quadratic divides by 2a;
* regression losses average over all slots of a batch, empty ones too, and so fade with the number of slots;
* the point that stands for an object is the middle of its box in the *picture*, read as if it were the projection of
  its middle in *space*;
* boxes are cut at the last cell of the maps, at 1276 and 380 of 1280 x 384 pixels, not at the picture's border.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from invert3d.ops.boxes import corners3d, project, wrapped
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import Objects, pack

#: heads and their channels; hm has one per kind
HEADS = {"hm": 3, "dep": 1, "rot": 8, "dim": 3, "wh": 2, "reg": 2}
Rule = Literal["published", "corrected"]
Maps = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class CenterCodec:
    """Between objects and center maps.

    ``center`` is the point that stands for an object: the middle of its ``box`` in the picture (published) or the
    ``projected`` middle of its box in space. ``radius`` is the rule of the heatmap's bumps. Boxes in the picture end at
    its ``border`` as labeled, or at the last cell of the ``map`` (published).
    """

    kinds: tuple[str, ...] = ("Pedestrian", "Car", "Cyclist")
    stride: int = 4
    center: Literal["box", "projected"] = "box"
    radius: Rule = "published"
    border: Literal["map", "picture"] = "map"

    def __post_init__(self) -> None:
        if len(self.kinds) != HEADS["hm"]:
            raise ValueError(f"the heatmap has {HEADS['hm']} channels, so name as many kinds, not {self.kinds}")
        if self.center not in ("box", "projected") or self.radius not in ("published", "corrected"):
            raise ValueError(f"center is box or projected and radius published or corrected, not {self}")
        if self.border not in ("map", "picture"):
            raise ValueError(f"border is map or picture, not {self.border}")

    def points(self, objects: Objects) -> Float[Tensor, "b n 2"]:
        """Where each object's point is, in cells of the maps (x, y).

        A region without a box in space stands, in either convention, in the middle of its box in the picture.
        """
        middle = (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
        if self.center == "projected":
            in_space = project(objects.middles, objects.projection)[..., :2]
            middle = torch.where((objects.sizes > 0).all(-1, keepdim=True), in_space, middle)
        return middle.nan_to_num(0.0).clamp(-1e6, 1e6) / self.stride  # what lies in the camera's plane is nowhere

    def cells(self, objects: Objects, height: int, width: int) -> Int[Tensor, "b n 2"]:
        """The cell (x, y) each object's point falls into, inside maps of that size."""
        limits = torch.tensor([width - 1, height - 1], device=objects.boxes.device)
        return torch.minimum(self.points(objects).floor().long().clamp_min(0), limits)

    def assignable(self, objects: Objects, height: int, width: int) -> Objects:
        """The objects, their boxes cut at the border, those whose point falls outside maps of that size (B, N) now to
        be ignored, and those that no picture shows, behind the camera or with an empty box, dropped."""
        limits = objects.boxes.new_tensor([width, height])
        if self.border == "map":
            last = (limits - 1).repeat(2) * self.stride
            objects = replace(objects, boxes=torch.minimum(objects.boxes.clamp_min(0), last))
        points = self.points(objects)
        outside = ((points < 0) | (points >= limits)).any(-1) & objects.asked
        unseen = (objects.sizes > 0).all(-1) & (objects.depths <= 0)
        if self.center == "box":
            unseen |= objects.asked & (objects.boxes[..., 2:] <= objects.boxes[..., :2]).any(-1)
        states = torch.where(unseen, 0, torch.where(outside, -1, objects.states))
        return replace(objects, states=states)

    def count_assignable(self, layout: Layout, height: int, width: int) -> int:
        """How many objects of a layout of pictures (height, width) can be asked for."""
        objects = pack([layout], self.kinds)
        return int(self.assignable(objects, height // self.stride, width // self.stride).asked.sum())

    def sides(self, objects: Objects) -> Float[Tensor, "b n 2"]:
        """Width and height of each object's box in the picture, in cells."""
        return (objects.boxes[..., 2:] - objects.boxes[..., :2]) / self.stride

    def heatmap(self, objects: Objects, height: int, width: int) -> Float[Tensor, "b k h w"]:
        """Target heatmaps: a bump of height 1 around each object's cell, of 0.9999 around one to be ignored, which
        therefore is neither asked for nor blamed."""
        cells = self.cells(objects, height, width)
        sides = self.sides(objects)
        radii = gaussian_radius(sides[..., 1], sides[..., 0], rule=self.radius).floor().clamp_min(0)
        tall = objects.asked + 0.9999 * objects.ignored
        bumps = gaussians(cells, radii, height, width) * tall[..., None, None]
        kinds = objects.kinds[..., None, None]
        return torch.stack([(bumps * ((kinds == k) | (kinds == -1))).amax(1) for k in range(len(self.kinds))], 1)

    def decode(
        self, heads: Maps, cameras: Float[Tensor, "b 3 4"], *, threshold: float = 0.1, limit: int = 100
    ) -> list[Layout]:
        """The layouts that maps stand for: peaks of the heatmap above the threshold, best first, with their boxes."""
        height, width = heads["hm"].shape[-2:]
        scores, kinds, cells = peaks(heads["hm"].sigmoid(), limit)
        sizes, middles, yaws = self.boxes_at(heads, cells, cameras)
        bottoms, yaws = middles + F.pad(sizes[..., :1] / 2, (1, 1)), wrapped(yaws)
        points, half = self._points_at(heads, cells), gather_cells(heads["wh"], cells) * self.stride / 2
        high, wide = height * self.stride, width * self.stride
        limits = points.new_tensor([wide - 1.0, high - 1.0] * 2)
        boxes = torch.minimum(torch.cat([points - half, points + half], -1).clamp_min(0), limits)
        layouts = []
        for i in range(len(scores)):
            keep = scores[i] > threshold
            names = [self.kinds[k] for k in kinds[i][keep].tolist()]
            found = sizes[i][keep], bottoms[i][keep], yaws[i][keep]
            layout = Layout.of(names, *found, cameras[i], high, wide, scores[i][keep])
            layouts.append(layout if self.center == "projected" else replace(layout, boxes=boxes[i][keep]))
        return layouts

    def _points_at(self, heads: Maps, cells: Tensor) -> Tensor:
        """The pixels (B, N, 2) that maps stand for in cells."""
        return (cells + gather_cells(heads["reg"], cells)) * self.stride

    def boxes_at(
        self, heads: Maps, cells: Int[Tensor, "b n 2"], cameras: Float[Tensor, "b 3 4"]
    ) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n 3"], Float[Tensor, "b n"]]:
        """Size, middle and rotation_y of the boxes that maps stand for in cells (B, N, 2); meters and radians.

        As ``decode`` reads them, the bin of the angle included, but differentiable.
        """
        found = {name: gather_cells(heads[name], cells) for name in ("dep", "rot", "dim")}
        points, cameras = self._points_at(heads, cells), cameras[:, None]
        middle = unproject(points, depth_of(found["dep"][..., 0]), cameras)
        ray = torch.atan2(points[..., 0] - cameras[..., 0, 2], cameras[..., 0, 0])
        return found["dim"], middle, alpha_of_bins(found["rot"]) + ray


def centered_corners(size: Float[Tensor, "*n 3"], middle: Float[Tensor, "*n 3"], yaw: Float[Tensor, "*n"]) -> Tensor:
    """Corners (..., 8, 3) of boxes given by their middles instead of their bottom faces."""
    return corners3d(size, middle + F.pad(size[..., :1] / 2, (1, 1)), yaw)


def gaussian_radius(height: Tensor, width: Tensor, overlap: float = 0.7, rule: Rule = "published") -> Tensor:
    """How far the corners of a box may move, in cells, for it still to overlap the true one so much (CornerNet, 2018).

    Smallest of three cases, each the root of a quadratic: both corners inside, both outside, one of each.
    """
    side, face = height + width, height * width
    cases = (
        (1.0, side, face * (1 - overlap) / (1 + overlap), -1),
        (4.0, 2 * side, (1 - overlap) * face, -1),
        (4 * overlap, -2 * overlap * side, (overlap - 1) * face, 1),
    )
    radii = []
    for a, b, c, sign in cases:
        root = (b**2 - 4 * a * c).clamp_min(0).sqrt()
        radii.append((b + root) / 2 if rule == "published" else (b + sign * root) / (2 * a))
    return torch.stack(radii).amin(0)


def gaussians(
    cells: Int[Tensor, "b n 2"], radii: Float[Tensor, "b n"], height: int, width: int
) -> Float[Tensor, "b n h w"]:
    """Bumps exp(-d^2 / 2 sigma^2) with sigma = (2 r + 1) / 6, within r cells of each center."""
    y, x = (torch.arange(n, device=cells.device, dtype=torch.float32) for n in (height, width))
    dx, dy = x - cells[..., 0, None, None], y[:, None] - cells[..., 1, None, None]
    r = radii[..., None, None]
    bump = torch.exp(-(dx**2 + dy**2) / (2 * ((2 * r + 1) / 6) ** 2))
    return bump * ((dx.abs() <= r) & (dy.abs() <= r))


def gather_cells(maps: Float[Tensor, "b c h w"], cells: Int[Tensor, "b n 2"]) -> Float[Tensor, "b n c"]:
    """The values of maps in cells (x, y)."""
    flat = (cells[..., 1] * maps.shape[-1] + cells[..., 0])[:, None].expand(-1, maps.shape[1], -1)
    return maps.flatten(2).gather(2, flat).transpose(1, 2)


def peaks(heat: Float[Tensor, "b k h w"], limit: int = 100) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (B, m), kinds (B, m) and cells (B, m, 2) of the largest cells among their eight neighbors, best first."""
    width = heat.shape[-1]
    tops = heat * (F.max_pool2d(heat, 3, 1, 1) == heat)
    scores, places = tops.flatten(1).topk(min(limit, tops[0].numel()))
    kinds, cells = places.div(heat[0, 0].numel(), rounding_mode="floor"), places % heat[0, 0].numel()
    return scores, kinds, torch.stack([cells % width, cells.div(width, rounding_mode="floor")], -1)


def depth_of(logits: Tensor) -> Tensor:
    """Meters: 1 / sigmoid - 1."""
    return 1 / (logits.sigmoid() + 1e-6) - 1


def unproject(points: Float[Tensor, "*n 2"], depth: Float[Tensor, "*n"], camera: Tensor) -> Float[Tensor, "*n 3"]:
    """Points in meters of pixels and the depth that the projection matrix (..., 3, 4) gives them."""
    z = depth - camera[..., 2, 3]
    x = (points[..., 0] * depth - camera[..., 0, 3] - camera[..., 0, 2] * z) / camera[..., 0, 0]
    y = (points[..., 1] * depth - camera[..., 1, 3] - camera[..., 1, 2] * z) / camera[..., 1, 1]
    return torch.stack([x, y, z], -1)


def bin_angles(rot: Float[Tensor, "*n 8"]) -> Float[Tensor, "*n 2"]:
    """The observation angle that each of the two bins, around -pi/2 and +pi/2, stands for. Radians."""
    first = torch.atan2(rot[..., 2], rot[..., 3]) - torch.pi / 2
    second = torch.atan2(rot[..., 6], rot[..., 7]) + torch.pi / 2
    return torch.stack([first, second], -1)


def alpha_of_bins(rot: Float[Tensor, "*n 8"]) -> Tensor:
    """The observation angle of the bin with the larger logit. Radians."""
    second = (rot[..., 5] >= rot[..., 1]).long()[..., None]
    return wrapped(bin_angles(rot).gather(-1, second)[..., 0])
