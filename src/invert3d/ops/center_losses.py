"""Losses of center maps, head by head: what such a network is trained with, and inverted with.

Every loss is one number a sample (B,). ``per`` says what the sum over the objects of a sample is divided by: their
number (``object``), or 50 (``slot``) as the published code does, whose regression therefore fades against the heatmap
by n / 50. In that code ``slot`` also leaves a constant 2 ln 2 (50 - n) / 50 in the rotation loss.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from invert3d.ops.centers import CenterCodec, Maps, centered_corners, depth_of, gather_cells
from invert3d.ops.objects import Objects

Per = Literal["object", "slot"]
SLOTS = 50
#: weights of the published training loss; the paper's equation 2 leaves out that wh has 0.1
WEIGHTS = {"hm": 1.0, "dep": 1.0, "rot": 1.0, "dim": 1.0, "wh": 0.1, "reg": 1.0}


@torch.no_grad()
def assign_centers(
    heads: Maps, objects: Objects, codec: CenterCodec, jitter: Int[Tensor, "b n 2"] | None = None
) -> dict[str, Tensor]:
    """What the maps should say, and in which cells; (B, ...) each.

    ``jitter`` reads the regressions of each object that many cells (x, y) from its own.
    """
    height, width = heads["hm"].shape[-2:]
    objects = codec.assignable(objects, height, width)
    cells = codec.cells(objects, height, width)
    if jitter is not None:
        cells = torch.minimum((cells + jitter).clamp_min(0), cells.new_tensor([width - 1, height - 1]))
    return {
        "asked": objects.asked,
        "cells": cells,
        "hm": codec.heatmap(objects, height, width),
        "dep": objects.depths[..., None],
        "dim": objects.sizes,
        "wh": codec.sides(objects),
        "reg": codec.points(objects) - cells,
        "alphas": objects.alphas,
        "middles": objects.middles,
        "yaws": objects.yaws,
        "projection": objects.projection,
    }


def center_losses(
    heads: Maps,
    assigned: dict[str, Tensor],
    codec: CenterCodec,
    per: Per = "object",
    depth: Literal["meters", "log"] = "meters",
) -> dict[str, Float[Tensor, "b"]]:
    """The loss of each head, hm, dep, rot, dim, wh, reg, and of the decoded ``corners``; see ``assign_centers``.

    The error of ``depth`` is in meters, or, ``log``, the logarithm of the ratio, times 20: meters at 20 m.
    """
    asked = assigned["asked"]
    found = {name: gather_cells(heads[name], assigned["cells"]) for name in ("dep", "rot", "dim", "wh", "reg")}
    pairs = {name: (found[name], assigned[name]) for name in ("dim", "wh", "reg")}
    pairs["dep"] = depth_of(found["dep"]), assigned["dep"]
    if depth == "log":
        given, wanted = (20 * z.clamp_min(1e-3).log() for z in pairs["dep"])
        pairs["dep"] = given, wanted
    losses = {name: averaged((given - wanted).abs().mean(-1), asked, per) for name, (given, wanted) in pairs.items()}
    losses["hm"] = heatmap_focal(heads["hm"], assigned["hm"])
    losses["rot"] = rotation_loss(found["rot"], assigned["alphas"], asked, per)
    losses["corners"] = averaged(corner_loss(heads, assigned, codec), asked, per)
    return losses


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


def corner_loss(heads: Maps, assigned: dict[str, Tensor], codec: CenterCodec) -> Float[Tensor, "b n"]:
    """Mean distance of the eight decoded corners from where they should be, in diagonals of the asked box, (B, N).

    The size, the place and the angle are each judged with the other two as they should be, and added up (Simonelli et
    al., *Disentangling Monocular 3D Object Detection*, 2019): judged together, a box that faces the wrong way would
    rather be narrow than turn round.
    """
    asked = (assigned["dim"], assigned["middles"], assigned["yaws"])
    found = codec.boxes_at(heads, assigned["cells"], assigned["projection"])
    wanted, total = centered_corners(*asked), torch.zeros_like(assigned["yaws"])
    for i in range(3):
        given = centered_corners(*(found[k] if k == i else asked[k] for k in range(3)))
        total = total + (given - wanted).norm(dim=-1).mean(-1)
    return total / asked[0].norm(dim=-1).clamp_min(1e-3)
