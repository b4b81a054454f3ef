"""The two-view world: photographs of terraces, in pairs that show the same point from two places.

A picture depends on (seed, scene, view) only. Colors, paint and the light are drawn independently of plan and cameras.
(Painted bands run along the axes of fronts, and the sun stands still, so neither is free of pose.) Of every picture the
surface normals, the vanishing points and the true edges are known: each sample of an edge has the direction that it
runs in and what it is.

Coordinates of the scene are those of ``worlds.terraces``, of a camera x right, y down, z forward (m).
"""

from dataclasses import dataclass

import numpy as np

from invert3d.data.worlds.lighting import develop, make_weather
from invert3d.data.worlds.terrace_stage import Terrace, draw_colors, draw_paint
from invert3d.data.worlds.terraces import PAINTS, WINDOWS, draw_plan
from invert3d.data.worlds.tracing import photograph
from invert3d.data.worlds.true_edges import Edges, edges_of
from invert3d.registry import unknown

SIZE = 100
FOCAL = 0.8  # focal length over the side of a picture: 64 degrees across


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera: its place (3,), the scene's axes in its own (3, 3), focal length and side in pixels."""

    eye: np.ndarray
    rotation: np.ndarray
    size: int = SIZE

    @property
    def calibration(self) -> np.ndarray:
        """K (3, 3); whole pixels have their middles at whole numbers."""
        middle, focal = (self.size - 1) / 2, FOCAL * self.size
        return np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1]])

    @property
    def projection(self) -> np.ndarray:
        """P (3, 4) from the scene to pixels."""
        turned = self.calibration @ self.rotation
        return np.concatenate([turned, -turned @ self.eye[:, None]], 1)

    @property
    def vanishing_points(self) -> np.ndarray:
        """(3, 3): where lines along x, y and z of the scene meet in the picture, homogeneous, a column each."""
        return self.calibration @ self.rotation


@dataclass(frozen=True, eq=False)
class View:
    """A picture (S, S, 3) uint8 RGB; normals (S, S, 3) in camera axes, 0 in the sky; where the sky is (S, S); the
    camera; edges, where they were asked for; and the style, a place in ``terraces.STYLES``."""

    image: np.ndarray
    normals: np.ndarray
    sky: np.ndarray
    camera: Camera
    style: int
    edges: Edges | None = None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is other in a picture than its seed says: everything else stays, bit for bit.

    Attributes:
        colors: whether walls, doors, roofs, ... have other colors.
        paint: another of ``terraces.PAINTS`` on all walls.
        light: whether sun and clouds are others.
        cornices: whether cornices and string courses are there.
        turn: degrees that the camera walks round its target.
    """

    colors: bool = False
    paint: str | None = None
    light: bool = False
    cornices: bool = True
    turn: float = 0.0

    def __post_init__(self) -> None:
        if self.paint is not None and self.paint not in PAINTS:
            raise ValueError(unknown("paint", self.paint, PAINTS))


def make_views(
    scene: int, views: int = 1, *, size: int = SIZE, seed: int = 0, edges: bool = False, changes: Changes = Changes()
) -> list[View]:
    """The first ``views`` pictures of a scene of a seed, all of them of one target.

    Args:
        scene: number of the terrace, not negative.
        views: how many places it is seen from.
        size: of the pictures in pixels.
        seed: not negative.
        edges: also find the true edges.
        changes: what is other than the seed says.

    Raises:
        ValueError: a negative number, no view, or pictures of fewer than 32 pixels a side.
    """
    if scene < 0 or seed < 0:
        raise ValueError(f"scene and seed must not be negative, got {scene} and {seed}")
    if views < 1 or size < 32:
        raise ValueError(f"at least one view of 32 pixels a side, not {views} of {size}")
    root = [seed, scene]
    plan = draw_plan(np.random.default_rng([*root, 121]), cornices=changes.cornices)
    houses = max(plan.houses) + 1
    terrace = Terrace(
        plan,
        draw_colors(np.random.default_rng([*root, 122, changes.colors]), houses),
        draw_paint(
            np.random.default_rng([*root, 123]), houses, changes.paint or list(PAINTS)[plan.style // len(WINDOWS)]
        ),
        make_weather(np.random.default_rng([*root, 124, changes.light])),
    )
    found = []
    for k in range(views):
        camera = draw_camera(np.random.default_rng([*root, 125, k]), plan.target, size, changes.turn)
        seen = terrace.seen_from(camera.eye, FOCAL * size)
        radiance, hits = photograph(seen, camera.projection, size, size)
        image = develop(terrace.weather, radiance, np.random.default_rng([*root, 126, k]))
        sky = (hits.face < 0).reshape(size, size)
        normals = np.where(sky.reshape(-1, 1), 0, hits.normal @ camera.rotation.T).reshape(size, size, 3)
        true = edges_of(seen, camera.projection, size) if edges else None
        found.append(View(image, normals.astype(np.float32), sky, camera, plan.style, true))
    return found


def draw_camera(rng: np.random.Generator, target: np.ndarray, size: int, turn: float = 0.0) -> Camera:
    """A camera 7 to 22 m from a target on a front, up to 60 degrees from straight ahead, at 1.2 to 4 m, that looks at
    the target but for a few degrees. ``turn`` walks it round the target by degrees."""
    around, away = np.radians(rng.uniform(-60, 60) + turn), rng.uniform(7, 22)
    up, off = rng.uniform(1.2, 4.0), np.radians(rng.uniform(-5, 5, 3))
    eye = np.array([target[0] + away * np.sin(around), -up, target[2] - away * np.cos(around)])
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    straight = np.stack([right, np.cross(forward, right), forward])
    return Camera(eye, rotated(*off) @ straight, size)


def rotated(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """R (3, 3) = R_z(roll) R_x(pitch) R_y(yaw), radians, axes x right, y down, z forward."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return around_z @ around_x @ around_y


def relative_pose(rotation: np.ndarray, eye: np.ndarray, other: np.ndarray, its_eye: np.ndarray) -> np.ndarray:
    """(..., 6): yaw, pitch and roll (degrees) that turn the axes of a camera into those of another (``rotated``), and
    the place of the other in the axes of the first (m). Rotations (..., 3, 3) and eyes (..., 3) as of ``Camera``."""
    r = other @ rotation.swapaxes(-1, -2)
    pitch = np.arctan2(r[..., 2, 1], np.hypot(r[..., 2, 0], r[..., 2, 2]))
    yaw, roll = np.arctan2(-r[..., 2, 0], r[..., 2, 2]), np.arctan2(-r[..., 0, 1], r[..., 1, 1])
    place = (rotation @ (its_eye - eye)[..., None])[..., 0]
    return np.concatenate([np.degrees(np.stack([yaw, pitch, roll], -1)), place], -1)
