"""What stands along a street: houses, trees, hedges, fences, poles, signs. Templates made once; meters, z up."""

from __future__ import annotations

from functools import cache

import numpy as np
import trimesh

from invert3d.data.worlds.parts import Part, bar, box, cylinder, frustum, loft, sweep
from invert3d.data.worlds.templates import TINT_A, TINT_B, Color, Material, Piece, Template, make_template

HOUSES, TREES, BUSHES = 28, 14, 8
_WALLS = (
    (0.83, 0.78, 0.68),
    (0.88, 0.86, 0.82),
    (0.7, 0.55, 0.42),
    (0.62, 0.36, 0.28),
    (0.75, 0.68, 0.55),
    (0.6, 0.6, 0.58),
    (0.8, 0.72, 0.5),
    (0.68, 0.62, 0.6),
    (0.55, 0.34, 0.27),
    (0.78, 0.6, 0.5),
)
_ROOFS = ((0.5, 0.24, 0.17), (0.42, 0.2, 0.16), (0.3, 0.28, 0.28), (0.24, 0.23, 0.24), (0.46, 0.33, 0.26))


@cache
def house_template(number: int) -> Template:
    """The house ``number`` of the pool: gabled, hipped or flat; its facade parameters are

    (storey, window pitch, window width share, window height, half length, half depth, wall height, style 0 home 1 shop
    2 office, seed, frame brightness, door red, green, blue). The street side is any side. Length along x of the box.
    """
    rng = np.random.default_rng([105, number])
    style = int(rng.choice(3, p=[0.55, 0.28, 0.17]))
    storey, pitch = float(rng.uniform(2.8, 3.3)), float(rng.uniform(2.2, 3.2))
    bays = int(rng.integers(3, 7)) if style < 2 else int(rng.integers(6, 11))
    floors = (
        int(rng.integers(1, 4)) if style == 0 else int(rng.integers(2, 5)) if style == 1 else int(rng.integers(3, 7))
    )
    half, deep, tall = bays * pitch / 2, float(rng.uniform(3.6, 6.0)), floors * storey + 0.35
    wall = np.array(_WALLS[int(rng.integers(len(_WALLS)))]) * rng.uniform(0.88, 1.08)
    pieces = [Piece(box((-deep, deep), (-half, half), (-0.2, tall)), tuple(wall.clip(0, 0.95)), Material.FACADE)]
    roof = _ROOFS[int(rng.integers(len(_ROOFS)))]
    shape = "flat" if style == 2 or rng.random() < 0.2 else str(rng.choice(["eaves", "gable", "hip"]))
    pieces += _roof(rng, shape, half, deep, tall, roof)
    door = ((0.35, 0.2, 0.12), (0.15, 0.25, 0.2), (0.2, 0.2, 0.3), (0.55, 0.12, 0.1), (0.75, 0.75, 0.72))[
        int(rng.integers(5))
    ]
    facade = (
        storey,
        pitch,
        float(rng.uniform(0.34, 0.5) if style < 2 else rng.uniform(0.6, 0.85)),
        float(rng.uniform(1.2, 1.7)),
        half,
        deep,
        tall,
        float(style),
        float(number * 7.31 % 97),
        float(rng.choice([0.25, 0.85, 0.9])),
        *door,
    )
    return make_template(pieces, smooth=0.1, centered=False, facade=facade)


