"""Center maps written and read object by object in plain Python, as the reference's section 2 tells it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invert3d.ops.centers import HEADS, CenterCodec
from invert3d.ops.layouts import Layout
from tests.layouts import depth_of_middle, in_bins, point_of


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def columns(raw: Tensor, x: int, y: int) -> dict[str, list[float]]:
    """The values of all heads in a cell of maps (19, h, w)."""
    values, start, table = raw[:, y, x].tolist(), 0, {}
    for name, channels in HEADS.items():
        table[name] = values[start : start + channels]
        start += channels
    return table


def slow_radius(height: float, width: float, overlap: float = 0.7, rule: str = "published") -> float:
    """The smallest of the three cases' roots: of a r^2 - b r + c (both inside, both outside), a r^2 + b r + c."""
    a1, b1, c1 = 1, height + width, width * height * (1 - overlap) / (1 + overlap)
    a2, b2, c2 = 4, 2 * (height + width), (1 - overlap) * width * height
    a3, b3, c3 = 4 * overlap, -2 * overlap * (height + width), (overlap - 1) * width * height
    d1, d2, d3 = (math.sqrt(b * b - 4 * a * c) for a, b, c in ((a1, b1, c1), (a2, b2, c2), (a3, b3, c3)))
    if rule == "published":
        return min((b1 + d1) / 2, (b2 + d2) / 2, (b3 + d3) / 2)
    return min((b1 - d1) / (2 * a1), (b2 - d2) / (2 * a2), (b3 + d3) / (2 * a3))


def cut(layout: Layout, codec: CenterCodec) -> Layout:
    """The layout with its boxes cut at the last cell, where that is the codec's convention."""
    if codec.border == "picture":
        return layout
    last = [(side // codec.stride - 1) * codec.stride for side in (layout.width, layout.height)] * 2
    boxes = [[min(max(side, 0), most) for side, most in zip(box, last, strict=True)] for box in layout.boxes.tolist()]
    return replace(layout, boxes=torch.tensor(boxes).to(layout.boxes))


def slow_heatmap(layout: Layout, codec: CenterCodec) -> list[list[list[float]]]:
    """Targets [kind][y][x] of a layout whose objects are all of the codec's kinds and in the picture."""
    height, width = layout.height // codec.stride, layout.width // codec.stride
    heat = [[[0.0] * width for _ in range(height)] for _ in codec.kinds]
    layout = cut(layout, codec)
    for i, kind in enumerate(layout.kinds):
        px, py = point_of(layout, i, codec)
        left, top, right, bottom = (side / codec.stride for side in layout.boxes[i].tolist())
        radius = int(slow_radius(bottom - top, right - left, rule=codec.radius))
        sigma = (2 * radius + 1) / 6
        for y in range(height):
            for x in range(width):
                dx, dy = x - int(px), y - int(py)
                if max(abs(dx), abs(dy)) <= radius:
                    value = math.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))
                    cell = heat[codec.kinds.index(kind)][y]
                    cell[x] = max(cell[x], value)
    return heat


def smooth_l1(gap: float) -> float:
    return 0.5 * gap * gap if abs(gap) < 1 else abs(gap) - 0.5


def slow_losses(raw: Tensor, layout: Layout, codec: CenterCodec, per: str) -> dict[str, float]:
    """The training losses of maps (19, h, w) against a layout, with loops over cells and objects."""
    count, divisor = len(layout), 50 if per == "slot" else max(len(layout), 1)
    table: dict[str, float] = dict.fromkeys(HEADS, 0.0)
    layout = cut(layout, codec)
    heat = slow_heatmap(layout, codec)
    hits = 0
    for k in range(len(codec.kinds)):
        for y, row in enumerate(heat[k]):
            for x, target in enumerate(row):
                p = min(max(sigmoid(float(raw[k, y, x])), 1e-4), 1 - 1e-4)
                if target == 1:
                    hits += 1
                    table["hm"] -= (1 - p) ** 2 * math.log(p)
                else:
                    table["hm"] -= (1 - target) ** 4 * p**2 * math.log(1 - p)
    table["hm"] /= max(hits, 1)
    inside: list[list[float]] = [[], []]
    for i in range(count):
        px, py = point_of(layout, i, codec)
        found = columns(raw, int(px), int(py))
        left, top, right, bottom = (side / codec.stride for side in layout.boxes[i].tolist())
        depth = 1 / (sigmoid(found["dep"][0]) + 1e-6) - 1
        table["dep"] += abs(depth - depth_of_middle(layout, i)) / divisor
        gaps = [abs(a - b) for a, b in zip(found["dim"], layout.sizes[i].tolist(), strict=True)]
        table["dim"] += sum(gaps) / 3 / divisor
        table["wh"] += (abs(found["wh"][0] - (right - left)) + abs(found["wh"][1] - (bottom - top))) / 2 / divisor
        table["reg"] += (abs(found["reg"][0] - (px - int(px))) + abs(found["reg"][1] - (py - int(py)))) / 2 / divisor
        alpha = float(layout.alphas[i])
        for b, (there, turn) in enumerate(zip(in_bins(alpha), (math.pi / 2, -math.pi / 2), strict=True)):
            no, yes, sine, cosine = found["rot"][4 * b : 4 * b + 4]
            table["rot"] += (math.log(math.exp(no) + math.exp(yes)) - (yes if there else no)) / divisor
            if there:
                rest = alpha + turn
                inside[b].append(smooth_l1(sine - math.sin(rest)) + smooth_l1(cosine - math.cos(rest)))
    table["rot"] += sum(sum(values) / len(values) for values in inside if values)
    if per == "slot":  # empty slots are rows of zeros, asked for class 0: ln 2 each, in each of the two bins
        table["rot"] += 2 * math.log(2) * (50 - count) / 50
    return table


def slow_decode(raw: Tensor, camera: Tensor, codec: CenterCodec, threshold: float) -> list[dict[str, Any]]:
    """The objects that maps (19, h, w) stand for, best first."""
    p, found = camera.tolist(), []
    height, width = raw.shape[-2:]
    for k, kind in enumerate(codec.kinds):
        for y in range(height):
            for x in range(width):
                score = float(raw[k, y, x])
                around = raw[k, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                if score < float(around.max()) or sigmoid(score) <= threshold:
                    continue
                values = columns(raw, x, y)
                u, v = (codec.stride * (cell + off) for cell, off in zip((x, y), values["reg"], strict=True))
                depth = 1 / (sigmoid(values["dep"][0]) + 1e-6) - 1
                z = depth - p[2][3]
                ahead = (u * depth - p[0][3] - p[0][2] * z) / p[0][0]
                down = (v * depth - p[1][3] - p[1][2] * z) / p[1][1] + values["dim"][0] / 2
                rot = values["rot"]
                alpha = math.atan2(rot[2], rot[3]) - math.pi / 2
                if not rot[1] > rot[5]:
                    alpha = math.atan2(rot[6], rot[7]) + math.pi / 2
                half = [codec.stride * side / 2 for side in values["wh"]]
                found.append(
                    {
                        "kind": kind,
                        "score": sigmoid(score),
                        "center": [ahead, down, z],
                        "size": values["dim"],
                        "yaw": alpha + math.atan2(u - p[0][2], p[0][0]),
                        "box": [u - half[0], v - half[1], u + half[0], v + half[1]],
                    }
                )
    return sorted(found, key=lambda one: -one["score"])
