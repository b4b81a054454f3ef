"""Tables and storage, and stairs: table, desk, dresser, night_stand, stairs. Meters, z up, fronts face -y."""

from itertools import pairwise, product

import numpy as np

from invert3d.data.worlds.parts import (
    Pair,
    Part,
    bar,
    block,
    both,
    box,
    circle,
    cylinder,
    ellipsoid,
    lathe,
    prism,
    rim,
    sweep,
)
from invert3d.data.worlds.seats import corner_legs


def table(rng: np.random.Generator) -> list[Part]:
    """A table: a top on four legs, a round pedestal, a trestle, crossed legs, or a low table with a shelf."""
    style = rng.choice(["legs", "pedestal", "trestle", "crossed", "shelf"], p=[0.3, 0.25, 0.15, 0.1, 0.2])
    w, d, h = rng.uniform(0.5, 1.0), rng.uniform(0.38, 0.5), rng.uniform(0.68, 0.78)
    thick = rng.uniform(0.025, 0.06)
    if style == "pedestal":
        return _pedestal_table(rng, h, thick)
    if style == "shelf":
        h = rng.uniform(0.38, 0.52)
    round_top = style == "legs" and rng.random() < 0.3
    if round_top:
        w = d = rng.uniform(0.45, 0.65)
        parts = [cylinder(w, (h - thick, h), segments=28)]
    else:
        parts = [block(w, d, (h - thick, h))]
    inset = 0.72 if round_top else rng.uniform(0.88, 1.0)
    if style == "trestle":
        x = w * rng.uniform(0.65, 0.9)
        parts += both(box((x - 0.05, x + 0.05), (-d * 0.75, d * 0.75), (0, 0.06)))
        parts += both(box((x - 0.04, x + 0.04), (-0.1, 0.1), (0.05, h - thick)))
        parts += both(box((x - 0.05, x + 0.05), (-d * 0.8, d * 0.8), (h - thick - 0.06, h - thick)))
        parts.append(block(x, 0.025, (h * 0.35, h * 0.5)))
    elif style == "crossed":
        x = w * rng.uniform(0.7, 0.9)
        parts += [p for s in (-1, 1) for p in both(bar((x, s * d * 0.8, h - thick), (x, -s * d * 0.9, 0), 0.035))]
        parts.append(bar((-x, 0, h * 0.47), (x, 0, h * 0.47), 0.025))
    else:
        splay = rng.uniform(0.03, 0.08) if rng.random() < 0.25 else 0.0
        parts += corner_legs(rng, (w * inset, d * inset), h - thick / 2, rng.uniform(0.04, 0.09), splay)
        if rng.random() < 0.4 and not round_top:
            a, b = w * inset - 0.04, d * inset - 0.04
            parts += rim((-a, a), (-b, b), (h - thick - 0.09, h - thick), 0.02)
    if style == "shelf":
        z = h * rng.uniform(0.2, 0.4)
        parts.append(block(w * inset, d * inset, (z, z + 0.025)))
    return parts


def _pedestal_table(rng: np.random.Generator, h: float, thick: float) -> list[Part]:
    radius = rng.uniform(0.35, 0.65)
    oval = rng.uniform(1.0, 1.5) if rng.random() < 0.4 else 1.0
    top = lathe([(0, h - thick), (radius, h - thick), (radius, h), (0, h)], segments=28, squash=(oval, 1.0))
    if rng.random() < 0.25:
        top = block(radius, radius, (h - thick, h))
    post = rng.uniform(0.03, 0.07)
    if rng.random() < 0.5:
        base = [cylinder(radius * rng.uniform(0.45, 0.7), (0, 0.04), top=radius * 0.4)]
    else:
        count, base = int(rng.integers(3, 5)), []
        for a in np.arange(count) * 2 * np.pi / count - np.pi / 2:
            out = radius * np.array([np.cos(a), np.sin(a)])
            base.append(sweep([(0, 0, 0.25), (*(out * 0.4), 0.13), (*(out * 0.75), 0.02)], 0.03))
    waist = rng.uniform(0.6, 1.6)
    column = lathe([(post * 1.6, 0.02), (post, 0.2), (post * waist, 0.4), (post, h - 0.15), (post * 1.8, h - thick)])
    return [top, column, *base]


