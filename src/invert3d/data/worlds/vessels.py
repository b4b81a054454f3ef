"""Hollow and poured things: bathtub, toilet, bottle, cup. Meters, z up, the tank of a toilet at +y."""

import numpy as np

from invert3d.data.worlds.parts import (
    Part,
    arc,
    bar,
    both,
    box,
    cylinder,
    ellipsoid,
    frustum,
    lathe,
    loft,
    rim,
    sweep,
    vessel,
)


def bathtub(rng: np.random.Generator) -> list[Part]:
    """A bathtub, hollow and open: a built-in box with a rim, a free-standing oval, or a claw-foot slipper."""
    style = rng.choice(["box", "oval", "claw"])
    w, d, h = rng.uniform(0.33, 0.42), rng.uniform(0.72, 0.9), rng.uniform(0.45, 0.62)
    if style == "box":
        edge, slope = rng.uniform(0.05, 0.09), rng.uniform(0.05, 0.2)
        parts = [_basin(w - edge, d - edge, h, slope), *rim((-w, w), (-d, d), (0, h), 0.02)]
        parts += rim((-w, w), (-d, d), (h - 0.03, h), edge)
    else:
        lift = rng.uniform(0.1, 0.18) if style == "claw" else 0.0
        slipper = rng.uniform(0.08, 0.25) if style == "claw" or rng.random() < 0.4 else 0.0
        parts = [_oval_tub(rng, w, d, h, slipper).moved(z=lift)]
        if style == "claw":
            for y in (-d * 0.5, d * 0.5):
                path = [(w * 0.55, y, lift + 0.1), (w * 0.85, y * 1.1, lift * 0.7), (w * 0.75, y * 1.1, 0)]
                parts += both(sweep(path, [0.05, 0.03, 0.035]))
        h += lift
    if rng.random() < 0.7:
        y = d - 0.04
        spout = [(0, y, h - 0.05), (0, y, h + 0.16), (0, y - 0.06, h + 0.2), (0, y - 0.14, h + 0.14)]
        parts += [sweep(spout, 0.018), *both(ellipsoid((0.09, y, h + 0.04), (0.025, 0.025, 0.04)))]
    return parts


def _basin(w: float, d: float, h: float, slope: float) -> Part:
    """The trough of a built-in tub: up outside, over the edge and down inside to the floor."""
    floor, thick = 0.1, 0.025
    a, b = w * 0.8, d - slope
    levels = [(a + thick, b + thick, floor - thick), (w + thick, d + thick, h), (w, d, h), (a, b, floor)]
    return loft(np.array([[(-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)] for x, y, z in levels]))


def _oval_tub(rng: np.random.Generator, w: float, d: float, h: float, slipper: float) -> Part:
    belly = rng.uniform(0.7, 0.9)
    profile = [(belly * 0.8, 0.0), (belly, h * 0.3), (0.96, h * 0.85), (1.06, h - 0.01), (1.0, h)]
    tub = vessel(profile, 0.035, squash=(w, d))
    _, y, z = tub.vertices.T
    z += slipper * np.clip(-y / d, 0, None) ** 2 * np.clip(z / h, 0, None) ** 2
    return tub


