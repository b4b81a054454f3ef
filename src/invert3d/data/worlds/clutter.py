"""Point clouds that are no category: what a classifier of the procedural shapes must learn to call nothing.

Every cloud is (points, 3) float32 in the unit sphere about its mean, like those of `shapes`, z up.
"""

from collections.abc import Callable

import numpy as np

from invert3d.data.clouds import check_counts, normalize_unit_sphere, sample_cloud
from invert3d.data.worlds.parts import Part, assemble, bar, block, cylinder, ellipsoid
from invert3d.data.worlds.shapes import CATEGORIES, make_mesh

_SEED_TAG = 1_000_000  # keeps the child seeds apart from those of the categories, which are small numbers
# Classes left out where the deformation may still give a member of this or another class.
_STILL_TURNED = ("dresser", "night_stand")
_STILL_STRETCHED = ("bench", "desk", "dresser", "lamp", "night_stand", "stairs", "table")
_ON_LEGS = ("bed", "bench", "chair", "desk", "night_stand", "sofa", "table")


def make_clutter(points: int, rng: np.random.Generator) -> np.ndarray:
    """One random cloud that is a member of no category.

    Heaps of boxes, ellipsoids and cylinders (half of them mirrored about x = 0), blobs, balls, shells,
    sheets, sticks and planes, mixtures of these, and category shapes cut in two, shuffled, tumbled by over
    60 degrees or stretched. ValueError if `points` < 1.
    """
    check_counts(points=points)
    maker = _MAKERS[int(rng.choice(len(_MAKERS), p=_ODDS))]
    return normalize_unit_sphere(maker(points, rng))


def make_clutter_clouds(count: int, points: int, seed: int) -> np.ndarray:
    """(count, points, 3) clutter for a data set; cloud i depends on the seed and i alone.

    It shares no random stream with `make_clouds` of the same seed. ValueError if a number is out of range.
    """
    check_counts(count=count, points=points, seed=seed)
    return np.stack([make_clutter(points, np.random.default_rng([seed, _SEED_TAG, index])) for index in range(count)])


def _solid(rng: np.random.Generator, spread: float) -> Part:
    a, b, c = np.exp(rng.uniform(np.log(0.04), np.log(0.8), 3))
    kind = rng.integers(0, 4)
    if kind == 0:
        part = block(a, b, (-c, c))
    elif kind == 1:
        part = ellipsoid((0, 0, 0), (a, b, c), rng.choice([1.0, 0.5]))
    elif kind == 2:
        part = cylinder(a, (-c, c), top=a * rng.uniform(0.1, 1.5))
    else:
        part = bar((-b, -b, -c), (b, b, c), a * 0.3 + 0.01)
    tilt = rng.uniform(-90, 90) if rng.random() < 0.4 else 0.0
    return part.turned("x", tilt).turned("z", rng.uniform(0, 360)).moved(*rng.uniform(-spread, spread, 3))


def _heap(points: int, rng: np.random.Generator) -> np.ndarray:
    pile = [_solid(rng, rng.uniform(0.1, 1.2)) for _ in range(int(rng.integers(1, 13)))]
    if rng.random() < 0.5:
        pile += [part.mirrored() for part in pile]
    return sample_cloud(assemble(pile), points, rng)


def _blob(points: int, rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(1, 6))
    centers = rng.normal(size=(count, 3)) * rng.uniform(0.0, 1.5)
    widths = np.exp(rng.uniform(-2.5, 0.3, (count, 1, 3)))
    which = rng.integers(0, count, points)
    return centers[which] + widths[which, 0] * rng.normal(size=(points, 3))


