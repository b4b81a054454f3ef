"""Colored meshes that a street scene repeats: made once a process, then only turned and moved.

A template lives in the frame of KITTI's boxes: x to the front, y down (0 at the bottom), z across; meters.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

import numpy as np

from invert3d.data.worlds.colors import Color, linear
from invert3d.data.worlds.parts import Part, ellipsoid, joined

#: an ellipsoid of few faces
ball = partial(ellipsoid, coarse=True)


class Material(IntEnum):
    """How a surface answers light."""

    MATTE = 0
    PAINT = 1
    GLASS = 2
    FOLIAGE = 3
    GROUND = 4
    FACADE = 5
    ROOF = 6
    METAL = 7
    CLOTH = 8
    RETRO = 9
    STONE = 10


@dataclass(frozen=True)
class Piece:
    """One part in one color (sRGB in [0, 1], or a tint) and material."""

    part: Part
    color: Color
    material: Material = Material.MATTE


@dataclass(frozen=True, eq=False)
class Template:
    """A mesh in its box: ``vertices`` (V, 3) float32, ``faces`` (F, 3) int32, ``normals`` (F, 3, 3) at the corners,
    ``colors`` (F, 3) linear, ``materials`` (F,), ``size`` (height, width, length) and, for buildings, ``facade``."""

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    colors: np.ndarray
    materials: np.ndarray
    size: tuple[float, float, float]
    facade: tuple[float, ...] = ()


def painted(parts: Iterable[Part], color: Color, material: Material = Material.MATTE) -> list[Piece]:
    """Pieces of one color and material."""
    return [Piece(part, color, material) for part in parts]


def turned(points: np.ndarray, c: np.ndarray | float, s: np.ndarray | float) -> np.ndarray:
    """Points (N, 3) turned by rotation_y of cosine c and sine s, from the frame of a box into camera axes."""
    x, y, z = points.T
    return np.stack([c * x + s * z, y, c * z - s * x], -1)


def smooth_normals(vertices: np.ndarray, faces: np.ndarray, degrees: float) -> np.ndarray:
    """(F, 3, 3) unit normals at the corners of faces; edges sharper than ``degrees`` stay sharp."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    wide = np.cross(b - a, c - a)  # twice the area long
    unit = wide / (np.linalg.norm(wide, axis=1, keepdims=True) + 1e-12)
    order = np.argsort(faces.ravel(), kind="stable")
    owner = faces.ravel()[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    around = np.full((len(vertices), rank.max() + 1), -1)
    around[owner, rank] = order // 3
    near = around[faces]
    similar = np.einsum("fd,fckd->fck", unit, unit[near]) > np.cos(np.radians(degrees))
    total = np.where((similar & (near >= 0))[..., None], wide[near], 0).sum(2)
    return (total / (np.linalg.norm(total, axis=-1, keepdims=True) + 1e-12)).astype(np.float32)


def make_template(
    pieces: Sequence[Piece], *, smooth: float = 42.0, centered: bool = True, facade: tuple[float, ...] = ()
) -> Template:
    """A template of pieces given in the axes of ``worlds.parts`` (x right, front to -y, z up).

    Edges up to ``smooth`` degrees are rounded by shading. ``centered`` moves the middle of its extent to x = z = 0 and
    its bottom to y = 0. ``facade`` has the parameters of the pattern on its walls, see ``worlds.facades``.
    """
    whole = joined([piece.part for piece in pieces])
    used, faces = np.unique(whole.faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    vertices = np.stack([-whole.vertices[:, 1], -whole.vertices[:, 2], whole.vertices[:, 0]], -1)[used]
    low, high = vertices.min(0), vertices.max(0)
    if centered:
        vertices -= np.array([(low[0] + high[0]) / 2, high[1], (low[2] + high[2]) / 2])
    counts = [len(piece.part.faces) for piece in pieces]
    length, height, width = (float(side) for side in high - low)
    return Template(
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        normals=smooth_normals(vertices, faces, smooth),
        colors=np.repeat(np.stack([linear(piece.color) for piece in pieces]), counts, axis=0),
        materials=np.repeat(np.array([piece.material for piece in pieces], np.int8), counts),
        size=(height, width, length),
        facade=facade,
    )
