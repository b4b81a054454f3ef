"""A terrace as one mesh that rays can ask, in colors and paint, and in the light of a day."""

import colorsys
from copy import copy
from dataclasses import dataclass

import numpy as np

from invert3d.data.worlds.colors import linear
from invert3d.data.worlds.lighting import Weather, ambient, sky_color
from invert3d.data.worlds.surfaces import noise
from invert3d.data.worlds.terraces import PAINTS, Plan, Role
from invert3d.data.worlds.tracing import Hits, Traced, Tracer

#: triangles of a block of eight corners: bottom, top, and two of each side
FACES = np.array(
    [[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]]
    + [each for k in range(4) for each in ([k, (k + 1) % 4, 4 + k], [(k + 1) % 4, 4 + (k + 1) % 4, 4 + k])],
    np.int32,
)


@dataclass(frozen=True, eq=False)
class Paint:
    """Bands on the walls of houses: the direction (2,) across them in the plane (x, y) of a wall, and of each house
    their period (H,) in meters, how much of it is band, and where it begins, in periods. A direction of 0 has none."""

    across: np.ndarray
    period: np.ndarray
    share: np.ndarray
    phase: np.ndarray

    def covered(self, house: np.ndarray, x: np.ndarray, y: np.ndarray, near: np.ndarray) -> np.ndarray:
        """How much of pixels (N,), ``near`` meters wide, is band."""
        if not self.across.any():
            return np.zeros(len(x), np.float32)
        period, share = self.period[house], self.share[house]
        place = (self.across[0] * x + self.across[1] * y) / period + self.phase[house]
        from_middle = np.abs(place - np.floor(place) - 0.5) * period
        return np.clip((share * period / 2 - from_middle) / near + 0.5, 0, 1).astype(np.float32)

    def borders(self, house: int, low: float, high: float) -> np.ndarray:
        """(M,) where bands begin and end along ``across``, between two places in meters."""
        if not self.across.any():
            return np.zeros(0)
        period, half = self.period[house], self.share[house] / 2
        numbers = np.arange(np.floor(low / period) - 2, np.ceil(high / period) + 3)
        middles = numbers + 0.5 - self.phase[house]
        found = np.concatenate([middles - half, middles + half]) * period
        return found[(found > low) & (found < high)]


def draw_paint(rng: np.random.Generator, houses: int, name: str) -> Paint:
    """Bands of 0.9 to 1.8 m, one of ``PAINTS``, on each house its own."""
    period, share, phase = rng.uniform(0.9, 1.8, houses), rng.uniform(0.35, 0.55, houses), rng.random(houses)
    return Paint(np.array(PAINTS[name]), period, share, phase)


def draw_colors(rng: np.random.Generator, houses: int) -> np.ndarray:
    """(H + 1, R + 1, 3) linear colors of each role in each house; the last house is the street, the last role the bands
    of walls, which are light where walls are dark."""
    table = np.empty((houses + 1, len(Role) + 1, 3), np.float32)
    for row in table:
        for role in range(len(row)):
            row[role] = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.15, 0.95))
        wall = (rng.uniform(0.65, 0.95), rng.uniform(0.2, 0.4))
        for role, value in zip((Role.WALL, -1), wall if rng.random() < 0.5 else wall[::-1], strict=True):
            row[role] = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.6), value)
        row[Role.PANE] = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.4), rng.uniform(0.08, 0.3))
        row[Role.CROWN] = colorsys.hsv_to_rgb(rng.uniform(0.15, 0.4), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.5))
    table[-1, Role.STREET] = rng.uniform(0.3, 0.6) * np.array([1.0, 0.99, 0.97])
    return linear(table)


class Terrace(Traced):
    """All blocks of a plan. ``colors`` as of ``draw_colors``."""

    def __init__(self, plan: Plan, colors: np.ndarray, paint: Paint, weather: Weather) -> None:
        self.corners, self.roles = np.stack(plan.corners), np.array(plan.roles)
        self.houses, self.paint, self.weather = np.array(plan.houses), paint, weather
        self.base, self.bands = colors[self.houses, self.roles], colors[self.houses, -1]
        blocks = np.arange(len(self.corners))
        faces = (FACES[None] + 8 * blocks[:, None, None]).reshape(-1, 3).astype(np.int32)
        super().__init__(Tracer(self.corners.reshape(-1, 3), faces), np.repeat(blocks, len(FACES)), np.zeros(3))
        self.focal = 1.0

    def seen_from(self, eye: np.ndarray, focal: float) -> "Terrace":
        """The same from another place, by a camera of a focal length in pixels."""
        other = copy(self)
        other.eye, other.focal = eye.astype(np.float32), focal
        return other

    def shade(self, rays: np.ndarray, hits: Hits) -> np.ndarray:
        """(N, 3) float32 radiance seen along rays from the eye."""
        radiance = np.empty((len(rays), 3), np.float32)
        sky, seen = np.flatnonzero(hits.face < 0), np.flatnonzero(hits.face >= 0)
        radiance[sky] = sky_color(self.weather, rays[sky])
        block, normal, depth = self.owner[hits.face[seen]], hits.normal[seen], hits.depth[seen]
        points = self.eye + rays[seen] * depth[:, None]
        toward = normal @ self.weather.sun
        lit = np.flatnonzero(toward > 0)
        start = points[lit] + normal[lit] * np.float32(0.01)
        sun = np.ascontiguousarray(np.broadcast_to(self.weather.sun, start.shape))
        direct = np.zeros(len(seen), np.float32)
        direct[lit] = toward[lit] * ~self.tracer.blocked(start, sun) if self.weather.hard else toward[lit]
        light = direct[:, None] * self.weather.sunlight + ambient(self.weather, normal, np.ones(len(seen), np.float32))
        radiance[seen] = self._albedo(block, points, normal, depth) * light
        return radiance

    def _albedo(self, block: np.ndarray, points: np.ndarray, normal: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Colors (N, 3), with bands on fronts and a little noise."""
        albedo, (x, y, z) = self.base[block].copy(), points.T
        front = np.flatnonzero((self.roles[block] == Role.WALL) & (np.abs(normal[:, 2]) > 0.9))
        own = block[front]
        share = self.paint.covered(self.houses[own], x[front], y[front], np.maximum(depth[front] / self.focal, 1e-3))
        albedo[front] += share[:, None] * (self.bands[own] - albedo[front])
        return albedo * (1 + 0.08 * noise(x + z, y + 0.5 * z, 5.0))[:, None]
