"""Things on and beside a desk: lamp, guitar, monitor. Meters, z up, fronts face -y."""

import numpy as np

from invert3d.data.worlds.parts import (
    Pair,
    Part,
    arc,
    bar,
    both,
    box,
    circle,
    cylinder,
    ellipsoid,
    frustum,
    lathe,
    loft,
    prism,
    rim,
    sweep,
    torus,
)


def lamp(rng: np.random.Generator) -> list[Part]:
    """A lamp under a hollow shade: floor, table, tripod, arc, or a desk lamp with a jointed arm."""
    style = rng.choice(["floor", "table", "tripod", "arc", "desk"])
    if style == "desk":
        return _desk_lamp(rng)
    if style == "arc":
        reach, height, r = rng.uniform(0.5, 0.8), rng.uniform(1.5, 1.8), rng.uniform(0.13, 0.2)
        foot = (0, reach * 0.8)
        bow = arc((0, -reach * 0.1, height * 0.55), (0, reach * 0.9, 0), (0, 0, height * 0.45), (0, 165))
        x, y, z = bow[-1]
        pole = sweep(np.concatenate([[(*foot, 0)], bow]), 0.015)
        return [cylinder(0.16, (0, 0.05), foot), pole, *_shade(rng, z - r * 1.1, r, r * 1.1, (x, y))]
    low, up = ((0.3, 0.13, 0.15), (0.45, 0.2, 0.25)) if style == "table" else ((1.2, 0.16, 0.22), (1.55, 0.26, 0.32))
    high, r, tall = rng.uniform(low, up)
    parts = _shade(rng, high, r, tall)
    if style == "floor":
        parts.append(cylinder(rng.uniform(0.11, 0.17), (0, 0.03), top=rng.uniform(0.05, 0.11)))
        parts.append(cylinder(rng.uniform(0.01, 0.02), (0, high + 0.06)))
    elif style == "tripod":
        spread, hub = rng.uniform(0.22, 0.34), high * rng.uniform(0.6, 0.95)
        feet = [(spread * np.cos(a), spread * np.sin(a), 0) for a in np.radians([-90, 30, 150])]
        parts += [*(bar((0, 0, hub), foot, 0.017) for foot in feet), cylinder(0.015, (hub - 0.05, high + 0.06))]
    else:
        parts += _turned_base(rng, high)
    return parts


def _turned_base(rng: np.random.Generator, high: float) -> list[Part]:
    b, kind = rng.uniform(0.05, 0.1), rng.integers(0, 4)
    if kind == 0:
        foot = [(0, 0), (b * 0.7, 0), (b * 0.6, 0.02), (b, high * 0.35), (b * 0.6, high * 0.65), (0.02, high * 0.8)]
        body = [lathe([*foot, (0, high)])]
    elif kind == 1:
        body = [cylinder(b, (0, 0.02)), cylinder(0.02, (0, high))]
    elif kind == 2:
        beads = ((0.16, 1.0), (0.46, 0.75), (0.72, 0.5))
        body = [ellipsoid((0, 0, high * z), (b * s, b * s, high * 0.17)) for z, s in beads]
        body.append(cylinder(b, (0, 0.02)))
    else:
        body = [frustum((0, high * 0.8), ((-b, b), (-b, b)), ((-b * 0.5, b * 0.5), (-b * 0.5, b * 0.5)))]
    return [cylinder(0.012, (0, high + 0.05)), *body]


def _shade(rng: np.random.Generator, low: float, r: float, tall: float, at: Pair = (0.0, 0.0)) -> list[Part]:
    kind, wall = rng.choice(["cone", "drum", "dome"], p=[0.5, 0.25, 0.25]), 0.006
    if kind == "dome":
        curve = [(r * np.cos(a), low + tall * 0.8 * np.sin(a)) for a in np.linspace(0, np.pi / 2 - 0.15, 6)]
    else:
        curve = [(r, low), (r * (rng.uniform(0.35, 0.65) if kind == "cone" else 1.0), low + tall)]
    shade = lathe([*curve, *((a - wall, b) for a, b in curve[::-1])], at, 24, ring=True)
    return [shade, ellipsoid((*at, low + tall * 0.4), (0.03, 0.03, 0.045))]


