"""Lines and faces in space, cut to what a camera sees of them before they are drawn.

All cutting is done in space: a picture is five half-spaces, in front of the camera and between its four edges. So an
edge that passes the camera ends at the border of the picture, where a projected corner behind it would be anywhere.
"""

import numpy as np

#: the front face of a box, by its corners in order round it (see ``ops.boxes``)
FRONT = (0, 1, 5, 4)
_NEAR = 0.1  # depth in meters at which everything is cut


def half_spaces(projection: np.ndarray, height: int, width: int, *, margin: float = 0.0) -> np.ndarray:
    """What a picture shows, as rows (5, 4): points (x, y, z, 1) in meters for which no product is negative.

    Args:
        projection: (3, 4), from meters to pixels, the middle of the first pixel at (0, 0).
        height, width: of the picture in pixels.
        margin: pixels around the picture that count as seen.
    """
    across, down, depth = np.asarray(projection, np.float64)
    low, right, bottom = -0.5 - margin, width - 0.5 + margin, height - 0.5 + margin
    front = depth - np.array([0, 0, 0, _NEAR])
    return np.stack([front, across - low * depth, right * depth - across, down - low * depth, bottom * depth - down])


def segments_in(points: np.ndarray, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parts of segments (n, 2, 3) inside of half-spaces (m, 4), (n, 2, 3), and which have such a part, (n,)."""
    start, end = _with_one(points[:, 0]) @ planes.T, _with_one(points[:, 1]) @ planes.T
    change = end - start
    at = -start / np.where(change == 0, 1.0, change)
    first = np.where(change > 0, at, 0.0).max(axis=1, initial=0.0)
    last = np.where(change < 0, at, 1.0).min(axis=1, initial=1.0)
    seen = (first < last) & ~((change == 0) & (start < 0)).any(axis=1)
    way = points[:, 1] - points[:, 0]
    return np.stack([points[:, 0] + first[:, None] * way, points[:, 0] + last[:, None] * way], axis=1), seen


def polygon_in(corners: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """The part of a convex polygon (n, 3) inside of half-spaces (m, 4): (k, 3), k = 0 where nothing is left."""
    for plane in planes:
        away = _with_one(corners) @ plane
        kept = []
        for here, there, own, other in zip(corners, np.roll(corners, -1, axis=0), away, np.roll(away, -1), strict=True):
            if own >= 0:
                kept.append(here)
            if (own >= 0) != (other >= 0):
                kept.append(here + own / (own - other) * (there - here))
        corners = np.array(kept).reshape(-1, 3)
    return corners


def pixels_of(points: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Where points (..., 3) in meters are in the picture: (..., 2) pixels. Their depth must not be 0."""
    seen = _with_one(points) @ np.asarray(projection, np.float64).T
    return seen[..., :2] / seen[..., 2:]


def _with_one(points: np.ndarray) -> np.ndarray:
    """Points (..., 3) as (..., 4), the last 1."""
    return np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
