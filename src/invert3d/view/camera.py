"""Where clouds are looked at from, and which way is up in them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Where a cloud is looked at from; the default is a three-quarter view of a unit-sphere cloud facing -y."""

    azimuth: float = -125.0  # degrees, of the eye seen from `look_at`: -90 is in front (-y), -125 also to the left
    elevation: float = 20.0  # degrees; 90 is straight above
    distance: float = 6.0  # world units; infinity makes the perspective parallel
    height: float = 2.2  # world units that the picture shows from top to bottom at `look_at`
    up: Literal["z", "y"] = "z"  # with y the front is +z, as in glTF
    look_at: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def around(cls, points: np.ndarray) -> "Camera":
        """A camera that shows the whole cloud (N, 3), whatever its size, in the usual view."""
        center, reach = center_reach(checked_points(points))
        return cls(distance=6 * reach, height=2.2 * reach, look_at=tuple(center.tolist()))

    def axes(self) -> np.ndarray:
        """(3, 3) unit rows in world coordinates: to the right in the picture, up in it, and toward the eye."""
        turn, lift = np.radians(self.azimuth), np.radians(self.elevation)
        eye = [np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)]
        right = [-np.sin(turn), np.cos(turn), 0.0]
        return to_z_up(np.array([right, np.cross(eye, right), eye]), self.up, inverse=True)


THREE_QUARTER = Camera()


def center_reach(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The middle (3,) of the box around a cloud (N, 3), and how far its points are from there at most."""
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    return center, max(float(np.linalg.norm(points - center, axis=1).max()), 1e-9)


def checked_points(points: np.ndarray, name: str = "points") -> np.ndarray:
    """The cloud as (N >= 1, 3) float64. Raises ValueError for another shape, or a number that is not finite."""
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f"{name}: got shape {points.shape}, accepted is (N >= 1, 3)")
    if broken := int((~np.isfinite(points)).any(axis=1).sum()):
        raise ValueError(f"{name}: {broken} of {len(points)} have NaN or infinity, accepted are finite numbers")
    return points


def to_z_up(points: np.ndarray, up: str, *, inverse: bool = False) -> np.ndarray:
    """Rows (..., 3) turned from `up` to z up (front +z to front -y), or back; nothing is mirrored.

    Raises ValueError where `up` is neither "z" nor "y".
    """
    if up == "z":
        return points
    if up != "y":
        raise ValueError(f"up: got {up!r}, accepted are 'z' and 'y'")
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([x, z, -y] if inverse else [x, -z, y], axis=-1)
