"""A street, as its camera and its LiDAR see it."""

from dataclasses import dataclass, field

import numpy as np

from invert3d.ops.layouts import Layout


@dataclass(frozen=True, eq=False)
class Frame:
    """One street, as its camera sees it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 m along the optical axis, what ``ops.boxes.project`` calls depth; inf for the sky.
        instances: (H, W) int16, 0 for the background, i + 1 for the i-th object of the layout.
        layout: the labels: Car, Van, Pedestrian, Cyclist; boxes are the projected extents of the meshes.
        scan: (N, 4) float32 LiDAR x y z reflectance in KITTI's velodyne coordinates, (0, 4) unless asked for.
    """

    image: np.ndarray
    depth: np.ndarray
    instances: np.ndarray
    layout: Layout
    scan: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
