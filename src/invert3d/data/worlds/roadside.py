"""The scenery along both sides of a street: houses, gardens, trees, barriers, lamps and signs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from invert3d.data.worlds import scenery
from invert3d.data.worlds.composition import Cast
from invert3d.data.worlds.road import Road
from invert3d.data.worlds.templates import Template
from invert3d.data.worlds.tracing import Instance


@dataclass(frozen=True)
class _Side:
    """One side of a street: ``sign`` -1 left, 1 right, ``edge`` the t of its kerb, ``walk`` the pavement's width."""

    rng: np.random.Generator
    road: Road
    style: str
    sign: int
    edge: float
    walk: float

    def put(self, template: Template, s: float, out: float, heading: float, tints: tuple = ()) -> Instance:
        """A thing at s, ``out`` meters from the kerb, on the pavement or beyond; two tints, if it has any to choose."""
        road, t = self.road, self.edge + self.sign * out
        x, z = (float(v) for v in road.place(s, t))
        y = road.height - (road.kerb if road.beside(t) else 0.0)
        return Instance(template, (x, y, z), road.yaw(s, heading), *tints, contact=False)

    def open(self, s: float, half: float) -> bool:
        """Whether the side road leaves room round s."""
        road = self.road
        return road.crossing is None or abs(s - road.crossing) > road.side_width / 2 + half + 1.0

    def frontage(self) -> Iterator[Instance]:
        """What bounds the side, from near to far: houses, then trees, hedges or fences before them."""
        rng, style = self.rng, self.style
        city = style == "city"
        built = rng.random() < {"city": 0.92, "suburb": 0.75, "lot": 0.6}.get(style, 0.06)
        back = rng.uniform(0.0, 1.0) if city else rng.uniform(3.5, 9) + (16 if style == "country" else 0)
        s = rng.uniform(-6, 0) if city else rng.uniform(0, 8)
        while built and s < 125:
            template = scenery.house_template(int(rng.integers(scenery.HOUSES)))
            _, wide, long = template.size
            setback = back + rng.uniform(0, 1.2) * (not city)
            if self.open(s + long / 2, long / 2):
                out = self.walk + setback + wide / 2
                yield self.put(template, s + long / 2, out, 0.0 if rng.random() < 0.5 else np.pi)
            s += long + (float(rng.choice([0.05, 0.05, 3.0])) if city else rng.uniform(2, 14))
        barrier = str(rng.choice(["hedge", "wall", "picket", "iron", "none"], p=[0.3, 0.2, 0.15, 0.15, 0.2]))
        if style == "highway" or (style == "country" and rng.random() < 0.25):
            barrier = "rail"
        if style in ("suburb", "highway", "lot") or barrier == "rail" or (city and not built):
            yield from self.barriers(barrier)
        yield from self.greens(built, back)

    def barriers(self, kind: str) -> Iterator[Instance]:
        """Hedges, walls or fences along the pavement, a guard rail at the kerb; nothing for "none"."""
        tone = self.rng.uniform(0.45, 0.8)
        stone = (tone, tone * 0.95, tone * 0.88)
        wood = (0.8, 0.8, 0.78) if tone > 0.6 else (0.4, 0.28, 0.2)
        for s in np.arange(-3, {"none": -4, "picket": 24, "iron": 24}.get(kind, 80), 6.02).tolist():
            if self.open(s, 3.2):
                out = self.walk + (0.35 if kind != "rail" else -self.walk + 0.35)
                heading = 0.0 if self.sign > 0 else np.pi
                yield self.put(scenery.barrier_template(kind), s, out, heading, (stone, wood))

    def greens(self, built: bool, back: float) -> Iterator[Instance]:
        """Trees and bushes."""
        rng, style, walk = self.rng, self.style, self.walk
        count = {"city": 2, "suburb": 5, "country": 12, "highway": 10, "lot": 8}[style] + (0 if built else 4)
        for _ in range(int(rng.poisson(count))):
            s, leafy = 4 + 86 * rng.random() ** 1.2, rng.random() < 0.72
            depth = rng.uniform(1.2, max(back - 0.8, 1.4)) if built else rng.uniform(1.5, 26)
            if style in ("country", "highway"):
                depth += 2.5
            if not self.open(s, 2.0):
                continue
            maker, pool = (scenery.tree_template, scenery.TREES) if leafy else (scenery.bush_template, scenery.BUSHES)
            template = maker(int(rng.integers(pool)), (s < 15) + (s < 40))
            if built and style == "city":
                if not leafy:
                    continue
                depth = -0.9 if walk > 2.2 else -walk + 0.7
            yield self.put(template, s, walk + depth, rng.uniform(0, 6.28))

    def posts(self, cast: Cast) -> Iterator[Instance]:
        """Lamps, signals, signs, bins and bollards at the kerb; none in a car or a person."""
        rng, road, sign = self.rng, self.road, self.sign
        spots: list[tuple[str, float, float, float]] = []
        if self.style != "country" and rng.random() < 0.75:
            pace, start = rng.uniform(18, 28), rng.uniform(3, 20)
            spots += [("lamp", start + pace * k, 0.45, sign * np.pi / 2) for k in range(5)]
        for _ in range(int(rng.integers(0, 4))):
            kind = str(rng.choice(["stop", "limit", "parking", "direction", "bin", "bollard"]))
            s = rng.uniform(6, 60)
            heading = np.pi + rng.normal(0, 0.1) if sign > 0 or rng.random() < 0.3 else 0.0
            spots.append((kind, s, 0.4, heading))
        if road.crossing is not None:
            before = -sign * (road.side_width / 2 + 1.0)
            kind = "signal" if road.zebra else "stop"
            spots.append((kind, road.crossing + before, 0.35, np.pi if sign > 0 else 0.0))
        for kind, s, out, heading in spots:
            thing = self.put(scenery.furniture_template(kind), s, out, heading)
            if self.open(s, -0.6) and cast.clear(thing.center[0], thing.center[2], 0.4):
                yield thing


def furnish(rng: np.random.Generator, road: Road, style: str, cast: Cast) -> list[Instance]:
    """What stands along both sides."""
    sides = [_Side(rng, road, style, (-1, 1)[k], road.edges[k], road.pavement[k]) for k in (0, 1)]
    return [thing for side in sides for part in (side.frontage(), side.posts(cast)) for thing in part]
