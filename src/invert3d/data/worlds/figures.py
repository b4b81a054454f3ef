"""People. Meters, z up, they look to -y."""

import numpy as np

from invert3d.data.worlds.parts import Part, cylinder, ellipsoid, sweep, trunk


def person(rng: np.random.Generator) -> list[Part]:
    """A person who looks to -y: standing, T-pose, walking, waving or hands on hips; trousers or a skirt."""
    pose = str(rng.choice(["standing", "spread", "walking", "raised", "hips"]))
    build, hip = rng.uniform(0.8, 1.3), rng.uniform(0.86, 0.96)
    chest, shoulder = rng.uniform(0.15, 0.18) * build**0.5, hip + rng.uniform(0.5, 0.56)
    belly = rng.uniform(0.09, 0.12) * build
    head = shoulder + rng.uniform(0.2, 0.24)
    torso = [
        (0, hip - 0.08, 0.13 * build**0.5, belly),
        (0, hip + 0.12, chest * rng.uniform(0.72, 0.95), belly),
        (0, shoulder - 0.12, chest * 1.05, belly * 1.05),
        (0, shoulder, chest * 0.85, belly * 0.7),
        (0, shoulder + 0.06, 0.05, 0.05),
    ]
    parts = [trunk(torso, 16), ellipsoid((0, -0.01, head), (0.075, 0.095, 0.115)), cylinder(0.05, (shoulder, head))]
    if rng.random() < 0.35:
        parts.append(ellipsoid((0, 0.03, head - 0.02), (0.1, 0.09, rng.uniform(0.13, 0.2)), 0.8))
    elif rng.random() < 0.35:
        parts += [cylinder(0.09, (head + 0.04, head + 0.14)), cylinder(0.14, (head + 0.04, head + 0.055), (0, -0.02))]
    skirt = rng.random() < 0.35
    if skirt:
        parts.append(cylinder(rng.uniform(0.2, 0.32), (hip * rng.uniform(0.3, 0.6), hip + 0.06), top=0.14, segments=20))
    stride = rng.uniform(0.15, 0.3) if pose == "walking" else 0.0
    apart = rng.uniform(0.08, 0.22) if pose != "walking" else 0.09
    for side in (-1, 1):
        parts += _leg(side, hip, apart, stride * side, (0.065 if skirt else 0.085) * build**0.5)
        parts += _arm(rng, side, pose, chest, shoulder, stride * side)
    return parts


def _leg(side: int, hip: float, apart: float, stride: float, thick: float) -> list[Part]:
    knee = (side * (0.09 + apart) / 2, -stride * 0.5 - 0.01, hip * 0.52)
    foot = (side * apart, -stride, 0.07)
    if stride < 0:
        knee, foot = (knee[0], knee[1] - 0.06, knee[2]), (foot[0], foot[1], 0.12)
    limb = sweep([(side * 0.085, 0, hip), knee, foot], [thick, thick * 0.75, thick * 0.55], 10)
    return [limb, ellipsoid((foot[0], foot[1] - 0.06, foot[2] - 0.03), (0.045, 0.13, 0.04), 0.7)]


def _arm(rng: np.random.Generator, side: int, pose: str, chest: float, shoulder: float, stride: float) -> list[Part]:
    x, z = chest * 0.95, shoulder - 0.05
    down = [(x + 0.06, 0.01, z - 0.27), (x + 0.08, -0.05, z - 0.52)]
    if pose == "walking":
        down = [(x + 0.06, stride * 0.4, z - 0.27), (x + 0.06, stride - 0.1, z - 0.46)]
    elif pose == "spread":
        lift = rng.uniform(-0.08, 0.03)
        down = [(x + 0.27, 0, z + lift / 2), (x + 0.53, 0, z + lift)]
    elif pose == "hips":
        down = [(x + 0.19, 0.08, z - 0.22), (x + 0.0, -0.04, z - 0.42)]
    elif pose == "raised" and (side > 0 or rng.random() < 0.4):
        down = [(x + 0.14, -0.03, z + 0.22), (x + rng.uniform(0.02, 0.2), -0.05, z + 0.47)]
    joints = [(side * a, b, c) for a, b, c in ((x, 0.0, z), *down)]
    return [sweep(joints, [0.055, 0.045, 0.035], 10), ellipsoid(joints[-1], (0.045, 0.04, 0.065))]