def toilet(rng: np.random.Generator) -> list[Part]:
    """A toilet: hollow bowl with a seat, tank at +y; pedestal, boxed-in or wall-hung, lid up or down."""
    style = str(rng.choice(["pedestal", "boxed", "hung"], p=[0.5, 0.3, 0.2]))
    w, d, h = rng.uniform(0.17, 0.2), rng.uniform(0.22, 0.27), rng.uniform(0.37, 0.43)
    low = 0.2 if style == "hung" else 0.0
    foot = rng.uniform(0.45, 0.62) if style == "pedestal" else 0.8
    parts = [_bowl(foot, low, (w, d, h))]
    seat = [(0.68, h), (1.02, h), (1.02, h + 0.03), (0.68, h + 0.03)]
    parts.append(lathe(seat, segments=24, squash=(w, d), ring=True))
    lid = ellipsoid((0, 0, h + 0.045), (w * 1.02, d * 1.02, 0.014), 0.8)
    up = rng.random() < 0.6
    parts.append(lid.turned("x", -rng.uniform(85, 100), (0, d, h + 0.04)) if up else lid)
    back, deep = d + rng.uniform(0.0, 0.05), rng.uniform(0.16, 0.22)
    parts.append(box((-w * 0.6, w * 0.6), (d * 0.5, back + deep), (low, h - 0.02)))
    if style == "boxed":
        parts.append(box((-w * 0.75, w * 0.75), (-d * 0.5, back + deep), (0, h * 0.75)))
    return parts + _tank(rng, style, h, (back, back + deep))


def _bowl(foot: float, low: float, size: tuple[float, float, float]) -> Part:
    w, d, h = size
    profile = [(foot, low), (foot * 0.9, low + (h - low) * 0.3), (0.88, low + (h - low) * 0.7), (1.0, h)]
    bowl = vessel(profile, 0.14, squash=(w, d))
    x, y, z = bowl.vertices.T
    inside = (np.hypot(x / w, y / d) < 0.87) & (z > low + 0.05)
    z[inside] = np.maximum(z[inside], h - 0.22)
    return bowl


def _tank(rng: np.random.Generator, style: str, h: float, y: tuple[float, float]) -> list[Part]:
    tall, half = rng.uniform(0.3, 0.42), rng.uniform(0.19, 0.25)
    if style == "hung":
        plate = box((-0.1, 0.1), (y[0] - 0.015, y[0]), (h + tall * 0.75, h + tall))
        return [box((-half, half), (y[0], y[0] + 0.12), (0, h + tall + 0.1)), plate]
    z = h + rng.uniform(-0.02, 0.05)
    top, front = z + tall, y[0] - 0.02
    lid = box((-half - 0.01, half + 0.01), (y[0] - 0.01, y[1] + 0.01), (top, top + 0.03))
    parts = [frustum((z, top), ((-half * 0.9, half * 0.9), y), ((-half, half), y)), lid]
    if rng.random() < 0.6:
        parts.append(bar((half * 0.7, front, z + tall * 0.85), (half * 0.35, front, z + tall * 0.82), 0.01))
    return parts


def bottle(rng: np.random.Generator) -> list[Part]:
    """A bottle: wine, burgundy, soda, square, flask or jug, most of them closed by a cap or a cork."""
    style = str(rng.choice(["wine", "burgundy", "soda", "square", "flask", "jug"]))
    r, h, neck = rng.uniform(0.033, 0.043), rng.uniform(0.24, 0.34), rng.uniform(0.011, 0.016)
    if style == "jug":
        r, h, neck = r * 1.7, h * 0.95, neck * 1.3
    shoulder = h * (rng.uniform(0.38, 0.48) if style == "burgundy" else rng.uniform(0.5, 0.62))
    if style == "square":
        x, y = r * rng.uniform(0.8, 1.3), r * rng.uniform(0.7, 1.0)
        wide, narrow = ((-x, x), (-y, y)), ((-neck, neck), (-neck, neck))
        parts = [box(*wide, (0, shoulder)), frustum((shoulder, shoulder + 0.03), wide, narrow)]
        parts.append(cylinder(neck, (shoulder + 0.02, h)))
    else:
        profile = _bottle_profile(rng, style, r, h, neck, shoulder)
        parts = [lathe([(0, 0), *profile, (0, h)], squash=(1.0, rng.choice([1.0, 0.55])))]
    if style == "jug":
        parts.append(sweep(arc((neck, 0, h * 0.8), (r * 0.55, 0, 0), (0, 0, h * 0.1), (-80, 80)), 0.008))
    if rng.random() < 0.8:
        cap = (h * 0.98 - rng.uniform(0.005, 0.02), h * 0.98 + rng.uniform(0.008, 0.025))
        parts.append(cylinder(neck * rng.uniform(1.05, 1.4), cap))
    return parts


