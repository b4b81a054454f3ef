"""What stands along a street: houses, trees, hedges, fences, poles, signs. Templates made once; meters, z up."""

from functools import cache

import numpy as np
import trimesh

from invert3d.data.worlds.colors import TINT_A, TINT_B, Color, palette, pick
from invert3d.data.worlds.parts import Part, bar, block, box, cylinder, frustum, loft, sweep
from invert3d.data.worlds.templates import Material, Piece, Template, make_template, painted

HOUSES, TREES, BUSHES = 28, 14, 8
_WALLS = palette("83 78 68, 88 86 82, 70 55 42, 62 36 28, 75 68 55, 60 60 58, 80 72 50, 68 62 60, 55 34 27, 78 60 50")
_ROOFS = palette("50 24 17, 42 20 16, 30 28 28, 24 23 24, 46 33 26")
_DOORS = palette("35 20 12, 15 25 20, 20 20 30, 55 12 10, 75 75 72")
_LEAVES = palette("23 32 13, 30 37 17, 18 27 14, 36 39 19")


@cache
def house_template(number: int) -> Template:
    """The house ``number`` of the pool: gabled, hipped or flat; its facade parameters are

    (storey, window pitch, window width share, window height, half length, half depth, wall height, style 0 home 1 shop
    2 office, seed, frame brightness, door red, green, blue). The street side is any side. Length along x of the box.
    """
    rng = np.random.default_rng([105, number])
    style = int(rng.choice(3, p=[0.55, 0.28, 0.17]))
    storey, pitch = rng.uniform(2.8, 3.3), rng.uniform(2.2, 3.2)
    bays = int(rng.integers(*((3, 7), (3, 7), (6, 11))[style]))
    floors = int(rng.integers(*((1, 4), (2, 5), (3, 7))[style]))
    half, deep, tall = bays * pitch / 2, rng.uniform(3.6, 6.0), floors * storey + 0.35
    wall = np.array(pick(rng, _WALLS)) * rng.uniform(0.88, 1.08)
    pieces = [Piece(block(deep, half, (-0.2, tall)), tuple(wall.clip(0, 0.95)), Material.FACADE)]
    roof = pick(rng, _ROOFS)
    shape = "flat" if style == 2 or rng.random() < 0.2 else str(rng.choice(["eaves", "gable", "hip"]))
    pieces += _roof(rng, shape, half, deep, tall, roof)
    door = pick(rng, _DOORS)
    share, high = rng.uniform(*((0.34, 0.5) if style < 2 else (0.6, 0.85))), rng.uniform(1.2, 1.7)
    seed, frame = number * 7.31 % 97, float(rng.choice([0.25, 0.85, 0.9]))
    facade = (storey, pitch, share, high, half, deep, tall, float(style), seed, frame, *door)
    return make_template(pieces, smooth=0.1, centered=False, facade=facade)


def _roof(rng: np.random.Generator, shape: str, half: float, deep: float, tall: float, color: Color) -> list[Piece]:
    """A roof on walls from -deep to deep in x and -half to half in y."""
    rise, over = rng.uniform(0.55, 0.9) * deep, 0.35
    if shape == "flat":
        lip = block(deep + 0.1, half + 0.1, (tall, tall + 0.35))
        return [Piece(lip, (0.6, 0.58, 0.55), Material.STONE)]
    low = ((-deep - over, deep + over), (-half - over, half + over))
    if shape == "gable":
        high = (low[0], (-0.01, 0.01))
        rise = rng.uniform(0.5, 0.8) * min(half, 5.0)
    else:
        pull = half + over if shape == "eaves" else max(half - deep * 0.9, 0.01)
        high = ((-0.01, 0.01), (-pull, pull))
    pieces = [Piece(frustum((tall - 0.12, tall + rise), low, high), color, Material.ROOF)]
    if rng.random() < 0.7:
        x, y = rng.uniform(-0.3, 0.3) * deep, rng.uniform(-0.6, 0.6) * half
        stack = box((x - 0.3, x + 0.3), (y - 0.45, y + 0.45), (tall, tall + rise + 0.7))
        pieces.append(Piece(stack, (0.45, 0.26, 0.2), Material.STONE))
    return pieces


