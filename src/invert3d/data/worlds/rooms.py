"""The room world: pictures of rooms and table tops whose truths are planted (``worlds.room_plan``), from a seed.

A picture depends on (seed, index) only. Seeds from ``HELD_OUT`` on show objects that no picture of a smaller seed
shows. It is ray cast, lit by one lamp with shadows. Every object has a box, a mask of what is visible of it, and the
share of it that is visible.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from invert3d.data.worlds.finishes import NEUTRAL, TEXTURES, Finish, draw_finish
from invert3d.data.worlds.labels import alone_pixels
from invert3d.data.worlds.lighting import Weather, ambient, develop
from invert3d.data.worlds.parts import box
from invert3d.data.worlds.room_places import Camera, Placed, clutter_template, draw_camera, place
from invert3d.data.worlds.room_plan import Item, draw_plan
from invert3d.data.worlds.templates import Template, make_template, painted
from invert3d.data.worlds.tracing import Geometry, Hits, Instance, photograph
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import HELD_OUT
from invert3d.registry import unknown

#: an object of which fewer pixels, or a smaller share, are visible is not labeled
LEAST_PIXELS, LEAST_SHARE = 16, 0.25


@dataclass(frozen=True, eq=False)
class Room:
    """One picture and what is in it.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        instances: (S, S) int16, 0 for the background, i + 1 for the i-th object of the layout.
        layout: categories, boxes around what is visible, in pixels from edge to edge, and masks.
        visible: (n,) share of each object's part in the picture that nothing hides, about.
        items: what was planned of each: texture, scale, and on which side of its partner it stands.
        partners: (n,) row of the object that brought it; -1 where none did, or it is not labeled.
    """

    image: np.ndarray
    instances: np.ndarray
    layout: Layout
    visible: np.ndarray
    items: tuple[Item, ...]
    partners: np.ndarray


def check_room(index: int, size: int, seed: int) -> None:
    """Raise ValueError for a negative index or seed, or pictures of fewer than 64 pixels a side."""
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed must not be negative, got {index} and {seed}")
    if size < 64:
        raise ValueError(f"size: got {size}, accepted are 64 pixels and more")


def make_room(
    index: int,
    *,
    size: int = 160,
    seed: int = 0,
    textures: Mapping[int, str] | None = None,
    without: Collection[int] = (),
) -> Room:
    """Picture ``index`` of a seed.

    Args:
        index: number of the picture, not negative.
        size: its height and width in pixels.
        seed: not negative; fixes all pictures.
        textures: other textures for some objects, by their rows in the layout: the same picture otherwise.
        without: rows of objects that are taken away, with their shadows: the same picture otherwise.

    Raises:
        ValueError: a negative index or seed, a picture smaller than 64 pixels, an unknown texture or row.
    """
    check_room(index, size, seed)
    camera, placed, finishes = _plan(index, size, seed)
    room, rows = _render(camera, placed, finishes, (seed, index))
    if not textures and not without:
        return room
    for name, asked in {"textures": textures or {}, "without": without}.items():
        for row in asked:
            if not 0 <= row < len(rows):
                raise ValueError(f"{name}: row {row} is not one of the {len(rows)} objects")
    for row, texture in (textures or {}).items():
        if texture not in TEXTURES:
            raise ValueError(unknown("texture", texture, TEXTURES))
        finishes[rows[row]] = replace(finishes[rows[row]], texture=texture)
    return _render(camera, placed, finishes, (seed, index), {int(rows[row]) for row in without})[0]


def _plan(index: int, size: int, seed: int) -> tuple[Camera, list[Placed], list[Finish]]:
    rng = np.random.default_rng([seed, index, 111])
    camera = draw_camera(rng, size)
    placed = place(rng, camera, draw_plan(rng), unseen=seed >= HELD_OUT)
    return camera, placed, [draw_finish(rng, each.item.texture) for each in placed]


def _render(
    camera: Camera,
    placed: Sequence[Placed],
    finishes: Sequence[Finish],
    seed: tuple[int, int],
    without: Collection[int] = (),
) -> tuple[Room, np.ndarray]:
    """The picture without some of the placed objects (places, from 0), and which of them are in its layout."""
    rng = np.random.default_rng([*seed, 112])
    objects = [each.instance(k + 1) for k, each in enumerate(placed)]
    scenery = _scenery(rng, camera, placed)
    light = make_light(rng)
    there = [pair for k, pair in enumerate(zip(objects, finishes, strict=True)) if k not in without] + scenery
    stage = RoomStage([each for each, _ in there], [finish for _, finish in there], light)
    radiance, hits = photograph(stage, camera.projection, camera.size, camera.size)
    numbers = stage.numbers_of(hits).reshape(camera.size, camera.size)
    room, rows = _labeled(develop(light, radiance, rng), numbers, placed, objects, camera)
    return room, rows


def _scenery(rng: np.random.Generator, camera: Camera, placed: Sequence[Placed]) -> list[tuple[Instance, Finish]]:
    """Floor and walls, or a table before a far wall, and clutter between the objects; each with its finish."""
    end = camera.ground(0, camera.far)[0][2]
    slab = Instance(_slab(), (0.0, 0.0, end - 25.0), 0.0)
    wall = Instance(_slab(upright=True), (0.0, 0.0, end if camera.wall else end + rng.uniform(2, 5)), 0.0)
    found = [(each, _finish(rng, NEUTRAL)) for each in (slab, wall)]
    for _ in range(int(rng.integers(2, 7))):
        u, v = rng.uniform(0, camera.size), rng.uniform(camera.far, camera.size)
        spot, depth = camera.ground(u, v)
        length = camera.size * np.exp(rng.uniform(np.log(0.04), np.log(0.2))) * depth / camera.focal
        gaps = [np.hypot(*(spot - each.spot)[[0, 2]]) - 0.45 * (length + each.length) for each in placed]
        if min(gaps, default=1.0) < 0 or spot[2] + length / 2 > end:
            continue
        x, y, z = spot
        thing = Instance(clutter_template(int(rng.integers(40))), (x, y, z), rng.uniform(0, 6.3), scale=length)
        found.append((thing, _finish(rng, TEXTURES)))
    return found


def _finish(rng: np.random.Generator, textures: Sequence[str]) -> Finish:
    return draw_finish(rng, textures[int(rng.integers(len(textures)))])


@cache
def _slab(upright: bool = False) -> Template:
    """The floor below y = 0, or a wall that begins at z = 0, both wider than a camera sees."""
    part = box((0, 0.1), (-30, 30), (-30, 30)) if upright else box((-25, 25), (-30, 30), (-0.2, 0))
    return make_template(painted([part], (0.5, 0.5, 0.5)), centered=False)


def make_light(rng: np.random.Generator) -> Weather:
    """The light of a room: one lamp far away, above and on the camera's side, and as much again from all around."""
    rise, around = np.radians(rng.uniform(35, 75)), rng.uniform(0, 2 * np.pi)
    lamp = np.array([np.cos(rise) * np.sin(around), -np.sin(rise), -np.cos(rise) * np.cos(around)])
    sky = np.array([0.62, 0.64, 0.68]) * rng.uniform(0.7, 1.3)
    return Weather(
        sun=lamp.astype(np.float32),
        sunlight=(np.array([1.0, 0.95, 0.87]) * rng.uniform(0.7, 1.5)).astype(np.float32),
        zenith=sky.astype(np.float32),
        horizon=sky.astype(np.float32),
        clouds=0.0,
        drift=np.zeros(2, np.float32),
        haze=0.0,
        hard=True,
        exposure=rng.uniform(0.8, 1.25),
        balance=np.exp(rng.normal(0, 0.04, 3)).astype(np.float32),
        grain=rng.uniform(0.004, 0.012),
    )


