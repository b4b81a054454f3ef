"""Layouts of a batch as one tensor, objects padded to the same number, so that losses and views are vectorized.

Every object carries its own camera: a view that moves the picture moves each row and needs to know nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.ops.boxes import wrapped
from invert3d.ops.layouts import Layout

#: kinds that look like another: neither asked for nor punished there (CenterNet's table for KITTI)
NEIGHBORS = {"Van": "Car", "Truck": "Car", "Person_sitting": "Pedestrian"}
#: where each quantity lies in the last axis
FIELDS = {
    "state": slice(0, 1),
    "kind": slice(1, 2),
    "box": slice(2, 6),
    "size": slice(6, 9),
    "center": slice(9, 12),
    "yaw": slice(12, 13),
    "alpha": slice(13, 14),
    "camera": slice(14, 26),
}
WIDTH = 26


@dataclass(frozen=True)
class Objects:
    """A view of packed layouts (B, N, 26): KITTI's conventions and units, see ``Layout``.

    ``state`` (B, N) is 1 for an object, 0 for padding and -1 for one to be ignored; ``kind`` (B, N) is a place in the
    list of kinds, -1 for what may be any.
    """

    packed: Float[Tensor, "*b n 26"]

    @property
    def asked(self) -> Tensor:
        """(B, N) booleans: the objects that count."""
        return self.packed[..., 0] == 1

    @property
    def ignored(self) -> Tensor:
        """(B, N) booleans: where nothing is asked and nothing punished."""
        return self.packed[..., 0] == -1

    @property
    def kind(self) -> Tensor:
        """(B, N) places in the list of kinds; -1 for any."""
        return self.packed[..., 1].long()

    @property
    def box(self) -> Tensor:
        """(B, N, 4) left, top, right, bottom in pixels."""
        return self.packed[..., FIELDS["box"]]

    @property
    def size(self) -> Tensor:
        """(B, N, 3) height, width, length in meters."""
        return self.packed[..., FIELDS["size"]]

    @property
    def center(self) -> Tensor:
        """(B, N, 3) of the bottom faces in meters."""
        return self.packed[..., FIELDS["center"]]

    @property
    def yaw(self) -> Tensor:
        """(B, N) rotation_y in radians."""
        return self.packed[..., 12]

    @property
    def alpha(self) -> Tensor:
        """(B, N) observation angles in radians."""
        return self.packed[..., 13]

    @property
    def camera(self) -> Tensor:
        """(B, N, 3, 4) projection matrices."""
        return self.packed[..., FIELDS["camera"]].unflatten(-1, (3, 4))

    @property
    def middle(self) -> Tensor:
        """(B, N, 3) centers of the boxes themselves, half a height above the bottom faces."""
        up = torch.zeros_like(self.size)
        up[..., 1] = self.size[..., 0] / 2
        return self.center - up

    @property
    def depth(self) -> Tensor:
        """(B, N) depths of the middles, as the camera gives them to a picture; in meters."""
        return self.camera[..., 2, :3].mul(self.middle).sum(-1) + self.camera[..., 2, 3]

    def changed(self, **fields: Tensor) -> "Objects":
        """With some of box, size, center, yaw, alpha, camera replaced."""
        packed = self.packed.clone()
        for name, value in fields.items():
            packed[..., FIELDS[name]] = value.reshape(*packed.shape[:-1], -1).to(packed)
        return replace(self, packed=packed)

    def flipped(self, width: int) -> "Objects":
        """In the mirrored picture of so many pixels across."""
        left, top, right, bottom = self.box.unbind(-1)
        mirror = self.packed.new_tensor([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
        world = self.packed.new_tensor([-1.0, 1, 1, 1])
        return self.changed(
            box=torch.stack([width - 1 - right, top, width - 1 - left, bottom], -1),
            center=self.center * world[:3],
            yaw=wrapped(torch.pi - self.yaw),
            alpha=wrapped(torch.pi - self.alpha),
            camera=(mirror @ self.camera) * world,
        )

    def warped(self, scale: Float[Tensor, "b 2"], move: Float[Tensor, "b 2"], height: int, width: int) -> "Objects":
        """In pictures scaled by (across, down), then moved by pixels, and cut to a size: the camera takes it."""
        scale, move = scale.to(self.packed), move.to(self.packed)
        limits = self.packed.new_tensor([width - 1.0, height - 1.0] * 2)
        box = self.box * scale.repeat(1, 2)[:, None] + move.repeat(1, 2)[:, None]
        change = torch.diag_embed(torch.cat([scale, torch.ones_like(scale[:, :1])], 1))
        change[:, :2, 2] = move
        return self.changed(box=torch.minimum(box.clamp_min(0), limits), camera=change[:, None] @ self.camera)


def pack(layouts: Sequence[Layout], kinds: Sequence[str], slots: int | None = None) -> Float[Tensor, "b n 26"]:
    """Layouts as one tensor. Kinds that are not in the list are ignored where they look like one that is, or are
    DontCare; others are left out.

    Raises:
        ValueError: a layout has more objects than ``slots``.
    """
    rows = [_rows(layout, list(kinds)) for layout in layouts]
    most = max([len(row) for row in rows], default=0)
    if slots is not None and most > slots:
        raise ValueError(f"a layout has {most} objects, there is room for {slots}")
    packed = torch.zeros(len(rows), slots or max(most, 1), WIDTH)
    packed[..., 1] = -1
    packed[..., FIELDS["camera"]] = torch.eye(3, 4).flatten()  # padding has a camera, so that nothing divides by 0
    packed[..., FIELDS["center"]] = torch.tensor([0.0, 0.0, 10.0])
    for i in range(len(rows)):
        packed[i, : len(rows[i])] = rows[i]
    return packed


def _rows(layout: Layout, kinds: list[str]) -> Tensor:
    states, places, chosen = [], [], []
    for i, kind in enumerate(layout.kinds):
        like = kind if kind in kinds else NEIGHBORS.get(kind, "")
        if like not in kinds and kind != "DontCare":
            continue
        chosen.append(i)
        states.append(1.0 if like == kind else -1.0)
        places.append(kinds.index(like) if like in kinds else -1)
    part = layout.select(torch.tensor(chosen, dtype=torch.long))
    camera = part.projection.flatten().expand(len(chosen), 12)
    row = torch.cat(
        [
            torch.tensor([states, places]).T.reshape(-1, 2).float(),
            part.boxes,
            part.sizes,
            part.centers,
            part.yaws[:, None],
            part.alphas[:, None],
            camera,
        ],
        1,
    )
    return row.float().nan_to_num(0.0)


def unpack(packed: Float[Tensor, "b n 26"], kinds: Sequence[str], height: int, width: int) -> list[Layout]:
    """The layouts in a packed tensor: the objects that count, truncations and occlusions forgotten."""
    layouts, names = [], list(kinds)
    for row in packed.detach().cpu():
        objects = Objects(row[row[:, 0] == 1])
        camera = objects.camera[0] if len(objects.packed) else Objects(row).camera[0]
        nothing = torch.zeros(len(objects.packed))
        layouts.append(
            Layout(
                kinds=tuple(names[i] for i in objects.kind.tolist()),
                boxes=objects.box,
                sizes=objects.size,
                centers=objects.center,
                yaws=objects.yaw,
                alphas=objects.alpha,
                projection=camera,
                height=height,
                width=width,
                scores=nothing + torch.nan,
                truncations=nothing,
                occlusions=nothing,
            )
        )
    return layouts
