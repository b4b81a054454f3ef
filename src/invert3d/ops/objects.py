"""Layouts of a batch as tensors with the batch first, objects padded to the same number: what losses and views take.

The fields are those of a ``Layout``. A detector's target is a dictionary of them, so that every view that knows boxes,
masks and cameras moves the targets of every detector.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invert3d.ops.layouts import Layout

#: kinds that look like another: neither asked for nor punished there (CenterNet's table for KITTI)
NEIGHBORS = {"Van": "Car", "Truck": "Car", "Person_sitting": "Pedestrian"}
#: the fields that only objects in space have
IN_SPACE = ("sizes", "centers", "yaws", "alphas", "projection")


@dataclass(frozen=True)
class Objects:
    """B layouts of N objects: KITTI's conventions and units, see ``Layout``.

    ``states`` (B, N) is 1 for an object, 0 for padding and -1 for one to be ignored; ``kinds`` (B, N) is a place in the
    list of kinds, -1 for what may be any.
    """

    states: Int[Tensor, "b n"]
    kinds: Int[Tensor, "b n"]
    boxes: Float[Tensor, "b n 4"]
    sizes: Float[Tensor, "b n 3"]
    centers: Float[Tensor, "b n 3"]
    yaws: Float[Tensor, "b n"]
    alphas: Float[Tensor, "b n"]
    projection: Float[Tensor, "b 3 4"]
    masks: Bool[Tensor, "b n h w"] | None = None

    @property
    def asked(self) -> Tensor:
        """(B, N) booleans: the objects that count."""
        return self.states == 1

    @property
    def ignored(self) -> Tensor:
        """(B, N) booleans: where nothing is asked and nothing punished."""
        return self.states == -1

    @property
    def middles(self) -> Tensor:
        """(B, N, 3) centers of the boxes themselves, half a height above the bottom faces."""
        up = torch.zeros_like(self.sizes)
        up[..., 1] = self.sizes[..., 0] / 2
        return self.centers - up

    @property
    def depths(self) -> Tensor:
        """(B, N) depths of the middles, as the camera gives them to a picture; in meters."""
        row = self.projection[:, None, 2]
        return (row[..., :3] * self.middles).sum(-1) + row[..., 3]

    def fields(self) -> dict[str, Tensor]:
        """The tensors by name, without masks where there are none."""
        return {name: value for name, value in vars(self).items() if value is not None}


def pack(layouts: Sequence[Layout], kinds: Sequence[str]) -> Objects:
    """Layouts as one batch. Kinds that are not in the list are ignored where they look like one that is, or are
    DontCare; others are left out. Masks are kept where all layouts have them.

    Raises ValueError if there is no layout.
    """
    if not layouts:
        raise ValueError("there is no layout to pack: give at least one")
    known = list(kinds)
    parts = [_known(layout, known) for layout in layouts]
    count = max(1, *map(len, parts))
    states, places = torch.zeros(len(parts), count).long(), torch.full((len(parts), count), -1)
    projection = torch.eye(3, 4).repeat(len(parts), 1, 1)
    for i, part in enumerate(parts):
        like = [kind if kind in known else NEIGHBORS.get(kind, "") for kind in part.kinds]
        pairs = zip(like, part.kinds, strict=True)
        states[i, : len(part)] = torch.tensor([1 if a == b else -1 for a, b in pairs], dtype=torch.long)
        places[i, : len(part)] = torch.tensor([known.index(a) if a in known else -1 for a in like], dtype=torch.long)
        projection[i] = part.projection.nan_to_num(0.0)
    rows = {name: _padded([getattr(part, name) for part in parts], count) for name in ("boxes", *IN_SPACE[:-1])}
    rows["centers"][states == 0] = torch.tensor([0.0, 0.0, 10.0])  # in front of the camera: nothing divides by 0
    masks = [part.masks for part in parts if part.masks is not None]
    whole = _padded(masks, count) if len(masks) == len(parts) else None
    return Objects(states=states, kinds=places, projection=projection, masks=whole, **rows)


def _known(layout: Layout, kinds: list[str]) -> Layout:
    """The objects of these kinds, those that look like them, and regions."""
    chosen = [kind in kinds or kind == "DontCare" or NEIGHBORS.get(kind, "") in kinds for kind in layout.kinds]
    return layout.select(torch.tensor(chosen, dtype=torch.bool))


def _padded(rows: list[Tensor], count: int) -> Tensor:
    """Tensors (n_i, ...) as one (B, count, ...), in single precision, zero where nothing is there or known."""
    dtype = torch.bool if rows[0].dtype == torch.bool else torch.float32
    whole = torch.zeros(len(rows), count, *rows[0].shape[1:], dtype=dtype)
    for row, each in zip(whole, rows, strict=True):
        row[: len(each)] = each if dtype == torch.bool else each.nan_to_num(0.0)
    return whole
