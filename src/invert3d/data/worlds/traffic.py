"""Cars and vans of the street world, as templates made once: a body lofted through stations, a cabin with windows,
wheels, lamps, plates. Meters, front to -y, z up."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from invert3d.data.worlds.colors import TINT_A, Color, palette, pick
from invert3d.data.worlds.parts import Part, block, both, box, cylinder, loft, sweep
from invert3d.data.worlds.templates import Material, Piece, Template, ball, make_template, painted

CARS, VANS = 40, 12
RUBBER: Color = (0.07, 0.07, 0.075)
TRIM: Color = (0.09, 0.09, 0.1)
WINDOW: Color = (0.06, 0.075, 0.085)
_PAINTS = palette("10 18 42, 16 32 62, 60 7 8, 42 5 9, 8 28 20, 72 66 52, 35 24 17, 85 62 8, 80 33 8, 45 60 72")
#: length, half width, height in meters; belt line as a share of the height; the cabin's four stations as shares of
#: the length (foot of the windshield, roof front, roof back, foot of the rear window); height of the nose and tail
_STYLES = {
    "sedan": (4.45, 0.79, 1.44, 0.63, (0.27, 0.43, 0.70, 0.86), 0.78, 0.95),
    "hatch": (3.85, 0.78, 1.47, 0.62, (0.22, 0.40, 0.84, 0.97), 0.80, 0.96),
    "wagon": (4.45, 0.79, 1.47, 0.62, (0.26, 0.41, 0.88, 0.98), 0.78, 0.96),
    "small": (3.45, 0.74, 1.47, 0.61, (0.17, 0.38, 0.84, 0.97), 0.84, 0.97),
    "suv": (4.35, 0.85, 1.68, 0.61, (0.25, 0.39, 0.88, 0.97), 0.86, 0.97),
    "coupe": (4.25, 0.81, 1.32, 0.65, (0.31, 0.48, 0.66, 0.90), 0.76, 0.97),
}
_VANS = {
    "panel": (5.0, 0.92, 2.05, 0.52, (0.06, 0.24, 0.985, 0.995), 0.72, 0.99),
    "minibus": (4.85, 0.91, 1.95, 0.52, (0.09, 0.25, 0.96, 0.995), 0.74, 0.99),
    "tall": (5.6, 0.96, 2.45, 0.45, (0.09, 0.24, 0.985, 0.995), 0.76, 0.99),
}


def _body(length: float, w: float, low: float, belt: float, nose: float, tail: float, detail: int) -> Part:
    """The closed lower body: rounded cross sections from the nose to the tail."""
    stations = [
        (0.0, 0.74, low + 0.13, belt * (nose - 0.14)),
        (0.012, 0.86, low + 0.04, belt * (nose - 0.05)),
        (0.05, 0.95, low, belt * nose),
        (0.13, 0.99, low, belt * (nose + 0.06)),
        (0.27, 1.0, low, belt * 0.99),
        (0.55, 1.0, low, belt),
        (0.84, 0.99, low, belt),
        (0.95, 0.955, low + 0.02, belt * tail),
        (0.988, 0.88, low + 0.06, belt * (tail - 0.05)),
        (1.0, 0.78, low + 0.15, belt * (tail - 0.12)),
    ]
    if detail == 0:
        stations = [stations[k] for k in (0, 1, 3, 4, 6, 8, 9)]
    rings = []
    for at, share, bottom, top in stations:
        half, tall, y = w * share, top - bottom, (at - 0.5) * length
        right = [(0.86, 0.0), (0.965, 0.12), (1.0, 0.45), (0.985, 0.72), (0.95, 0.9), (0.84, 1.0)]
        side = [(half * a, y, bottom + tall * b) for a, b in right]
        crown = [(0.0, y, top + 0.03 * share)]
        rings.append(side + crown + [(-x, y, z) for x, y, z in side[::-1]])
    return loft(np.array(rings))


def _cabin(
    length: float, w: float, h: float, belt: float, roof: Sequence[float], blind: float, detail: int
) -> list[Piece]:
    """Windows and roof over the belt line; behind the share ``blind`` of the length the sides are sheet metal."""
    f0, f1, f2, f3 = roof
    middle = f1 + 0.45 * (f2 - f1) if blind > 1 else blind
    stations = [
        (f0, 0.93, 0.90, belt),
        (f1, 0.955, 0.78, h - 0.03),
        (middle, 0.96, 0.79, h),
        (f2, 0.955, 0.78, h - 0.025),
        (f3, 0.93, 0.88, belt),
    ]
    sections = []
    for at, wide, top, z in stations:
        side = [(w * wide, belt - 0.05), (w * (top * 0.98 + 0.02), z - 0.07 * (z > belt)), (w * top * 0.9, z)]
        outline = [*side, (0.0, z + 0.02), *((-a, b) for a, b in side[::-1])]
        sections.append([(a, (at - 0.5) * length, b) for a, b in outline])
    rings = np.array(sections)
    whole = loft(rings, capped=False)
    section, segment = np.divmod(np.arange(len(whole.faces)) % 28, 7)  # 4 sections of 7 faces, twice
    side = (segment == 0) | (segment == 5)
    glass = side | (((section == 0) | (section == 3)) & (segment < 6))
    if blind <= 1:
        glass &= (section < 2) | ((section == 2) & ~side)
    parts = [Piece(Part(whole.vertices, whole.faces[glass]), WINDOW, Material.GLASS)]
    parts.append(Piece(Part(whole.vertices, whole.faces[~glass]), TINT_A, Material.PAINT))
    for low, high, thick in ((0, 1, 0.032), (4, 3, 0.045)):
        for column in (1, 5):
            path = [rings[low, 0 if column == 1 else 6], rings[high, column]]
            parts.append(Piece(sweep(path, thick, 5 if detail else 4), TINT_A, Material.PAINT))
    for column, foot in ((1, 0), (5, 6)) if detail else ():
        post = sweep([rings[2, foot], rings[2, column]], 0.035, 4)
        parts.append(Piece(post, TRIM if blind > 1 else TINT_A, Material.PAINT))
        parts.append(Piece(sweep(rings[1:4, column], 0.028, 5), TINT_A, Material.PAINT))
    return parts


def _wheels(
    rng: np.random.Generator, length: float, w: float, axles: tuple[float, float], radius: float, detail: int
) -> list[Piece]:
    """Four wheels in dark arches, with spokes on fine ones."""
    around, tone, spokes = (7, 9, 16)[detail], rng.uniform(0.45, 0.75), int(rng.integers(5, 8))

    def disc(r: float, half: float, x: float, y: float, z: float) -> list[Part]:
        return both(cylinder(r, (-half, half), segments=around).turned("y", 90).moved(x, y, z))

    pieces = []
    for at in axles:
        y = (at - 0.5) * length
        pieces += painted(disc(radius, 0.1, w - 0.085, y, radius), RUBBER)
        if detail:
            pieces += painted(disc(radius * 1.16, 0.06, w * 0.985 - 0.055, y, radius * 1.03), (0.02, 0.02, 0.02))
        hub = (tone * (0.35 if detail > 1 else 0.7),) * 3
        pieces += painted(disc(radius * 0.66, 0.1, w - 0.079, y, radius), hub, Material.METAL)
        for k in range(spokes if detail > 1 else 0):
            spoke = block(0.004, radius * 0.09, (0, radius * 0.64)).turned("x", 360 * k / spokes)
            pieces += painted(both(spoke.moved(w + 0.022, y, radius)), (tone,) * 3, Material.METAL)
    return pieces


def _lump(center: Color, radii: Color, roundness: float, fine: bool) -> Part:
    """A rounded block, or far away a plain one of the same extent."""
    if fine:
        return ball(center, radii, roundness)
    return box(*((middle - half, middle + half) for middle, half in zip(center, radii, strict=True)))


def _face(
    rng: np.random.Generator, length: float, w: float, low: float, belt: float, nose: float, tail: float, detail: int
) -> list[Piece]:
    """Lamps, grille, plates, bumpers and mirrors."""
    front, back = -length / 2, length / 2
    z1, z2 = belt * (nose - 0.05), belt * (tail - 0.06)
    lamp = _lump((w * 0.67, front + 0.09, z1 - 0.09), (w * 0.2, 0.09, 0.075), 0.6, detail > 1)
    red = _lump((w * 0.73, back - 0.075, z2 - 0.13), (w * 0.15, 0.07, rng.uniform(0.1, 0.17)), 0.5, detail > 1)
    plate = rng.uniform(0.42, 0.55)
    grille = box((-w * 0.42, w * 0.42), (front - 0.004, front + 0.1), (low + 0.2, z1 - 0.08))
    intake = box((-w * 0.45, w * 0.45), (front - 0.003, front + 0.1), (low + 0.06, low + 0.15))
    pieces = painted(both(lamp), (0.93, 0.94, 0.95), Material.RETRO)
    pieces += painted(both(red), (0.66, 0.03, 0.03), Material.RETRO)
    pieces += [Piece(grille, TRIM), Piece(intake, (0.04, 0.04, 0.04))][: 1 + (detail > 1)]
    for y, z in ((front - 0.012, low + 0.17), (back + 0.006, low + plate * 0.6)):
        pieces.append(Piece(box((-0.26, 0.26), (y, y + 0.02), (z, z + 0.11)), (0.88, 0.88, 0.84), Material.RETRO))
    bumper = box((-w * 0.7, w * 0.7), (back - 0.06, back + 0.012), (low + 0.1, low + 0.24))
    pieces.append(Piece(bumper, TRIM if rng.random() < 0.5 else TINT_A, Material.PAINT))
    return pieces


def _vehicle(rng: np.random.Generator, style: tuple, blind: float, detail: int) -> Template:
    length, w, h, belt_share, roof, nose, tail = style
    length, w = length * rng.uniform(0.93, 1.07), w * rng.uniform(0.96, 1.04)
    h = h * rng.uniform(0.96, 1.05)
    low, belt = rng.uniform(0.17, 0.23), h * belt_share * rng.uniform(0.97, 1.02)
    radius = float(np.clip(0.205 * h, 0.29, 0.37) * rng.uniform(0.96, 1.04))
    shift = rng.uniform(-0.012, 0.012, 4)
    roof = tuple(min(a + b, 0.996) for a, b in zip(roof, shift, strict=True))
    pieces = [Piece(_body(length, w, low, belt, nose, tail, detail), TINT_A, Material.PAINT)]
    pieces += _cabin(length, w, h, belt, roof, blind, detail)
    pieces += _wheels(rng, length, w, (0.185, 0.805), radius, detail)
    pieces += _face(rng, length, w, low, belt, nose, tail, detail)
    mirror_y = (roof[0] + 0.05 - 0.5) * length
    mirror = _lump((w + 0.02, mirror_y, belt + 0.05), (0.07, 0.05, 0.06), 0.6, detail > 1)
    pieces += [Piece(p, TINT_A if rng.random() < 0.6 else TRIM, Material.PAINT) for p in both(mirror)]
    pieces.append(Piece(block(w * 0.94, length * 0.46, (low - 0.02, low + 0.07)), TRIM))
    for at in () if detail < 2 else (roof[0] + 0.07, (roof[1] + roof[2]) / 2 + 0.005):
        y = (at - 0.5) * length
        seam = box((w * 0.99, w * 1.006), (y - 0.007, y + 0.007), (low + 0.15, belt * 0.93))
        pieces += painted(both(seam), (0.03, 0.03, 0.03))
    return make_template(pieces)


@cache
def car_template(number: int, detail: int = 2) -> Template:
    """The car ``number`` of the pool. ``detail``: 2 near, 1 further, 0 far; the extent stays within 5 cm."""
    rng = np.random.default_rng([101, number])
    style = str(rng.choice(list(_STYLES), p=[0.22, 0.3, 0.18, 0.1, 0.14, 0.06]))
    return _vehicle(rng, _STYLES[style], 2.0, detail)


@cache
def van_template(number: int, detail: int = 2) -> Template:
    """The van ``number`` of the pool: panel van, minibus or tall van. See ``car_template``."""
    rng = np.random.default_rng([102, number])
    style = str(rng.choice(list(_VANS)))
    return _vehicle(rng, _VANS[style], 2.0 if style == "minibus" else 0.36, detail)


def body_color(rng: np.random.Generator, van: bool = False) -> Color:
    """A car's paint in sRGB: mostly white, silver, gray and black, else blue, red, green, beige, yellow."""
    if rng.random() < (0.8 if van else 0.62):
        tone = rng.choice([0.93, 0.78, 0.66, 0.48, 0.33, 0.13, 0.07] if not van else [0.94, 0.92, 0.9, 0.6, 0.3])
        return tuple(float(np.clip(tone + d, 0.03, 0.97)) for d in rng.normal(0, 0.012, 3))
    base = np.array(pick(rng, _PAINTS)) * rng.uniform(0.85, 1.15)
    return tuple(base.clip(0.02, 0.95).tolist())
