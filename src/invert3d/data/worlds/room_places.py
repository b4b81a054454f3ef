"""Where the objects of a room stand: before a camera that looks down at the floor, partners beside each other."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from invert3d.data.worlds.labels import extent_of
from invert3d.data.worlds.parts import block, cylinder, ellipsoid
from invert3d.data.worlds.room_plan import Item, shape_of
from invert3d.data.worlds.shapes import CATEGORIES as SHAPES
from invert3d.data.worlds.shapes import make_parts
from invert3d.data.worlds.templates import Template, make_template, painted
from invert3d.data.worlds.tracing import Instance

#: members of each category, and as many that are unseen
POOL = 40
_TRIES = 80


@dataclass(frozen=True)
class Camera:
    """A camera at height 1 over the floor, tilted down by ``tilt`` (radians); ``focal`` and ``size`` in pixels.

    ``far`` is the pixel row at which the wall, or the end of the table, begins; ``wall`` says which of the two.
    """

    size: int
    focal: float
    tilt: float
    far: float
    wall: bool

    @property
    def turn(self) -> np.ndarray:
        """(3, 3) from world axes (x right, y down, z ahead, the floor at y = 0) to camera axes."""
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])

    @property
    def projection(self) -> np.ndarray:
        """(3, 4)."""
        middle = (self.size - 1) / 2
        inner = np.array([[self.focal, 0, middle], [0, self.focal, middle], [0, 0, 1]])
        return inner @ np.concatenate([self.turn, self.turn @ np.array([[0.0], [1.0], [0.0]])], 1)

    def ground(self, u: float, v: float) -> tuple[np.ndarray, float]:
        """The place (3,) on the floor that a pixel shows, and its depth: a length s there is s focal / depth pixels."""
        middle = (self.size - 1) / 2
        ray = self.turn.T @ np.array([(u - middle) / self.focal, (v - middle) / self.focal, 1.0])
        return np.array([0.0, -1.0, 0.0]) + ray / ray[1], float(1 / ray[1])


def draw_camera(rng: np.random.Generator, size: int) -> Camera:
    """A camera at random, over a floor that ends at a wall, or over a table."""
    return Camera(
        size=size,
        focal=size * rng.uniform(1.15, 1.35),
        tilt=np.radians(rng.uniform(32, 44)),
        far=size * rng.uniform(0.08, 0.26),
        wall=bool(rng.random() < 0.6),
    )


@cache
def shape_template(shape: str, member: int) -> Template:
    """The ``member`` of a shape, its longest side 1 long."""
    rng = np.random.default_rng([109, SHAPES.index(shape), member])
    return _unit(make_template(painted(make_parts(shape, rng), (0.5, 0.5, 0.5)), smooth=45))


@cache
def clutter_template(member: int) -> Template:
    """One of the things that are no category: a box, a ball or a drum, its longest side 1 long."""
    rng = np.random.default_rng([110, member])
    a, b, c = rng.uniform(0.15, 0.5, 3)
    kinds = (
        block(a, b, (0, 2 * c)),
        ellipsoid((0, 0, c), (a, b, c)),
        cylinder(a, (0, 2 * c), top=a * rng.uniform(0.3, 1)),
    )
    return _unit(make_template(painted([kinds[int(rng.integers(3))]], (0.5, 0.5, 0.5)), smooth=45))


def _unit(template: Template) -> Template:
    longest = max(template.size)
    high, wide, long = (side / longest for side in template.size)
    return replace(template, vertices=template.vertices / np.float32(longest), size=(high, wide, long))


@dataclass(frozen=True)
class Placed:
    """An item with its member of the category, where it stands (3,), its length and its heading; its partner's row."""

    item: Item
    member: int
    spot: np.ndarray
    length: float
    yaw: float
    partner: int = -1

    def instance(self, number: int) -> Instance:
        """The item as a part of the scene."""
        template = shape_template(shape_of(self.item.name), self.member)
        x, y, z = self.spot
        return Instance(template, (x, y, z), self.yaw, number=number, scale=self.length)

    def box(self, camera: Camera) -> np.ndarray:
        """(4,) its extent in pixels, not clipped."""
        return extent_of(self.instance(0), camera.projection)


def place(rng: np.random.Generator, camera: Camera, groups: list[list[Item]], unseen: bool = False) -> list[Placed]:
    """The items of a plan in their places, the largest first; a group for which there is no room is left out.

    ``unseen`` ones are members of their categories that the other rooms do not show.
    """
    first = POOL if unseen else 0
    placed: list[tuple[Placed, np.ndarray]] = []  # with its box
    for group in sorted(groups, key=lambda items: -sum(item.size for item in items)):
        for _ in range(_TRIES):
            found = [(each, each.box(camera)) for each in _try_group(rng, camera, group, len(placed), first)]
            if found and all(_fits(camera, *each, placed) for each in found):
                placed += found
                break
    return [each for each, _ in placed]


def _try_group(rng: np.random.Generator, camera: Camera, group: list[Item], row: int, first: int) -> list[Placed]:
    """A group somewhere on the floor, its partner beside its first object, with members from ``first`` on."""
    found = []
    for item in group:
        pixels = item.size * camera.size
        if item.side is None:
            u, v = rng.uniform(0, camera.size), rng.uniform(camera.far, camera.size * 1.05)
        else:
            u, v = _beside(rng, camera, found[0], item.side, pixels)
        spot, depth = camera.ground(u, v)
        yaw = np.pi / 2 + np.radians(rng.uniform(-75, 75))
        partner = -1 if item.side is None else row
        found.append(Placed(item, first + int(rng.integers(POOL)), spot, pixels * depth / camera.focal, yaw, partner))
    return found


def _beside(rng: np.random.Generator, camera: Camera, first: Placed, side: str, pixels: float) -> tuple[float, float]:
    """The pixel at which the partner of an object stands."""
    x, y, z = first.spot
    gap = 0.5 * (first.length + pixels * first.length / (first.item.size * camera.size)) * rng.uniform(0.95, 1.2)
    aside = rng.normal(0, 0.12) * gap
    moves = {"left": (-gap, aside), "right": (gap, aside), "above": (aside, gap), "below": (aside, -gap)}
    u, v, w = camera.projection @ np.array([x + moves[side][0], y, z + moves[side][1], 1.0])
    return u / w, v / w


def _fits(camera: Camera, one: Placed, whole: np.ndarray, others: list[tuple[Placed, np.ndarray]]) -> bool:
    """Whether most of an object is in the picture, before the wall, and it neither cuts nor hides another. ``whole``
    is its box (4,), not clipped, and the others have theirs."""
    if _area(np.clip(whole, 0, camera.size)) < 0.85 * _area(whole):
        return False
    if one.spot[2] + 0.5 * one.length > camera.ground(0, camera.far)[0][2]:
        return False
    for other, theirs in others:
        if np.hypot(*(one.spot - other.spot)[[0, 2]]) < 0.42 * (one.length + other.length):
            return False
        shared = np.concatenate([np.maximum(whole[:2], theirs[:2]), np.minimum(whole[2:], theirs[2:])])
        if _area(shared) > 0.4 * min(_area(whole), _area(theirs)):
            return False
    return True


def _area(box: np.ndarray) -> float:
    return float(np.prod(np.clip(box[2:] - box[:2], 0, None)))
