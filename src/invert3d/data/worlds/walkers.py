"""Pedestrians and cyclists of the street world, as templates made once. Meters, front to -y, z up."""

from __future__ import annotations

from functools import cache

import numpy as np

from invert3d.data.worlds.parts import Part, bar, circle, cylinder, lathe, loft, sweep
from invert3d.data.worlds.templates import TINT_A, TINT_B, Color, Material, Piece, Template, ball, make_template

PEOPLE, CYCLISTS = 30, 14
_SKIN = ((0.87, 0.68, 0.56), (0.8, 0.6, 0.47), (0.62, 0.43, 0.32), (0.42, 0.28, 0.2), (0.9, 0.73, 0.63))
_HAIR = ((0.1, 0.08, 0.07), (0.25, 0.16, 0.1), (0.45, 0.32, 0.18), (0.62, 0.52, 0.36), (0.55, 0.55, 0.55))
_SHOES = ((0.08, 0.08, 0.08), (0.3, 0.2, 0.14), (0.8, 0.8, 0.8))
_SHIRTS = (
    (0.85, 0.85, 0.83),
    (0.1, 0.1, 0.12),
    (0.55, 0.1, 0.12),
    (0.12, 0.2, 0.45),
    (0.2, 0.42, 0.3),
    (0.75, 0.6, 0.2),
    (0.45, 0.45, 0.48),
    (0.35, 0.55, 0.75),
    (0.8, 0.42, 0.45),
    (0.3, 0.22, 0.35),
    (0.85, 0.45, 0.1),
)
_TROUSERS = (
    (0.13, 0.17, 0.28),
    (0.2, 0.26, 0.4),
    (0.08, 0.08, 0.09),
    (0.42, 0.36, 0.28),
    (0.3, 0.3, 0.32),
    (0.6, 0.55, 0.45),
)
Point = tuple[float, float, float]


def _pick(rng: np.random.Generator, table: tuple) -> Color:
    return table[int(rng.integers(len(table)))]


def _torso(rings: list[tuple[float, float, float, float]]) -> Part:
    """A trunk through rings of (y, z, half width, half depth)."""
    loop = circle(10)
    return loft(np.array([[(w * a, y + d * b, z) for a, b in loop] for y, z, w, d in rings]))


def _head(rng: np.random.Generator, at: Point) -> list[Piece]:
    """Head, neck and hair or a cap round the point ``at``."""
    x, y, z = at
    skin, hair = _pick(rng, _SKIN), _pick(rng, _HAIR)
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
    cloth = TINT_B if bare is None else bare
    return [
        _limb([(side * 0.085, 0, hip), knee, foot], [thick, thick * 0.78, thick * 0.58], cloth),
        Piece(shoe, _pick(rng, _SHOES)),
    ]


def _walker(rng: np.random.Generator) -> list[Piece]:
    """Someone who walks or stands, arms swinging against the legs."""
    tall = rng.uniform(0.93, 1.06) * (0.72 if rng.random() < 0.08 else 1.0)
    build, hip = rng.uniform(0.9, 1.25), 0.92
    shoulder, chest, belly = 1.45, 0.185 * build**0.5, 0.11 * build
    stride = float(rng.uniform(0.18, 0.36)) if rng.random() < 0.72 else float(rng.uniform(0.0, 0.06))
    coat = rng.random() < 0.3
    trunk = [
        (0, hip - (0.42 if coat else 0.08), 0.17 * build**0.5, belly * (1.15 if coat else 1)),
        (0, hip + 0.14, chest * 0.86, belly),
        (0, shoulder - 0.14, chest * 1.06, belly * 1.05),
        (0, shoulder, chest * 0.92, belly * 0.75),
        (0, shoulder + 0.06, 0.06, 0.055),
    ]
    skin = _pick(rng, _SKIN)
    pieces = [Piece(_torso(trunk), TINT_A, Material.CLOTH), *_head(rng, (0, -0.02, shoulder + 0.21))]
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
        tone = _pick(rng, ((0.12, 0.12, 0.13), (0.5, 0.1, 0.1), (0.15, 0.25, 0.4), (0.25, 0.3, 0.15)))
        pack = ball((0, belly + 0.1, shoulder - 0.24), (0.15, 0.1, 0.23), 0.5)
        return [Piece(pack, tone, Material.CLOTH)]
    if rng.random() < 0.2:
        bag = ball((chest + 0.12, 0.02, 0.78), (0.05, 0.14, 0.13), 0.5)
        return [Piece(bag, (0.3, 0.2, 0.13))]
    return []


