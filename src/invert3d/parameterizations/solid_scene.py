"""Pictures of a few plain solids in each box that is asked for, before a backdrop of a few colors.

Free pixels satisfy a detector without meaning anything, as free points do a classifier. Boxes and ellipsoids that are
seen by the layout's own camera can only draw things: what satisfies the detector is then an object.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.space import Space
from invert3d.ops.boxes import corners3d, project
from invert3d.ops.objects import Objects
from invert3d.ops.rays import meet_boxes, meet_ellipsoids, over, pixel_rays
from invert3d.parameterizations.images import color_axes
from invert3d.parameterizations.primitives import hung_together
from invert3d.registry import plain

MICRO = 1e6  # the layout is kept in whole micrometers, microradians and millionths of pixels: constants of theta
NEAR = 0.5  # meters before the camera in which nothing is drawn


@plain("parameterization", "solid_scene")
class SolidScene(Parameterization):
    """Each asked object is ``count`` solids that fill its box, each with a twin across the middle of the box's width.

    Solids hang together as those of ``Primitives`` do: each holds on to one before it. About ``round`` of them, drawn
    at the start, are ellipsoids, the others are boxes along the box's axes. Each of its six sides has a color; between
    them, on an ellipsoid, the colors mix as the squares of the normal. All of an object is stretched along the three
    axes until it reaches every side of the box. What is nearer hides what is farther, objects and solids alike. Edges
    are ``soft`` meters wide, and at least a pixel.

    Colors are decorrelated as in ``Fourier``; the backdrop is ``rows`` x ``columns`` of them, between which it is
    smooth. A layout may ask for ``objects`` things at most.
    """

    count: int = 6
    round: float = 0.5
    soft: float = 0.1
    rows: int = 4
    columns: int = 1
    objects: int = 16

    def __post_init__(self) -> None:
        if min(self.count, self.rows, self.columns, self.objects) < 1:
            raise ValueError("count, rows, columns and objects must be at least 1")
        if not (0 <= self.round <= 1 and self.soft > 0):
            raise ValueError(f"round must be a share and soft above 0, not {self.round} and {self.soft}")

    def initialize(self, like: Tensor, space: Space, draws: Draws) -> dict[str, Tensor]:
        n, k = self.objects, self.count
        return {
            "parent": (draws.uniform(like, 0, 1, n, k) * torch.arange(k).to(like)).long(),  # one before it
            "holds": draws.uniform(like, -1.5, 1.5, n, k, 3),  # where on the parent, as atanh of a share of its sides
            "held": draws.uniform(like, -1.5, 1.5, n, k, 3),  # and where on itself
            "log_size": 0.6 * draws.normal(like, n, k, 3) - 1.4,
            "colors": draws.normal(like, n, k, 1, 3) + 0.3 * draws.normal(like, n, k, 6, 3),
            "backdrop": 0.25 * draws.normal(like, 3, self.rows, 1)
            + 0.05 * draws.normal(like, 3, self.rows, self.columns),
            "ellipsoid": draws.uniform(like, 0, 1, n, k) < self.round,
        }

    def given(self, target: Any) -> dict[str, Tensor]:
        """The boxes (B, objects, 7): sizes, centers, yaws; which are asked; and the cameras (B, 3, 4).

        Raises ValueError where they are not known, or more objects are asked than there is room for.
        """
        if not isinstance(target, dict) or not {"centers", "projection"} <= set(target):
            raise ValueError("a solid scene stands in boxes in space: what is asked here has none")
        objects = Objects(**target)
        asked = int(objects.asked.sum(1).max())
        if asked > self.objects:
            raise ValueError(f"a layout asks for {asked} objects, the recipe has room for {self.objects}")
        first = (~objects.asked).long().argsort(dim=1, stable=True)  # the asked ones, in their order
        box = torch.cat([objects.sizes, objects.centers, objects.yaws[..., None]], -1)
        box = box.gather(1, first[..., None].expand_as(box)).nan_to_num(1.0)
        room = self.objects - box.shape[1]
        return {
            "box": F.pad((box * MICRO).round().long(), (0, 0, 0, room), value=int(MICRO)),
            "asked": F.pad(objects.asked.gather(1, first), (0, room)),
            "camera": (objects.projection.double() * MICRO).round().long(),
        }

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        backdrop = F.interpolate(theta["backdrop"], tuple(space.shape[1:]), mode="bicubic", align_corners=True)
        pictures, (low, high) = _legal(backdrop.movedim(1, -1)), self._sides(theta)
        colors = _legal(theta["colors"])
        colors = torch.cat([colors, colors[..., [0, 1, 2, 3, 5, 4], :]], 2)
        drawn = []
        for i, picture in enumerate(pictures):
            camera, boxes = ((theta[name][i].double() / MICRO).to(picture) for name in ("camera", "box"))
            solids = {
                "low": low[i],
                "high": high[i],
                "colors": colors[i],
                "ellipsoid": theta["ellipsoid"][i].repeat(1, 2),
            }
            for n in boxes[:, 5].argsort(descending=True).tolist():  # the farthest is drawn first
                if theta["asked"][i, n]:
                    own = {name: value[n] for name, value in solids.items()}
                    picture = self._with_object(picture, boxes[n], camera, **own)
            drawn.append(picture)
        return torch.stack(drawn).movedim(-1, 1)

    def _sides(self, theta: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Where solids and their twins begin and end, (B, objects, 2 count, 3) each, in a box that is [-1, 1]^3."""
        half = 0.02 + theta["log_size"].clamp(-6, 1.5).exp()
        rows = [theta[name].flatten(0, 1) for name in ("parent", "holds", "held")]
        straight = torch.eye(3).to(half).expand(*half.flatten(0, 1).shape, 3)
        center = hung_together(rows[0], rows[1].tanh(), rows[2].tanh(), half.flatten(0, 1), straight).view_as(half)
        low, high = center - half, center + half
        mirror = half.new_tensor([1.0, 1.0, -1.0])
        low, high = (torch.cat([a, torch.where(mirror < 0, -b, a)], 2) for a, b in ((low, high), (high, low)))
        least, most = low.amin(2, keepdim=True), high.amax(2, keepdim=True)
        return (2 * low - least - most) / (most - least), (2 * high - least - most) / (most - least)

    def _with_object(
        self,
        picture: Float[Tensor, "h w 3"],
        box: Float[Tensor, "7"],
        camera: Float[Tensor, "3 4"],
        *,
        low: Float[Tensor, "l 3"],
        high: Float[Tensor, "l 3"],
        colors: Float[Tensor, "l 6 3"],
        ellipsoid: Bool[Tensor, "l"],
    ) -> Float[Tensor, "h w 3"]:
        """The picture with one object before what is in it."""
        height, width = picture.shape[:2]
        corners = corners3d(box[None, :3], box[None, 3:6], box[None, 6])[0]
        seen = project(torch.cat([corners[:, :2], corners[:, 2:].clamp_min(NEAR)], 1), camera)[:, :2]
        left, top = (min(max(int(edge) - 1, 0), size) for edge, size in zip(seen.amin(0), (width, height), strict=True))
        right, bottom = (
            min(max(int(edge) + 2, 0), size) for edge, size in zip(seen.amax(0), (width, height), strict=True)
        )
        if left >= right or top >= bottom:
            return picture
        axes, middle, half = _frame(box)
        origin, rays = pixel_rays(camera, height, width)
        origin, rays = axes @ (origin - middle), rays[top:bottom, left:right].flatten(0, 1) @ axes.T
        met = zip(*(meet(origin, rays, low * half, high * half) for meet in (meet_ellipsoids, meet_boxes)), strict=True)
        inside, enters, normal = (torch.where(ellipsoid.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in met)
        pixel = enters.abs() / camera[0, 0]  # meters that a pixel is wide there
        opacity = torch.sigmoid(4 * inside / pixel.clamp_min(self.soft)) * (enters > NEAR)
        side = torch.stack([normal < 0, normal >= 0], -1) * normal[..., None] ** 2
        light, share = over(torch.einsum("lps,lsc->lpc", side.flatten(2), colors), opacity, enters)
        part = picture[top:bottom, left:right]
        part = light.view_as(part) + (1 - share).view(*part.shape[:2], 1) * part
        rows = torch.cat([picture[top:bottom, :left], part, picture[top:bottom, right:]], 1)
        return torch.cat([picture[:top], rows, picture[bottom:]])


def _frame(box: Float[Tensor, "7"]) -> tuple[Tensor, Tensor, Tensor]:
    """Axes (3, 3), along the length, up and across, the middle (3,) and half-sides (3,) of a box in space."""
    (height, width, length), yaw = box[:3], box[6]
    cos, sin, no = yaw.cos(), yaw.sin(), torch.zeros_like(yaw)
    axes = torch.stack([torch.stack([cos, no, -sin]), torch.stack([no, no - 1, no]), torch.stack([sin, no, cos])])
    return axes, box[3:6] + axes[1] * height / 2, torch.stack([length, height, width]) / 2


def _legal(z: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Colors in (0, 1) of decorrelated coordinates."""
    return torch.sigmoid(z @ color_axes(z))
