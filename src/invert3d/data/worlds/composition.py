"""Where things stand in a street: traffic, people, houses, trees, at random and without touching each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from invert3d.data.worlds import scenery, traffic, walkers
from invert3d.data.worlds.colors import Color
from invert3d.data.worlds.road import Road
from invert3d.data.worlds.stage import Instance
from invert3d.data.worlds.templates import Template

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


def _lane_spots(rng: np.random.Generator, road: Road, style: str, clutter: bool) -> Iterator[Spot]:
    """Cars in the lanes, in both directions."""
    bounds = np.array([road.left, *([road.middle] if road.middle is not None else []), *road.lanes, road.right])
    bounds = np.sort(bounds)
    gap = float(rng.uniform(1.5, 6)) if clutter else float(rng.uniform(8, 30))
    for a, b in zip(bounds[:-1], bounds[1:], strict=True):
        oncoming = road.middle is not None and (a + b) / 2 < road.middle
        s = float(rng.uniform(2, 14))
        while s < 70:
            drift = float(rng.normal(0, 0.22))
            yield Spot("vehicle", s, (a + b) / 2 + drift, (np.pi if oncoming else 0.0) + float(rng.normal(0, 0.02)))
            s += 5.2 + float(rng.exponential(gap))


def _parked_spots(rng: np.random.Generator, road: Road) -> Iterator[Spot]:
    """Cars along the kerbs."""
    for side, width in enumerate(road.parking):
        if not width:
            continue
        s, full = float(rng.uniform(-2, 4)), float(rng.uniform(0.35, 0.95))
        while s < 62:
            if rng.random() < full:
                t = road.edges[side] + (1 if side == 0 else -1) * float(rng.uniform(1.0, 1.15))
                along = side == 1 or rng.random() < 0.1
                yield Spot("vehicle", s, t, (0.0 if along else np.pi) + float(rng.normal(0, 0.02)))
            s += 4.7 + float(rng.exponential(0.9))


def _crossing_spots(rng: np.random.Generator, road: Road) -> Iterator[Spot]:
    """Cars on the side road, some turning."""
    if road.crossing is None:
        return
    for _ in range(3):
        right = rng.random() < 0.5
        s = road.crossing + (-1 if right else 1) * road.side_width / 4
        t = float(rng.uniform(road.edges[0] - 14, road.edges[1] + 14))
        bend = float(rng.normal(0, 0.35)) if road.edges[0] < t < road.edges[1] else float(rng.normal(0, 0.03))
        yield Spot("vehicle", s, t, (-np.pi / 2 if right else np.pi / 2) + bend)


def _lot_spots(rng: np.random.Generator) -> Iterator[Spot]:
    """Cars in the rows of a car park."""
    full = rng.uniform(0.55, 0.97)
    for row in (-10.9, -5.8, 5.8, 10.9):
        for k in range(1, 24):
            if rng.random() < full:
                nose = 1 if rng.random() < 0.5 else -1
                yield Spot(
                    "vehicle", 2.5 * k, row + float(rng.normal(0, 0.2)), nose * np.pi / 2 + float(rng.normal(0, 0.03))
                )


def _people_spots(rng: np.random.Generator, road: Road, style: str) -> Iterator[Spot]:
    """People on pavements or crossing, and cyclists at the edges of the road."""
    mean = {"city": 2.0, "suburb": 1.1, "lot": 1.2}.get(style, 0.12)
    for _ in range(min(int(rng.poisson(mean)), 5)):
        side = int(rng.integers(2))
        walk, sign = road.pavement[side], (-1, 1)[side]
        s = float(5 + 38 * rng.random() ** 1.3)
        if rng.random() < 0.22 or walk < 1.2:
            at = road.crossing - road.side_width / 2 - 2.3 if road.crossing is not None and road.zebra else s
            way = float(rng.choice([-1, 1])) * np.pi / 2 + float(rng.normal(0, 0.15))
            yield Spot("Pedestrian", at, float(rng.uniform(*road.edges)), way)
            continue
        t = road.edges[side] + sign * float(rng.uniform(0.55, max(walk - 0.3, 0.7)))
        way = float(rng.choice([0.0, np.pi])) if rng.random() < 0.85 else float(rng.uniform(0, 2 * np.pi))
        yield Spot("Pedestrian", s, t, way + float(rng.normal(0, 0.2)))
        if rng.random() < 0.3:
            yield Spot("Pedestrian", s + float(rng.normal(0, 0.3)), t + sign * 0.8, way + float(rng.normal(0, 0.15)))
    for _ in range(int(rng.choice(3, p=[0.58, 0.32, 0.1])) if style in ("city", "suburb", "country") else 0):
        with_us = rng.random() < 0.6
        t = road.right - float(rng.uniform(0.5, 1.0)) if with_us else road.left + float(rng.uniform(0.5, 1.0))
        yield Spot("Cyclist", float(rng.uniform(6, 42)), t, (0.0 if with_us else np.pi) + float(rng.normal(0, 0.07)))


class Cast:
    """The objects of a scene: takes spots while there is room."""

    def __init__(self, rng: np.random.Generator, road: Road, near: float) -> None:
        self.rng, self.road, self.near = rng, road, near
        self.kinds: list[str] = []
        self.instances: list[Instance] = []
        self._taken: list[np.ndarray] = []
        self._number = 0

    def add(self, spot: Spot, reach: float = 62.0) -> bool:
        """Put an object at a spot; False if it is out of view or would touch another."""
        kind, template, tints = self._choose(spot)
        x, z = (float(v) for v in self.road.place(spot.s, spot.t))
        yaw = self.road.yaw(spot.s, spot.heading)
        shape = corners_of(template, x, z, yaw, 0.12)
        inside = (np.abs(shape[:, 0]) < VIEW * shape[:, 1] - 0.2).any()
        ahead = shape[:, 1].min() > 1.2 and abs(x) < VIEW * z + 1.1 and not (z < 4.5 and abs(x) < 1.2)
        if z > reach or not (inside and ahead):
            return False
        if any(overlap(shape, other) for other in self._taken):
            return False
        if z > self.near and kind == "Cyclist":
            template = walkers.cyclist_template(self._number, False)
        if z > self.near and kind in ("Car", "Van"):
            maker = traffic.car_template if kind == "Car" else traffic.van_template
            template = maker(self._number, 0 if z > 2.5 * self.near else 1)
        self.kinds.append(kind)
        self._taken.append(corners_of(template, x, z, yaw, 0.03))
        y = self.road.height - (self.road.kerb if self._raised(spot) else 0.0)
        self.instances.append(Instance(template, (x, y, z), yaw, *tints, number=len(self.kinds)))
        return True

    def _raised(self, spot: Spot) -> bool:
        road = self.road
        aside = road.crossing is not None and abs(spot.s - road.crossing) < road.side_width / 2
        return road.beside(spot.t) and not aside

    def _choose(self, spot: Spot) -> tuple[str, Template, tuple]:
        rng = self.rng
        if spot.kind == "Pedestrian":
            return spot.kind, walkers.person_template(int(rng.integers(walkers.PEOPLE))), walkers.clothes(rng)
        if spot.kind == "Cyclist":
            self._number = int(rng.integers(walkers.CYCLISTS))
            return spot.kind, walkers.cyclist_template(self._number), walkers.clothes(rng)
        van = rng.random() < 0.11
        self._number = int(rng.integers(traffic.VANS if van else traffic.CARS))
        template = traffic.van_template(self._number) if van else traffic.car_template(self._number)
        return ("Van" if van else "Car"), template, (traffic.body_color(rng, van), (0.1, 0.1, 0.1))

    def clear(self, x: float, z: float, radius: float) -> bool:
        """Whether a post of ``radius`` meters at x, z stands free of the objects."""
        square = np.array([x, z]) + radius * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
        return not any(overlap(square, other) for other in self._taken)


def cast_objects(rng: np.random.Generator, road: Road, style: str, clutter: bool, near: float = 16.0) -> Cast:
    """Choose the objects: 2 to 9 vehicles, or up to 40 in clutter, some people and cyclists.

    Vehicles nearer than ``near`` meters get their fine meshes.
    """
    cast = Cast(rng, road, near)
    for spot in _people_spots(rng, road, style):
        cast.add(spot)
    spots = list(_lot_spots(rng)) if style == "lot" else []
    if style != "lot" or rng.random() < 0.5:
        spots += [*_lane_spots(rng, road, style, clutter)] if style != "lot" else []
    spots += [*_parked_spots(rng, road), *_crossing_spots(rng, road)]
    room = int(rng.integers(14, 41)) if clutter else int(rng.integers(2, 10))
    order = np.argsort([spot.s * (1 if clutter else rng.uniform(0.3, 2.0)) for spot in spots])
    for k in order:
        if room and cast.add(spots[int(k)]):
            room -= 1
    return cast


def furnish(rng: np.random.Generator, road: Road, style: str, cast: Cast) -> list[Instance]:
    """The scenery along both sides: houses, gardens, trees, barriers, lamps and signs."""
    things: list[Instance] = []
    for side in (0, 1):
        sign, edge, walk = (-1, 1)[side], road.edges[side], road.pavement[side]
        things += _frontage(rng, road, style, sign, edge, walk)
        things += _posts(rng, road, style, sign, edge, walk, cast)
    return things


def _put(
    road: Road,
    template: Template,
    s: float,
    t: float,
    heading: float,
    contact: bool = True,
    tint_a: Color = (0.5,) * 3,
    tint_b: Color = (0.3,) * 3,
) -> Instance:
    x, z = (float(v) for v in road.place(s, t))
    raised = road.kerb if road.beside(t) else 0.0
    return Instance(template, (x, road.height - raised, z), road.yaw(s, heading), tint_a, tint_b, contact=contact)


def _open(road: Road, s: float, half: float) -> bool:
    """Whether the side road leaves room round s."""
    return road.crossing is None or abs(s - road.crossing) > road.side_width / 2 + half + 1.0


def _frontage(
    rng: np.random.Generator, road: Road, style: str, sign: int, edge: float, walk: float
) -> Iterator[Instance]:
    """What bounds one side, from near to far: houses, then trees, hedges or fences before them."""
    built = rng.random() < {"city": 0.92, "suburb": 0.75, "lot": 0.6}.get(style, 0.06)
    back = (
        float(rng.uniform(0.0, 1.0))
        if style == "city"
        else float(rng.uniform(3.5, 9)) + (16 if style == "country" else 0)
    )
    s = float(rng.uniform(-6, 0)) if style == "city" else float(rng.uniform(0, 8))
    while built and s < 125:
        template = scenery.house_template(int(rng.integers(scenery.HOUSES)))
        _, wide, long = template.size
        setback = back + float(rng.uniform(0, 1.2)) * (style != "city")
        if _open(road, s + long / 2, long / 2):
            t = edge + sign * (walk + setback + wide / 2)
            yield _put(road, template, s + long / 2, t, 0.0 if rng.random() < 0.5 else np.pi, contact=False)
        s += long + (float(rng.choice([0.05, 0.05, 3.0])) if style == "city" else float(rng.uniform(2, 14)))
    barrier = str(rng.choice(["hedge", "wall", "picket", "iron", "none"], p=[0.3, 0.2, 0.15, 0.15, 0.2]))
    if style == "highway" or (style == "country" and rng.random() < 0.25):
        barrier = "rail"
    if style in ("suburb", "highway", "lot") or barrier == "rail" or (style == "city" and not built):
        tone = float(rng.uniform(0.45, 0.8))
        stone = (tone, tone * 0.95, tone * 0.88)
        wood = (0.8, 0.8, 0.78) if tone > 0.6 else (0.4, 0.28, 0.2)
        end = 24 if barrier in ("picket", "iron") else 80
        for at in np.arange(-3, end if barrier != "none" else -4, 6.02):
            if _open(road, at, 3.2):
                template = scenery.barrier_template(barrier)
                gap = 0.35 if barrier != "rail" else -walk + 0.35
                t, along = edge + sign * (walk + gap), 0.0 if sign > 0 else np.pi
                yield _put(road, template, float(at), t, along, contact=False, tint_a=stone, tint_b=wood)
    yield from _greens(rng, road, style, sign, edge, walk, built, back)


def _greens(
    rng: np.random.Generator, road: Road, style: str, sign: int, edge: float, walk: float, built: bool, back: float
) -> Iterator[Instance]:
    """Trees and bushes of one side."""
    count = {"city": 2, "suburb": 5, "country": 12, "highway": 10, "lot": 8}[style] + (0 if built else 4)
    for _ in range(int(rng.poisson(count))):
        s, leafy = float(4 + 86 * rng.random() ** 1.2), rng.random() < 0.72
        depth = float(rng.uniform(1.2, max(back - 0.8, 1.4))) if built else float(rng.uniform(1.5, 26))
        if style in ("country", "highway"):
            depth += 2.5
        if not _open(road, s, 2.0):
            continue
        detail = (s < 15) + (s < 40)
        template = (
            scenery.tree_template(int(rng.integers(scenery.TREES)), detail)
            if leafy
            else scenery.bush_template(int(rng.integers(scenery.BUSHES)), detail)
        )
        if built and style == "city" and leafy:
            depth = -0.9 if walk > 2.2 else -walk + 0.7
        elif style == "city" and built:
            continue
        yield _put(road, template, s, edge + sign * (walk + depth), float(rng.uniform(0, 6.28)), contact=False)


def _posts(
    rng: np.random.Generator, road: Road, style: str, sign: int, edge: float, walk: float, cast: Cast
) -> Iterator[Instance]:
    """Lamps, signals, signs, bins and bollards at one kerb; none in a car or a person."""
    spots: list[tuple[str, float, float, float]] = []
    if style != "country" and rng.random() < 0.75:
        pace, start = float(rng.uniform(18, 28)), float(rng.uniform(3, 20))
        spots += [("lamp", start + pace * k, 0.45, sign * np.pi / 2) for k in range(5)]
    for _ in range(int(rng.integers(0, 4))):
        kind = str(rng.choice(["stop", "limit", "parking", "direction", "bin", "bollard"]))
        spots.append(
            (
                kind,
                float(rng.uniform(6, 60)),
                0.4,
                np.pi + float(rng.normal(0, 0.1)) if sign > 0 or rng.random() < 0.3 else 0.0,
            )
        )
    if road.crossing is not None:
        kind = "signal" if road.zebra else "stop"
        before = -sign * (road.side_width / 2 + 1.0)
        spots.append((kind, road.crossing + before, 0.35, np.pi if sign > 0 else 0.0))
    for kind, s, out, heading in spots:
        thing = _put(road, scenery.furniture_template(kind), s, edge + sign * out, heading, contact=False)
        if _open(road, s, -0.6) and cast.clear(thing.center[0], thing.center[2], 0.4):
            yield thing