def _clump(rng: np.random.Generator, center: tuple[float, float, float], radius: float, level: int = 2) -> Part:
    """A displaced ball of leaves."""
    mesh = trimesh.creation.icosphere(level)
    points = np.asarray(mesh.vertices)
    waves = [np.sin(points @ rng.normal(0, f, 3) + rng.uniform(0, 6.28)) / f**0.7 for f in (2.0, 3.5, 6.0, 9.0)]
    wave = np.sum(waves, axis=0)
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
    color = tuple((np.array(pick(rng, _LEAVES)) * shade).tolist())
    kind = str(rng.choice(["round", "round", "round", "tall", "cone"]))
    if kind == "cone":
        tall, w = rng.uniform(5, 10), rng.uniform(1.2, 2.0)
        pieces = [Piece(cylinder(0.16, (0, 1.5), segments=7), bark)]
        for k in range(3):
            z = 0.6 + tall * 0.27 * k
            ring = [(w * (1 - 0.27 * k) * rng.uniform(0.85, 1.15), a) for a in np.arange(11) * (2 * np.pi / 11)]
            base = [(r * np.cos(a), r * np.sin(a), z + rng.uniform(-0.2, 0.2)) for r, a in ring]
            tip = [(0.03 * np.cos(a), 0.03 * np.sin(a), z + tall * 0.42) for _, a in ring]
            pieces.append(Piece(loft(np.array([base, tip])), color, Material.FOLIAGE))
        return make_template(pieces, smooth=60, centered=False)
    stem, crown = rng.uniform(1.9, 3.2), rng.uniform(1.5, 2.7)
    lift = 1.6 if kind == "tall" else 1.0
    lean = rng.normal(0, 0.12, 2)
    trunk = sweep([(0, 0, 0), (lean[0], lean[1], stem), (0, 0, stem + crown * lift)], [0.17, 0.12, 0.07], 7)
    pieces = [Piece(trunk, bark, Material.STONE)]
    for k in range(int(rng.integers(5, 8)) if fine else 3):
        level = detail if k < 1 else min(detail, 1)
        turn, out = rng.uniform(0, 6.28), crown * rng.uniform(0.3, 0.62) * (k > 0) / lift
        at = (out * np.cos(turn), out * np.sin(turn), stem + crown * lift * rng.uniform(0.5, 1.25))
        if fine:
            pieces.append(Piece(bar((0, 0, stem * 0.95), at, 0.06, 0.5, 4), bark))
        leaves = _clump(rng, at, crown * rng.uniform(0.5, 0.75) * (1.0 if fine else 1.15), level)
        pieces.append(Piece(leaves, color, Material.FOLIAGE))
    return make_template(pieces, smooth=80, centered=False)


@cache
def bush_template(number: int, detail: int = 2) -> Template:
    """A bush of the pool, about a meter tall; ``detail`` 0 for far ones."""
    rng = np.random.default_rng([107, number])
    leaf = np.array((0.22, 0.33, 0.12)) * rng.uniform(0.8, 1.3)
    spots = [(rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.3, 0.6)) for _ in range(2)]
    clumps = [_clump(rng, at, rng.uniform(0.5, 0.8), min(detail, 1)) for at in spots]
    return make_template(painted(clumps, tuple(leaf), Material.FOLIAGE), smooth=80, centered=False)


def _hedge() -> list[Piece]:
    """Six meters of a cut hedge, its outline shaken."""
    rng = np.random.default_rng(108)
    outline = ((-1, 0.0), (-1.05, 0.7), (-0.8, 1.35), (0, 1.45), (0.8, 1.35), (1.05, 0.7), (1, 0.0))
    rings = [
        [(x * 0.38 * rng.uniform(0.85, 1.15), y, z * rng.uniform(0.93, 1.06)) for x, z in outline]
        for y in np.linspace(-3.0, 3.0, 13)
    ]
    return [Piece(loft(np.array(rings)), (0.2, 0.31, 0.11), Material.FOLIAGE)]


