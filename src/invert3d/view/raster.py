"""Pictures of clouds and grids in NumPy alone: every point a small shaded sphere or cube, no OpenGL and no display.

`splat` finds, pixel by pixel, the sphere nearest to the eye, shades it as a sphere and then darkens what lies
behind its surroundings, near and far. The second is eye-dome lighting (Boucheny, "Visualisation scientifique
de grands volumes de donnees", 2009), read here at two radii: the small one draws outlines, the large one
stands in for ambient occlusion.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from invert3d.view.camera import THREE_QUARTER, Camera, checked_points, to_z_up
from invert3d.view.color import LIGHT, colorize, rgb

_SAMPLES = 2  # of a pixel along each side
_CANDIDATES = 4_000_000  # pixels of sphere footprints handled at a time
_LIGHT = np.array([-0.42, 0.62, 0.663])  # a unit vector toward the light: right, up, toward the eye


@dataclass(frozen=True, kw_only=True)
class _Screen:
    """Spheres in the picture: center `x`, `y` and `radius` in pixels; `depth` and `ball` in world units.

    Where `axes` (the camera's) are given, each sphere stands for the cube inside it, upright in the world.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    depth: np.ndarray
    ball: float
    size: tuple[int, int]
    axes: np.ndarray | None = None

    def surface(self, across: np.ndarray, upward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is at a place (n,) of a footprint, in radii from its center: how far the surface stands out toward the
        eye, in radii, NaN beside it; and its normal (n, 3): right, up, toward the eye."""
        if self.axes is None:
            toward = np.sqrt(np.maximum(1 - across**2 - upward**2, 0))
            return toward, np.stack([across, upward, toward], axis=1)
        half = 1 / np.sqrt(3)
        start = across[:, None] * self.axes[0] + upward[:, None] * self.axes[1]
        eye = np.where(np.abs(self.axes[2]) < 1e-9, 1e-9, self.axes[2])
        far = (np.copysign(half, eye) - start) / eye  # where the line leaves the slab of each axis, toward the eye
        face = far.argmin(axis=1)
        nearest = far[np.arange(len(far)), face]
        missed = nearest < ((-np.copysign(half, eye) - start) / eye).max(axis=1)
        return np.where(missed, np.nan, nearest), (self.axes.T * np.copysign(1.0, eye)[:, None])[face]


def splat(
    points: np.ndarray,
    *,
    camera: Camera = THREE_QUARTER,
    size: tuple[int, int] = (320, 320),
    radius: float = 0.03,
    cube: float | None = None,
    values: np.ndarray | None = None,
    colors: np.ndarray | None = None,
    shadow: bool = True,
) -> np.ndarray:
    """A picture of a cloud on a transparent background: (H, W, 4) uint8, alpha not multiplied in.

    Args:
        points: (N, 3) in world units.
        camera: the view; `Camera.around(points)` fits one to a cloud of any size.
        size: (width, height) in pixels.
        radius: of a point, world units.
        cube: draw upright cubes of this edge length instead, world units.
        values: (N,) numbers for the sequential map; by default the height of each point.
        colors: (N, 3) uint8, instead of `values`.
        shadow: whether the cloud casts a soft shadow on the ground below its lowest point.

    Raises:
        ValueError: an array has another shape or a number that is not finite, or a size is not positive.
    """
    points = checked_points(points)
    radius = radius if cube is None else cube * np.sqrt(3) / 2
    _check_sizes(size, radius, camera)
    paint = point_colors(points, values=values, colors=colors, up=camera.up)
    fine = (size[0] * _SAMPLES, size[1] * _SAMPLES)
    screen = replace(_project(points, camera, fine, radius), axes=None if cube is None else camera.axes())
    picture = np.zeros((fine[1], fine[0], 4), np.float32)
    depth, owner = _nearest(screen)
    covered = np.nonzero(owner >= 0)
    if len(covered[0]):
        lit = _shade(screen, covered, owner[covered], paint)
        outline, haze = _recession(depth, covered, screen)
        fog = np.array(rgb(LIGHT.surface), np.float32) / 255
        picture[*covered, :3] = lit * (outline * (1 - haze))[:, None] + fog * haze[:, None]
        picture[*covered, 3] = 1
    picture = picture.reshape(size[1], _SAMPLES, size[0], _SAMPLES, 4).mean(axis=(1, 3))
    if shadow:
        picture += (1 - picture[..., 3:]) * _ground_shadow(points, camera, size)
    picture[..., :3] /= np.maximum(picture[..., 3:], 1e-6)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def point_colors(
    points: np.ndarray,
    *,
    values: np.ndarray | None = None,
    colors: np.ndarray | None = None,
    up: Literal["z", "y"] = "z",
) -> np.ndarray:
    """The color of every point, (N, 3) uint8: `colors` as given, else `values` or the height on the map.

    Raises:
        ValueError: both are given, or the one given does not fit (N, 3) or (N,).
    """
    count = len(points)
    if values is not None and colors is not None:
        raise ValueError("values, colors: got both, accepted is one of them")
    if colors is not None:
        colors = np.asarray(colors)
        if colors.shape != (count, 3) or colors.dtype != np.uint8:
            raise ValueError(f"colors: got {colors.shape} {colors.dtype}, accepted is ({count}, 3) uint8")
        return colors
    if values is None:
        return colorize(points[:, 2 if up == "z" else 1])
    values = np.asarray(values)
    if values.shape != (count,):
        raise ValueError(f"values: got shape {values.shape}, accepted is ({count},), one number a point")
    return colorize(values)


def _check_sizes(size: tuple[int, int], radius: float, camera: Camera) -> None:
    """Refuse what no picture can be made of."""
    if len(size) != 2 or min(size) < 1 or max(size) > 16_384:
        raise ValueError(f"size: got {size}, accepted is (width, height) with 1 to 16384 pixels each")
    if not (0 < radius < np.inf):
        raise ValueError(f"radius: got {radius}, accepted is a positive number of world units")
    if not (camera.height > 0 and camera.distance > 0):
        raise ValueError(f"camera: got height {camera.height}, distance {camera.distance}, accepted is > 0")


def _project(points: np.ndarray, camera: Camera, size: tuple[int, int], radius: float) -> _Screen:
    """Spheres of one world radius as seen by the camera; those behind the eye come out with radius 0."""
    right, upward, toward = ((points - np.asarray(camera.look_at)) @ camera.axes().T).T
    ahead = 1 - toward / camera.distance
    seen = ahead > 1e-3
    scale = np.where(seen, size[1] / camera.height / np.where(seen, ahead, 1), 0)
    x, y = size[0] / 2 + right * scale, size[1] / 2 - upward * scale
    return _Screen(x=x, y=y, radius=radius * scale, depth=-toward, ball=radius, size=size)


def _nearest(screen: _Screen) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) depth of the nearest sphere surface and the index of its sphere; infinity and -1 where none is.

    Depth and index share one 64-bit key, so that one `minimum.at` settles both and a tie always falls the same way.
    """
    width, height = screen.size
    empty = np.uint64(2**64 - 1)
    keys = np.full(width * height, empty)
    low = screen.depth.min() - screen.ball
    quantum = (screen.depth.max() + screen.ball - low) / (2**32 - 2)
    reach = int(np.ceil(screen.radius.max()))
    steps = np.arange(-reach, reach + 1) + 0.5
    chunk = max(1, _CANDIDATES // len(steps) ** 2)
    for start in range(0, len(screen.x), chunk):
        x, y, radius = (each[start : start + chunk, None] for each in (screen.x, screen.y, screen.radius))
        across, down = ((np.floor(center) - center + steps).astype(np.float32) for center in (x, y))
        gone = (down**2)[:, :, None] + (across**2)[:, None, :]
        spot = np.flatnonzero(gone < (radius**2).astype(np.float32)[..., None])
        point, below, beside = np.unravel_index(spot, gone.shape)
        row, column = (
            np.floor(center[point, 0] + steps[step]).astype(np.int64)
            for center, step in ((np.floor(y), below), (np.floor(x), beside))
        )
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        point, pixel = point[inside], (row * width + column)[inside]
        beyond = across[point, beside[inside]] / radius[point, 0]
        bulge = screen.surface(beyond, -down[point, below[inside]] / radius[point, 0])[0] * screen.ball
        met = np.isfinite(bulge)
        point, pixel, bulge = point[met], pixel[met], bulge[met]
        rank = ((screen.depth[point + start] - bulge - low) / quantum).astype(np.uint64)
        np.minimum.at(keys, pixel, (rank << np.uint64(32)) | (point + start).astype(np.uint64))
    hit = keys != empty
    depth = np.where(hit, (keys >> np.uint64(32)) * quantum + low, np.inf)
    owner = np.where(hit, (keys & np.uint64(2**32 - 1)).astype(np.int64), -1)
    return depth.reshape(height, width).astype(np.float32), owner.reshape(height, width)


def _shade(screen: _Screen, covered: tuple[np.ndarray, ...], owner: np.ndarray, paint: np.ndarray) -> np.ndarray:
    """(n, 3) lit colors, 0-1, of the n covered pixels, each taken as the patch of its own shape."""
    row, column = covered
    radius = screen.radius[owner]
    across = (column + 0.5 - screen.x[owner]) / radius
    upward = (screen.y[owner] - row - 0.5) / radius
    lambert = np.maximum(screen.surface(across, upward)[1] @ _LIGHT, 0).astype(np.float32)
    light, gloss = 0.76 + 0.36 * lambert, 0.18 * lambert**18
    return np.minimum(paint[owner] / np.float32(255) * light[:, None] + gloss[:, None], 1)


def _recession(depth: np.ndarray, covered: tuple[np.ndarray, ...], screen: _Screen) -> tuple[np.ndarray, np.ndarray]:
    """What each covered pixel loses by lying behind its surroundings, (n,) both.

    The first, in (0, 1], darkens what is just behind a near neighbor: outlines. The second, in [0, 1), is the
    share of haze over what is far behind a wide neighborhood or simply far away.
    """
    row, column = covered
    pixels = float(np.median(screen.radius[screen.radius > 0]))
    own = depth[covered]
    lost = []
    for reach, tolerance, count in ((1.0, 2.5, 8), (3.6, 12.0, 20)):
        edge = int(np.ceil(reach * pixels)) + 1
        padded = np.pad(depth, edge, constant_values=np.inf).ravel()
        here = (row + edge) * (depth.shape[1] + 2 * edge) + column + edge
        behind = np.zeros_like(own)
        for turn in np.arange(count) + 0.5:  # a sunflower of neighbors, from the middle outward
            step = reach * pixels * np.sqrt(turn / count) * np.exp(1j * 2.39996 * turn)
            near = padded[here + round(step.imag) * (depth.shape[1] + 2 * edge) + round(step.real)]
            behind += np.clip(own - near, 0, tolerance * screen.ball)
        lost.append(1 - np.exp(-4.4 * behind / (count * tolerance * screen.ball)))
    away = (own - own.min()) / max(float(np.ptp(own)), 6 * screen.ball)
    return 1 - 0.5 * lost[0], 0.52 * lost[1] + 0.18 * away * (1 - lost[1])


def _ground_shadow(points: np.ndarray, camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 4) premultiplied: the cloud pressed onto the ground below it, blurred."""
    from scipy.ndimage import uniform_filter

    ground = to_z_up(points, camera.up).copy()
    ground[:, 2] = ground[:, 2].min()
    feet = _project(to_z_up(ground, camera.up, inverse=True), camera, size, 1.0)
    pile, _, _ = np.histogram2d(feet.y, feet.x, bins=(size[1], size[0]), range=((0, size[1]), (0, size[0])))
    reach = max(1, round(0.02 * size[1]))
    for _ in range(2):
        pile = uniform_filter(pile, 2 * reach + 1, mode="constant")
    pile *= size[1] ** 2 / len(points)
    rim = np.clip((size[1] - np.arange(size[1])) / (0.07 * size[1]), 0, 1)  # no shadow is cut by the lower edge
    alpha = 0.34 * (1 - np.exp(-0.09 * pile)) * rim[:, None]
    return (alpha[..., None] * [*np.array(rgb(LIGHT.shadow)) / 255, 1]).astype(np.float32)