class RoomStage(Geometry):
    """All instances of a room, each with its finish, in its light."""

    def __init__(self, instances: Sequence[Instance], finishes: Sequence[Finish], light: Weather) -> None:
        super().__init__(instances, np.array([0.0, -1.0, 0.0]))
        self.finishes, self.light = finishes, light

    def shade(self, rays: np.ndarray, hits: Hits) -> np.ndarray:
        """(N, 3) float32 radiance seen along rays from the eye; dark where they meet nothing."""
        radiance = np.full((len(rays), 3), 0.02, np.float32)
        seen = np.flatnonzero(hits.face >= 0)
        face, flat = hits.face[seen], hits.normal[seen]
        who = self.owner[face]
        points = self.eye + rays[seen] * hits.depth[seen, None]
        normal = self.smooth(face, who, hits.u[seen], hits.v[seen], flat)
        place = self.local(points - self.centers[who], who) / self.scales[who, None]
        albedo = np.empty((len(seen), 3), np.float32)
        for number in np.unique(who):
            rows = np.flatnonzero(who == number)
            albedo[rows] = self.finishes[number].color(place[rows])
        toward = np.clip(normal @ self.light.sun, 0, 1)
        lit = np.flatnonzero((toward > 0) & (flat @ self.light.sun > 0))
        start = points[lit] + flat[lit] * np.float32(0.004)
        sun = np.ascontiguousarray(np.broadcast_to(self.light.sun, start.shape))
        direct = np.zeros(len(seen), np.float32)
        direct[lit] = toward[lit] * ~self.tracer.blocked(start, sun)
        light = direct[:, None] * self.light.sunlight + ambient(self.light, normal, np.ones(len(seen), np.float32))
        radiance[seen] = albedo * light
        return radiance


def _labeled(
    image: np.ndarray, numbers: np.ndarray, placed: Sequence[Placed], objects: Sequence[Instance], camera: Camera
) -> tuple[Room, np.ndarray]:
    """The room with the labels of what can be seen, and which objects these are."""
    counts = np.bincount(numbers.ravel(), minlength=len(placed) + 1)[1:]
    boxes = [np.clip(each.box(camera), 0, camera.size) for each in placed]
    alone = [alone_pixels(o, camera.projection, b) for o, b in zip(objects, boxes, strict=True)]
    shares = np.minimum(counts / np.maximum(alone, 1.0), 1.0)
    rows = np.flatnonzero((counts >= LEAST_PIXELS) & (shares >= LEAST_SHARE))
    masks = numbers[None] == rows[:, None, None] + 1
    items = [placed[int(k)] for k in rows]
    table = np.zeros(len(placed) + 1, np.int16)
    table[rows + 1] = np.arange(1, len(rows) + 1)
    layout = Layout.of_boxes(
        [each.item.name for each in items],
        torch.from_numpy(np.array([_around(mask) for mask in masks], np.float32).reshape(-1, 4)),
        camera.size,
        camera.size,
        masks=torch.from_numpy(masks),
    )
    partners = np.array([table[each.partner + 1] - 1 for each in items], np.int64)
    return Room(image, table[numbers], layout, shares[rows], tuple(each.item for each in items), partners), rows


def _around(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom edges of what a mask (H, W) covers."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
