"""Losses of center maps, head by head: what such a network is trained with, and inverted with.

Every function returns one number a sample (B,). ``per`` says what the sum over the objects of a sample is divided by:
their number (``object``), or 50 (``slot``) as the published code does, whose regression therefore fades against the
heatmap by n / 50. In that code ``slot`` also leaves a constant 2 ln 2 (50 - n) / 50 in the rotation loss.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from invert3d.ops.centers import CenterCodec, corners_round, depth_of, gather_cells, split_heads
from invert3d.ops.objects import Objects

Per = Literal["object", "slot"]
SLOTS = 50
#: weights of the published training loss; the paper's equation 2 leaves out that wh has 0.1
WEIGHTS = {"hm": 1.0, "dep": 1.0, "rot": 1.0, "dim": 1.0, "wh": 0.1, "reg": 1.0}


def head_losses(
    raw: Float[Tensor, "b 19 h w"],
    objects: Objects,
    codec: CenterCodec,
    per: Per = "object",
    beside: Int[Tensor, "b n 2"] | None = None,
    depth: Literal["meters", "log"] = "meters",
) -> dict[str, Float[Tensor, "b"]]:
    """The loss of each head: hm, dep, rot, dim, wh, reg.

    Args:
        raw: the maps.
        objects: what they should say.
        codec: their conventions.
        per: see above.
        beside: read the regressions of each object that many cells (x, y) from its own.
        depth: the error is in meters, or, ``log``, the logarithm of the ratio, times 20: meters at 20 m.
    """
    heads = split_heads(raw)
    height, width = raw.shape[-2:]
    objects = codec.assignable(objects, height, width)
    points = codec.points(objects)
    cells = codec.cells(objects, height, width)
    if beside is not None:
        cells = torch.minimum((cells + beside).clamp_min(0), cells.new_tensor([width - 1, height - 1]))
    found = {name: gather_cells(heads[name], cells) for name in ("dep", "rot", "dim", "wh", "reg")}
    sides = (objects.box[..., 2:] - objects.box[..., :2]) / codec.stride
    depths = depth_of(found["dep"]), objects.depth[..., None]
    regressions = {
        "dep": depths if depth == "meters" else tuple(20 * z.clamp_min(1e-3).log() for z in depths),
        "dim": (found["dim"], objects.size),
        "wh": (found["wh"], sides),
        "reg": (found["reg"], points - cells),
    }
    losses = {
        "hm": heatmap_focal(heads["hm"], codec.heatmap(objects, height, width)),
        "rot": rotation_loss(found["rot"], objects.alpha, objects.asked, per),
    }
    for name, (given, asked) in regressions.items():
        losses[name] = averaged((given - asked).abs().mean(-1), objects.asked, per)
    return {name: losses[name] for name in heads}


def averaged(values: Float[Tensor, "b n"], asked: Tensor, per: Per) -> Float[Tensor, "b"]:
    """The sum over the objects that count, divided by their number or by the slots."""
    total = torch.where(asked, values, 0).sum(1)
    return total / (asked.sum(1).clamp_min(1) if per == "object" else SLOTS)


def heatmap_focal(
    logits: Float[Tensor, "b k h w"], target: Float[Tensor, "b k h w"], alpha: float = 2, beta: float = 4
) -> Float[Tensor, "b"]:
    """CornerNet's focal loss, divided by the number of objects:

    (1 - p)^alpha log p where the target y is 1, (1 - y)^beta p^alpha log(1 - p) elsewhere. As published, p is kept in
    [1e-4, 1 - 1e-4], and has no gradient beyond.
    """
    p = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    hit = target == 1
    loss = torch.where(hit, (1 - p) ** alpha * p.log(), (1 - target) ** beta * p**alpha * (1 - p).log())
    return -loss.flatten(1).sum(1) / hit.flatten(1).sum(1).clamp_min(1)


def bins_of(alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each angle lies in the bin around -pi/2 and in that around +pi/2; near 0 and pi it lies in both."""
    sixth = math.pi / 6
    return (alpha < sixth) | (alpha > 5 * sixth), (alpha > -sixth) | (alpha < -5 * sixth)


def rotation_loss(
    rot: Float[Tensor, "b n 8"], alpha: Float[Tensor, "b n"], asked: Tensor, per: Per = "object"
) -> Float[Tensor, "b"]:
    """Cross entropy of each bin, and smooth L1 of sine and cosine of the rest of the angle in the bins it lies in.

    As published, the second is divided by the number of objects in the bin in either case.
    """
    total = torch.zeros_like(alpha[:, 0])
    for inside, turn, first in zip(bins_of(alpha), (math.pi / 2, -math.pi / 2), (0, 4), strict=True):
        entropy = F.cross_entropy(rot[..., first : first + 2].transpose(1, 2), inside.long(), reduction="none")
        total = total + averaged(entropy, asked, per)
        if per == "slot":
            total = total + math.log(2) * (1 - asked.sum(1) / SLOTS)
        rest = alpha + turn
        given = rot[..., first + 2 : first + 4]
        gap = F.smooth_l1_loss(given, torch.stack([rest.sin(), rest.cos()], -1), reduction="none").sum(-1)
        total = total + averaged(gap, asked & inside, "object")
    return total


def corner_loss(raw: Float[Tensor, "b 19 h w"], objects: Objects, codec: CenterCodec) -> Float[Tensor, "b n"]:
    """Mean distance of the eight decoded corners from where they should be, in diagonals of the asked box, (B, N).

    The size, the place and the angle are each judged with the other two as they should be, and added up (Simonelli et
    al., *Disentangling Monocular 3D Object Detection*, 2019): judged together, a box that faces the wrong way would
    rather be narrow than turn round.
    """
    asked = (objects.size, objects.middle, objects.yaw)
    found = codec.boxes_at(raw, codec.cells(objects, *raw.shape[-2:]), objects.camera)
    wanted, total = corners_round(*asked), 0.0
    for i in range(3):
        given = corners_round(*(found[k] if k == i else asked[k] for k in range(3)))
        total = total + (given - wanted).norm(dim=-1).mean(-1)
    return total / objects.size.norm(dim=-1).clamp_min(1e-3)  # type: ignore[union-attr]
