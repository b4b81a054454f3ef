"""Pedestrians and cyclists of the street world, as templates made once. Meters, front to -y, z up."""

from functools import cache

import numpy as np

from invert3d.data.worlds.colors import TINT_A, TINT_B, Color, palette, pick
from invert3d.data.worlds.parts import Part, bar, cylinder, sweep, torus, trunk
from invert3d.data.worlds.templates import Material, Piece, Template, ball, make_template

PEOPLE, CYCLISTS = 30, 14
_SKIN = palette("87 68 56, 80 60 47, 62 43 32, 42 28 20, 90 73 63")
_HAIR = palette("10 8 7, 25 16 10, 45 32 18, 62 52 36, 55 55 55")
_SHOES = palette("8 8 8, 30 20 14, 80 80 80")
_SHIRTS = palette(
    "85 85 83, 10 10 12, 55 10 12, 12 20 45, 20 42 30, 75 60 20, 45 45 48, 35 55 75, 80 42 45, 30 22 35, 85 45 10"
)
_TROUSERS = palette("13 17 28, 20 26 40, 8 8 9, 42 36 28, 30 30 32, 60 55 45")
_PACKS = palette("12 12 13, 50 10 10, 15 25 40, 25 30 15")
_FRAMES = palette("10 10 11, 50 8 8, 10 20 45, 75 75 75, 10 35 20")
_HELMETS = palette("90 90 90, 10 10 10, 70 10 10")
Point = tuple[float, float, float]


def _head(rng: np.random.Generator, at: Point) -> list[Piece]:
    """Head, neck and hair or a cap round the point ``at``."""
    x, y, z = at
    skin, hair = pick(rng, _SKIN), pick(rng, _HAIR)
    pieces = [
        Piece(ball((x, y, z), (0.075, 0.093, 0.115)), skin),
        Piece(bar((x, y + 0.015, z - 0.2), (x, y + 0.01, z - 0.03), 0.05, segments=6), skin),
    ]
    long = rng.random() < 0.4
    crown = ball((x, y + 0.025, z + (0.0 if long else 0.04)), (0.088, 0.09, 0.16 if long else 0.1))
    return [*pieces, Piece(crown, hair)]


def _limb(joints: list[Point], radii: list[float], color: Color) -> Piece:
    return Piece(sweep(joints, radii, 7), color, Material.CLOTH)


def _leg(
    rng: np.random.Generator, side: int, hip: float, stride: float, thick: float, bare: Color | None
) -> list[Piece]:
    knee = (side * 0.095, -stride * 0.55 - 0.02, hip * 0.52)
    foot = (side * 0.09, -stride, 0.09)
    if stride < -0.08:
        knee, foot = (knee[0], knee[1] - 0.1, knee[2]), (foot[0], foot[1] + 0.04, 0.16)
    shoe = ball((foot[0], foot[1] - 0.06, foot[2] - 0.04), (0.048, 0.135, 0.05))
    limb = _limb([(side * 0.085, 0, hip), knee, foot], [thick, thick * 0.78, thick * 0.58], bare or TINT_B)
    return [limb, Piece(shoe, pick(rng, _SHOES))]


