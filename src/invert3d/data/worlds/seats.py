"""Things to sit and lie on: chair, bench, sofa, bed. Meters, z up, the sitter looks to -y."""

from itertools import pairwise

import numpy as np

from invert3d.data.worlds.parts import Part, arc, bar, block, both, box, cylinder, ellipsoid, prism, rim, sweep


def corner_legs(
    rng: np.random.Generator, half: tuple[float, float], height: float, thick: float, splay: float = 0.0
) -> list[Part]:
    """Four legs, square or round, up to a height; `half` is the half extent of the feet's outer rectangle in x and y.

    The feet stand `splay` farther out than the tops.
    """
    x, y = half[0] - thick / 2, half[1] - thick / 2
    if splay > 0 or rng.random() < 0.4:
        legs = [bar((x - splay, s * (y - splay), height), (x, s * y, 0), thick * 0.55, 0.8) for s in (-1, 1)]
    else:
        r = thick / 2
        legs = [box((x - r, x + r), (s * y - r, s * y + r), (0, height)) for s in (-1, 1)]
    return [piece for leg in legs for piece in both(leg)]


def chair(rng: np.random.Generator) -> list[Part]:
    """A chair: four legs, a star base, a cantilever or a round cafe chair, its back rest at +y."""
    w, d, h = rng.uniform(0.21, 0.27), rng.uniform(0.2, 0.27), rng.uniform(0.42, 0.5)
    style = rng.choice(["legs", "star", "cantilever", "round", "shell"], p=[0.4, 0.2, 0.15, 0.1, 0.15])
    thick = rng.uniform(0.025, 0.08)
    if style == "round":
        d = w
        parts = [cylinder(w, (h - thick, h), segments=20)]
    elif style == "star":
        parts = [ellipsoid((0, 0, h - 0.04), (w, d, 0.05), 0.4)]
    else:
        parts = [block(w, d, (h - thick, h))]
    if style == "star":
        parts += _star_base(rng, h - 0.05)
    elif style == "cantilever":
        parts += _cantilever(w - 0.02, d, h - thick)
    else:
        splay = rng.uniform(0.02, 0.06) if style in ("round", "shell") or rng.random() < 0.25 else 0.0
        inner = 0.8 if style == "round" else 1
        parts += corner_legs(rng, (w * inner, d * inner), h - thick / 2, rng.uniform(0.03, 0.055), splay)
        if splay == 0 and rng.random() < 0.4:
            z = rng.uniform(0.1, 0.25)
            parts += both(bar((w - 0.03, -d + 0.03, z), (w - 0.03, d - 0.03, z), 0.012))
    rise = rng.uniform(0.38, 0.6) * (0.8 if style == "round" else 1)
    parts += _back_rest(rng, str(style), w, d, h, rise)
    if style != "round" and rng.random() < 0.4:
        parts += _arms(rng, w, d, h)
    return parts


def _star_base(rng: np.random.Generator, height: float) -> list[Part]:
    radius, count = rng.uniform(0.26, 0.34), int(rng.integers(4, 6))
    parts = [cylinder(0.03, (0.08, height))]
    wheels = rng.random() < 0.7
    for angle in np.arange(count) * 2 * np.pi / count - np.pi / 2:
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        parts.append(bar((0, 0, 0.11), (x, y, 0.06), 0.03, 0.6))
        parts.append(ellipsoid((x, y, 0.03), (0.03, 0.03, 0.03)) if wheels else cylinder(0.02, (0, 0.06), (x, y)))
    return parts


def _cantilever(w: float, d: float, height: float) -> list[Part]:
    rail = sweep([(w, d, 0.015), (w, -d + 0.03, 0.015), (w, -d, 0.05), (w, -d, height)], 0.014)
    return [*both(rail), bar((-w, d, 0.015), (w, d, 0.015), 0.014), bar((-w, -d, height), (w, -d, height), 0.014)]


def _back_rest(rng: np.random.Generator, style: str, w: float, d: float, h: float, rise: float) -> list[Part]:
    lean = rng.uniform(2, 14)
    if style == "round":
        hoop = arc((0, 0.3 * d, h), (0.85 * w, 0, 0), (0, 0.6 * d, rise), (0, 180), 14)
        y, top = 0.75 * d, h + rise * 0.75
        return [sweep(hoop, 0.016), *(bar((x, y, h), (x * 1.2, y, top), 0.009) for x in np.linspace(-w / 2, w / 2, 4))]
    kind = "solid" if style in ("star", "shell") else rng.choice(["solid", "slats", "rods", "panel"])
    t = rng.uniform(0.02, 0.06)
    y = (d - t, d)
    if kind == "solid":
        gap = rng.uniform(0.08, 0.18) if style == "star" and rng.random() < 0.5 else 0.0
        if style == "shell" or rng.random() < 0.3:
            parts = [ellipsoid((0, d - t, h + (rise + gap) / 2), (w, 0.045, (rise - gap) / 2), 0.5)]
        else:
            parts = [box((-w, w), y, (h + gap - 0.02, h + rise))]
        if gap:
            parts.append(box((-0.04, 0.04), y, (h - 0.05, h + gap + 0.05)))
    else:
        parts = both(box((w - 0.04, w), y, (h - 0.03, h + rise)))
        parts.append(box((-w, w), y, (h + rise - 0.08, h + rise)))
        if kind == "slats":
            levels = np.linspace(0.15, 0.7, int(rng.integers(2, 5))) * rise
            parts += [box((-w, w), y, (h + z, h + z + 0.04)) for z in levels]
        elif kind == "rods":
            rods = np.linspace(-w, w, int(rng.integers(5, 8)))[1:-1]
            parts += [box((x - 0.012, x + 0.012), y, (h, h + rise)) for x in rods]
        else:
            parts.append(box((-w, w), y, (h + rise * 0.45, h + rise)))
    return [part.turned("x", -lean, (0, d, h)) for part in parts]


