"""Things that move: airplane, car. Meters, z up, both face -y."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from invert3d.data.worlds.parts import Pair, Part, Triple, bar, both, box, circle, cylinder, ellipsoid, loft


def _wing(root: Triple, tip: Triple, chords: Pair, thick: float = 0.1) -> Part:
    """A tapered plate from the leading edge at `root` to the one at `tip`; chords run to +y."""
    rings = []
    for (x, y, z), chord in zip((root, tip), chords, strict=True):
        t, middle = chord * thick / 2, y + chord * 0.35
        rings.append([(x, y, z), (x, middle, z + t), (x, y + chord, z), (x, middle, z - t)])
    return loft(np.array(rings))


def _wings(root: Triple, tip: Triple, chords: Pair, thick: float = 0.1) -> list[Part]:
    return both(_wing(root, tip, chords, thick))


def _fin(y: float, z: float, tall: float, sweep_back: float, chords: Pair) -> Part:
    return _wing((z, y, 0), (z + tall, y + sweep_back, 0), chords, 0.12).turned("y", -90)


def _hull(stations: Sequence[tuple[float, float, float, float]]) -> Part:
    """A fuselage through stations of (y, half width, half height, center z)."""
    ring = circle(16)
    return loft(np.array([[(w * a, y, z + h * b) for a, b in ring] for y, w, h, z in stations]))


def airplane(rng: np.random.Generator) -> list[Part]:
    """An airplane, its nose to -y: airliner, propeller plane, fighter, glider or biplane."""
    style = rng.choice(list(_AIRPLANES), p=[0.35, 0.2, 0.25, 0.1, 0.1])
    return _AIRPLANES[str(style)](rng)


def _tail(rng: np.random.Generator, kind: str, y: float, z: float, span: float, chord: float) -> list[Part]:
    tall, back = span * rng.uniform(0.7, 1.0), chord * rng.uniform(0.4, 1.0)
    fin = _fin(y, z, tall, back, (chord * 1.2, chord * 0.6))
    level = {"low": 0.0, "cross": tall * 0.45, "tee": tall}[kind]
    root = y + back * level / max(tall, 1e-9)
    return [fin, *_wings((0, root, z + level), (span, root + back * 0.7, z + level), (chord, chord * 0.5))]


def _airliner(rng: np.random.Generator) -> list[Part]:
    r, half, span = rng.uniform(1.7, 2.6), rng.uniform(15, 20), rng.uniform(14, 19)
    wing_y, chord = rng.uniform(-4, -1), rng.uniform(5, 7)
    back, lift = rng.uniform(5, 9), rng.uniform(0.5, 2.0)
    hull = [
        (-half, 0.1, 0.1, -0.3),
        (-half + 1.2, r * 0.6, r * 0.6, -0.2),
        (-half + 3.5, r, r, 0),
        (half * 0.5, r, r, 0),
        (half * 0.8, r * 0.55, r * 0.6, r * 0.35),
        (half, 0.2, 0.25, r * 0.7),
    ]
    parts = [_hull(hull), *_wings((0, wing_y, -r * 0.5), (span, wing_y + back, -r * 0.5 + lift), (chord, 1.6))]
    rear = rng.random() < 0.25
    parts += _tail(rng, "tee" if rear else "low", half * 0.74, r * 0.6, span * 0.38, 3.4)
    e = rng.uniform(0.9, 1.3)
    if rear:
        spots = [(r + e * 1.1, half * 0.5, r * 0.4)]
    else:
        along = (0.28, 0.55) if rng.random() < 0.35 else (0.33,)
        spots = [(span * f, wing_y + back * f - 1.6, -r * 0.5 + lift * f - e * 1.1) for f in along]
    for x, y, z in spots:
        pod = [(y + dy, e * share, e * share, z) for dy, share in ((0, 0.85), (0.8, 1), (2.6, 0.9), (3.6, 0.5))]
        parts += both(_hull(pod).moved(x=x))
    return parts


def _blades(radius: float, y: float, count: int) -> list[Part]:
    blade = box((-radius * 0.07, radius * 0.07), (y - 0.03, y + 0.03), (0, radius))
    parts = [blade.turned("y", 360 * k / count) for k in range(count)]
    return [*parts, ellipsoid((0, y, 0), (radius * 0.14, radius * 0.25, radius * 0.14))]


def _gear(y: float, width: float, low: float, wheel: float) -> list[Part]:
    parts = both(bar((width * 0.3, y, 0), (width, y, low), wheel * 0.2))
    tire = cylinder(wheel, (-wheel * 0.25, wheel * 0.25)).turned("y", 90)
    return [*parts, *both(tire.moved(width, y, low))]


def _propeller(rng: np.random.Generator) -> list[Part]:
    r, half, span = rng.uniform(0.5, 0.7), rng.uniform(3.2, 4.2), rng.uniform(4.5, 6.0)
    high, chord = rng.random() < 0.5, rng.uniform(1.2, 1.6)
    z, y = (r * 1.25 if high else -r * 0.7), -half * rng.uniform(0.35, 0.5)
    hull = [
        (-half, r * 0.35, r * 0.35, 0),
        (-half + 0.3, r * 0.75, r * 0.8, 0),
        (-half * 0.4, r, r, 0),
        (half * 0.2, r * 0.9, r * 0.9, 0),
        (half, 0.08, 0.15, r * 0.3),
    ]
    parts = [_hull(hull), ellipsoid((0, -half * 0.15, r * 0.8), (r * 0.8, half * 0.33, r * 0.6))]
    dihedral = rng.uniform(0.0, 0.6)
    parts += _wings((0, y, z), (span, y + rng.uniform(0, 0.3), z + dihedral), (chord, chord * rng.uniform(0.6, 1.0)))
    if high:
        parts += both(bar((r * 0.8, y + 0.4, -r * 0.6), (span * 0.45, y + 0.4, z + dihedral * 0.45), 0.05))
    parts += _tail(rng, rng.choice(["low", "low", "tee"]), half * 0.78, r * 0.3, span * 0.33, 0.8)
    if rng.random() < 0.35:
        pod = _hull([(y - 0.8, 0.25, 0.25, 0), (y, 0.35, 0.35, 0), (y + 1.5, 0.15, 0.15, 0)])
        for piece in (*_blades(1.0, y - 0.9, 3), pod):
            parts += both(piece.moved(x=span * 0.32, z=z + dihedral * 0.32))
    else:
        parts += _blades(rng.uniform(0.9, 1.1), -half - 0.1, int(rng.integers(2, 5)))
    return parts + (_gear(y + 0.3, 1.0, -r - 0.7, 0.28) if rng.random() < 0.6 else [])


def _fighter(rng: np.random.Generator) -> list[Part]:
    half, r, span = rng.uniform(7, 9), rng.uniform(0.8, 1.1), rng.uniform(4.0, 5.5)
    hull = [
        (-half, 0.05, 0.05, 0),
        (-half * 0.7, r * 0.5, r * 0.5, 0),
        (-half * 0.3, r * 0.9, r * 0.8, 0),
        (half * 0.5, r * 1.2, r * 0.8, 0),
        (half * 0.95, r * 0.8, r * 0.7, 0),
    ]
    parts = [_hull(hull), ellipsoid((0, -half * 0.42, r * 0.75), (r * 0.45, half * 0.2, r * 0.5))]
    if rng.random() < 0.5:
        start = -half * rng.uniform(0.05, 0.3)
        parts += _wings((0, start, 0), (span, half * 0.7, 0), (half * 0.85 - start, half * 0.12), 0.05)
        if rng.random() < 0.5:
            parts += _wings((r * 0.5, -half * 0.45, r * 0.3), (span * 0.42, -half * 0.3, r * 0.3), (1.5, 0.6), 0.07)
    else:
        start = -half * 0.15
        tip = (span * 1.05, start + rng.uniform(2, 4), 0.1)
        parts += _wings((0, start, 0.1), tip, (half * 0.5, half * 0.15), 0.05)
        parts += _wings((0, half * 0.72, 0), (span * 0.5, half * 0.92, 0), (2.4, 1.0), 0.06)
    tall = rng.uniform(2.0, 2.8)
    fin = _fin(half * 0.45, r * 0.4, tall, 1.8, (half * 0.42, 1.2))
    parts += both(fin.turned("y", rng.uniform(5, 25)).moved(x=r * 0.9)) if rng.random() < 0.45 else [fin]
    if rng.random() < 0.5:
        x = span * 0.55
        parts += both(bar((x, start + half * 0.55, -0.3), (x, start + half * 0.95, -0.3), 0.16, 0.5))
    return parts


def _glider(rng: np.random.Generator) -> list[Part]:
    half, span, r = rng.uniform(3.2, 3.8), rng.uniform(6.5, 8.5), rng.uniform(0.38, 0.48)
    hull = [
        (-half, 0.05, 0.05, -0.05),
        (-half * 0.8, r * 0.8, r * 0.9, 0),
        (-half * 0.45, r, r * 1.1, 0),
        (0, r * 0.4, r * 0.45, 0.1),
        (half, 0.08, 0.1, 0.15),
    ]
    wings = _wings((0, -half * 0.35, r * 0.6), (span, -half * 0.28, r * 0.6 + rng.uniform(0.1, 0.6)), (1.0, 0.4))
    return [_hull(hull), *wings, *_tail(rng, rng.choice(["tee", "low"]), half * 0.8, 0.1, 1.3, 0.6)]


def _biplane(rng: np.random.Generator) -> list[Part]:
    half, span, r = rng.uniform(2.9, 3.5), rng.uniform(3.8, 4.8), rng.uniform(0.45, 0.55)
    gap, y, chord = rng.uniform(1.2, 1.6), -half * 0.6, rng.uniform(1.1, 1.4)
    hull = [(-half, r * 0.8, r * 0.8, 0), (-half + 0.3, r, r, 0), (-half * 0.2, r, r, 0), (half, 0.08, 0.2, 0.1)]
    parts = [_hull(hull), *_blades(1.1, -half - 0.15, 2), *_gear(y + 0.2, 0.8, -r - 0.75, 0.32)]
    parts += _tail(rng, "low", half * 0.75, 0.1, 1.4, 0.8)
    low, high = -r * 0.7, gap - r * 0.3
    for z in (low, high):
        parts += _wings((0, y, z), (span, y, z + 0.1), (chord, chord))
    for x, dy in product((span * 0.25, span * 0.75), (0.2, chord * 0.75)):
        parts += both(bar((x, y + dy, low), (x, y + dy, high), 0.04))
    return parts


_AIRPLANES = {
    "airliner": _airliner,
    "propeller": _propeller,
    "fighter": _fighter,
    "glider": _glider,
    "biplane": _biplane,
}


# Each style: the corners of the cabin from the side, as fractions of the length and of its height;
# then length, half width and height in meters and the belt line as a fraction of the height.
_CARS = {
    "sedan": ([(0.28, 0), (0.42, 1), (0.68, 1), (0.83, 0)], (4.5, 0.88, 1.42, 0.62)),
    "hatch": ([(0.22, 0), (0.38, 1), (0.82, 0.96), (0.97, 0)], (3.9, 0.85, 1.5, 0.6)),
    "suv": ([(0.25, 0), (0.36, 1), (0.95, 1), (0.995, 0)], (4.6, 0.95, 1.8, 0.6)),
    "pickup": ([(0.25, 0), (0.36, 1), (0.58, 1), (0.61, 0)], (5.3, 0.97, 1.8, 0.6)),
    "van": ([(0.06, 0), (0.2, 1), (0.98, 1), (0.995, 0)], (4.9, 0.95, 2.05, 0.5)),
    "sports": ([(0.34, 0), (0.5, 1), (0.64, 1), (0.93, 0)], (4.3, 0.92, 1.2, 0.64)),
}


def car(rng: np.random.Generator) -> list[Part]:
    """A car, its front to -y: sedan, hatchback, SUV, pickup, van or sports car, on four wheels."""
    style = str(rng.choice(list(_CARS)))
    roof, (length, w, h, belt) = _CARS[style]
    length, w, h = length * rng.uniform(0.92, 1.08), w * rng.uniform(0.95, 1.05), h * rng.uniform(0.94, 1.06)
    low, belt, inset = h * rng.uniform(0.13, 0.18), h * belt, rng.uniform(0.82, 0.92)
    y = (-length / 2, length / 2)
    nose = rng.uniform(0.75, 0.95)
    outline = [
        (y[0], low),
        (y[0], belt * nose * 0.9),
        (y[0] + length * 0.04, belt * nose),
        (y[0] + length * roof[0][0], belt),
        (y[1] - 0.15, belt),
        (y[1], belt * 0.92),
        (y[1], low),
    ]
    parts = [loft(np.array([[(s * w, a, b) for a, b in outline] for s in (-1, 1)]))]
    ends = []
    for foot, top in ((roof[0], roof[1]), (roof[3], roof[2])):
        base, (ya, yb) = belt - 0.02, (y[0] + length * foot[0], y[0] + length * top[0])
        x, z = w * inset, base + (h - belt) * top[1]
        ends.append([(w * -0.98, ya, base), (-x, yb, z), (x, yb, z), (w * 0.98, ya, base)])
    parts.append(loft(np.array(ends)))
    wheel = rng.uniform(0.3, 0.36) * (1.15 if style in ("suv", "pickup") else 1.0)
    for axle in (y[0] + length * 0.19, y[1] - length * 0.19):
        tire = cylinder(wheel, (-0.1, 0.1), segments=20).turned("y", 90)
        parts += both(tire.moved(w - 0.08, axle, wheel))
    return parts + _car_extras(rng, style, w, y, belt, roof, h)


def _car_extras(
    rng: np.random.Generator, style: str, w: float, y: Pair, belt: float, roof: list, h: float
) -> list[Part]:
    length, parts = y[1] - y[0], []
    if rng.random() < 0.7:
        parts += both(ellipsoid((w + 0.08, y[0] + length * (roof[0][0] + 0.06), belt + 0.06), (0.09, 0.05, 0.07), 0.6))
    if style == "pickup":
        z = (belt - 0.05, belt + 0.12)
        parts += both(box((w - 0.08, w), (y[0] + length * 0.62, y[1]), z))
        parts.append(box((-w, w), (y[1] - 0.08, y[1]), z))
    if style == "sports" and rng.random() < 0.6:
        parts.append(box((-w * 0.9, w * 0.9), (y[1] - 0.3, y[1] - 0.02), (belt + 0.16, belt + 0.2)))
        parts += both(box((w * 0.6, w * 0.65), (y[1] - 0.25, y[1] - 0.1), (belt - 0.05, belt + 0.17)))
    if style in ("suv", "van") and rng.random() < 0.5:
        parts += both(bar((w * 0.65, y[0] + length * 0.42, h + 0.04), (w * 0.65, y[1] - 0.3, h + 0.04), 0.025))
    return parts