def _roof(rng: np.random.Generator, shape: str, half: float, deep: float, tall: float, color: Color) -> list[Piece]:
    """A roof on walls from -deep to deep in x and -half to half in y."""
    rise, over = float(rng.uniform(0.55, 0.9) * deep), 0.35
    if shape == "flat":
        lip = [box((-deep - 0.1, deep + 0.1), (-half - 0.1, half + 0.1), (tall, tall + 0.35))]
        return [Piece(part, (0.6, 0.58, 0.55), Material.STONE) for part in lip]
    low = ((-deep - over, deep + over), (-half - over, half + over))
    if shape == "gable":
        low, high = low, ((-deep - over, deep + over), (-0.01, 0.01))
        rise = float(rng.uniform(0.5, 0.8) * min(half, 5.0))
    else:
        pull = half + over if shape == "eaves" else max(half - deep * 0.9, 0.01)
        high = ((-0.01, 0.01), (-pull, pull))
    parts = [frustum((tall - 0.12, tall + rise), low, high)]
    pieces = [Piece(part, color, Material.ROOF) for part in parts]
    if rng.random() < 0.7:
        x, y = rng.uniform(-0.3, 0.3) * deep, rng.uniform(-0.6, 0.6) * half
        stack = box((x - 0.3, x + 0.3), (y - 0.45, y + 0.45), (tall, tall + rise + 0.7))
        pieces.append(Piece(stack, (0.45, 0.26, 0.2), Material.STONE))
    return pieces


def _clump(rng: np.random.Generator, center: tuple[float, float, float], radius: float, level: int = 2) -> Part:
    """A displaced ball of leaves."""
    mesh = trimesh.creation.icosphere(level)
    points = np.asarray(mesh.vertices)
    wave = np.sum(
        [np.sin(points @ rng.normal(0, f, 3) + rng.uniform(0, 6.28)) / f**0.7 for f in (2.0, 3.5, 6.0, 9.0)], axis=0
    )
    stretch = rng.uniform([0.9, 0.9, 0.75], [1.15, 1.15, 1.05])
    scaled = points * (radius * (1 + 0.2 * wave))[:, None] * stretch
    return Part(scaled + np.array(center), np.asarray(mesh.faces, dtype=np.int64))


@cache
def tree_template(number: int, detail: int = 2) -> Template:
    """The tree ``number`` of the pool: a trunk with limbs and clumps of leaves, or a conifer.

    ``detail``: 2 near, 1 further, 0 far.
    """
    fine = detail > 1
    rng = np.random.default_rng([106, number])
    bark, shade = (0.3, 0.24, 0.18), rng.uniform(0.85, 1.15)
    leaf = (
        np.array(((0.23, 0.32, 0.13), (0.3, 0.37, 0.17), (0.18, 0.27, 0.14), (0.36, 0.39, 0.19))[int(rng.integers(4))])
        * shade
    )
    color = tuple(float(v) for v in leaf)
    kind = str(rng.choice(["round", "round", "round", "tall", "cone"]))
    if kind == "cone":
        tall, w = float(rng.uniform(5, 10)), float(rng.uniform(1.2, 2.0))
        pieces = [Piece(cylinder(0.16, (0, 1.5), segments=7), bark)]
        for k in range(3):
            z = 0.6 + tall * 0.27 * k
            ring = [(w * (1 - 0.27 * k) * rng.uniform(0.85, 1.15), a) for a in np.arange(11) * (2 * np.pi / 11)]
            base = [(r * np.cos(a), r * np.sin(a), z + rng.uniform(-0.2, 0.2)) for r, a in ring]
            tip = [(0.03 * np.cos(a), 0.03 * np.sin(a), z + tall * 0.42) for _, a in ring]
            pieces.append(Piece(loft(np.array([base, tip])), color, Material.FOLIAGE))
        return make_template(pieces, smooth=60, centered=False)
    stem, crown = float(rng.uniform(1.9, 3.2)), float(rng.uniform(1.5, 2.7))
    lift = 1.6 if kind == "tall" else 1.0
    lean = rng.normal(0, 0.12, 2)
    pieces = [
        Piece(
            sweep([(0, 0, 0), (lean[0], lean[1], stem), (0, 0, stem + crown * lift)], [0.17, 0.12, 0.07], 7),
            bark,
            Material.STONE,
        )
    ]
    for k in range(int(rng.integers(5, 8)) if fine else 3):
        level = detail if k < 1 else min(detail, 1)
        turn, out = rng.uniform(0, 6.28), crown * rng.uniform(0.3, 0.62) * (k > 0) / lift
        at = (out * np.cos(turn), out * np.sin(turn), stem + crown * lift * rng.uniform(0.5, 1.25))
        if fine:
            pieces.append(Piece(bar((0, 0, stem * 0.95), at, 0.06, 0.5, 4), bark))
        pieces.append(
            Piece(
                _clump(rng, at, crown * rng.uniform(0.5, 0.75) * (1.0 if fine else 1.15), level),
                color,
                Material.FOLIAGE,
            )
        )
    return make_template(pieces, smooth=80, centered=False)


