"""The look of what a ray hits: noise, asphalt with its lines, pavements, grass, leaves, roofs. Colors are linear."""

from functools import cache

import numpy as np

from invert3d.data.worlds.colors import linear
from invert3d.data.worlds.road import Road

_TILE = 256


@cache
def _patches() -> np.ndarray:
    """(65536, 4) float32 of (256, 256) texels of fractal noise that repeats, of mean 0 and deviation 1: between four
    texels it is 1, a, b, ab times these, a and b from 0 to 1."""
    rng = np.random.default_rng(7)
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None]) * _TILE
    shape = np.where(frequency > 2, 1 / np.maximum(frequency, 1) ** 1.15, 0)
    waves = shape * np.exp(2j * np.pi * rng.random(shape.shape))
    tile = np.fft.irfft2(waves, (_TILE, _TILE))
    tile = ((tile - tile.mean()) / tile.std()).astype(np.float32)
    down, right = np.roll(tile, -1, 0), np.roll(tile, -1, 1)
    both = np.roll(down, -1, 1)
    return np.stack([tile, down - tile, right - tile, both - down - right + tile], -1).reshape(-1, 4)


def noise(u: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
    """Noise at (u, v), ``scale`` texels a unit, interpolated: mean 0, deviation about 1."""
    u, v = u * np.float32(scale), v * np.float32(scale)
    fu, fv = np.floor(u), np.floor(v)
    i, j = fu.astype(np.int32) & (_TILE - 1), fv.astype(np.int32) & (_TILE - 1)
    a, b = u - fu, v - fv
    patch = _patches().take(i * _TILE + j, axis=0)
    return patch[:, 0] + a * patch[:, 1] + b * (patch[:, 2] + a * patch[:, 3])


def hashed(*numbers: np.ndarray | float) -> np.ndarray:
    """A number in [0, 1) that looks random, from whole numbers."""
    weights = (0.6180340, 0.7548777, 0.5698403, 0.3247180)
    total = sum(np.asarray(n, dtype=np.float32) * np.float32(w) for n, w in zip(numbers, weights, strict=False))
    part = total - np.floor(total)
    part = part * (part + np.float32(33.33)) * np.float32(97.1)
    return part - np.floor(part)


def line(distance: np.ndarray, half: float, blur: np.ndarray) -> np.ndarray:
    """How much of a pixel ``blur`` wide a line covers, ``distance`` from its middle."""
    return np.clip((half - np.abs(distance)) / blur + 0.5, 0, 1) * np.minimum(1, 2 * half / blur)


def _dashes(s: np.ndarray, period: float, long: float, blur: np.ndarray) -> np.ndarray:
    """Coverage of dashes along s."""
    inside = np.abs((s + 1.7) % period - period / 2)
    soft = np.clip((long / 2 - inside) / blur + 0.5, 0, 1)
    share = np.clip(blur / period, 0, 1)
    return soft * (1 - share) + long / period * share


def _markings(road: Road, s: np.ndarray, t: np.ndarray, near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Coverage of white paint on the road; near, far: the size of a pixel across and along, in meters."""
    if road.lot:
        row = np.abs(np.abs(t) - 8.35) < 5.1
        return np.where(row, line((s + 1.25) % 2.5 - 1.25, 0.05, near * 1.5), 0) + line(np.abs(t) - 8.35, 0.05, near)
    paint = np.zeros_like(s)
    for edge in (road.left + 0.12, road.right - 0.12):
        paint = np.maximum(paint, line(t - edge, 0.06, near))
    for lane in road.lanes:
        paint = np.maximum(paint, line(t - lane, 0.065, near) * _dashes(s, 9.0, 3.6, far))
    if road.middle is not None:
        paint = np.maximum(paint, line(t - road.middle, 0.065, near) * _dashes(s, 6.0, 3.3, far))
    if road.crossing is not None:
        away = np.abs(s - road.crossing) - road.side_width / 2
        paint = np.where(away < 0.6, 0, paint)
        if road.zebra:
            stripes = line((t + 50) % 1.1 - 0.55, 0.27, near)
            paint = np.where((away > 0.8) & (away < 3.8), stripes, np.where((away >= 0.6) & (away < 5), 0, paint))
        stop = (away > 4.6) & (away < 5.1) & ((s < road.crossing) == (t > 0))
        paint = np.maximum(paint, stop.astype(np.float32))
    return paint


def ground_color(road: Road, points: np.ndarray, focal: float) -> np.ndarray:
    """(N, 3) colors of the road, kerbs, pavements and verges at camera coordinates points (N, 3); focal in pixels."""
    x, y, z = points.T
    s, t = road.locate(x, z)
    depth = np.sqrt(x * x + z * z)
    near = np.maximum(depth / focal, 1e-3)
    far = near * np.maximum(depth, 1) / road.height
    fine = noise(s, t, 22) * np.clip(0.025 / near, 0, 1)
    coarse = noise(s, t, 1.7)
    middle = noise(t, s, 7)
    left, right = road.edges
    tone = road.tone * (1 + 0.10 * coarse + 0.11 * fine + 0.05 * middle)
    gray = tone * (1 - np.float32(0.22) * (hashed(np.floor(s / 9), np.floor(t / 3.1)) > 0.86))
    if not road.lot:
        gray = gray * (1 - 0.08 * np.cos((t - road.camera) * np.float32(2 * np.pi / 1.6)))
    color = gray[:, None] * np.array([1.0, 0.99, 0.97], np.float32)
    on_road = (t > road.left) & (t < road.right)
    paint = _markings(road, s, t, near, far) * on_road
    paint = paint * np.clip(1.05 - road.wear * (0.6 + 0.5 * middle), 0.1, 1)
    color = color + paint[:, None] * (np.array([0.66, 0.66, 0.63], np.float32) - color)
    strips = ((t <= road.left) & (t > left)) | ((t >= road.right) & (t < right))
    color = np.where(strips[:, None], color * 1.18 + 0.02, color)
    places = np.flatnonzero(y < road.height - 0.004)
    if len(places):
        color[places] = _pavement(road, *(each[places] for each in (s, t, coarse, fine, middle, near)))
    return color.astype(np.float32)


def _pavement(
    road: Road, s: np.ndarray, t: np.ndarray, coarse: np.ndarray, fine: np.ndarray, middle: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """Colors beside the road: kerb stones, slabs, then grass, paving or gravel."""
    left, right = road.edges
    out = np.where(t > right, t - right, left - t)
    walk = np.where(t > right, road.pavement[1], road.pavement[0])
    joints = np.maximum(line(s % 0.5 - 0.25, 0.012, near * 1.5), line(out % 0.5 - 0.25, 0.012, near))
    each = hashed(np.floor(s * 2), np.floor(out * 2)) - 0.5
    slab = 0.3 * (1 + 0.07 * coarse + 0.06 * fine + 0.18 * each) * (1 - 0.4 * joints)
    color = slab[:, None] * np.array([1.0, 0.97, 0.92], np.float32)
    kerb = out < 0.16
    stone = 0.38 * (1 + 0.08 * fine) * (1 - 0.35 * line(s % 1.0 - 0.5, 0.012, near * 2))
    color = np.where(kerb[:, None], stone[:, None], color)
    verge = out > walk
    kinds = np.where(t > right, road.verge[1], road.verge[0])
    grass = linear((0.34, 0.38, 0.19)) * (1 + 0.13 * coarse + 0.22 * fine + 0.08 * middle)[:, None]
    dry = np.clip(coarse - 0.8, 0, 1)[:, None]
    grass = grass * (1 - dry) + dry * linear((0.5, 0.45, 0.3))
    gravel = linear((0.6, 0.55, 0.47)) * (1 + 0.1 * coarse + 0.2 * fine)[:, None]
    color = np.where((verge & (kinds == "grass"))[:, None], grass, color)
    return np.where((verge & (kinds == "gravel"))[:, None], gravel, color)


def foliage_color(base: np.ndarray, local: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Leaves: mottled light and dark; local (N, 3) places on the plant, near (N,) size of a pixel in meters."""
    x, y, z = local.T
    fine = noise(x + 0.5 * y, z - 0.4 * y, 17) + noise(y + 0.3 * x, x - z, 21)
    leaves = fine * np.clip(0.03 / near, 0.15, 1) * 0.30 + noise(y + 0.6 * x, z + 0.4 * x, 6) * 0.2
    return base * np.clip(0.95 + leaves, 0.2, 1.9)[:, None] * np.array([1, 0.96, 0.9], np.float32)


def roof_color(base: np.ndarray, local: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Roof tiles in rows."""
    rows = line(local[:, 1] % 0.3 - 0.15, 0.03, near * 1.3)
    shade = 1 + 0.12 * noise(local[:, 0] + local[:, 2], local[:, 1], 9) - 0.3 * rows
    return base * np.clip(shade, 0.3, 1.6)[:, None]


def stone_color(base: np.ndarray, local: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Rough stone or bark, the same near and far."""
    return base * np.clip(1 + 0.13 * noise(local[:, 0] + 0.7 * local[:, 2], local[:, 1], 14), 0.4, 1.6)[:, None]
