"""A layout: the objects of a scene, in space and in a picture of it, and the camera that took the picture.

What a detector is asked for and what it answers are both layouts; so are labels. Moving the picture moves the layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.ops.boxes import alpha_of, boxes_of, corners3d, wrapped


@dataclass(frozen=True)
class Layout:
    """n objects and their camera. Lengths in meters (camera coordinates, see ``ops.boxes``), angles in radians.

    Attributes:
        kinds: what each is, e.g. ``Car``.
        boxes: (n, 4) left, top, right, bottom in pixels, inside the image.
        sizes: (n, 3) height, width, length.
        centers: (n, 3) of the bottom faces.
        yaws: (n,) rotation_y. alphas: (n,) observation angles.
        projection: (3, 4), KITTI's P2. height, width: of the image in pixels.
        scores: (n,), NaN for labels.
        truncations: (n,) share outside the image. occlusions: (n,) 0 visible, 1 partly, 2 largely occluded, 3 unknown.
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
        limits = whole.new_tensor([width - 1.0, height - 1.0, width - 1.0, height - 1.0])
        boxes = torch.minimum(whole.nan_to_num(0, 1e6, -1e6).clamp_min(0), limits)
        boxes = torch.cat([boxes[:, :2], torch.maximum(boxes[:, :2], boxes[:, 2:])], 1)  # behind: empty, not inside out
        share = area(boxes) / area(whole).clamp_min(1e-6)
        nothing = torch.zeros_like(yaws)
        return cls(
            kinds=tuple(kinds),
            boxes=boxes,
            sizes=sizes,
            centers=centers,
            yaws=wrapped(yaws),
            alphas=alpha_of(yaws, centers),
            projection=projection,
            height=height,
            width=width,
            scores=torch.full_like(yaws, torch.nan) if scores is None else scores,
            truncations=(1 - share.nan_to_num(0)).clamp(0, 1),
            occlusions=nothing,
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
        rows = {
            name: getattr(self, name)[places]
            for name in ("boxes", "sizes", "centers", "yaws", "alphas", "scores", "truncations", "occlusions")
        }
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
        move = self.projection.new_tensor([[across, 0, right], [0, down, below], [0, 0, 1]])
        limits = self.boxes.new_tensor([width - 1.0, height - 1.0] * 2)
        boxes = self.boxes * self.boxes.new_tensor([across, down] * 2) + self.boxes.new_tensor([right, below] * 2)
        boxes = torch.minimum(boxes.clamp_min(0), limits)
        return replace(self, boxes=boxes, projection=move @ self.projection, height=height, width=width)

    def flipped(self) -> "Layout":
        """The layout in the mirrored picture: x and rotation_y change sign with the camera's horizontal terms."""
        left, top, right, bottom = self.boxes.unbind(1)
        edge = self.width - 1
        mirror = self.projection.new_tensor([[-1, 0, edge], [0, 1, 0], [0, 0, 1]])
        world = self.projection.new_tensor([-1, 1, 1, 1])
        return replace(
            self,
            boxes=torch.stack([edge - right, top, edge - left, bottom], 1),
            centers=self.centers * self.centers.new_tensor([-1, 1, 1]),
            yaws=wrapped(torch.pi - self.yaws),
            alphas=wrapped(torch.pi - self.alphas),
            projection=(mirror @ self.projection) * world,
        )

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> "Layout":
        """The layout with its tensors on a device."""
        moved = {name: value.to(device, dtype) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def area(boxes: Float[Tensor, "*n 4"]) -> Tensor:
    """Areas in square pixels of boxes (left, top, right, bottom); 0 for one turned inside out."""
    return (boxes[..., 2] - boxes[..., 0]).clamp_min(0) * (boxes[..., 3] - boxes[..., 1]).clamp_min(0)