def _walker(rng: np.random.Generator) -> list[Piece]:
    """Someone who walks or stands, arms swinging against the legs."""
    tall = rng.uniform(0.93, 1.06) * (0.72 if rng.random() < 0.08 else 1.0)
    build, hip = rng.uniform(0.9, 1.25), 0.92
    shoulder, chest, belly = 1.45, 0.185 * build**0.5, 0.11 * build
    stride = rng.uniform(0.18, 0.36) if rng.random() < 0.72 else rng.uniform(0.0, 0.06)
    coat = rng.random() < 0.3
    rings = [
        (0, hip - (0.42 if coat else 0.08), 0.17 * build**0.5, belly * (1.15 if coat else 1)),
        (0, hip + 0.14, chest * 0.86, belly),
        (0, shoulder - 0.14, chest * 1.06, belly * 1.05),
        (0, shoulder, chest * 0.92, belly * 0.75),
        (0, shoulder + 0.06, 0.06, 0.055),
    ]
    skin = pick(rng, _SKIN)
    pieces = [Piece(trunk(rings, 10), TINT_A, Material.CLOTH), *_head(rng, (0, -0.02, shoulder + 0.21))]
    skirt = not coat and rng.random() < 0.2
    if skirt:
        pieces.append(Piece(cylinder(0.23, (0.5, hip + 0.06), top=0.15, segments=12), TINT_B, Material.CLOTH))
    bare = skin if skirt or rng.random() < 0.1 else None
    short = skin if rng.random() < 0.35 else TINT_A
    for side in (-1, 1):
        pieces += _leg(rng, side, hip, stride * side, 0.088 * build**0.5, bare)
        x, z, swing = chest * 0.98, shoulder - 0.05, stride * side * 0.75
        elbow = (side * (x + 0.07), swing * 0.45 + 0.03, z - 0.27)
        hand = (side * (x + 0.06), swing - 0.08, z - 0.48 + abs(swing) * 0.2)
        pieces.append(_limb([(side * x, 0, z), elbow], [0.058, 0.05], TINT_A))
        pieces.append(_limb([elbow, hand], [0.048, 0.036], short))
        pieces.append(Piece(ball(hand, (0.04, 0.045, 0.06)), skin))
    pieces += _baggage(rng, chest, shoulder, belly)
    return [Piece(Part(piece.part.vertices * tall, piece.part.faces), piece.color, piece.material) for piece in pieces]


def _baggage(rng: np.random.Generator, chest: float, shoulder: float, belly: float) -> list[Piece]:
    if rng.random() < 0.28:
        pack = ball((0, belly + 0.1, shoulder - 0.24), (0.15, 0.1, 0.23), 0.5)
        return [Piece(pack, pick(rng, _PACKS), Material.CLOTH)]
    bag = ball((chest + 0.12, 0.02, 0.78), (0.05, 0.14, 0.13), 0.5)
    return [Piece(bag, (0.3, 0.2, 0.13))] if rng.random() < 0.2 else []


def _bicycle(rng: np.random.Generator, fine: bool) -> list[Piece]:
    """Two wheels, a frame, handlebar and saddle; front axle at y = -0.53."""
    paint = pick(rng, _FRAMES)
    rim = torus(0.325, 0.022, 16 if fine else 10, 5 if fine else 4).turned("y", 90)
    hub = cylinder(0.05, (-0.05, 0.05), segments=8).turned("y", 90)
    pieces = []
    front, rear = (0, -0.53, 0.347), (0, 0.53, 0.347)
    for axle in (front, rear):
        pieces.append(Piece(rim.moved(*axle), (0.06, 0.06, 0.06)))
        pieces.append(Piece(hub.moved(*axle), (0.4,) * 3, Material.METAL))
        for a in np.pi * np.arange(6 if fine else 0) / 3:
            end = (0.0, axle[1] + 0.32 * float(np.cos(a)), 0.347 + 0.32 * float(np.sin(a)))
            pieces.append(Piece(bar(axle, end, 0.006, segments=3), (0.5,) * 3, Material.METAL))
    crank, seat, head = (0, 0.08, 0.3), (0, 0.24, 0.84), (0, -0.38, 0.86)
    for a, b in ((crank, seat), (crank, head), ((0, 0.2, 0.72), head), (seat, rear), (crank, rear), (head, front)):
        pieces.append(Piece(bar(a, b, 0.02, segments=5 if fine else 3), paint, Material.PAINT))
    grips = [(-0.28, -0.26, 1.0), (-0.2, -0.4, 1.02), (0.2, -0.4, 1.02), (0.28, -0.26, 1.0)]
    pieces.append(Piece(sweep(grips, 0.016, 5), (0.1,) * 3, Material.METAL))
    pieces.append(Piece(bar(head, (0, -0.4, 1.02), 0.018, segments=5), paint, Material.PAINT))
    return [*pieces, Piece(ball((0, 0.26, 0.9), (0.08, 0.14, 0.05)), (0.07,) * 3)]