def drawers(rng: np.random.Generator, x: Pair, z: Pair, y: float, grid: tuple[int, int], knobs: bool) -> list[Part]:
    """Columns and rows of drawers with knobs or bar handles, their fronts on a face at y that looks to -y."""
    parts, gap = [], 0.012
    front = y - rng.uniform(0.012, 0.025)
    columns, rows = (pairwise(np.linspace(*ends, count + 1)) for ends, count in zip((x, z), grid, strict=True))
    for (a, b), (c, e) in product(columns, rows):
        parts.append(box((a + gap, b - gap), (front, y), (c + gap, e - gap)))
        middle, level, half = (a + b) / 2, (c + e) / 2, (b - a) * 0.2
        if knobs:
            parts.append(ellipsoid((middle, front - 0.015, level), (0.018, 0.018, 0.018)))
        else:
            parts.append(box((middle - half, middle + half), (front - 0.03, front), (level - 0.01, level + 0.01)))
    return parts


def desk(rng: np.random.Generator) -> list[Part]:
    """A desk: a knee hole between pedestals of drawers or a side panel; some with a hutch, some an L."""
    w, d, h, t = rng.uniform((0.6, 0.3, 0.7, 0.02), (0.9, 0.42, 0.78, 0.045)).tolist()
    style = rng.choice(["double", "single", "hutch", "corner"], p=[0.3, 0.3, 0.25, 0.15])
    knobs = rng.random() < 0.5
    width, low = rng.uniform(0.33, 0.45), rng.choice([0.02, 0.08])
    panel = box((-w + 0.03, w - 0.03), (d - 0.06, d - 0.04), (h * rng.uniform(0.15, 0.5), h - t))
    parts = [block(w, d, (h - t, h)), panel]
    inner = w - 0.03 - width
    pedestal = [box((inner, w - 0.03), (-d + 0.04, d - 0.04), (low, h - t))]
    pedestal += drawers(rng, (inner, w - 0.03), (low, h - t), -d + 0.04, (1, int(rng.integers(2, 5))), knobs)
    if style == "double" or (style == "hutch" and rng.random() < 0.4):
        parts += [p for piece in pedestal for p in both(piece)]
        if rng.random() < 0.6:
            parts += [box((-inner, inner), (-d + 0.05, d * 0.5), (h - t - 0.11, h - t))]
            parts += drawers(rng, (-inner, inner), (h - t - 0.11, h - t), -d + 0.05, (1, 1), knobs)
    else:
        parts += [*pedestal, box((-w + 0.03, -w + 0.06), (-d + 0.04, d - 0.04), (0, h - t))]
    if style == "hutch":
        parts += _hutch(rng, w, d, h)
    if style == "corner":
        end = -d - rng.uniform(0.45, 0.7)
        parts += [
            box((-w, -w + 0.45), (end, -d + 0.01), (h - t, h)),
            box((-w, -w + 0.45), (end, end + 0.03), (0, h - t)),
        ]
        parts.append(box((-w, -w + 0.03), (end, -d), (h * 0.4, h - t)))
    return [part.mirrored() for part in parts] if rng.random() < 0.5 else parts


def _hutch(rng: np.random.Generator, w: float, d: float, h: float) -> list[Part]:
    rise, front = rng.uniform(0.3, 0.6), d - rng.uniform(0.2, 0.28)
    z = (h, h + rise)
    parts = [*both(box((w - 0.025, w), (front, d), z)), box((-w, w), (d - 0.02, d), z)]
    parts.append(box((-w, w), (front, d), (h + rise - 0.025, h + rise)))
    parts += [box((x - 0.01, x + 0.01), (front, d), z) for x in np.linspace(-w, w, int(rng.integers(2, 5)) + 1)[1:-1]]
    if rng.random() < 0.6:
        parts.append(box((-w, w), (front, d), (h + rise * 0.5, h + rise * 0.5 + 0.02)))
    return parts


