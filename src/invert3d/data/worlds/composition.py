"""Where the objects of a street stand: traffic and people, at random and without touching each other."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from invert3d.data.worlds import traffic, walkers
from invert3d.data.worlds.road import Road
from invert3d.data.worlds.templates import Template
from invert3d.data.worlds.tracing import Instance

#: half the view's width at 1 m, with some margin
VIEW = 0.9


@dataclass(frozen=True)
class Spot:
    """Where something may go: kind, s and t on the road, its heading to the left of the road's."""

    kind: str
    s: float
    t: float
    heading: float


def corners_of(template: Template, x: float, z: float, yaw: float, margin: float = 0.0) -> np.ndarray:
    """(4, 2) corners x, z of what a template covers, seen from above, grown by ``margin`` meters."""
    _, wide, long = template.size
    a = np.array([1, 1, -1, -1]) * (long / 2 + margin)
    b = np.array([1, -1, -1, 1]) * (wide / 2 + margin)
    c, s = np.cos(yaw), np.sin(yaw)
    return np.stack([x + c * a + s * b, z + c * b - s * a], -1)


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two convex quadrilaterals (4, 2), none longer than 7 m or so, overlap."""
    if np.abs(a[0] + a[2] - b[0] - b[2]).max() > 16:
        return False
    for shape in (a, b):
        for edge in (shape[1] - shape[0], shape[2] - shape[1]):
            pa, pb = a @ edge, b @ edge
            if pa.max() <= pb.min() or pb.max() <= pa.min():
                return False
    return True


def _lane_spots(rng: np.random.Generator, road: Road, clutter: bool) -> Iterator[Spot]:
    """Cars in the lanes, in both directions."""
    middle = () if road.middle is None else (road.middle,)
    gap = rng.uniform(1.5, 6) if clutter else rng.uniform(8, 30)
    for a, b in pairwise(sorted((road.left, *middle, *road.lanes, road.right))):
        away = np.pi if road.middle is not None and (a + b) / 2 < road.middle else 0.0
        s = rng.uniform(2, 14)
        while s < 70:
            yield Spot("vehicle", s, (a + b) / 2 + rng.normal(0, 0.22), away + rng.normal(0, 0.02))
            s += 5.2 + rng.exponential(gap)


def _parked_spots(rng: np.random.Generator, road: Road) -> Iterator[Spot]:
    """Cars along the kerbs."""
    for side, width in enumerate(road.parking):
        if not width:
            continue
        s, full = rng.uniform(-2, 4), rng.uniform(0.35, 0.95)
        while s < 62:
            if rng.random() < full:
                t = road.edges[side] + (1, -1)[side] * rng.uniform(1.0, 1.15)
                along = side == 1 or rng.random() < 0.1
                yield Spot("vehicle", s, t, (0.0 if along else np.pi) + rng.normal(0, 0.02))
            s += 4.7 + rng.exponential(0.9)


def _crossing_spots(rng: np.random.Generator, road: Road) -> Iterator[Spot]:
    """Cars on the side road, some turning."""
    if road.crossing is None:
        return
    for _ in range(3):
        right = rng.random() < 0.5
        s = road.crossing + (-1 if right else 1) * road.side_width / 4
        t = rng.uniform(road.edges[0] - 14, road.edges[1] + 14)
        bend = rng.normal(0, 0.35) if road.edges[0] < t < road.edges[1] else rng.normal(0, 0.03)
        yield Spot("vehicle", s, t, (-np.pi / 2 if right else np.pi / 2) + bend)


def _lot_spots(rng: np.random.Generator) -> Iterator[Spot]:
    """Cars in the rows of a car park."""
    full = rng.uniform(0.55, 0.97)
    for row in (-10.9, -5.8, 5.8, 10.9):
        for k in range(1, 24):
            if rng.random() < full:
                nose = np.pi / 2 if rng.random() < 0.5 else -np.pi / 2
                yield Spot("vehicle", 2.5 * k, row + rng.normal(0, 0.2), nose + rng.normal(0, 0.03))


def _people_spots(rng: np.random.Generator, road: Road, style: str) -> Iterator[Spot]:
    """People on pavements or crossing, and cyclists at the edges of the road."""
    mean = {"city": 2.0, "suburb": 1.1, "lot": 1.2}.get(style, 0.12)
    for _ in range(min(int(rng.poisson(mean)), 5)):
        side = int(rng.integers(2))
        walk, sign = road.pavement[side], (-1, 1)[side]
        s = float(5 + 38 * rng.random() ** 1.3)
        if rng.random() < 0.22 or walk < 1.2:
            at = road.crossing - road.side_width / 2 - 2.3 if road.crossing is not None and road.zebra else s
            way = float(rng.choice([-1, 1])) * np.pi / 2 + rng.normal(0, 0.15)
            yield Spot("Pedestrian", at, rng.uniform(*road.edges), way)
            continue
        t = road.edges[side] + sign * float(rng.uniform(0.55, max(walk - 0.3, 0.7)))
        way = float(rng.choice([0.0, np.pi])) if rng.random() < 0.85 else rng.uniform(0, 2 * np.pi)
        yield Spot("Pedestrian", s, t, way + rng.normal(0, 0.2))
        if rng.random() < 0.3:
            yield Spot("Pedestrian", s + rng.normal(0, 0.3), t + sign * 0.8, way + rng.normal(0, 0.15))
    for _ in range(int(rng.choice(3, p=[0.58, 0.32, 0.1])) if style in ("city", "suburb", "country") else 0):
        with_us = rng.random() < 0.6
        t = road.right - rng.uniform(0.5, 1.0) if with_us else road.left + rng.uniform(0.5, 1.0)
        yield Spot("Cyclist", rng.uniform(6, 42), t, (0.0 if with_us else np.pi) + rng.normal(0, 0.07))


class Cast:
    """The objects of a scene: takes spots while there is room."""

    def __init__(self, rng: np.random.Generator, road: Road, near: float) -> None:
        self.rng, self.road, self.near = rng, road, near
        self.kinds: list[str] = []
        self.instances: list[Instance] = []
        self._taken: list[np.ndarray] = []
        self._number = 0

    def add(self, spot: Spot) -> bool:
        """Put an object at a spot; False if it is out of view or would touch another."""
        kind, template, tints = self._choose(spot)
        x, z = (float(v) for v in self.road.place(spot.s, spot.t))
        yaw = self.road.yaw(spot.s, spot.heading)
        shape = corners_of(template, x, z, yaw, 0.12)
        inside = (np.abs(shape[:, 0]) < VIEW * shape[:, 1] - 0.2).any()
        ahead = shape[:, 1].min() > 1.2 and abs(x) < VIEW * z + 1.1 and not (z < 4.5 and abs(x) < 1.2)
        if z > 62 or not (inside and ahead) or any(overlap(shape, other) for other in self._taken):
            return False
        if z > self.near and kind == "Cyclist":
            template = walkers.cyclist_template(self._number, False)
        if z > self.near and kind in ("Car", "Van"):
            maker = traffic.car_template if kind == "Car" else traffic.van_template
            template = maker(self._number, 0 if z > 2.5 * self.near else 1)
        self.kinds.append(kind)
        self._taken.append(corners_of(template, x, z, yaw, 0.03))
        road = self.road
        aside = road.crossing is not None and abs(spot.s - road.crossing) < road.side_width / 2
        y = road.height - (road.kerb if road.beside(spot.t) and not aside else 0.0)
        self.instances.append(Instance(template, (x, y, z), yaw, *tints, number=len(self.kinds)))
        return True

    def _choose(self, spot: Spot) -> tuple[str, Template, tuple]:
        rng = self.rng
        if spot.kind == "Pedestrian":
            return spot.kind, walkers.person_template(int(rng.integers(walkers.PEOPLE))), walkers.clothes(rng)
        if spot.kind == "Cyclist":
            self._number = int(rng.integers(walkers.CYCLISTS))
            return spot.kind, walkers.cyclist_template(self._number), walkers.clothes(rng)
        van = rng.random() < 0.11
        self._number = int(rng.integers(traffic.VANS if van else traffic.CARS))
        maker = traffic.van_template if van else traffic.car_template
        return "Van" if van else "Car", maker(self._number), (traffic.body_color(rng, van), (0.1, 0.1, 0.1))

    def clear(self, x: float, z: float, radius: float) -> bool:
        """Whether a post of ``radius`` meters at x, z stands free of the objects."""
        square = np.array([x, z]) + radius * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
        return not any(overlap(square, other) for other in self._taken)


def cast_objects(rng: np.random.Generator, road: Road, style: str, clutter: bool, near: float) -> Cast:
    """Choose the objects: 2 to 9 vehicles, or up to 40 in clutter, some people and cyclists.

    Vehicles nearer than ``near`` meters get their fine meshes.
    """
    cast = Cast(rng, road, near)
    for spot in _people_spots(rng, road, style):
        cast.add(spot)
    spots = list(_lot_spots(rng) if style == "lot" else _lane_spots(rng, road, clutter))
    if style == "lot":
        rng.random()  # decides nothing; without it the streets that the bundled networks know would be others
    spots += [*_parked_spots(rng, road), *_crossing_spots(rng, road)]
    room = int(rng.integers(14, 41)) if clutter else int(rng.integers(2, 10))
    order = np.argsort([spot.s * (1 if clutter else rng.uniform(0.3, 2.0)) for spot in spots])
    for k in order:
        if room and cast.add(spots[int(k)]):
            room -= 1
    return cast
