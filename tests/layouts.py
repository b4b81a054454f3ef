"""Layouts for tests: cameras, random boxes in view of them, and the center maps that stand for a layout."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from hypothesis import strategies as st
from torch import Tensor

from invert3d.data.kitti import usual_projection
from invert3d.ops.boxes import project
from invert3d.ops.center_losses import assign_centers, center_losses
from invert3d.ops.center_losses import corner_loss as corner_loss_of
from invert3d.ops.centers import HEADS, CenterCodec
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import Objects

KINDS = ("Pedestrian", "Car", "Cyclist")
#: camera 2 of a KITTI frame of 375 x 1242: offsets in all three rows
KITTI_P2 = (721.5377, 0.0, 609.5593, 44.85728, 0.0, 721.5377, 172.854, 0.2163791, 0.0, 0.0, 1.0, 0.002745884)


def camera(height: int = 96, width: int = 320, dtype: torch.dtype = torch.float64) -> Tensor:
    """A camera without offsets, of KITTI's field of view."""
    return usual_projection(height, width).to(dtype)


def kitti_camera(dtype: torch.dtype = torch.float64) -> Tensor:
    """KITTI's own, offsets included."""
    return torch.tensor(KITTI_P2, dtype=dtype).view(3, 4)


def write_scene(path: Path, layout: Layout) -> None:
    """A scene file of boxes in space, as a person would write it."""
    rows = zip(layout.kinds, layout.sizes.tolist(), layout.centers.tolist(), layout.yaws.tolist(), strict=True)
    objects = [
        {"kind": kind, "size": size, "center": center, "yaw_degrees": math.degrees(yaw)}
        for kind, size, center, yaw in rows
    ]
    image = {"height": layout.height, "width": layout.width}
    path.write_text(json.dumps({"image": image, "projection": layout.projection.tolist(), "objects": objects}))


def random_layout(
    count: int,
    seed: int,
    height: int = 96,
    width: int = 320,
    *,
    projection: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
    kinds: Sequence[str] = KINDS,
) -> Layout:
    """Objects whose middles lie inside the middle of the picture, in columns of their own."""
    generator = torch.Generator().manual_seed(seed)
    p = (camera(height, width) if projection is None else projection).to(dtype)

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64).to(dtype)

    sizes = torch.stack([between(1.2, 2.0), between(0.6, 1.9), between(0.8, 4.2)], 1)
    depth, column = between(6, 30), (torch.arange(count, dtype=dtype) + between(0.3, 0.7)) / max(count, 1)
    u, v = width * (0.15 + 0.7 * column), height * between(0.35, 0.65)
    z = depth - p[2, 3]
    x = (u * depth - p[0, 3] - p[0, 2] * z) / p[0, 0]
    y = (v * depth - p[1, 3] - p[1, 2] * z) / p[1, 1] + sizes[:, 0] / 2
    names = [kinds[int(i)] for i in torch.randint(len(kinds), (count,), generator=generator)]
    return Layout.of(names, sizes, torch.stack([x, y, z], 1), between(-math.pi, math.pi), p, height, width)


def sketches(most: int = 4) -> st.SearchStrategy:
    """Plain values of layouts of up to ``most`` objects, in pictures and cameras of many sizes: see ``drawn``.

    Layouts are not made inside the strategy: the checker of types draws random numbers, which hypothesis minds.
    """
    offsets = st.sampled_from([(0.0, 0.0, 0.0), (45.0, -0.3, 0.005)])
    return st.tuples(st.integers(0, most), st.integers(0, 10_000), st.integers(8, 60), st.integers(8, 90), offsets)


def drawn(sketch: tuple) -> Layout:
    """The layout of a sketch."""
    count, seed, height, width, offsets = sketch
    p = camera(4 * height, 4 * width)
    p[:, 3] = torch.tensor(offsets)
    return random_layout(count, seed, 4 * height, 4 * width, projection=p)