def dresser(rng: np.random.Generator) -> list[Part]:
    """A dresser: a wide chest of two or three columns of drawers, a tallboy, or a chest with a mirror."""
    style = rng.choice(["wide", "tall", "mirror"], p=[0.45, 0.25, 0.3])
    if style == "tall":
        w, h = rng.uniform(0.36, 0.5), rng.uniform(1.15, 1.45)
        grid = int(rng.integers(1, 3)), int(rng.integers(5, 7))
    else:
        w, h = rng.uniform(0.65, 0.9), rng.uniform(0.72, 0.95)
        grid = int(rng.integers(2, 4)), int(rng.integers(3, 5))
    d, foot = rng.uniform(0.21, 0.27), rng.uniform(0.0, 0.14)
    plinth = rng.random() < 0.4
    parts = [block(w, d, (foot, h - 0.03)), box((-w - 0.02, w + 0.02), (-d - 0.03, d), (h - 0.03, h))]
    parts += drawers(rng, (-w + 0.02, w - 0.02), (foot + 0.03, h - 0.04), -d, grid, rng.random() < 0.5)
    if foot > 0.03:
        base = box((-w + 0.03, w - 0.03), (-d + 0.03, d), (0, foot))
        parts += [base] if plinth else corner_legs(rng, (w, d), foot, 0.07)
    return parts + _mirror(rng, w, d - 0.05, h) if style == "mirror" else parts


def _mirror(rng: np.random.Generator, w: float, y: float, h: float) -> list[Part]:
    half, rise = w * rng.uniform(0.45, 0.8), rng.uniform(0.5, 0.85)
    if rng.random() < 0.4:
        oval = circle(24) * np.array([half, rise / 2]) + np.array([0, h + rise / 2 + 0.06])
        post = bar((half, y + 0.015, h), (half, y + 0.015, h + rise * 0.75), 0.02)
        return [prism(oval, "y", (y, y + 0.03)), *both(post)]
    glass, frame, z = (y, y + 0.03), (y - 0.01, y + 0.04), (h, h + rise)
    top = box((-half, half), frame, (h + rise - 0.05, h + rise))
    return [box((-half, half), glass, z), *both(box((half, half + 0.05), frame, z)), top]


def night_stand(rng: np.random.Generator) -> list[Part]:
    """A night stand, about as wide as high: drawers on legs, a drawer over an open shelf, or a door."""
    style = rng.choice(["legs", "shelf", "door", "round"], p=[0.35, 0.3, 0.2, 0.15])
    w, d, h = rng.uniform(0.21, 0.28), rng.uniform(0.18, 0.24), rng.uniform(0.48, 0.62)
    over = rng.uniform(0.01, 0.035)
    if style == "round":
        low = h - rng.uniform(0.16, 0.22)
        levels = ((w + over, (h - 0.025, h)), (w, (low, h - 0.025)), (w * 0.95, (0.1, 0.1 + 0.02)))
        knob = ellipsoid((0, -w - 0.015, (h + low) / 2), (0.02, 0.02, 0.02))
        legs = corner_legs(rng, (w * 0.75, w * 0.75), h - 0.03, 0.04)
        return [*(cylinder(r, z, segments=28) for r, z in levels), *legs, knob]
    parts = [box((-w - over, w + over), (-d - over, d + 0.005), (h - 0.03, h))]
    knobs = rng.random() < 0.6
    if style == "shelf":
        low = h - rng.uniform(0.16, 0.22)
        parts += [block(w, d, (low, h - 0.03)), *drawers(rng, (-w, w), (low, h - 0.03), -d, (1, 1), knobs)]
        z = rng.uniform(0.08, 0.16)
        parts += [block(w, d, (z, z + 0.02)), *corner_legs(rng, (w, d), h - 0.03, rng.uniform(0.035, 0.055))]
        if rng.random() < 0.5:
            parts += both(box((w - 0.02, w), (-d, d), (z, h - 0.03)))
        return parts
    foot = rng.uniform(0.12, 0.24) if style == "legs" else rng.uniform(0.02, 0.06)
    parts += [block(w, d, (foot, h - 0.03)), *corner_legs(rng, (w, d), foot + 0.01, rng.uniform(0.035, 0.05))]
    rows = 1 if style == "door" else int(rng.integers(1, 3))
    return [*parts, *drawers(rng, (-w, w), (foot, h - 0.03), -d, (1, rows), knobs)]


