"""Labels of a street's objects, from their meshes: boxes in space and in the picture, truncation, occlusion."""

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from scipy.spatial import ConvexHull

from invert3d.data.worlds.templates import Template, turned
from invert3d.data.worlds.tracing import Instance, Tracer
from invert3d.ops.layouts import Layout

#: objects with fewer visible pixel rows than this are not labeled
LEAST_ROWS = 5
#: shares of an object that are visible, down to which it is occluded not, partly, largely
VISIBLE = (0.85, 0.45, 0.12)


def extent_of(instance: Instance, projection: np.ndarray) -> np.ndarray:
    """(4,) left, top, right, bottom in pixels of all vertices, not clipped. They must lie before the camera."""
    placed = turned(_outermost(instance.template) * instance.scale, np.cos(instance.yaw), np.sin(instance.yaw))
    seen = (placed + np.array(instance.center)) @ projection[:, :3].T + projection[:, 3]
    pixels = seen[:, :2] / np.maximum(seen[:, 2:], 0.05)
    return np.concatenate([pixels.min(0), pixels.max(0)])


@cache
def _outermost(template: Template) -> np.ndarray:
    """The vertices of its convex hull: no view of it that has all before the camera reaches beyond them."""
    points = template.vertices.astype(np.float64)
    return points[ConvexHull(points).vertices]


@cache
def _tracer(template: Template) -> Tracer:
    return Tracer(template.vertices, template.faces)


def alone_pixels(instance: Instance, projection: np.ndarray, box: np.ndarray) -> float:
    """How many pixels of ``box`` the object would cover if nothing stood before it, estimated on a grid."""
    across, down = max(box[2] - box[0], 1.0), max(box[3] - box[1], 1.0)
    counts = [int(np.clip(np.ceil(side), 4, 22)) for side in (across, down)]
    u = box[0] + (np.arange(counts[0]) + 0.5) / counts[0] * across
    v = box[1] + (np.arange(counts[1]) + 0.5) / counts[1] * down
    pixels = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    inverse = np.linalg.inv(projection[:, :3])
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], 1) @ inverse.T
    start = -inverse @ projection[:, 3] - np.array(instance.center)
    c, s = np.cos(instance.yaw), np.sin(instance.yaw)
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    start, rays = turn @ start / instance.scale, rays @ turn.T / instance.scale
    hit = _tracer(instance.template).blocked(np.broadcast_to(start, rays.shape), rays)
    return float(hit.mean() * across * down)


def label_objects(
    kinds: list[str], instances: list[Instance], numbers: np.ndarray, projection: np.ndarray
) -> tuple[Layout, np.ndarray]:
    """The layout of what can be seen, and which of the n objects (places, from 0) it has, in their order.

    ``numbers`` (H, W) says whose pixel it is, from 1; 0 for none.
    """
    height, width = numbers.shape
    limits = np.array([width - 1.0, height - 1.0] * 2)
    kept, boxes, truncations, occlusions = [], [], [], []
    counts = np.bincount(numbers.ravel(), minlength=len(kinds) + 1)
    for k, instance in enumerate(instances):
        if not counts[k + 1]:
            continue
        whole = extent_of(instance, projection)
        box = np.clip(whole, 0, limits)
        mask = numbers == k + 1
        share = counts[k + 1] / max(alone_pixels(instance, projection, box), 1.0)
        if mask.any(1).sum() < LEAST_ROWS or share < 0.04:
            continue
        kept.append(k)
        boxes.append(box)
        area = [np.prod(np.maximum(b[2:] - b[:2], 1e-6)) for b in (box, whole)]
        truncations.append(np.clip(1 - area[0] / area[1], 0, 1))
        occlusions.append(float(sum(share < limit for limit in VISIBLE)))
    table = np.array([(*i.template.size, *i.center, i.yaw) for i in (instances[k] for k in kept)], np.float32)
    values = torch.tensor(table.reshape(-1, 7))
    camera = torch.tensor(projection, dtype=torch.float32)
    solid = Layout.of([kinds[k] for k in kept], values[:, :3], values[:, 3:6], values[:, 6], camera, height, width)
    layout = replace(
        solid,
        boxes=torch.tensor(np.array(boxes, np.float32).reshape(-1, 4)),
        truncations=torch.tensor(np.array(truncations, np.float32)),
        occlusions=torch.tensor(np.array(occlusions, np.float32)),
    )
    return layout, np.array(kept, dtype=np.int64)
