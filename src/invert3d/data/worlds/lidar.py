"""A 64-beam LiDAR over a street, in KITTI's velodyne coordinates: x forward, y left, z up; meters."""

import numpy as np

from invert3d.data.worlds.stage import Stage
from invert3d.data.worlds.templates import Material

#: (3, 4) velodyne to camera coordinates: the sensor sits 0.27 m behind and 0.08 m above the camera
TO_CAMERA = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, -0.08], [1.0, 0.0, 0.0, -0.27]])
_BEAMS, _STEP, _SIDE = 64, 0.2, 46.0
_REFLECTANCE = {
    Material.PAINT: 0.45,
    Material.GLASS: 0.05,
    Material.FOLIAGE: 0.35,
    Material.METAL: 0.6,
    Material.RETRO: 0.95,
}


def scan_street(stage: Stage, rng: np.random.Generator) -> np.ndarray:
    """(N, 4) float32 x, y, z, reflectance of the front +-46 degrees, up to 80 m; 2 cm noise, some points drop out."""
    lift = np.radians(np.linspace(2.0, -24.8, _BEAMS))
    turn = np.radians(np.arange(-_SIDE, _SIDE, _STEP))
    e, a = (grid.ravel() for grid in np.meshgrid(lift, turn, indexing="ij"))
    beams = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], -1)
    hits = stage.trace((beams @ TO_CAMERA[:, :3].T).astype(np.float32), TO_CAMERA[:, 3])
    material = stage.materials[hits.face]
    base = np.clip(stage.colors[hits.face].mean(-1), 0.02, 1.0) * 0.7
    for kind, value in _REFLECTANCE.items():
        base = np.where(material == kind, value, base)
    facing = np.abs(np.einsum("ij,ij->i", hits.normal, beams @ TO_CAMERA[:, :3].T))
    strength = np.clip(base * (0.35 + 0.65 * facing) + rng.normal(0, 0.03, len(base)), 0, 0.99)
    lost = rng.random(len(base)) < np.where(material == Material.GLASS, 0.7, 0.03)
    kept = (hits.face >= 0) & (hits.depth < 80) & (hits.depth > 1.0) & ~lost
    ranges = hits.depth[kept] + rng.normal(0, 0.02, int(kept.sum()))
    return np.concatenate([beams[kept] * ranges[:, None], strength[kept, None]], 1).astype(np.float32)