def stairs(rng: np.random.Generator) -> list[Part]:
    """A flight of stairs up to +y: solid, open treads on stringers, or a spiral; with or without railings."""
    style = rng.choice(["solid", "open", "stringer", "spiral"], p=[0.3, 0.25, 0.25, 0.2])
    count = int(rng.integers(5, 13))
    w, run, rise = rng.uniform(0.4, 0.7), rng.uniform(0.24, 0.32), rng.uniform(0.16, 0.21)
    if style == "spiral":
        return _spiral(rng, count + 4, w * 1.6, rise)
    t, y0 = rng.uniform(0.03, 0.06), -count * run / 2
    parts = []
    for k in range(count):
        y, z = (y0 + k * run, y0 + (k + 1) * run), (k + 1) * rise
        parts.append(box((-w, w), y, (0 if style == "solid" else z - t, z)))
        if style == "stringer":
            parts.append(box((-w, w), (y[0], y[0] + 0.02), (z - rise, z)))
    top = count * rise
    if style != "solid":
        y1 = y0 + count * run
        plank = [(y0, 0), (y0 + run * 0.8, 0), (y1, top - rise * 0.9), (y1, top), (y0, rise)]
        x = w if style == "stringer" else w * 0.6
        parts += both(prism(plank, "x", (x - 0.03, x + 0.03)))
    if rng.random() < 0.55:
        height = rng.uniform(0.75, 0.95)
        start, end = (w, y0 + run / 2, rise + height), (w, y0 + (count - 0.5) * run, top + height)
        rail = [bar(start, end, 0.03)]
        for k in range(0, count, int(rng.integers(1, 3))):
            y, z = y0 + (k + 0.5) * run, (k + 1) * rise
            rail.append(bar((w, y, z), (w, y, z + height), 0.018))
        parts += [p for piece in rail for p in both(piece)] if rng.random() < 0.6 else rail
    if rng.random() < 0.3:
        y1 = y0 + count * run
        parts.append(box((-w, w), (y1, y1 + rng.uniform(0.5, 0.9)), (0 if style == "solid" else top - t, top)))
    return parts


def _spiral(rng: np.random.Generator, count: int, radius: float, rise: float) -> list[Part]:
    step, side = rng.uniform(24, 34), 1 if rng.random() < 0.5 else -1
    wedge = [(0.0, -0.06), (radius, -radius * 0.28), (radius, radius * 0.28), (0.0, 0.06)]
    parts = [cylinder(0.06, (0, (count + 4) * rise))]
    angles, levels = -90 + side * step * np.arange(count), (np.arange(count) + 1) * rise
    parts += [prism(wedge, "z", (z - 0.05, z)).turned("z", a) for a, z in zip(angles, levels, strict=True)]
    if rng.random() < 0.7:
        posts = np.radians(angles)
        ends = np.stack([radius * np.cos(posts), radius * np.sin(posts), levels], -1)
        parts += [bar(tuple(p), (p[0], p[1], p[2] + 0.85), 0.015) for p in ends]
        parts.append(sweep(ends + np.array([0, 0, 0.85]), 0.025))
    return parts