@cache
def barrier_template(kind: str) -> Template:
    """Six meters along the box's x of a "hedge", "wall", "picket" fence, "iron" fence or guard "rail"."""
    if kind == "hedge":
        return make_template(_hedge(), smooth=60, centered=False)
    slats = [box((-0.01, 0.01), (y, y + 0.11), (0.08, 1.0)) for y in np.arange(-2.95, 2.95, 0.27)]
    slats += [box((0.01, 0.04), (-3.0, 3.0), (z, z + 0.08)) for z in (0.25, 0.8)]
    bars = [box((-0.012, 0.012), (y, y + 0.025), (0.1, 1.25)) for y in np.arange(-2.95, 3, 0.3)]
    bars += [block(0.02, 3.0, (z, z + 0.04)) for z in (0.15, 1.1)]
    posts = [box((0.04, 0.14), (y, y + 0.1), (0, 0.7)) for y in (-2.9, -0.9, 1.1)]
    made = {
        "wall": [
            Piece(block(0.12, 3.0, (0, 1.0)), TINT_A, Material.STONE),
            Piece(block(0.16, 3.0, (1.0, 1.07)), (0.6, 0.58, 0.55), Material.STONE),
            Piece(box((-0.2, 0.2), (-3.0, -2.6), (0, 1.3)), TINT_A, Material.STONE),
        ],
        "picket": painted(slats, TINT_B),
        "rail": [
            Piece(block(0.04, 3.0, (0.45, 0.75)), (0.62, 0.64, 0.66), Material.METAL),
            *painted(posts, (0.5, 0.52, 0.53), Material.METAL),
        ],
        "iron": painted(bars, (0.1, 0.12, 0.11), Material.METAL),
    }
    return make_template(made[kind], centered=False)


def _disc(radius: float, y: float, segments: int, color: Color) -> Piece:
    plate = cylinder(radius, (-0.008, 0.008), segments=segments).turned("x", 90)
    return Piece(plate.turned("y", 180 / segments).moved(0, y, 2.35), color, Material.RETRO)


@cache
def furniture_template(kind: str) -> Template:
    """A "lamp", "signal", "bin", "bollard", or a sign ("stop", "limit", "direction", "parking"); it faces the front."""
    gray, white, black, red = (0.5, 0.52, 0.53), (0.92,) * 3, (0.05,) * 3, (0.75, 0.06, 0.06)
    arm = sweep([(0, 0, 0), (0, 0, 6.4), (0, -0.3, 6.9), (0, -1.5, 7.05)], [0.09, 0.06, 0.05, 0.045], 6)
    lens = cylinder(0.1, (-0.012, 0.012), segments=10).turned("x", 90)
    lights = zip((3.08, 2.78, 2.48), palette("85 8 6, 25 18 5, 5 20 12"), strict=True)
    bucket = frustum((0.08, 1.0), ((-0.24, 0.24), (-0.3, 0.3)), ((-0.29, 0.29), (-0.36, 0.36)))
    pole = Piece(cylinder(0.035, (0, 2.6), segments=6), gray, Material.METAL)
    made = {
        "lamp": [
            Piece(arm, gray, Material.METAL),
            Piece(box((-0.14, 0.14), (-2.1, -1.4), (6.98, 7.1)), (0.4, 0.42, 0.43), Material.METAL),
        ],
        "signal": [
            Piece(cylinder(0.06, (0, 3.2), segments=6), (0.3, 0.32, 0.32)),
            Piece(box((-0.16, 0.16), (-0.2, 0.08), (2.3, 3.25)), (0.06, 0.07, 0.07)),
            *(Piece(lens.moved(0, -0.21, z), color, Material.RETRO) for z, color in lights),
        ],
        "bin": [Piece(bucket, TINT_B), Piece(block(0.3, 0.37, (1.0, 1.07)), (0.2, 0.22, 0.22))],
        "bollard": [
            Piece(cylinder(0.07, (0, 0.9), segments=8), (0.25, 0.25, 0.26)),
            Piece(cylinder(0.075, (0.7, 0.8), segments=8), (0.85, 0.85, 0.85), Material.RETRO),
        ],
        "stop": [
            _disc(0.38, -0.05, 8, red),
            Piece(box((-0.22, 0.22), (-0.075, -0.06), (2.3, 2.4)), white, Material.RETRO),
        ],
        "limit": [
            _disc(0.33, -0.05, 16, red),
            _disc(0.25, -0.07, 16, white),
            Piece(box((-0.1, 0.1), (-0.09, -0.08), (2.28, 2.42)), black),
        ],
        "parking": [
            Piece(box((-0.3, 0.3), (-0.06, -0.04), (2.05, 2.65)), (0.05, 0.2, 0.55), Material.RETRO),
            Piece(box((-0.1, 0.02), (-0.075, -0.06), (2.15, 2.55)), white, Material.RETRO),
        ],
        "direction": [
            Piece(box((-0.7, 0.7), (-0.06, -0.04), (2.1, 2.6)), (0.85, 0.7, 0.1), Material.RETRO),
            Piece(box((-0.55, 0.35), (-0.075, -0.06), (2.3, 2.4)), black),
        ],
    }
    poles = [pole] if kind in ("stop", "limit", "parking", "direction") else []
    return make_template([*poles, *made[kind]], centered=False)
