"""Pictures of a few plain solids in each box that is asked for, before a backdrop of a few colors.

Free pixels satisfy a detector without meaning anything, as free points do a classifier. Boxes and ellipsoids that are
seen by the layout's own camera can only draw things with outlines. Whether a person can name them is another question.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.space import Space
from invert3d.ops.boxes import boxes_of, corners3d
from invert3d.ops.objects import IN_SPACE, Objects
from invert3d.ops.rays import meet_boxes, meet_ellipsoids, over, pixel_rays
from invert3d.parameterizations.images import color_axes
from invert3d.parameterizations.primitives import hung_together
from invert3d.registry import plain

NEAR = 0.5  # meters before the camera in which nothing is drawn


@plain("parameterization", "solid_scene")
class SolidScene(Parameterization):
    """Each asked object is ``count`` solids that fill its box, each with a twin across the middle of the box's width.

    Solids hang together as those of ``Primitives`` do: each holds on to one before it. A share ``round`` of them, drawn
    at the start, are ellipsoids, the others are boxes along the axes of the object's box. Each solid has six colors,
    one for either direction along each axis; on an ellipsoid they mix as the squares of the normal. All of an object is
    stretched along the three axes until it reaches every side of its box. A solid hides what is behind it, an object
    what is behind its middle. Edges are ``soft`` meters wide, and at least a pixel.

    Colors are decorrelated as in ``Fourier``; the backdrop is ``rows`` x ``columns`` of them, between which it is
    smooth. The camera looks along z. Theta, and with it all but ``soft``, is that of the first stage of a recipe.
    """

    count: int = 6  # without the twins
    round: float = 0.5
    soft: float = 0.1
    rows: int = 4
    columns: int = 1
    objects: int = 16  # at most so many may be asked for

    def __post_init__(self) -> None:
        if min(self.count, self.rows, self.columns, self.objects) < 1:
            raise ValueError("count, rows, columns and objects must be at least 1")
        if not (0 <= self.round <= 1 and self.soft > 0):
            raise ValueError(f"round must be between 0 and 1 and soft above 0, not {self.round} and {self.soft}")

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

    def constants(self, target: Any) -> dict[str, Tensor]:
        """The boxes (B, objects, 7): sizes, centers, yaws; which are asked for; and the cameras (B, 3, 4).

        Numbers are the bits of double precision. Raises ValueError where they are not known, or more objects are asked
        for than there is room for.
        """
        if not isinstance(target, dict) or not set(IN_SPACE) <= set(target):
            raise ValueError("a solid scene stands in boxes in space: what is asked here has none")
        objects = Objects(**target)
        first = (~objects.asked).long().argsort(dim=1, stable=True)  # the asked ones, in their order
        box = torch.cat([objects.sizes, objects.centers, objects.yaws[..., None]], -1).double()
        box, asked = box.gather(1, first[..., None].expand_as(box)), objects.asked.gather(1, first)
        most = int(asked.sum(1).max())
        if most > self.objects:
            raise ValueError(f"a layout asks for {most} objects, the recipe has room for {self.objects}")
        if not box[asked].isfinite().all() or (objects.projection[:, 2, 2] == 0).any():
            raise ValueError("a solid scene stands in boxes in space: a box or camera of these layouts is not known")
        room = self.objects - box.shape[1]  # what is not asked for is cut off where it is below 0
        return {
            "box": F.pad(box, (0, 0, 0, room), value=1.0).view(torch.int64),
            "asked": F.pad(asked, (0, room)),
            "camera": objects.projection.double().view(torch.int64),
        }

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        size = tuple(space.shape[1:])
        backdrop = F.interpolate(theta["backdrop"], size, mode="bicubic", align_corners=True)
        pictures, (low, high) = _legal(backdrop.movedim(1, -1)), self._sides(theta)
        colors = _legal(theta["colors"])
        colors = torch.cat([colors, colors[..., [0, 1, 2, 3, 5, 4], :]], 2)
        drawn = []
        cameras, boxes = (theta[name].view(torch.float64).to(pictures) for name in ("camera", "box"))
        for i, camera in enumerate(cameras):
            origin, rays = pixel_rays(camera, *size)
            crops = self._crops(boxes[i], camera, *size)
            depths = torch.where(theta["asked"][i], boxes[i, :, 5], -torch.inf)
            picture = pictures[i]
            for n in depths.argsort(descending=True)[: int(theta["asked"][i].sum())].tolist():  # the farthest first
                left, top, right, bottom = crops[n]
                if left >= right or top >= bottom:
                    continue
                solids = low[i, n], high[i, n], colors[i, n], theta["ellipsoid"][i, n].repeat(2)
                light, hidden = self._seen(
                    boxes[i, n], origin, rays[top:bottom, left:right].flatten(0, 1), camera, *solids
                )
                part = picture[top:bottom, left:right]
                picture = picture.clone()
                picture[top:bottom, left:right] = light.view_as(part) + (1 - hidden).view(*part.shape[:2], 1) * part
            drawn.append(picture)
        return torch.stack(drawn).movedim(-1, 1)

    def _crops(
        self, boxes: Float[Tensor, "n 7"], camera: Float[Tensor, "3 4"], height: int, width: int
    ) -> list[list[int]]:
        """Left, top, right and bottom of the pixels that the boxes can change."""
        corners = corners3d(boxes[:, :3], boxes[:, 3:6], boxes[:, 6])
        nearest = corners[..., 2].amin(1).clamp_min(NEAR)
        margin = 2 + 2 * self.soft * _focal_length(camera) / nearest
        edges = boxes_of(corners, camera, near=NEAR) + margin[:, None] * boxes.new_tensor([-1.0, -1.0, 1.0, 1.0])
        return edges.clamp_min(0).minimum(boxes.new_tensor([width, height] * 2)).long().tolist()

    def _sides(self, theta: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Where solids and their twins begin and end, (B, objects, 2 count, 3) each, in a box that is [-1, 1]^3."""
        half = 0.02 + theta["log_size"].clamp(-6, 1.5).exp()
        parent, ellipsoid = theta["parent"], theta["ellipsoid"]
        holds = _inside(theta["holds"].tanh(), ellipsoid.gather(-1, parent))
        held = _inside(theta["held"].tanh(), ellipsoid)
        straight = torch.eye(3).to(half).expand(*half.shape, 3)
        parts = (each.flatten(0, 1) for each in (parent, holds, held, half, straight))
        center = hung_together(*parts).view_as(half)
        low, high = center - half, center + half
        mirror = half.new_tensor([1.0, 1.0, -1.0])
        low, high = (torch.cat([a, torch.where(mirror < 0, -b, a)], 2) for a, b in ((low, high), (high, low)))
        least, most = low.amin(2, keepdim=True), high.amax(2, keepdim=True)
        return (2 * low - least - most) / (most - least), (2 * high - least - most) / (most - least)

    def _seen(
        self,
        box: Float[Tensor, "7"],
        origin: Float[Tensor, "3"],
        rays: Float[Tensor, "p 3"],
        camera: Float[Tensor, "3 4"],
        low: Float[Tensor, "l 3"],
        high: Float[Tensor, "l 3"],
        colors: Float[Tensor, "l 6 3"],
        ellipsoid: Bool[Tensor, "l"],
    ) -> tuple[Tensor, Tensor]:
        """The light (P, 3) that comes from one object along rays, and how much it hides of what is behind it (P,)."""
        axes, middle, half = _frame(box)
        origin, rays, low, high = axes @ (origin - middle), rays @ axes.T, low * half, high * half
        kinds = ((meet_ellipsoids, ellipsoid), (meet_boxes, ~ellipsoid))
        met = [meet(origin, rays, low[kind], high[kind]) for meet, kind in kinds]
        inside, enters, normal = (torch.cat(pair) for pair in zip(*met, strict=True))
        pixel = enters.abs() / _focal_length(camera)  # meters that a pixel is wide there
        opacity = torch.sigmoid(4 * inside / pixel.clamp_min(self.soft)) * (enters > NEAR)
        side = torch.stack([normal < 0, normal >= 0], -1) * normal[..., None] ** 2
        colors = torch.cat([colors[ellipsoid], colors[~ellipsoid]])
        return over(torch.einsum("lps,lsc->lpc", side.flatten(2), colors), opacity, enters)