def point_of(layout: Layout, i: int, codec: CenterCodec) -> tuple[float, float]:
    """The point of an object in cells of the maps, by the words of the reference."""
    if codec.center == "box":
        left, top, right, bottom = layout.boxes[i].tolist()
        return (left + right) / 2 / codec.stride, (top + bottom) / 2 / codec.stride
    x, y, z = layout.centers[i].tolist()
    middle = torch.tensor([[x, y - float(layout.sizes[i, 0]) / 2, z]], dtype=layout.projection.dtype)
    u, v, _ = project(middle, layout.projection)[0].tolist()
    return u / codec.stride, v / codec.stride


def depth_of_middle(layout: Layout, i: int) -> float:
    """The depth of an object's middle as its projection matrix gives it."""
    x, y, z = layout.centers[i].tolist()
    row = layout.projection[2].tolist()
    return row[0] * x + row[1] * (y - float(layout.sizes[i, 0]) / 2) + row[2] * z + row[3]


def in_bins(alpha: float) -> tuple[bool, bool]:
    """In which of the two bins an angle lies (reference, section 2)."""
    return (alpha < math.pi / 6 or alpha > 5 * math.pi / 6, alpha > -math.pi / 6 or alpha < -5 * math.pi / 6)


def encoded(layout: Layout, codec: CenterCodec, *, loud: float = 3.0, quiet: float = -7.0) -> Tensor:
    """The maps (19, h, w) that say exactly this layout, written object by object, the first the loudest."""
    height, width = layout.height // codec.stride, layout.width // codec.stride
    maps = torch.zeros(sum(HEADS.values()), height, width, dtype=layout.projection.dtype)
    places, start = {}, 0
    for name, channels in HEADS.items():
        places[name] = slice(start, start + channels)
        start += channels
    maps[places["hm"]] = quiet
    maps[places["dep"]] = -3.0
    maps[places["dim"]] = 1.0
    for i, kind in enumerate(layout.kinds):
        px, py = point_of(layout, i, codec)
        x, y = int(px), int(py)
        alpha = float(layout.alphas[i])
        one, two = in_bins(alpha)
        r1, r2 = alpha + math.pi / 2, alpha - math.pi / 2
        share = 1 / (depth_of_middle(layout, i) + 1) - 1e-6
        left, top, right, bottom = layout.boxes[i].tolist()
        values = {
            "dep": [math.log(share / (1 - share))],
            "rot": [
                float(not one),
                float(one),
                math.sin(r1),
                math.cos(r1),
                float(not two),
                float(two),
                math.sin(r2),
                math.cos(r2),
            ],
            "dim": layout.sizes[i].tolist(),
            "wh": [(right - left) / codec.stride, (bottom - top) / codec.stride],
            "reg": [px - x, py - y],
        }
        maps[codec.kinds.index(kind), y, x] = loud - 0.01 * i
        for name, value in values.items():
            maps[places[name], y, x] = torch.tensor(value, dtype=maps.dtype)
    return maps


def split(raw: Tensor) -> dict[str, Tensor]:
    """The maps of all heads, one after the other in (B, 19, h, w), as a detector gives them."""
    return dict(zip(HEADS, raw.split(list(HEADS.values()), 1), strict=True))


def head_losses(raw: Tensor, objects: Objects, codec: CenterCodec, per="object", jitter=None, depth="meters"):
    """The losses of maps (B, 19, h, w) by head, without that of the corners."""
    found = center_losses(split(raw), assign_centers(split(raw), objects, codec, jitter), codec, per, depth)
    return {name: found[name] for name in HEADS}


def corner_loss(raw: Tensor, objects: Objects, codec: CenterCodec) -> Tensor:
    """How far the corners that maps (B, 19, h, w) stand for are off, (B, N)."""
    return corner_loss_of(split(raw), assign_centers(split(raw), objects, codec), codec)