def _arms(rng: np.random.Generator, w: float, d: float, h: float) -> list[Part]:
    z, front = h + rng.uniform(0.18, 0.25), -d * rng.uniform(0.3, 0.95)
    if rng.random() < 0.3:
        return both(box((w - 0.02, w + 0.03), (front, d), (h - 0.05, z)))
    rest = box((w - 0.02, w + 0.04), (front, d), (z - 0.03, z))
    return [*both(rest), *both(bar((w + 0.01, front + 0.03, h - 0.03), (w + 0.01, front + 0.03, z), 0.018))]


def bench(rng: np.random.Generator) -> list[Part]:
    """A bench: a long thin plank or slats on trestles, panels, four legs or a park bench's feet."""
    w, d, h = rng.uniform(0.65, 1.05), rng.uniform(0.15, 0.23), rng.uniform(0.4, 0.48)
    thick = rng.uniform(0.03, 0.06)
    style = rng.choice(["legs", "panels", "trestle", "park"], p=[0.25, 0.2, 0.2, 0.35])
    if style == "park" or rng.random() < 0.4:
        edges = np.linspace(-d, d, int(rng.integers(3, 6)) + 1)
        seat = [box((-w, w), (a + 0.008, b - 0.008), (h - thick, h)) for a, b in pairwise(edges)]
    else:
        seat = [block(w, d, (h - thick, h))]
    x = w * rng.uniform(0.75, 0.97)
    if style == "legs":
        frame = corner_legs(rng, (x, d), h - thick, rng.uniform(0.04, 0.07))
    elif style == "panels":
        frame = both(box((x - 0.05, x), (-d, d), (0, h - thick)))
        frame.append(block(x, 0.015, (h * 0.25, h * 0.4)))
    elif style == "trestle":
        frame = [p for s in (-1, 1) for p in both(bar((x, 0, h - thick), (x, s * d * 1.1, 0), 0.03))]
        frame.append(bar((-x, 0, h * 0.55), (x, 0, h * 0.55), 0.02))
    else:
        frame = [*both(box((x - 0.05, x), (-d, -d + 0.05), (0, h))), *both(box((x - 0.05, x), (d - 0.05, d), (0, h)))]
        frame += both(box((x - 0.05, x), (-d, d), (h - thick - 0.05, h - thick)))
    if style == "park" and rng.random() < 0.75:
        frame += _bench_back(rng, w, d, h, x)
    return seat + frame


def _bench_back(rng: np.random.Generator, w: float, d: float, h: float, x: float) -> list[Part]:
    rise, lean = rng.uniform(0.32, 0.45), rng.uniform(4, 16)
    levels = np.linspace(0.3, 1.0, int(rng.integers(2, 5)))
    slats = [box((-w, w), (d - 0.03, d), (h + rise * z - 0.07, h + rise * z)) for z in levels]
    parts = [*slats, *both(box((x - 0.05, x), (d - 0.04, d), (h - 0.05, h + rise)))]
    parts = [part.turned("x", -lean, (0, d, h)) for part in parts]
    if rng.random() < 0.5:
        parts += both(box((x - 0.05, x), (-d, d), (h + 0.2, h + 0.23)))
        parts += both(box((x - 0.05, x), (-d, -d + 0.05), (h, h + 0.2)))
    return parts


