"""Potted plants of six habits. Meters, z up."""

import numpy as np

from invert3d.data.worlds.parts import Part, bar, block, cylinder, ellipsoid, loft, rim, sweep, vessel


def plant(rng: np.random.Generator) -> list[Part]:
    """A potted plant: a bush of broad leaves, blades, a palm, a cactus, a little fir or a ball on a stem."""
    r, tall = rng.uniform(0.1, 0.17), rng.uniform(0.15, 0.32)
    parts = [
        vessel([(r * rng.uniform(0.6, 0.95), 0), (r, tall * 0.85), (r * 1.08, tall)], 0.012),
        cylinder(r * 0.9, (tall * 0.8, tall * 0.85)),
    ]
    if rng.random() < 0.3:
        soil = block(r - 0.01, r - 0.01, (tall * 0.8, tall * 0.85))
        parts = [*rim((-r, r), (-r, r), (0, tall), 0.015), block(r, r, (0, 0.015)), soil]
    style = rng.choice(["leaves", "blades", "palm", "cactus", "fir", "ball"], p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    return parts + _GROWTH[str(style)](rng, tall * 0.85, r)


def _leaf(start: np.ndarray, heading: float, rise: float, length: float, width: float, droop: float) -> Part:
    t = np.linspace(0, 1, 7)
    flat, high = np.cos(np.radians(rise)) * length * t, np.sin(np.radians(rise)) * length * t
    axis = np.stack([flat * np.cos(heading), flat * np.sin(heading), high - droop * length * t**2], -1) + start
    side = np.array([-np.sin(heading), np.cos(heading), 0.0])
    half = (width * np.sin(np.pi * np.clip(t * 0.94 + 0.04, 0, 1)))[:, None] * side
    up = np.array([0, 0, 0.003])
    return loft(np.stack([axis - half, axis - up, axis + half, axis + up], axis=1))


def _broad_leaves(rng: np.random.Generator, soil: float, r: float) -> list[Part]:
    parts, count, high = [], int(rng.integers(14, 30)), rng.uniform(0.35, 0.8)
    for k in range(count):
        heading, level = k * 2.4 + rng.normal(0, 0.3), soil + high * rng.uniform(0.25, 1.0)
        lean = rng.uniform(0.02, 0.12)
        start = np.array([lean * np.cos(heading), lean * np.sin(heading), level])
        parts.append(bar((0, 0, soil), tuple(start), 0.006, segments=4))
        tilt, long, wide, droop = rng.uniform((5, 0.18, 0.04, 0.2), (55, 0.3, 0.08, 0.7))
        parts.append(_leaf(start, heading, tilt, long, wide, droop))
    return parts


def _blades(rng: np.random.Generator, soil: float, r: float) -> list[Part]:
    droop, wide, long = rng.choice([0.02, 0.5]), rng.uniform(0.015, 0.035), rng.uniform(0.45, 0.9)
    parts = []
    for k in range(int(rng.integers(10, 24))):
        heading = k * 2.4 + rng.normal(0, 0.3)
        start = np.array([np.cos(heading), np.sin(heading), 0]) * r * rng.uniform(0, 0.6) + [0, 0, soil]
        parts.append(_leaf(start, heading, rng.uniform(60, 86), long * rng.uniform(0.6, 1.0), wide, droop))
    return parts


def _palm(rng: np.random.Generator, soil: float, r: float) -> list[Part]:
    high, bend, count = rng.uniform(0.5, 1.1), rng.normal(0, 0.08), int(rng.integers(7, 13))
    crown = np.array([bend, rng.normal(0, 0.05), soil + high])
    parts = [sweep([(0, 0, soil), (bend * 0.3, 0, soil + high * 0.5), tuple(crown)], [0.03, 0.025, 0.018])]
    for k in range(count):
        heading = 2 * np.pi * k / count + rng.normal(0, 0.15)
        tilt, long, wide, droop = rng.uniform((15, 0.35, 0.03, 0.5), (60, 0.55, 0.06, 0.9))
        parts.append(_leaf(crown, heading, tilt, long, wide, droop))
    return parts


def _cactus(rng: np.random.Generator, soil: float, r: float) -> list[Part]:
    high, thick = rng.uniform(0.4, 0.8), rng.uniform(0.05, 0.08)
    parts = [ellipsoid((0, 0, soil + high / 2), (thick, thick, high / 2 + 0.03), 0.5)]
    for side in (-1, 1)[: int(rng.integers(1, 3))]:
        z, out, up = (soil + high * rng.uniform(0.3, 0.55), thick + rng.uniform(0.07, 0.12), rng.uniform(0.12, 0.28))
        arm = [(0, 0, z), (side * out * 0.8, 0, z), (side * out, 0, z + 0.05), (side * out, 0, z + up)]
        parts.append(sweep(arm, thick * 0.6))
    return parts


def _fir(rng: np.random.Generator, soil: float, r: float) -> list[Part]:
    high, wide, tiers = rng.uniform(0.6, 1.1), rng.uniform(0.2, 0.3), int(rng.integers(3, 6))
    parts = [cylinder(0.02, (soil, soil + high))]
    for k in range(tiers):
        z, size = soil + 0.12 + high * k / tiers, wide * (1 - 0.7 * k / tiers)
        parts.append(cylinder(size, (z, z + high * 1.35 / tiers), top=0.005))
    return parts


def _ball(rng: np.random.Generator, soil: float, r: float) -> list[Part]:
    high, size = rng.uniform(0.15, 0.6), rng.uniform(0.17, 0.27)
    parts = [cylinder(0.015, (soil, soil + high + size))]
    center = np.array([0, 0, soil + high + size])
    for _ in range(int(rng.integers(10, 18))):
        way = rng.normal(size=3)
        spot = center + way / np.linalg.norm(way) * size * 0.6
        parts.append(ellipsoid(tuple(spot), tuple(rng.uniform(0.3, 0.5, 3) * size)))
    return parts


_GROWTH = {"leaves": _broad_leaves, "blades": _blades, "palm": _palm, "cactus": _cactus, "fir": _fir, "ball": _ball}