def _cyclist(rng: np.random.Generator, fine: bool) -> list[Piece]:
    """A bicycle with someone on it, one pedal down."""
    pieces = _bicycle(rng, fine)
    lean, build = rng.uniform(0.12, 0.38), rng.uniform(0.9, 1.2)
    hip, shoulder = (0.0, 0.24, 0.96), (0.0, 0.2 - lean, 1.44 - lean * 0.28)
    share = np.array([-0.16, 0.25, 0.8, 1.0, 1.1])[:, None]
    spine = np.array(hip) + share * (np.array(shoulder) - np.array(hip))
    halves = ((0.16, 0.12), (0.15, 0.11), (0.195, 0.12), (0.17, 0.09), (0.06, 0.05))
    rings = [(y, z, w * build**0.5, d * build) for (_, y, z), (w, d) in zip(spine, halves, strict=True)]
    pieces.append(Piece(trunk(rings, 10), TINT_A, Material.CLOTH))
    pieces += _head(rng, (0.0, shoulder[1] - 0.06, shoulder[2] + 0.21))
    if rng.random() < 0.4:
        helmet = ball((0.0, shoulder[1] - 0.05, shoulder[2] + 0.27), (0.1, 0.13, 0.09))
        pieces.append(Piece(helmet, pick(rng, _HELMETS), Material.PAINT))
    skin, turn = pick(rng, _SKIN), rng.uniform(0, 2 * np.pi)
    for side in (-1, 1):
        angle = turn + (np.pi if side > 0 else 0)
        pedal = (side * 0.12, 0.08 - 0.17 * float(np.cos(angle)), 0.3 + 0.17 * float(np.sin(angle)))
        knee = (side * 0.12, (hip[1] + pedal[1]) / 2 - 0.22, (hip[2] + pedal[2]) / 2 + 0.12)
        ankle = (pedal[0], pedal[1] + 0.05, pedal[2] + 0.08)
        pieces.append(_limb([(side * 0.09, hip[1], hip[2]), knee, ankle], [0.085, 0.065, 0.045], TINT_B))
        shoe = ball((pedal[0], pedal[1] - 0.03, pedal[2] + 0.03), (0.045, 0.13, 0.045))
        pieces.append(Piece(shoe, pick(rng, _SHOES)))
        elbow = (side * 0.27, (shoulder[1] - 0.36) / 2, (shoulder[2] + 0.95) / 2)
        pieces.append(_limb([(side * 0.18, shoulder[1], shoulder[2] - 0.03), elbow], [0.056, 0.048], TINT_A))
        pieces.append(_limb([elbow, (side * 0.25, -0.3, 1.03)], [0.044, 0.036], skin if rng.random() < 0.4 else TINT_A))
    return pieces


@cache
def person_template(number: int) -> Template:
    """The pedestrian ``number`` of the pool."""
    return make_template(_walker(np.random.default_rng([103, number])), smooth=70)


@cache
def cyclist_template(number: int, fine: bool = True) -> Template:
    """The cyclist ``number`` of the pool."""
    return make_template(_cyclist(np.random.default_rng([104, number]), fine), smooth=70)


def clothes(rng: np.random.Generator) -> tuple[Color, Color]:
    """Colors of shirt and trousers, sRGB."""
    scale = rng.uniform(0.85, 1.1, 2)
    top, leg = pick(rng, _SHIRTS), pick(rng, _TROUSERS)
    return tuple(min(v * scale[0], 1.0) for v in top), tuple(min(v * scale[1], 1.0) for v in leg)