def sofa(rng: np.random.Generator) -> list[Part]:
    """A sofa: thick seat, back and arms, two or three cushions; boxy, rolled-arm, low or L-shaped."""
    seats = int(rng.integers(2, 4))
    w, d = rng.uniform(0.3, 0.37) * seats, rng.uniform(0.4, 0.48)
    h, rise, arm = rng.uniform(0.38, 0.46), rng.uniform(0.35, 0.5), rng.uniform(0.12, 0.24)
    style = rng.choice(["boxy", "rolled", "low", "corner"])
    foot = rng.uniform(0.08, 0.16) if rng.random() < 0.5 else 0.02
    back = d - rng.uniform(0.16, 0.24)
    parts = [block(w, d, (foot, h - 0.12)), box((-w, w), (back, d), (foot, h + rise))]
    edges = np.linspace(-w, w, seats + 1)
    for a, b in pairwise(edges):
        middle, half = (a + b) / 2, (b - a) / 2 - 0.01
        parts.append(ellipsoid((middle, (back - d) / 2, h - 0.06), (half, (back + d) / 2, 0.1), 0.3))
        if style != "low":
            parts.append(ellipsoid((middle, back - 0.04, h + rise * 0.5), (half, 0.1, rise * 0.5), 0.35))
    top = h + rng.uniform(0.14, 0.26)
    if style == "rolled":
        x, z = w + arm / 2, top - arm / 2
        parts += both(box((w, w + arm * 0.7), (-d, d), (foot, z)))
        parts += both(sweep([(x, -d, z), (x, d, z)], arm * 0.65, 14))
    elif style == "corner":
        parts.append(box((w - 0.5, w + arm), (-d - rng.uniform(0.35, 0.6), -d + 0.02), (foot, h)))
        parts += [box((-w - arm, -w), (-d, d), (foot, top)), box((w, w + arm), (-d, d), (foot, h + rise))]
        parts = [p.mirrored() for p in parts] if rng.random() < 0.5 else parts
    else:
        parts += both(box((w, w + arm), (-d, d), (foot, top)))
    x = w + arm * 0.8
    if foot > 0.05:
        parts += [p for y in (-d + 0.06, d - 0.06) for p in both(cylinder(0.03, (0, foot), (x - 0.05, y)))]
    return parts


def bed(rng: np.random.Generator) -> list[Part]:
    """A bed: single or double, divan, framed, four-poster or bunk, its head at +y."""
    double = rng.random() < 0.6
    w, d = (rng.uniform(0.7, 0.95) if double else rng.uniform(0.45, 0.55)), rng.uniform(0.97, 1.06)
    base, mattress = rng.uniform(0.18, 0.35), rng.uniform(0.16, 0.28)
    style = rng.choice(["divan", "framed", "poster", "bunk"], p=[0.3, 0.4, 0.15, 0.15])
    parts = _bedding(rng, w, d, base, mattress, double)
    top, legs = base + mattress, base
    if style == "divan":
        parts.append(block(w, d, (0.03, base)))
    else:
        parts += [block(w + 0.04, d + 0.03, (base - 0.08, base + 0.05))]
        legs = {"poster": rng.uniform(1.5, 2.0), "bunk": 1.65}.get(str(style), base)
        parts += corner_legs(rng, (w + 0.05, d + 0.05), legs, rng.uniform(0.06, 0.1))
    if style == "bunk":
        parts += [part.moved(z=1.0) for part in _bedding(rng, w, d, base, mattress * 0.7, double)]
        parts += [block(w + 0.04, d + 0.03, (base + 0.9, base + 1.05))]
        parts += [bar((w + 0.06, -d * 0.4 + s, 0), (w + 0.06, -d * 0.4 + s, base + 1.1), 0.02) for s in (0, 0.4)]
        parts += [bar((w + 0.06, -d * 0.4, z), (w + 0.06, -d * 0.4 + 0.4, z), 0.018) for z in (0.3, 0.6, 0.9, 1.2)]
        return parts
    if style == "poster" and rng.random() < 0.7:
        parts += rim((-w - 0.05, w + 0.05), (-d, d), (legs - 0.05, legs), 0.05)
    parts += _headboard(rng, w + 0.04, d, top + rng.uniform(0.3, 0.65))
    if style != "divan" and rng.random() < 0.5:
        parts.append(box((-w - 0.04, w + 0.04), (-d - 0.06, -d - 0.01), (0.05, top + rng.uniform(0.0, 0.2))))
    return parts


def _bedding(rng: np.random.Generator, w: float, d: float, base: float, mattress: float, double: bool) -> list[Part]:
    top = base + mattress
    parts = [ellipsoid((0, 0, base + mattress / 2), (w, d, mattress / 2), 0.15)]
    for x in (-w / 2, w / 2) if double else (0.0,):
        parts.append(ellipsoid((x, d - 0.25, top + 0.05), (w * (0.42 if double else 0.8), 0.2, 0.08), 0.5))
    if rng.random() < 0.6:
        parts.append(box((-w - 0.02, w + 0.02), (-d - 0.02, d - rng.uniform(0.5, 0.9)), (top - 0.15, top + 0.03)))
    return parts


def _headboard(rng: np.random.Generator, w: float, d: float, top: float) -> list[Part]:
    kind = rng.choice(["panel", "arched", "bars", "padded"])
    if kind == "panel":
        return [box((-w, w), (d, d + 0.06), (0, top))]
    if kind == "padded":
        return [ellipsoid((0, d + 0.06, top / 2), (w, 0.1, top / 2), 0.3)]
    if kind == "arched":
        crown = [(w * np.cos(a), top - 0.2 + 0.25 * np.sin(a)) for a in np.linspace(0, np.pi, 13)]
        return [prism([(w, 0.05), *crown, (-w, 0.05)], "y", (d, d + 0.06))]
    rods = [bar((x, d + 0.03, 0.1), (x, d + 0.03, top), 0.018) for x in np.linspace(-w, w, int(rng.integers(6, 11)))]
    return [*rods, bar((-w, d + 0.03, top), (w, d + 0.03, top), 0.025)]
