"""Terraces: rows of houses along a street, whose edges and painted lines are known by the direction that they run in.

A terrace is a list of blocks of eight corners: walls, window frames and panes, sills, cornices, doors, signs, roofs,
chimneys, poles and wires. Meters; x runs along the street, y down (0 is the pavement), z away from it: fronts are about
z = 0 and face -z. Plan, colors and paint follow from a seed each, so that any can change while the others stay.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import product

import numpy as np

#: bands painted on walls: their direction in the plane of the wall, across the street's and down
PAINTS = {"courses": (0.0, 1.0), "planks": (1.0, 0.0), "diagonals": (0.7071, 0.7071), "plain": (0.0, 0.0)}
#: width of windows in their bays, and height in their storeys
WINDOWS = {"tall": (0.4, 0.72), "wide": (0.78, 0.46)}
#: names of what a house looks like, which says nothing about where it is seen from
STYLES = tuple(f"{paint}, {window} windows" for paint, window in product(PAINTS, WINDOWS))


class Role(IntEnum):
    """What a block is."""

    WALL = 0
    FRAME = 1
    PANE = 2
    SILL = 3
    CORNICE = 4
    DOOR = 5
    SIGN = 6
    ROOF = 7
    POLE = 8
    STREET = 9
    CROWN = 10


@dataclass
class Plan:
    """The blocks of a terrace, as they are added.

    Attributes:
        corners: (8, 3) each, the bottom four around, then the top four above them.
        roles, houses: of each, and whose it is; -1 is the street's.
        target: (3,) the point on a front that cameras look at.
        style: a place in ``STYLES``.
    """

    style: int
    target: np.ndarray = field(default_factory=lambda: np.zeros(3))
    corners: list[np.ndarray] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)
    houses: list[int] = field(default_factory=list)

    def add(
        self, role: Role, house: int, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]
    ) -> None:
        """A box between bounds, y from top to bottom."""
        self.add_between(role, house, (x, z), (x, z), y)

    def add_between(
        self,
        role: Role,
        house: int,
        lower: tuple[tuple[float, float], tuple[float, float]],
        upper: tuple[tuple[float, float], tuple[float, float]],
        y: tuple[float, float],
    ) -> None:
        """A block between two rectangles of (x bounds, z bounds), the lower at y[1] and the upper at y[0]."""
        rings = [
            [(x0, height, z0), (x1, height, z0), (x1, height, z1), (x0, height, z1)]
            for ((x0, x1), (z0, z1)), height in ((lower, y[1]), (upper, y[0]))
        ]
        self.corners.append(np.array(rings, np.float32).reshape(8, 3))
        self.roles.append(role)
        self.houses.append(house)


def draw_plan(rng: np.random.Generator, *, cornices: bool = True) -> Plan:
    """A terrace of five to seven houses in one style; the target is on one in its middle.

    ``cornices`` False leaves out cornices and string courses, and changes nothing else.
    """
    plan = Plan(style=int(rng.integers(len(STYLES))))
    count = int(rng.integers(5, 8))
    widths = rng.uniform(5.0, 11.0, count)
    ends = np.concatenate([[0], np.cumsum(widths)]) - widths.sum() / 2
    gap = int(rng.integers(1, count)) if rng.random() < 0.3 else -1  # a side street before this house
    for k in range(count):
        left, right = ends[k] + (3.0 if k == gap else 0.0), ends[k + 1]
        tall = _add_house(plan, rng, k, (left, right), cornices)
        if k == count // 2:
            plan.target = np.array([rng.uniform(left, right), -rng.uniform(1.5, max(2.0, 0.85 * tall)), 0.0])
    _add_street(plan, rng, float(ends[0]), float(ends[-1]))
    return plan


def _add_house(plan: Plan, rng: np.random.Generator, house: int, x: tuple[float, float], cornices: bool) -> float:
    """A house between two x; returns how tall its wall is."""
    storey, floors = rng.uniform(2.7, 3.6), int(rng.integers(1, 6))
    tall, front, deep = storey * floors + rng.uniform(0.3, 1.2), rng.uniform(-0.4, 0.4), rng.uniform(7, 11)
    plan.add(Role.WALL, house, x, (-tall, 0), (front, deep))
    bays = max(1, round((x[1] - x[0]) / rng.uniform(1.8, 3.0)))
    pitch, door = (x[1] - x[0]) / bays, int(rng.integers(bays))
    across, down = (share * pitch if i == 0 else share * storey for i, share in enumerate(_window(plan)))
    for level, bay in product(range(floors), range(bays)):
        middle, floor = x[0] + (bay + 0.5) * pitch, -level * storey
        if level == 0 and bay == door:
            plan.add(Role.FRAME, house, (middle - 0.7, middle + 0.7), (-2.4, 0), (front - 0.12, front))
            plan.add(Role.DOOR, house, (middle - 0.5, middle + 0.5), (-2.2, 0), (front - 0.16, front))
            continue
        half, base = across / 2, floor - 0.2 * storey
        plan.add(Role.FRAME, house, (middle - half, middle + half), (base - down, base), (front - 0.1, front))
        inner = (middle - half + 0.14, middle + half - 0.14), (base - down + 0.14, base - 0.14)
        plan.add(Role.PANE, house, *inner, (front - 0.13, front))
        sill = (middle - half - 0.12, middle + half + 0.12), (base, base + 0.14)
        plan.add(Role.SILL, house, *sill, (front - 0.25, front))
    _add_trim(plan, rng, house, x, (storey, floors, tall, front), cornices)
    _add_roof(plan, rng, house, x, (-tall, front, deep))
    return tall


def _window(plan: Plan) -> tuple[float, float]:
    return list(WINDOWS.values())[plan.style % len(WINDOWS)]


def _add_trim(
    plan: Plan,
    rng: np.random.Generator,
    house: int,
    x: tuple[float, float],
    wall: tuple[float, int, float, float],
    cornices: bool,
) -> None:
    """Cornice, string courses and a sign on a wall of (storey, floors, height, front)."""
    storey, floors, tall, front = wall
    deep, courses = rng.uniform(0.2, 0.5), rng.random(floors) < 0.35
    if cornices:
        plan.add(Role.CORNICE, house, x, (-tall, -tall + 0.35), (front - deep, front))
        for level in np.flatnonzero(courses[1:]) + 1:
            at = -level * storey - 0.05
            plan.add(Role.CORNICE, house, x, (at - 0.2, at), (front - 0.14, front))
    chance, left, wide = rng.random(3)
    if chance < 0.25:  # a sign that stands out, along z
        at = x[0] + left * (x[1] - x[0])
        plan.add(Role.SIGN, house, (at - 0.06, at + 0.06), (-4.2, -2.9), (front - 1.3, front - 0.2))
    elif chance < 0.5:  # a flat one, along x
        start = x[0] + 0.5 * left * (x[1] - x[0])
        end = min(x[1], start + (0.3 + 0.5 * wide) * (x[1] - x[0]))
        plan.add(Role.SIGN, house, (start, end), (-3.3, -2.6), (front - 0.2, front))


def _add_roof(
    plan: Plan, rng: np.random.Generator, house: int, x: tuple[float, float], wall: tuple[float, float, float]
) -> None:
    """A ridge along the street, a gable toward it, or a parapet, on a wall of (top, front, back); and a chimney."""
    top, front, deep = wall
    kind, rise, place = rng.integers(3), rng.uniform(1.5, 3.5), rng.random()
    over, middle = ((x[0], x[1]), (front - 0.3, deep)), (front + deep) / 2
    if kind == 0:
        plan.add_between(Role.ROOF, house, over, ((x[0], x[1]), (middle, middle + 0.02)), (top - rise, top))
    elif kind == 1:
        ridge = (x[0] + x[1]) / 2
        plan.add_between(Role.ROOF, house, over, ((ridge, ridge + 0.02), over[1]), (top - rise, top))
    else:
        plan.add(Role.ROOF, house, x, (top - 0.5, top), (front - 0.05, front + 0.3))
    if kind != 2 and place < 0.6:
        at = x[0] + (0.2 + place) * (x[1] - x[0])
        plan.add(Role.ROOF, house, (at - 0.4, at + 0.4), (top - rise - 1.0, top), (middle - 0.4, middle + 0.4))


def _add_street(plan: Plan, rng: np.random.Generator, left: float, right: float) -> None:
    """Road, pavement with its kerb, poles with a wire between them, and trees."""
    wide = (left - 40, right + 40)
    plan.add(Role.STREET, -1, wide, (0.15, 0.3), (-40, 60))
    plan.add(Role.STREET, -1, wide, (0, 0.15), (-3.2, 0.4))
    if rng.random() < 0.5:
        places, tall = np.arange(left - 20, right + 20, rng.uniform(11, 17)) + rng.uniform(0, 9), rng.uniform(5.5, 8)
        for x in places:
            plan.add(Role.POLE, -1, (x - 0.09, x + 0.09), (-tall, 0.0), (-2.8, -2.62))
        for low in (0.2, 0.8):
            plan.add(Role.POLE, -1, (left - 20, right + 20), (low - tall, low - tall + 0.05), (-2.73, -2.68))
    for _ in range(int(rng.integers(0, 3))):
        x, stem, crown = rng.uniform(left, right), rng.uniform(1.8, 3.0), rng.uniform(0.8, 1.6)
        plan.add(Role.POLE, -1, (x - 0.14, x + 0.14), (-stem, 0), (-2.4, -2.1))
        for _ in range(4):
            dx, dz, up = rng.uniform(-0.6, 0.6, 3) * crown
            half, y = crown * rng.uniform(0.5, 0.9), -stem - crown * 0.6 - up
            mid = ((x + dx - half, x + dx + half), (-2.25 + dz - half, -2.25 + dz + half))
            tip = tuple((0.6 * a + 0.4 * b, 0.4 * a + 0.6 * b) for a, b in mid)
            plan.add_between(Role.CROWN, -1, mid, tip, (y - half, y + half))  # type: ignore[arg-type]