def _ball(points: int, rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(0, 4)
    squash = np.exp(rng.uniform(-1.2, 0.0, 3)) if rng.random() < 0.5 else np.ones(3)
    cube = rng.uniform(-1, 1, (points, 3))
    way = rng.normal(size=(points, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    if kind == 0:
        return cube * squash
    if kind == 1:
        return way * rng.random((points, 1)) ** (1 / 3) * squash
    return (way if kind == 2 else cube / np.abs(cube).max(axis=1, keepdims=True)) * squash


def _waves(spots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    value = np.zeros(len(spots))
    for _ in range(int(rng.integers(1, 5))):
        value += rng.normal() * np.sin(spots @ rng.normal(0, 2.2, spots.shape[1]) + rng.uniform(0, 2 * np.pi))
    return value * rng.uniform(0.1, 0.6)


def _sheet(points: int, rng: np.random.Generator) -> np.ndarray:
    sheets = int(rng.integers(1, 4))
    clouds = []
    for share in np.array_split(np.arange(points), sheets):
        spots = rng.uniform(-1, 1, (len(share), 2)) * np.exp(rng.uniform(-1, 0, 2))
        if rng.random() < 0.5:
            cloud = np.column_stack([spots, _waves(spots, rng)])
        else:
            cloud = np.tanh(spots @ rng.normal(size=(2, 8)) * 1.5 + rng.normal(size=8)) @ rng.normal(size=(8, 3)) * 0.5
        clouds.append(cloud @ _rotation(rng).T + rng.normal(0, 0.4, 3) * (sheets > 1))
    return np.concatenate(clouds)


def _warped(points: int, rng: np.random.Generator) -> np.ndarray:
    cloud = _ball(points, rng)
    return cloud + np.column_stack([_waves(cloud, rng) for _ in range(3)])


def _sticks(points: int, rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(1, 12))
    start, one, two = rng.uniform(-1, 1, (3, count, 3))
    flat = rng.random(count) < rng.uniform(0, 1)
    one, two = one * rng.uniform(0.3, 1.2, (count, 1)), two * flat[:, None]
    which = rng.integers(0, count, points)
    u, v = rng.random((2, points, 1)) - 0.5
    return start[which] + 2 * u * one[which] + 2 * v * two[which] + rng.normal(0, rng.choice([0.0, 0.02]), (points, 3))


def _mixture(points: int, rng: np.random.Generator) -> np.ndarray:
    first, second = rng.integers(0, len(_SIMPLE), 2)
    share = int(points * rng.uniform(0.2, 0.8))
    pair = [_SIMPLE[first](points, rng), _SIMPLE[second](points, rng) * rng.uniform(0.4, 1.2) + rng.normal(0, 0.5, 3)]
    mixed = np.concatenate([pair[0][:share], pair[1][share:]])
    return mixed + rng.normal(0, rng.choice([0.0, 0.03, 0.1]), mixed.shape)


def _shape(points: int, rng: np.random.Generator, exclude: tuple[str, ...] = ()) -> tuple[str, np.ndarray]:
    names = [name for name in CATEGORIES if name not in exclude]
    name = names[int(rng.integers(0, len(names)))]
    return name, sample_cloud(make_mesh(name, rng), points, rng)


def _halves(points: int, rng: np.random.Generator) -> np.ndarray:
    name, one = _shape(2 * points, rng)
    axis = int(rng.integers(0, 3))
    other = _ON_LEGS if name in _ON_LEGS and axis == 2 else (name,)
    _, two = _shape(2 * points, rng, other)
    way = np.eye(3)[axis] if rng.random() < 0.7 else _rotation(rng)[0]
    pool = np.concatenate([one[one @ way > 0], two[two @ way <= 0]])
    return pool[rng.choice(len(pool), points, replace=len(pool) < points)]


def _shuffled(points: int, rng: np.random.Generator) -> np.ndarray:
    cloud = _shape(points, rng)[1].astype(np.float64)
    seeds = cloud[rng.choice(points, min(points, int(rng.integers(3, 9))), replace=False)]
    owner = np.linalg.norm(cloud[:, None] - seeds, axis=-1).argmin(axis=1)
    for k, center in enumerate(seeds):
        piece = (cloud[owner == k] - center) @ _rotation(rng).T * np.exp(rng.uniform(-0.5, 0.7, 3))
        cloud[owner == k] = piece + center + rng.normal(0, 0.25, 3)
    return cloud


def _rotation(rng: np.random.Generator, least: float = 0.0) -> np.ndarray:
    """A random (3, 3) rotation that tilts the z axis by `least` degrees or more."""
    tilt = np.arccos(rng.uniform(-1, np.cos(np.radians(least))))
    a, b = rng.uniform(0, 2 * np.pi, 2)
    yaw = [np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]]) for t in (a, b)]
    pitch = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return yaw[0] @ pitch @ yaw[1]


def _tumbled(points: int, rng: np.random.Generator) -> np.ndarray:
    _, cloud = _shape(points, rng, _STILL_TURNED)
    return cloud @ _rotation(rng, 60.0).T


def _stretched(points: int, rng: np.random.Generator) -> np.ndarray:
    _, cloud = _shape(points, rng, _STILL_STRETCHED)
    factors = np.ones(3)
    while factors.max() < 4 * factors.min():
        factors = np.exp(rng.uniform(np.log(0.2), np.log(5.0), 3))
    return cloud * factors


_SIMPLE: tuple[Callable[[int, np.random.Generator], np.ndarray], ...] = (_heap, _blob, _ball, _sheet, _warped, _sticks)
_MAKERS = (*_SIMPLE, _mixture, _halves, _shuffled, _tumbled, _stretched)
_ODDS = np.array([6, 1.5, 1, 1.5, 1.5, 1, 2, 2, 2, 2, 2]) / 22.5