@cache
def bush_template(number: int, detail: int = 2) -> Template:
    """A bush of the pool, about a meter tall; ``detail`` 0 for far ones."""
    rng = np.random.default_rng([107, number])
    leaf = np.array((0.22, 0.33, 0.12)) * rng.uniform(0.8, 1.3)
    spots = [(rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.3, 0.6)) for _ in range(2)]
    clumps = [_clump(rng, at, float(rng.uniform(0.5, 0.8)), min(detail, 1)) for at in spots]
    return make_template([Piece(part, tuple(leaf), Material.FOLIAGE) for part in clumps], smooth=80, centered=False)


@cache
def barrier_template(kind: str) -> Template:
    """Six meters along the box's x of a hedge, wall, picket fence, mesh fence or guard rail.

    Raises:
        ValueError: an unknown ``kind``.
    """
    y = (-3.0, 3.0)
    if kind == "hedge":
        rng = np.random.default_rng(108)
        steps = np.linspace(*y, 13)
        rings = [
            [
                (sx * 0.38 * rng.uniform(0.85, 1.15), s, z * rng.uniform(0.93, 1.06))
                for sx, z in ((-1, 0.0), (-1.05, 0.7), (-0.8, 1.35), (0, 1.45), (0.8, 1.35), (1.05, 0.7), (1, 0.0))
            ]
            for s in steps
        ]
        return make_template(
            [Piece(loft(np.array(rings)), (0.2, 0.31, 0.11), Material.FOLIAGE)], smooth=60, centered=False
        )
    if kind == "wall":
        low = Piece(box((-0.12, 0.12), y, (0, 1.0)), TINT_A, Material.STONE)
        cap = Piece(box((-0.16, 0.16), y, (1.0, 1.07)), (0.6, 0.58, 0.55), Material.STONE)
        posts = [Piece(box((-0.2, 0.2), (s, s + 0.4), (0, 1.3)), TINT_A, Material.STONE) for s in (-3.0,)]
        return make_template([low, cap, *posts], centered=False)
    if kind == "picket":
        slats = [Piece(box((-0.01, 0.01), (s, s + 0.11), (0.08, 1.0)), TINT_B) for s in np.arange(-2.95, 2.95, 0.27)]
        rails = [Piece(box((0.01, 0.04), y, (z, z + 0.08)), TINT_B) for z in (0.25, 0.8)]
        return make_template(slats + rails, centered=False)
    if kind == "rail":
        beam = Piece(box((-0.04, 0.04), y, (0.45, 0.75)), (0.62, 0.64, 0.66), Material.METAL)
        posts = [
            Piece(box((0.04, 0.14), (s, s + 0.1), (0, 0.7)), (0.5, 0.52, 0.53), Material.METAL)
            for s in (-2.9, -0.9, 1.1)
        ]
        return make_template([beam, *posts], centered=False)
    if kind == "iron":
        bars = [
            Piece(box((-0.012, 0.012), (s, s + 0.025), (0.1, 1.25)), (0.1, 0.12, 0.11), Material.METAL)
            for s in np.arange(-2.95, 3, 0.3)
        ]
        rails = [Piece(box((-0.02, 0.02), y, (z, z + 0.04)), (0.1, 0.12, 0.11), Material.METAL) for z in (0.15, 1.1)]
        return make_template(bars + rails, centered=False)
    raise ValueError(f"kind: got {kind!r}, accepted are 'hedge', 'wall', 'picket', 'rail', 'iron'")