def _bicycle(rng: np.random.Generator, fine: bool) -> list[Piece]:
    """Two wheels, a frame, handlebar and saddle; front axle at y = -0.53."""
    paint = _pick(rng, ((0.1, 0.1, 0.11), (0.5, 0.08, 0.08), (0.1, 0.2, 0.45), (0.75, 0.75, 0.75), (0.1, 0.35, 0.2)))
    pieces = []
    for y in (-0.53, 0.53):
        wheel = (
            lathe(circle(5 if fine else 4) * 0.022 + np.array([0.325, 0.0]), segments=16 if fine else 10, ring=True)
            .turned("y", 90)
            .moved(0, y, 0.347)
        )
        pieces.append(Piece(wheel, (0.06, 0.06, 0.06)))
        pieces.append(
            Piece(
                cylinder(0.05, (-0.05, 0.05), segments=8).turned("y", 90).moved(0, y, 0.347), (0.4,) * 3, Material.METAL
            )
        )
        for k in range(6 if fine else 0):
            a = np.pi * k / 3
            rim = (0.0, y + 0.32 * float(np.cos(a)), 0.347 + 0.32 * float(np.sin(a)))
            pieces.append(Piece(bar((0, y, 0.347), rim, 0.006, segments=3), (0.5,) * 3, Material.METAL))
    crank, seat, head, fork = (0, 0.08, 0.3), (0, 0.24, 0.84), (0, -0.38, 0.86), (0, -0.53, 0.347)
    lines = [
        (crank, seat),
        (crank, head),
        ((0, 0.2, 0.72), head),
        (seat, (0, 0.53, 0.347)),
        (crank, (0, 0.53, 0.347)),
        (head, fork),
    ]
    pieces += [Piece(bar(a, b, 0.02, segments=5 if fine else 3), paint, Material.PAINT) for a, b in lines]
    pieces.append(
        Piece(
            sweep([(-0.28, -0.26, 1.0), (-0.2, -0.4, 1.02), (0.2, -0.4, 1.02), (0.28, -0.26, 1.0)], 0.016, 5),
            (0.1,) * 3,
            Material.METAL,
        )
    )
    pieces.append(Piece(bar(head, (0, -0.4, 1.02), 0.018, segments=5), paint, Material.PAINT))
    pieces.append(Piece(ball((0, 0.26, 0.9), (0.08, 0.14, 0.05)), (0.07,) * 3))
    return pieces


def _cyclist(rng: np.random.Generator, fine: bool) -> list[Piece]:
    """A bicycle with someone on it, one pedal down."""
    pieces = _bicycle(rng, fine)
    lean, build = float(rng.uniform(0.12, 0.38)), float(rng.uniform(0.9, 1.2))
    hip, shoulder = (0.0, 0.24, 0.96), (0.0, 0.2 - lean, 1.44 - lean * 0.28)
    share = np.array([-0.16, 0.25, 0.8, 1.0, 1.1])[:, None]
    spine = np.array(hip) + share * (np.array(shoulder) - np.array(hip))
    rings = [
        (y, z, w * build**0.5, d * build)
        for (_, y, z), (w, d) in zip(
            spine, ((0.16, 0.12), (0.15, 0.11), (0.195, 0.12), (0.17, 0.09), (0.06, 0.05)), strict=True
        )
    ]
    pieces.append(Piece(_torso(rings), TINT_A, Material.CLOTH))
    pieces += _head(rng, (0.0, shoulder[1] - 0.06, shoulder[2] + 0.21))
    if rng.random() < 0.4:
        helmet = ball((0.0, shoulder[1] - 0.05, shoulder[2] + 0.27), (0.1, 0.13, 0.09))
        pieces.append(Piece(helmet, _pick(rng, ((0.9, 0.9, 0.9), (0.1, 0.1, 0.1), (0.7, 0.1, 0.1))), Material.PAINT))
    skin, turn = _pick(rng, _SKIN), float(rng.uniform(0, 2 * np.pi))
    for side in (-1, 1):
        angle = turn + (np.pi if side > 0 else 0)
        pedal = (side * 0.12, 0.08 - 0.17 * float(np.cos(angle)), 0.3 + 0.17 * float(np.sin(angle)))
        knee = (side * 0.12, (hip[1] + pedal[1]) / 2 - 0.22, (hip[2] + pedal[2]) / 2 + 0.12)
        pieces.append(
            _limb(
                [(side * 0.09, hip[1], hip[2]), knee, (pedal[0], pedal[1] + 0.05, pedal[2] + 0.08)],
                [0.085, 0.065, 0.045],
                TINT_B,
            )
        )
        pieces.append(
            Piece(ball((pedal[0], pedal[1] - 0.03, pedal[2] + 0.03), (0.045, 0.13, 0.045)), _pick(rng, _SHOES))
        )
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
    top, leg = _pick(rng, _SHIRTS), _pick(rng, _TROUSERS)
    return tuple(min(v * scale[0], 1.0) for v in top), tuple(min(v * scale[1], 1.0) for v in leg)