def _bottle_profile(
    rng: np.random.Generator, style: str, r: float, h: float, neck: float, shoulder: float
) -> list[tuple[float, float]]:
    if style == "soda":
        body = [(0.85, 0.0), (1.0, 0.07), (1.0, 0.25), (0.82, 0.4), (1.0, 0.55), (0.95, 0.65)]
        return [*((r * a, h * b) for a, b in body), (neck, h * 0.88), (neck, h)]
    if style == "jug":
        return [*((r * a, h * b) for a, b in [(0.9, 0), (1, 0.07), (1, 0.6), (0.7, 0.75)]), (neck, h * 0.85), (neck, h)]
    if style == "flask":
        return [(r * 1.7, 0), (r * 1.6, 0.02), (neck, h * 0.6), (neck, h)]
    if style == "burgundy":
        return [(r, 0), (r, shoulder), (r * 0.75, shoulder + 0.05), (neck * 1.1, h * 0.75), (neck, h)]
    return [(r, 0), (r, shoulder), (r * 0.9, shoulder + 0.02), (neck, shoulder + rng.uniform(0.04, 0.07)), (neck, h)]


def cup(rng: np.random.Generator) -> list[Part]:
    """A hollow cup: mug, tea cup on a saucer, tumbler, or goblet on a stem; most have a handle at +x."""
    style = rng.choice(["mug", "tea", "tumbler", "goblet"], p=[0.4, 0.25, 0.15, 0.2])
    r, h, wall = rng.uniform(0.038, 0.048), rng.uniform(0.075, 0.12), rng.uniform(0.003, 0.005)
    if style == "goblet":
        stem, bowl = rng.uniform(0.05, 0.09), rng.uniform(0.07, 0.1)
        curve = [(0.35, 0.0), (0.85, 0.2), (1.0, 0.5), (rng.uniform(0.75, 1.0), 1.0)]
        cone = rng.random() < 0.3
        profile = [(0.008, stem), (r * 1.25, stem + bowl)] if cone else [(r * a, stem + bowl * b) for a, b in curve]
        foot = [(0, 0), (r * 0.85, 0), (r * 0.8, 0.004), (0.006, 0.012)]
        return [vessel(profile, wall), lathe([*foot, (0.005, stem), (0.012, stem + 0.005), (0, stem + 0.01)])]
    if style == "mug":
        profile = [(r * rng.uniform(0.85, 1.0), 0), (r * rng.uniform(0.95, 1.08), h * 0.5), (r, h)]
    elif style == "tea":
        r, h = r * 1.15, h * 0.65
        profile = [(r * 0.45, 0), (r * 0.75, h * 0.25), (r * 0.93, h * 0.6), (r, h)]
    else:
        profile = [(r * rng.uniform(0.55, 0.8), 0), (r, h * 1.15)]
    parts = [vessel(profile, wall)]
    if style != "tumbler":
        parts.append(_handle(rng, r * 0.95, h))
    if style == "tea" and rng.random() < 0.7:
        s = r * rng.uniform(1.5, 1.8)
        parts.append(lathe([(0, -0.004), (s * 0.5, -0.004), (s, 0.01), (s, 0.013), (s * 0.5, 0), (0, 0)]))
    return parts


def _handle(rng: np.random.Generator, r: float, h: float) -> Part:
    out, thick = rng.uniform(0.022, 0.032), rng.uniform(0.004, 0.006)
    if rng.random() < 0.3:
        side = ((r * 0.9, 0.25), (r + out, 0.28), (r + out, 0.78), (r * 0.95, 0.82))
        return sweep([(x, 0, h * share) for x, share in side], thick)
    return sweep(arc((r * 0.95, 0, h * 0.52), (out, 0, 0), (0, 0, h * rng.uniform(0.26, 0.36)), (-95, 95)), thick)
