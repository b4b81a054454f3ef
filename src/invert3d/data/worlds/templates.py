"""Colored meshes that a street scene repeats: made once a process, then only turned and moved.

A template lives in the frame of KITTI's boxes: x to the front, y down (0 at the bottom), z across; meters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from invert3d.data.worlds.parts import Part, circle, loft

Color = tuple[float, ...]
#: colors that an instance chooses, instead of the template
TINT_A: Color = (-1.0, 0.0, 0.0)
TINT_B: Color = (-2.0, 0.0, 0.0)


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
    facade: tuple[float, ...] = field(default=())


def ball(center: Color, radii: Color, roundness: float = 1.0, corners: int = 8, levels: int = 5) -> Part:
    """A coarse ellipsoid, box-like with a low ``roundness``, of ``corners`` around and ``levels`` up."""
    polar = np.linspace(-np.pi / 2, np.pi / 2, levels)
    ring = circle(corners)
    ring = np.sign(ring) * np.abs(ring) ** roundness
    rings = np.empty((levels, corners, 3))
    rings[..., :2] = (np.cos(polar).clip(1e-3) ** roundness)[:, None, None] * ring
    rings[..., 2] = (np.sign(polar) * np.abs(np.sin(polar)) ** roundness)[:, None]
    return loft(rings * np.asarray(radii) + np.asarray(center))


def linear(color: Sequence[float] | np.ndarray) -> np.ndarray:
    """A color from sRGB to light, about; negative first channels (tints) are left alone."""
    values = np.asarray(color, dtype=np.float32)
    return np.where(values < 0, values, np.abs(values) ** np.float32(2.2))


def flat_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) face normals, twice the area long."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def smooth_normals(vertices: np.ndarray, faces: np.ndarray, degrees: float) -> np.ndarray:
    """(F, 3, 3) unit normals at the corners of faces; edges sharper than ``degrees`` stay sharp."""
    wide = flat_normals(vertices, faces)
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

    Args:
        pieces: what it is made of, at least one.
        smooth: edges up to this angle in degrees are rounded by shading; 0 for none.
        centered: move the middle of its extent to x = z = 0 and its bottom to y = 0.
        facade: parameters of the pattern on its walls, see ``worlds.facades``.
    """
    if not pieces:
        raise ValueError("pieces: got none, accepted is at least one")
    offsets = np.cumsum([0] + [len(piece.part.vertices) for piece in pieces[:-1]])
    raw = np.concatenate([piece.part.vertices for piece in pieces])
    faces = np.concatenate([piece.part.faces + offset for piece, offset in zip(pieces, offsets, strict=True)])
    used, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    vertices = np.stack([-raw[:, 1], -raw[:, 2], raw[:, 0]], -1)[used]
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