def _inside(share: Float[Tensor, "*n 3"], ellipsoid: Bool[Tensor, "*n"]) -> Float[Tensor, "*n 3"]:
    """Points of a box [-1, 1]^3, or of the ellipsoid in it."""
    return torch.where(ellipsoid[..., None], share / share.norm(dim=-1, keepdim=True).clamp_min(1), share)


def _focal_length(camera: Float[Tensor, "3 4"]) -> Tensor:
    """In pixels: the geometric mean of both axes."""
    return torch.linalg.det(camera[:, :3]).abs().sqrt()


def _frame(box: Float[Tensor, "7"]) -> tuple[Tensor, Tensor, Tensor]:
    """Axes (3, 3), along the length, up and across, the middle (3,) and half-sides (3,) of a box in space."""
    (height, width, length), yaw = box[:3], box[6]
    cos, sin, no = yaw.cos(), yaw.sin(), torch.zeros_like(yaw)
    axes = torch.stack([torch.stack([cos, no, -sin]), torch.stack([no, no - 1, no]), torch.stack([sin, no, cos])])
    return axes, box[3:6] + axes[1] * height / 2, torch.stack([length, height, width]) / 2


def _legal(z: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Colors in (0, 1) of decorrelated coordinates."""
    return torch.sigmoid(z @ color_axes(z))