def _desk_lamp(rng: np.random.Generator) -> list[Part]:
    lower, upper = rng.uniform(0.25, 0.36), rng.uniform(0.25, 0.36)
    a, b = np.radians(rng.uniform(50, 85)), np.radians(rng.uniform(15, 50))
    elbow = (0.0, 0.08 + lower * np.cos(a), 0.03 + lower * np.sin(a))
    head = (0.0, elbow[1] - upper * np.cos(b), elbow[2] + upper * np.sin(b))
    r, tall = rng.uniform(0.06, 0.09), rng.uniform(0.1, 0.15)
    shade = [p.moved(z=-tall).turned("x", -rng.uniform(5, 45)).moved(*head) for p in _shade(rng, 0.0, r, tall)]
    foot = cylinder(rng.uniform(0.08, 0.11), (0, 0.025), (0, 0.06))
    joint = ellipsoid(elbow, (0.02, 0.02, 0.02))
    return [foot, bar((0, 0.08, 0.02), elbow, 0.01), bar(elbow, head, 0.01), joint, *shade]


def guitar(rng: np.random.Generator) -> list[Part]:
    """A guitar, neck up, strings to -y: an acoustic, an electric with one or two horns, or a flying V."""
    style = rng.choice(["acoustic", "double", "single", "vee"], p=[0.4, 0.25, 0.2, 0.15])
    w, tall = rng.uniform(0.17, 0.21), rng.uniform(0.42, 0.5)
    thick = rng.uniform(0.08, 0.12) if style == "acoustic" else rng.uniform(0.035, 0.055)
    y = (-thick / 2, thick / 2)
    if style == "vee":
        tall, tip = 0.42, rng.uniform(0.2, 0.26)
        wing = [(0, 0.14), (0, tall), (0.03, tall), (0.07, 0.28), (tip, -0.02), (tip - 0.07, -0.06)]
        parts = both(prism(wing, "y", y))
    else:
        parts = [prism(_figure_eight(rng, w, tall), "y", y)]
    if style in ("double", "single"):
        end = (w * 0.5, 0, tall * rng.uniform(1.05, 1.18))
        horn = sweep([(w * 0.62, 0, tall * 0.75), (w * 0.66, 0, tall * 0.95), end], [0.05, 0.035, 0.015])
        parts += both(horn) if style == "double" else [horn]
    return parts + _guitar_neck(rng, tall, thick, style == "acoustic")


def _figure_eight(rng: np.random.Generator, w: float, tall: float) -> np.ndarray:
    waist, upper = rng.uniform(0.14, 0.24), rng.uniform(0.68, 0.82)
    across, level = circle(48).T
    width = 1 - (1 - upper) * (level + 1) / 2 - waist * np.exp(-(((level - 0.2) / 0.28) ** 2))
    x = w * width * np.sign(across) * np.abs(across) ** 0.75
    return np.stack([x, tall / 2 * (1 + level)], -1)


def _guitar_neck(rng: np.random.Generator, tall: float, thick: float, acoustic: bool) -> list[Part]:
    front, length = -thick / 2, rng.uniform(0.42, 0.52)
    nut = tall + length * 0.88
    heel, end = ((-0.029, 0.029), (front - 0.015, front + 0.02)), ((-0.022, 0.022), (front - 0.012, front + 0.012))
    neck, y = frustum((tall * 0.72, nut), heel, end), (front - 0.01, front + 0.01)
    head = frustum((nut, nut + 0.17), ((-0.028, 0.028), y), ((-0.04, 0.04), y))
    parts = [neck, head.turned("x", -rng.uniform(0, 14), (0, front, nut))]
    one_side = not acoustic and rng.random() < 0.5
    for z in np.linspace(0.03, 0.14, 6 if one_side else 3):
        peg = bar((0.02, front, nut + z), (0.062, front, nut + z), 0.007, segments=6)
        parts += [peg] if one_side else both(peg)
    parts.append(box((-0.06, 0.06), (front - 0.014, front), (tall * 0.24, tall * 0.28)))
    if acoustic:
        parts.append(torus(0.05, 0.006).turned("x", 90).moved(0, front, tall * 0.6))
    else:
        parts += [box((-0.04, 0.04), (front - 0.01, front), (tall * z, tall * z + 0.025)) for z in (0.38, 0.55)]
    return parts


