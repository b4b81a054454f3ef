"""Labels of a street's objects, from their meshes: boxes in space and in the picture, truncation, occlusion."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from invert3d.data.worlds.stage import Instance, Tracer
from invert3d.data.worlds.templates import Template
from invert3d.ops.layouts import Layout

_TRACERS: dict[int, tuple[Template, Tracer]] = {}
_HULLS: dict[int, tuple[Template, np.ndarray]] = {}
#: objects with fewer visible pixel rows than this are not labeled
LEAST_ROWS = 5
#: shares of an object that are visible, down to which it is occluded not, partly, largely
VISIBLE = (0.85, 0.45, 0.12)


def extent_of(instance: Instance, projection: np.ndarray) -> np.ndarray:
    """(4,) left, top, right, bottom in pixels of all vertices, not clipped. They must lie before the camera."""
    points = _outermost(instance.template)
    c, s = np.cos(instance.yaw), np.sin(instance.yaw)
    placed = np.stack([c * points[:, 0] + s * points[:, 2], points[:, 1], c * points[:, 2] - s * points[:, 0]], -1)
    seen = (placed + np.array(instance.center)) @ projection[:, :3].T + projection[:, 3]
    pixels = seen[:, :2] / np.maximum(seen[:, 2:], 0.05)
    return np.concatenate([pixels.min(0), pixels.max(0)])


def _outermost(template: Template) -> np.ndarray:
    """The vertices of its convex hull: no view of it that has all before the camera reaches beyond them."""
    key = id(template)
    if key not in _HULLS:
        points = template.vertices.astype(np.float64)
        _HULLS[key] = (template, points[ConvexHull(points).vertices])
    return _HULLS[key][1]


def alone_pixels(instance: Instance, projection: np.ndarray, box: np.ndarray) -> float:
    """How many pixels of ``box`` the object would cover if nothing stood before it, estimated on a grid."""
    key = id(instance.template)
    if key not in _TRACERS:
        _TRACERS[key] = (instance.template, Tracer(instance.template.vertices, instance.template.faces))
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
    hit = _TRACERS[key][1].blocked(np.broadcast_to(turn @ start, rays.shape), rays @ turn.T)
    return float(hit.mean() * across * down)


def label_objects(
    kinds: list[str], instances: list[Instance], numbers: np.ndarray, projection: np.ndarray
) -> tuple[Layout, np.ndarray]:
    """The layout of what can be seen, and which objects (places, from 0) it has in their order.

    Args:
        kinds, instances: the n objects.
        numbers: (H, W) whose pixel it is, from 1; 0 for none.
        projection: (3, 4).
    """
    import torch

    from invert3d.ops.boxes import alpha_of, wrapped

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
    places = np.array(kept, dtype=np.int64)

    table = np.array([(*i.template.size, *i.center, i.yaw) for i in (instances[k] for k in kept)], np.float32)
    values = torch.tensor(table.reshape(-1, 7))
    centers, yaws = values[:, 3:6], values[:, 6]
    layout = Layout(
        kinds=tuple(kinds[k] for k in kept),
        boxes=torch.tensor(np.array(boxes, np.float32).reshape(-1, 4)),
        sizes=values[:, :3],
        centers=centers,
        yaws=wrapped(yaws),
        alphas=alpha_of(yaws, centers),
        projection=torch.tensor(projection, dtype=torch.float32),
        height=height,
        width=width,
        scores=torch.full_like(yaws, torch.nan),
        truncations=torch.tensor(np.array(truncations, np.float32)),
        occlusions=torch.tensor(np.array(occlusions, np.float32)),
    )
    return layout, places
