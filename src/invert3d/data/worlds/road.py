"""The course and the cross section of a street: where the road, its lanes, kerbs, pavements and crossing lie.

Street coordinates: s meters ahead along the road, t meters to the right of its middle line. The camera is at s = 0.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Road:
    """A road under the camera, in meters and radians.

    Attributes:
        turn: heading of the road at the camera, against the view. bend: curvature, 1/m. camera: t of the camera.
        height: of the camera over the road. left, right: t of the outer lines of the lanes. lanes: t of lines
        between them. middle: t of the line between directions, or None. parking: widths of the strips left and right.
        pavement: widths left and right. crossing: s of the middle of a side road, or None. side_width: its width.
        zebra: there are zebra crossings. kerb: height of the pavements. verge: "grass", "paving" or "gravel", for
        both sides. wear: how worn the paint is. tone: of the asphalt, linear.
    """

    turn: float
    bend: float
    camera: float
    height: float
    left: float
    right: float
    lanes: tuple[float, ...]
    middle: float | None
    parking: tuple[float, float]
    pavement: tuple[float, float]
    crossing: float | None
    side_width: float
    zebra: bool
    kerb: float
    verge: tuple[str, str]
    wear: float
    tone: float

    @property
    def edges(self) -> tuple[float, float]:
        """t of the kerbs left and right."""
        return self.left - self.parking[0], self.right + self.parking[1]

    @property
    def lot(self) -> bool:
        """Whether it is a car park: no lanes."""
        return not self.lanes and self.middle is None

    def place(self, s: float | np.ndarray, t: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Camera x and z of points of the street."""
        across = t + 0.5 * self.bend * np.square(s) - self.camera
        c, n = np.cos(self.turn), np.sin(self.turn)
        return np.asarray(c * across + n * s), np.asarray(c * s - n * across)

    def locate(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """s and t of points: the inverse of ``place``."""
        c, n = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        s = n * x + c * z
        return s, c * x - n * z + np.float32(self.camera) - np.float32(0.5 * self.bend) * s * s

    def yaw(self, s: float, heading: float = 0.0) -> float:
        """rotation_y of something at s that looks along the road, turned left by ``heading`` radians."""
        slope = self.bend * s
        dx = np.sin(self.turn) + np.cos(self.turn) * slope
        dz = np.cos(self.turn) - np.sin(self.turn) * slope
        return float(np.arctan2(-dz, dx)) - heading

    def beside(self, t: float) -> bool:
        """Whether t lies on a pavement or beyond."""
        left, right = self.edges
        return t < left or t > right


def make_road(rng: np.random.Generator, style: str) -> Road:
    """A road of a style: "city", "suburb", "country", "highway" or "lot" (a car park)."""
    half = rng.uniform(2.9, 3.5)
    forward = 1 if style != "highway" and rng.random() < 0.75 else 2
    forward = int(rng.integers(3, 5)) if style == "highway" else forward
    back = 0 if style == "highway" else forward
    wide = rng.uniform(3.5, 3.75) if style == "highway" else half
    left, right = -back * wide, forward * wide
    lanes = tuple(wide * k for k in range(-back + 1, forward) if k != 0 or back == 0)
    slot = (int(rng.integers(0, forward)) + 0.5) * wide
    park = rng.random(2) < {"city": 0.75, "suburb": 0.55}.get(style, 0.0)
    broad, narrow = rng.uniform(1.8, 3.6, 2), rng.uniform(0.4, 1.2, 2)
    town = style in ("city", "suburb")
    walks = broad if town else narrow
    crossing = town and rng.random() < 0.35
    chance = [0.25, 0.6, 0.15] if style == "city" else [0.8, 0.1, 0.1]
    verges = [str(rng.choice(["grass", "paving", "gravel"], p=chance)) for _ in range(2)]
    if style == "lot":
        left, right, lanes, slot, walks = -14.0, 14.0, (), rng.uniform(-1.2, 1.2), rng.uniform(1.5, 2.5, 2)
    bend = rng.normal(0, 0.0016) if rng.random() < 0.5 else 0.0
    return Road(
        turn=rng.normal(0, 0.018),
        bend=0.0 if crossing or style == "lot" else bend,
        camera=slot + rng.normal(0, 0.25),
        height=1.65 + rng.uniform(-0.04, 0.04),
        left=left,
        right=right,
        lanes=lanes,
        middle=0.0 if back and style != "lot" else None,
        parking=(2.15 * bool(park[0]), 2.15 * bool(park[1])),
        pavement=(float(walks[0]), float(walks[1])),
        crossing=rng.uniform(16, 42) if crossing else None,
        side_width=rng.uniform(6, 8),
        zebra=rng.random() < 0.55,
        kerb=0.12 if style != "country" else 0.03,
        verge=(verges[0], verges[1]),
        wear=rng.uniform(0.0, 0.6),
        tone=rng.uniform(0.11, 0.24),
    )