def monitor(rng: np.random.Generator) -> list[Part]:
    """A monitor, its screen to -y: flat panel on a foot or two legs, curved, all-in-one, or a tube set."""
    style = str(rng.choice(["flat", "tube", "wide", "feet", "allinone"], p=[0.3, 0.2, 0.15, 0.2, 0.15]))
    w = rng.uniform(0.4, 0.5) if style == "wide" else rng.uniform(0.22, 0.34)
    tall, lift = w * (0.85 if style == "wide" else rng.uniform(1.15, 1.5)), rng.uniform(0.07, 0.16)
    if style == "tube":
        return _tube_monitor(rng, w * 0.8)
    t = rng.uniform(0.015, 0.04)
    frame = _panel(rng, style, w, t, (lift, lift + tall))
    if style == "feet":
        x = w * rng.uniform(0.4, 0.8)
        return frame + [p for y in (-0.1, 0.1) for p in both(bar((x, t / 2, lift + 0.02), (x, y, 0.01), 0.01))]
    if style == "allinone":
        bent = [(t, lift + tall * 0.4), (0.14, 0.012), (0.16, 0.0), (t + 0.012, lift + tall * 0.45)]
        return [*frame, prism(bent, "x", (-0.1, 0.1)), box((-0.1, 0.1), (-0.06, 0.16), (0, 0.012))]
    post = rng.uniform(0.02, 0.05)
    if rng.random() < 0.5:
        foot = cylinder(rng.uniform(0.1, 0.14), (0, 0.015), (0, 0.04))
    else:
        foot = box((-w * 0.5, w * 0.5), (-0.06, 0.14), (0, 0.015))
    return [*frame, box((-post, post), (t, t + 0.03), (0, lift + tall * 0.5)), foot]


def _panel(rng: np.random.Generator, style: str, w: float, t: float, z: tuple[float, float]) -> list[Part]:
    if style == "wide":
        bend = rng.uniform(0.25, 0.6)
        cut = [(0, z[0]), (t, z[0]), (t, z[1]), (0, z[1])]
        return [loft(np.array([[(x, y - bend * x * x, h) for y, h in cut] for x in np.linspace(-w, w, 13)]))]
    tall = z[1] - z[0]
    bezel = rim((-w, w), z, (-t, 0.01), rng.uniform(0.01, 0.025))  # lies flat, to be stood up to face -y
    parts = [box((-w, w), (0, t), z), *(part.turned("x", 90) for part in bezel)]
    if style == "allinone":
        parts.append(box((-w, w), (-0.005, t), (z[0] - tall * 0.15, z[0])))
    elif rng.random() < 0.6:
        parts.append(box((-w * 0.6, w * 0.6), (t, t + 0.03), (z[0] + tall * 0.25, z[0] + tall * 0.75)))
    tilt = rng.uniform(-3, 10)
    return [part.turned("x", -tilt, (0, 0, z[0])) for part in parts]


def _tube_monitor(rng: np.random.Generator, w: float) -> list[Part]:
    tall, deep, lift = w * rng.uniform(1.45, 1.7), w * rng.uniform(1.1, 1.5), rng.uniform(0.03, 0.07)
    front = box((-w, w), (-0.04, 0.05), (lift, lift + tall))
    screen = ellipsoid((0, -0.035, lift + tall * 0.53), (w * 0.87, 0.02, tall * 0.41), 0.4)
    mid, rings = lift + tall / 2, []
    for y, s in ((0.05, 0.97), (deep * 0.5, 0.8), (deep, 0.5)):
        a, b = w * s, tall / 2 * s
        rings.append([(-a, y, mid - b), (a, y, mid - b), (a, y, mid + b), (-a, y, mid + b)])
    foot = [(0, 0), (w * 0.6, 0), (w * 0.55, 0.015), (w * 0.3, lift), (w * 0.3, lift + 0.03), (0, lift + 0.03)]
    return [front, screen, loft(np.array(rings)), lathe(foot, (0, deep * 0.3))]
