"""The walls of houses by rule: windows with frames, sills and curtains, doors, shop fronts, plaster and brick."""

import numpy as np

from invert3d.data.worlds.colors import linear
from invert3d.data.worlds.surfaces import hashed, line, noise


def facade_color(
    base: np.ndarray, local: np.ndarray, normal: np.ndarray, table: np.ndarray, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colors (N, 3) of walls and how much of each is window glass (N,).

    Args:
        base: (N, 3) wall colors. local, normal: (N, 3) in the house's frame.
        table: (N, 13) parameters, see ``scenery.house_template``. near: (N,) pixel size in meters.
    """
    storey, pitch, share, tall, half, deep, top, style, seed = table.T[:9].astype(np.float32)
    street = np.abs(normal[:, 2]) > np.abs(normal[:, 0])
    u = np.where(street, local[:, 0] + half, local[:, 2] + deep)
    v = -local[:, 1] - 0.3
    level, bay = np.floor(v / storey), np.floor(u / pitch)
    a, b = (u / pitch - bay - 0.5) * pitch, v - level * storey
    side = np.where(street, np.sign(normal[:, 2]) * 1.0, np.sign(normal[:, 0]) * 3.0)
    lot = hashed(bay, level, seed, side)
    color = _wall(base, u, v, near, seed)
    wide = share * pitch / 2
    blank = ~street & (lot < 0.55) & (style < 2)
    width_left = np.where(street, half * 2, deep * 2) - bay * pitch
    blank |= (width_left < pitch * 0.98) | (v > top - 1.0) | (v < 0)
    ground = level == 0
    shop = ground & (style == 1) & street & ~blank
    door = ground & street & ~blank & ~shop & (hashed(bay, seed, side) < 0.3)
    low = np.where(shop, 0.45, np.where(style == 2, 0.75, 0.9)).astype(np.float32)
    high = np.where(shop, 2.4, low + tall)
    wide = np.where(shop, pitch * 0.44, wide)
    under = ~(blank | door) & (np.abs(a) < wide + 0.08)
    sill = under & (b < low) & (b > low - 0.09)
    shade = under & (b <= low - 0.09) & (b > low - 0.2)
    around = under & (np.abs(a) > wide) & (b > low) & (b < low + 1.6) & (style < 2)
    band, plinth = (b < 0.12) & (style > 0) & (v > 1), v < 0.35
    for where, part, light in ((sill | around, 0.5, 0.28), (shade, 0.72, 0), (band, 0.6, 0.2), (plinth, 0.5, 0.05)):
        color[where] = color[where] * np.float32(part) + np.float32(light)
    inside = (np.abs(a) < wide) & (b > low) & (b < high) & ~blank & ~door
    border = np.minimum(np.minimum(wide - np.abs(a), b - low), high - b)
    frame = inside & ((border < 0.07) | ((np.abs(a) < 0.025) & ~shop) | ((np.abs(b - low - tall * 0.7) < 0.02) & ~shop))
    pane = inside & ~frame
    color[frame] = np.where(shop, 0.026, 0.9 * table[:, 9] ** 2.2)[frame, None]
    glass = np.flatnonzero(pane)
    pick = lot[glass]
    curtain = (pick * 7.3 % 1 < 0.45) & (b > low + tall * (lot * 3.1 % 1) * 0.8)[glass] & ~shop[glass]
    room = np.where(curtain, 0.32, np.where(shop[glass], 0.05 + 0.08 * (pick * 5 % 1), 0.025))
    color[glass] = (room * (1 + 0.25 * noise(u[glass], v[glass], 9)))[:, None]
    sunk = inside & (high - b < 0.22)
    color[sunk] *= 0.45
    _doors(color, a, b, door, table)
    banner = np.flatnonzero(shop & (b > 2.55) & (b < 3.05))
    signs = np.stack([hashed(bay[banner] // 3 + k, seed[banner]) for k in (0, 5, 9)], -1) * 0.5 + 0.08
    words = ((np.abs(b - 2.8) < 0.1) & (np.abs(a) < pitch * 0.3))[banner]
    color[banner] = signs * (1 - 0.7 * words)[:, None]
    return color.astype(np.float32), (pane & ~sunk).astype(np.float32)


def _wall(base: np.ndarray, u: np.ndarray, v: np.ndarray, near: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Plaster with stains, or brick on houses of a reddish wall."""
    plaster = 1 + 0.05 * noise(u + seed, v, 3) + 0.03 * noise(v, u, 16) - 0.18 * np.clip(1 - v / 0.9, 0, 1)
    brick = np.flatnonzero(base[:, 0] > 1.9 * base[:, 2])
    if len(brick):
        u, v, near = u[brick], v[brick], near[brick]
        row = np.floor(v / 0.075)
        along = u + 0.12 * (row % 2)
        joint = np.maximum(line(v % 0.075 - 0.0375, 0.008, near), line(along % 0.24 - 0.12, 0.006, near))
        each = (hashed(row, np.floor(along / 0.24)) - 0.5) * np.clip(0.05 / near, 0, 1) * 0.4
        plaster[brick] = (plaster[brick] + each) * (1 - 0.25 * joint)
    return base * plaster[:, None]


def _doors(color: np.ndarray, a: np.ndarray, b: np.ndarray, door: np.ndarray, table: np.ndarray) -> None:
    """A door with a frame and two panels where ``door`` says there is one, in place."""
    rows = np.flatnonzero(door & (np.abs(a) < 0.6) & (b < 2.2))
    a, b = np.abs(a[rows]), b[rows]
    leaf = (a < 0.5) & (b < 2.1)
    panel = leaf & (a < 0.34) & ((np.abs(b - 0.6) < 0.4) | (np.abs(b - 1.55) < 0.4))
    tint = linear(table[rows, 10:13]) * (1 - 0.3 * panel)[:, None]
    color[rows] = np.where(leaf[:, None], tint, 0.55)
