"""The street world: photographs of streets with exact KITTI labels, made from a seed with nothing to download.

A frame depends on (seed, index) only. Its picture is ray cast: sun, sky, cast shadows, reflections, haze. Boxes,
depth, masks and LiDAR come from the same geometry. Coordinates are KITTI's, see ``invert3d.ops.boxes``.
"""

from dataclasses import dataclass, field
from itertools import count

import numpy as np

from invert3d.data.worlds.composition import cast_objects
from invert3d.data.worlds.labels import label_objects
from invert3d.data.worlds.lidar import scan_street
from invert3d.data.worlds.lighting import develop, make_weather
from invert3d.data.worlds.road import make_road
from invert3d.data.worlds.roadside import furnish
from invert3d.data.worlds.stage import Stage
from invert3d.data.worlds.terrain import ground_instance
from invert3d.data.worlds.tracing import photograph
from invert3d.ops.layouts import Layout

KINDS = ("Car", "Van", "Pedestrian", "Cyclist")
_STYLES = ("city", "suburb", "country", "highway", "lot")


@dataclass(frozen=True, eq=False)
class Frame:
    """One street, as its camera sees it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 m along the optical axis, what ``ops.boxes.project`` calls depth; inf for the sky.
        instances: (H, W) int16, 0 for the background, i + 1 for the i-th object of the layout.
        layout: the labels: Car, Van, Pedestrian, Cyclist; boxes are the projected extents of the meshes.
        scan: (N, 4) float32 LiDAR x y z reflectance in KITTI's velodyne coordinates, (0, 4) unless asked for.
    """

    image: np.ndarray
    depth: np.ndarray
    instances: np.ndarray
    layout: Layout
    scan: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def make_projection(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(3, 4) P2 of a camera like KITTI's: focal length 721 px on 1242, the fourth column of its left color camera."""
    scale = width / 1242
    focal = 721.54 * rng.uniform(0.985, 1.015)
    across = 1242 * (0.49 + rng.uniform(-0.01, 0.01))
    down = height / scale * (0.47 + rng.uniform(-0.01, 0.01))
    usual = np.array([[focal, 0, across, 44.86], [0, focal, down, 0.2163], [0, 0, 1, 0.002746]])
    shift = (scale - 1) / 2  # whole pixels scale, not their middles
    return np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1]]) @ usual


def check_size(height: int, width: int) -> None:
    """Refuse pictures too small to show anything. ValueError below 16 x 32 pixels."""
    if height < 16 or width < 32:
        raise ValueError(f"size: got {height}x{width}, accepted is 16x32 and larger")


def make_frame(
    index: int, *, height: int = 384, width: int = 1280, seed: int = 0, clutter: bool = False, scan: bool = False
) -> Frame:
    """Frame ``index`` of a seed, with at least one object.

    Args:
        index: number of the frame, not negative.
        height, width: of the picture in pixels. Sizes of one shape show the same scene.
        seed: not negative; fixes all frames.
        clutter: many cars close together: a jam, a crowded street or a car park.
        scan: also make a LiDAR scan.

    Raises:
        ValueError: a negative index or seed, or a picture smaller than 16 x 32.
    """
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed must not be negative, got {index} and {seed}")
    check_size(height, width)
    draws = (np.random.default_rng([seed, index, attempt, clutter]) for attempt in count())
    frames = (_attempt(rng, height, width, clutter, scan) for rng in draws)
    return next(frame for frame in frames if len(frame.layout))


def _attempt(rng: np.random.Generator, height: int, width: int, clutter: bool, scan: bool) -> Frame:
    scene, film, beams = rng.spawn(3)
    chance = [0.3, 0, 0, 0.35, 0.35] if clutter else [0.42, 0.34, 0.1, 0.1, 0.04]
    style = str(scene.choice(_STYLES, p=chance))
    projection = make_projection(scene, height, width)
    weather = make_weather(scene)
    road = make_road(scene, style)
    focal = float(projection[0, 0])
    cast = cast_objects(scene, road, style, clutter, 16 * focal / 721)
    instances = [ground_instance(road), *furnish(scene, road, style, cast), *cast.instances]
    stage = Stage(instances, road, weather, focal, -np.linalg.solve(projection[:, :3], projection[:, 3]))
    radiance, hits = photograph(stage, projection, height, width)
    image = develop(weather, radiance, film)
    numbers = stage.numbers_of(hits).reshape(height, width)
    layout, kept = label_objects(cast.kinds, cast.instances, numbers, projection)
    table = np.zeros(len(cast.instances) + 1, np.int16)
    table[kept + 1] = np.arange(1, len(kept) + 1)
    points = scan_street(stage, beams) if scan else np.zeros((0, 4), np.float32)
    return Frame(image, hits.depth.reshape(height, width), table[numbers], layout, points)