@cache
def furniture_template(kind: str) -> Template:
    """A lamp, signal, bin, bollard, or a sign ("stop", "limit", "direction", "parking"); it faces the box's front.

    Raises:
        ValueError: an unknown ``kind``.
    """
    gray: Color = (0.5, 0.52, 0.53)
    if kind == "lamp":
        path = [(0, 0, 0), (0, 0, 6.4), (0, -0.3, 6.9), (0, -1.5, 7.05)]
        head = box((-0.14, 0.14), (-2.1, -1.4), (6.98, 7.1))
        pieces = [
            Piece(sweep(path, [0.09, 0.06, 0.05, 0.045], 6), gray, Material.METAL),
            Piece(head, (0.4, 0.42, 0.43), Material.METAL),
        ]
        return make_template(pieces, centered=False)
    if kind == "signal":
        pieces = [
            Piece(cylinder(0.06, (0, 3.2), segments=6), (0.3, 0.32, 0.32)),
            Piece(box((-0.16, 0.16), (-0.2, 0.08), (2.3, 3.25)), (0.06, 0.07, 0.07)),
        ]
        for z, color in ((3.08, (0.85, 0.08, 0.06)), (2.78, (0.25, 0.18, 0.05)), (2.48, (0.05, 0.2, 0.12))):
            pieces.append(
                Piece(
                    cylinder(0.1, (-0.012, 0.012), segments=10).turned("x", 90).moved(0, -0.21, z),
                    color,
                    Material.RETRO,
                )
            )
        return make_template(pieces, centered=False)
    if kind == "bin":
        color = (0.2, 0.22, 0.22)
        bucket = frustum((0.08, 1.0), ((-0.24, 0.24), (-0.3, 0.3)), ((-0.29, 0.29), (-0.36, 0.36)))
        lid = box((-0.3, 0.3), (-0.37, 0.37), (1.0, 1.07))
        return make_template([Piece(bucket, TINT_B), Piece(lid, color)], centered=False)
    if kind == "bollard":
        post = Piece(cylinder(0.07, (0, 0.9), segments=8), (0.25, 0.25, 0.26))
        band = Piece(cylinder(0.075, (0.7, 0.8), segments=8), (0.85, 0.85, 0.85), Material.RETRO)
        return make_template([post, band], centered=False)
    return make_template(
        [Piece(cylinder(0.035, (0, 2.6), segments=6), gray, Material.METAL), *_sign(kind)], centered=False
    )


def _disc(radius: float, y: float, segments: int, color: Color, z: float = 2.35) -> Piece:
    plate = cylinder(radius, (-0.008, 0.008), segments=segments).turned("x", 90)
    return Piece(plate.turned("y", 180 / segments).moved(0, y, z), color, Material.RETRO)


def _sign(kind: str) -> list[Piece]:
    """The plate of a sign on its pole."""

    white, red, blue = (0.92, 0.92, 0.92), (0.75, 0.06, 0.06), (0.05, 0.2, 0.55)
    if kind == "stop":
        return [
            _disc(0.38, -0.05, 8, red),
            Piece(box((-0.22, 0.22), (-0.075, -0.06), (2.3, 2.4)), white, Material.RETRO),
        ]
    if kind == "limit":
        return [
            _disc(0.33, -0.05, 16, red),
            _disc(0.25, -0.07, 16, white),
            Piece(box((-0.1, 0.1), (-0.09, -0.08), (2.28, 2.42)), (0.05,) * 3),
        ]
    if kind == "parking":
        return [
            Piece(box((-0.3, 0.3), (-0.06, -0.04), (2.05, 2.65)), blue, Material.RETRO),
            Piece(box((-0.1, 0.02), (-0.075, -0.06), (2.15, 2.55)), white, Material.RETRO),
        ]
    if kind == "direction":
        return [
            Piece(box((-0.7, 0.7), (-0.06, -0.04), (2.1, 2.6)), (0.85, 0.7, 0.1), Material.RETRO),
            Piece(box((-0.55, 0.35), (-0.075, -0.06), (2.3, 2.4)), (0.05,) * 3),
        ]
    raise ValueError(
        f"kind: got {kind!r}, accepted are 'lamp', 'signal', 'bin', 'bollard', 'stop', 'limit', 'parking', 'direction'"
    )
