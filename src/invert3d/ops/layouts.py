"""A layout: the objects in a picture, in pixels and, where they are known, in space, and the camera of the picture.

What a detector is asked for and what it answers are both layouts; so are labels. Moving the picture moves the layout.
``flip_fields`` and ``warp_fields`` do that for one layout and for a batch of them (``ops.objects``) alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invert3d.ops.boxes import alpha_of, boxes_of, corners3d, wrapped

#: fields with a row for each object
ROWS = ("boxes", "sizes", "centers", "yaws", "alphas", "scores", "truncations", "occlusions", "masks")


@dataclass(frozen=True)
class Layout:
    """n objects and their camera. Lengths in meters (camera coordinates, see ``ops.boxes``), angles in radians.

    What is not known is NaN: sizes, centers and angles of a region, and also the projection for a layout in the picture
    only, as a 2-D detector has it (``of_boxes``).

    Attributes:
        kinds: what each is, e.g. ``Car``.
        boxes: (n, 4) left, top, right, bottom in pixels, inside the image: of a layout in space from the middle of a
            pixel to that of another, as in KITTI, of one in the picture only from edge to edge, as in COCO.
        sizes: (n, 3) height, width, length.
        centers: (n, 3) of the bottom faces.
        yaws: (n,) rotation_y. alphas: (n,) observation angles.
        projection: (3, 4), KITTI's P2. height, width: of the image in pixels.
        scores: (n,), NaN for labels.
        truncations: (n,) share outside the image. occlusions: (n,) 0 visible, 1 partly, 2 largely occluded, 3 unknown.
        masks: (n, H, W) which pixels show each object; None where there are none.
    """

    kinds: tuple[str, ...]
    boxes: Float[Tensor, "n 4"]
    sizes: Float[Tensor, "n 3"]
    centers: Float[Tensor, "n 3"]
    yaws: Float[Tensor, "n"]
    alphas: Float[Tensor, "n"]
    projection: Float[Tensor, "3 4"]
    height: int
    width: int
    scores: Float[Tensor, "n"]
    truncations: Float[Tensor, "n"]
    occlusions: Float[Tensor, "n"]
    masks: Bool[Tensor, "n h w"] | None = None

    @classmethod
    def of(
        cls,
        kinds: Sequence[str],
        sizes: Tensor,
        centers: Tensor,
        yaws: Tensor,
        projection: Tensor,
        height: int,
        width: int,
        scores: Tensor | None = None,
    ) -> "Layout":
        """A layout of boxes in space: their boxes in the picture, truncations and observation angles follow.

        An object that is not in the picture has an empty box at its border.
        """
        whole = boxes_of(corners3d(sizes, centers, yaws), projection)
        limits = whole.new_tensor([width - 1.0, height - 1.0] * 2)
        boxes = torch.minimum(whole.nan_to_num(0, 1e6, -1e6).clamp_min(0), limits)
        boxes = torch.cat([boxes[:, :2], torch.maximum(boxes[:, :2], boxes[:, 2:])], 1)  # behind: empty, not inside out
        share = area(boxes) / area(whole).clamp_min(1e-6)
        return replace(
            cls.of_boxes(kinds, boxes, height, width, scores),
            sizes=sizes,
            centers=centers,
            yaws=wrapped(yaws),
            alphas=alpha_of(yaws, centers),
            projection=projection,
            truncations=(1 - share.nan_to_num(0)).clamp(0, 1),
            occlusions=torch.zeros_like(yaws),
        )

    @classmethod
    def of_boxes(
        cls,
        kinds: Sequence[str],
        boxes: Float[Tensor, "n 4"],
        height: int,
        width: int,
        scores: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> "Layout":
        """A layout in the picture only: nothing in space is known of it."""
        unknown = boxes.new_full((len(boxes), 3), torch.nan)
        return cls(
            kinds=tuple(kinds),
            boxes=boxes,
            sizes=unknown,
            centers=unknown,
            yaws=unknown[:, 0],
            alphas=unknown[:, 0],
            projection=boxes.new_full((3, 4), torch.nan),
            height=height,
            width=width,
            scores=unknown[:, 0] if scores is None else scores,
            truncations=unknown[:, 0],
            occlusions=unknown[:, 0],
            masks=masks,
        )

    @classmethod
    def empty(cls, projection: Tensor, height: int, width: int) -> "Layout":
        """A scene without objects."""
        nothing = projection.new_zeros(0, 3)
        return cls.of((), nothing, nothing, nothing[:, 0], projection, height, width)

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def corners(self) -> Float[Tensor, "n 8 3"]:
        """The eight corners of each box, in meters."""
        return corners3d(self.sizes, self.centers, self.yaws)

    def select(self, chosen: Tensor) -> "Layout":
        """The objects of a mask (n,) or of places (m,)."""
        places = chosen.nonzero()[:, 0] if chosen.dtype == torch.bool else chosen
        rows = {name: value[places] for name in ROWS if (value := getattr(self, name)) is not None}
        return replace(self, kinds=tuple(self.kinds[i] for i in places.tolist()), **rows)

    def of_kinds(self, kinds: Sequence[str]) -> "Layout":
        """The objects of these kinds."""
        return self.select(torch.tensor([kind in kinds for kind in self.kinds], dtype=torch.bool))

    def resized(self, height: int, width: int) -> "Layout":
        """The layout in the picture scaled to another size, each side by its own factor; space stays as it is.

        The edges of the picture are kept, not the middles of its outer pixels: u becomes (u + 1/2) s - 1/2.
        """
        across, down = width / self.width, height / self.height
        return self.warped(across, down, across / 2 - 0.5, down / 2 - 0.5, height, width)

    def warped(self, across: float, down: float, right: float, below: float, height: int, width: int) -> "Layout":
        """The layout after the picture was scaled by (across, down), then moved by (right, below) pixels and cut.

        The camera takes it all: the intrinsics change, the boxes in space do not.
        """
        scale, move = self.boxes.new_tensor([across, down]), self.boxes.new_tensor([right, below])
        return replace(self, **warp_fields(vars(self), scale, move, height, width), height=height, width=width)

    def flipped(self) -> "Layout":
        """The layout in the mirrored picture: x and rotation_y change sign with the camera's horizontal terms."""
        return replace(self, **flip_fields(vars(self), self.width))

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> "Layout":
        """The layout with its tensors on a device."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        kept = {name: value.dtype if value.dtype == torch.bool else dtype for name, value in tensors.items()}
        return replace(self, **{name: value.to(device, kept[name]) for name, value in tensors.items()})


def flip_fields(fields: Mapping[str, Any], width: int) -> dict[str, Tensor]:
    """What mirroring a picture changes in the fields of a layout, or of a batch of them, as far as they are there."""
    left, top, right, bottom = fields["boxes"].unbind(-1)
    end = width - 1 + 2 * _half(fields)
    found = {"boxes": torch.stack([end - right, top, end - left, bottom], -1)}
    if fields.get("masks") is not None:
        found["masks"] = fields["masks"].flip(-1)
    if "centers" in fields:
        mirror = fields["boxes"].new_tensor([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]])
        world = fields["boxes"].new_tensor([-1, 1, 1, 1])
        found |= {name: wrapped(torch.pi - fields[name]) for name in ("yaws", "alphas")}
        found |= {"centers": fields["centers"] * world[:3], "projection": (mirror @ fields["projection"]) * world}
    return found


def warp_fields(
    fields: Mapping[str, Any], scale: Float[Tensor, "*b 2"], move: Float[Tensor, "*b 2"], height: int, width: int
) -> dict[str, Tensor]:
    """What changes in the fields of a layout, or of a batch of them, when pictures are scaled by (across, down), then
    moved by (right, below) pixels, and cut to a size: a pixel's middle u goes to u s + m. Boxes in space stay: the
    camera takes it."""
    scale, move, half = scale.to(fields["boxes"]), move.to(fields["boxes"]), _half(fields)
    limits = scale.new_tensor([width - 1.0, height - 1.0] * 2) + 2 * half
    boxes = (fields["boxes"] - half) * torch.cat([scale] * 2, -1)[..., None, :] + torch.cat([move] * 2, -1)[
        ..., None, :
    ]
    found = {"boxes": torch.minimum((boxes + half).clamp_min(0), limits)}
    if fields.get("masks") is not None:
        found["masks"] = _warped_masks(fields["masks"], scale, move, height, width)
    if "projection" in fields:
        change = torch.diag_embed(torch.cat([scale, torch.ones_like(scale[..., :1])], -1))
        change[..., :2, 2] = move
        found["projection"] = change @ fields["projection"]
    return found


def _half(fields: Mapping[str, Any]) -> float:
    """Where the middle of the first pixel is. A layout in the picture only counts edges, as COCO does: a picture ends
    at its width. One in space counts middles, as KITTI does: it ends at its width less 1."""
    return 0.5 if fields.get("projection") is None or fields["projection"].isnan().all() else 0.0


def _warped_masks(masks: Tensor, scale: Tensor, move: Tensor, height: int, width: int) -> Tensor:
    """Masks (..., n, H, W) scaled and moved, each pixel from the nearest; nothing outside."""
    places, inside = [], []
    for axis, (count, size) in enumerate(((width, masks.shape[-1]), (height, masks.shape[-2]))):
        pixels = torch.arange(count, dtype=scale.dtype, device=scale.device)
        source = ((pixels - move[..., axis, None]) / scale[..., axis, None]).round()
        inside.append((source >= 0) & (source < size))
        places.append(source.clamp(0, size - 1).long())
    rows = places[1][..., None, :, None].expand(*masks.shape[:-2], height, masks.shape[-1])
    columns = places[0][..., None, None, :].expand(*masks.shape[:-2], height, width)
    return masks.gather(-2, rows).gather(-1, columns) & (inside[1][..., None, :, None] & inside[0][..., None, None, :])


def area(boxes: Float[Tensor, "*n 4"]) -> Tensor:
    """Areas in square pixels of boxes (left, top, right, bottom); 0 for one turned inside out."""
    return (boxes[..., 2] - boxes[..., 0]).clamp_min(0) * (boxes[..., 3] - boxes[..., 1]).clamp_min(0)
