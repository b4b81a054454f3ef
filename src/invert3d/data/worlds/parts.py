"""Primitive solids as small triangle meshes: the bricks of the procedural shapes.

Axes: x to the right, y to the back, z up; lengths are in the caller's unit, meters in the makers of shapes. Every
primitive is closed and its normals point outward.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import trimesh

Pair = tuple[float, float]
Triple = tuple[float, float, float]
_AXES = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}


@dataclass(frozen=True, eq=False)
class Part:
    """A triangle mesh: `vertices` (V, 3) float64 and `faces` (F, 3) int64 indices into them."""

    vertices: np.ndarray
    faces: np.ndarray

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Part":
        """The part shifted by (x, y, z), in its own length unit."""
        return Part(self.vertices + np.array([x, y, z]), self.faces)

    def turned(self, axis: str, degrees: float, about: Triple = (0.0, 0.0, 0.0)) -> "Part":
        """The part rotated by `degrees` (right-handed) round "x", "y" or "z" through a point; ValueError for others."""
        if axis not in _AXES:
            raise ValueError(f"axis: got {axis!r}, accepted are 'x', 'y', 'z'")
        i, j = _AXES[axis]
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        rotation = np.eye(3)
        rotation[i, i], rotation[i, j], rotation[j, i], rotation[j, j] = c, -s, s, c
        pivot = np.asarray(about, dtype=np.float64)
        return Part((self.vertices - pivot) @ rotation.T + pivot, self.faces)

    def mirrored(self) -> "Part":
        """The part reflected in the plane x = 0, still facing outward."""
        return Part(self.vertices * np.array([-1.0, 1.0, 1.0]), self.faces[:, ::-1])


def both(part: Part) -> list[Part]:
    """The part and its mirror image in the plane x = 0."""
    return [part, part.mirrored()]


def loft(rings: np.ndarray, capped: bool = True) -> Part:
    """The solid skinned over cross sections: rings (K, N, 3), K >= 2 closed loops of N >= 3 corresponding points.

    Unless the stack ends where it starts, the first and the last are `capped` by a fan round their mean, so these two
    must be star-shaped. ValueError if `rings` has another shape.
    """
    rings = np.asarray(rings, dtype=np.float64)
    if rings.ndim != 3 or rings.shape[0] < 2 or rings.shape[1] < 3 or rings.shape[2] != 3:
        raise ValueError(f"rings: got shape {rings.shape}, accepted is (K >= 2, N >= 3, 3)")
    count, size, _ = rings.shape
    vertices = np.concatenate([rings.reshape(-1, 3), rings[[0, -1]].mean(axis=1)])
    here = np.arange(size)
    after = (here + 1) % size
    base = (np.arange(count - 1) * size)[:, None]
    a, b, c, d = base + here, base + after, base + size + after, base + size + here
    sides = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    last = (count - 1) * size
    bottom = np.stack([after, here, np.full(size, count * size)], -1)
    top = np.stack([here + last, after + last, np.full(size, count * size + 1)], -1)
    faces = np.concatenate([sides, bottom, top]) if capped else sides
    p, q, r = (vertices[faces[:, k]] - vertices[0] for k in range(3))
    volume = np.einsum("ij,ij->", p, np.cross(q, r))
    return Part(vertices, faces[:, ::-1] if volume < 0 else faces)


def box(x: Pair, y: Pair, z: Pair) -> Part:
    """The axis-aligned box between the given lower and upper bounds."""
    return frustum(z, (x, y), (x, y))


def block(x: float, y: float, z: Pair) -> Part:
    """The box from -x to x, from -y to y and between two heights."""
    return box((-x, x), (-y, y), z)


def frustum(z: Pair, lower: tuple[Pair, Pair], upper: tuple[Pair, Pair]) -> Part:
    """A slanted box: the rectangle `lower` = (x bounds, y bounds) at z[0] joined to `upper` at z[1]."""
    corners = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for (x0, x1), (y0, y1) in (lower, upper)]
    return loft(np.array([[(x, y, height) for x, y in ring] for ring, height in zip(corners, z, strict=True)]))


def circle(segments: int = 16) -> np.ndarray:
    """(segments, 2) points of the unit circle, from +x counter-clockwise."""
    angle = np.arange(segments) * (2 * np.pi / segments)
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def lathe(
    profile: Sequence[Pair] | np.ndarray,
    at: Pair = (0.0, 0.0),
    segments: int = 20,
    squash: Pair = (1.0, 1.0),
    ring: bool = False,
) -> Part:
    """The surface of revolution of a profile round the vertical axis through `at`.

    Args:
        profile: (K, 2) radius and height; up outside and down inside makes a vessel.
        at, segments: x and y of the axis, corners of each cross section.
        squash: factors on x and y, for oval things.
        ring: join the end of the profile to its start (a ring, a lamp shade) instead of capping both.
    """
    table = np.asarray(profile, dtype=np.float64)
    if ring:
        table = np.concatenate([table, table[:1]])
    outline = circle(segments) * np.asarray(squash)
    rings = np.empty((len(table), segments, 3))
    rings[..., :2] = table[:, None, :1] * outline + np.asarray(at)
    rings[..., 2] = table[:, None, 1]
    return loft(rings, capped=not ring)


def vessel(profile: Sequence[Pair], wall: float, squash: Pair = (1.0, 1.0)) -> Part:
    """An open vessel: an outer `profile` of (radius, height), bottom to rim, and one `wall` less inside."""
    inner = [(max(r - wall, wall * 0.2), z) for r, z in profile]
    inner[0] = (inner[0][0], inner[0][1] + wall)
    return lathe([(0.0, profile[0][1]), *profile, *inner[::-1], (0.0, inner[0][1])], segments=24, squash=squash)


def cylinder(radius: float, z: Pair, at: Pair = (0.0, 0.0), top: float | None = None, segments: int = 16) -> Part:
    """An upright cylinder between two heights, or a tapered one when `top` gives another upper radius."""
    return lathe([(radius, z[0]), (radius if top is None else top, z[1])], at, segments)


def ellipsoid(center: Sequence[float], radii: Sequence[float], roundness: float = 1.0, coarse: bool = False) -> Part:
    """An ellipsoid, or with `roundness` < 1 a cushion-like box with rounded edges (0.3 is a pillow)."""
    polar, ring = np.linspace(-np.pi / 2, np.pi / 2, 5 if coarse else 11), circle(8 if coarse else 16)
    around = np.cos(polar).clip(1e-3) if coarse else np.cos(polar).round(12)
    rings = np.empty((len(polar), len(ring), 3))
    rings[..., :2] = (around**roundness)[:, None, None] * (np.sign(ring) * np.abs(ring) ** roundness)
    rings[..., 2] = (np.sign(polar) * np.abs(np.sin(polar)) ** roundness)[:, None]
    return loft(rings * np.asarray(radii) + np.asarray(center))


def sweep(path: Sequence[Triple] | np.ndarray, radius: float | Sequence[float], segments: int = 8) -> Part:
    """A round bar along a polyline of K >= 2 points, of one radius or K of them."""
    points = np.asarray(path, dtype=np.float64)
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    normal = np.linalg.svd(points - points.mean(axis=0), full_matrices=True)[2][-1]
    side = np.cross(tangent, normal)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-12
    lift = np.cross(side, tangent)
    width = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(points))[:, None, None]
    ring = circle(segments)
    return loft(points[:, None] + width * (ring[:, :1] * side[:, None] + ring[:, 1:] * lift[:, None]))


def bar(start: Triple, end: Triple, radius: float, taper: float = 1.0, segments: int = 8) -> Part:
    """A straight round bar between two points, its end radius multiplied by `taper`."""
    return sweep([start, end], [radius, radius * taper], segments)


def arc(center: Triple, across: Triple, up: Triple, degrees: Pair, count: int = 12) -> np.ndarray:
    """(count, 3) points of the ellipse center + cos * across + sin * up between two angles in degrees."""
    angle = np.radians(np.linspace(degrees[0], degrees[1], count))[:, None]
    return np.asarray(center) + np.cos(angle) * np.asarray(across) + np.sin(angle) * np.asarray(up)


def torus(radius: float, thickness: float, segments: int = 24, corners: int = 10) -> Part:
    """A horizontal ring about the origin, of the given center-line radius and bar radius."""
    return lathe(circle(corners) * thickness + np.array([radius, 0.0]), segments=segments, ring=True)


def trunk(rings: Iterable[tuple[float, float, float, float]], corners: int) -> Part:
    """An upright body through rings of (y, z, half width, half depth)."""
    loop = circle(corners)
    return loft(np.array([[(w * a, y + d * b, z) for a, b in loop] for y, z, w, d in rings]))


def prism(outline: Sequence[Pair] | np.ndarray, across: str, bounds: Pair) -> Part:
    """A star-shaped outline extruded between two ends along an axis "x", "y" or "z"; ValueError for others.

    The corners (N, 2) are given in the two other axes in alphabetical order.
    """
    if across not in _AXES:
        raise ValueError(f"across: got {across!r}, accepted are 'x', 'y', 'z'")
    flat = np.asarray(outline, dtype=np.float64)
    rings = np.empty((2, len(flat), 3))
    axis = "xyz".index(across)
    rings[..., [k for k in range(3) if k != axis]] = flat
    rings[0, :, axis], rings[1, :, axis] = bounds
    return loft(rings)


def rim(x: Pair, y: Pair, z: Pair, wall: float) -> list[Part]:
    """Four upright panels, `wall` thick, inside the outline of a box without floor and lid."""
    return [
        box((x[0], x[0] + wall), y, z),
        box((x[1] - wall, x[1]), y, z),
        box(x, (y[0], y[0] + wall), z),
        box(x, (y[1] - wall, y[1]), z),
    ]


def joined(parts: Sequence[Part]) -> Part:
    """All the parts as one, in order, without merging anything. ValueError if there are none."""
    if not parts:
        raise ValueError("parts: got none, accepted is at least one")
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = [part.faces + offset for part, offset in zip(parts, offsets, strict=True)]
    return Part(np.concatenate([part.vertices for part in parts]), np.concatenate(faces))


def assemble(parts: Sequence[Part]) -> trimesh.Trimesh:
    """One mesh of all the parts. ValueError if there are none."""
    whole = joined(parts)
    return trimesh.Trimesh(vertices=whole.vertices, faces=whole.faces, process=False)
