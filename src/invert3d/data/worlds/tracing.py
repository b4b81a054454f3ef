"""Scenes as one mesh that rays can ask: what they hit, in whose frame, and what a camera sees of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from invert3d.data.worlds.colors import Color
from invert3d.data.worlds.templates import Material, Template, turned


@dataclass(frozen=True, eq=False)
class Instance:
    """A template in a scene: the center of its bottom in camera coordinates (m), rotation_y, colors to choose (sRGB),
    the number of the object it is (0: scenery), and how much larger it is than the template."""

    template: Template
    center: tuple[float, float, float]
    yaw: float
    tint_a: Color = (0.5, 0.5, 0.5)
    tint_b: Color = (0.3, 0.3, 0.3)
    number: int = 0
    contact: bool = True
    scale: float = 1.0


class Tracer:
    """Ray casting against triangles: ``vertices`` (V, 3) float32 and ``faces`` (F, 3) int32."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.scene = EmbreeScene()
        self.mesh = TriangleMesh(
            self.scene, np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32)
        )

    def hits(self, origins: np.ndarray, rays: np.ndarray) -> dict[str, np.ndarray]:
        """First hits of (N, 3) rays: primID (-1: none), tfar in ray lengths, u, v, Ng."""
        return self.scene.run(origins.astype(np.float32), rays.astype(np.float32), query="INTERSECT", output=1)

    def blocked(self, origins: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """(N,) whether anything lies on the rays."""
        return self.scene.run(origins.astype(np.float32), rays.astype(np.float32), query="OCCLUDED") >= 0


@dataclass(frozen=True, eq=False)
class Hits:
    """What rays hit: ``face`` (N,) int32 with -1 for the sky, ``depth`` (N,) in ray lengths, corner weights u and v,
    and geometric normals (N, 3) toward the viewer."""

    face: np.ndarray
    depth: np.ndarray
    u: np.ndarray
    v: np.ndarray
    normal: np.ndarray


class Traced:
    """A mesh in its own light, seen from one place: ``eye`` (3,). ``owner`` (F,) says whose a face is."""

    def __init__(self, tracer: Tracer, owner: np.ndarray, eye: np.ndarray) -> None:
        self.tracer, self.owner, self.eye = tracer, owner, eye.astype(np.float32)

    def shade(self, rays: np.ndarray, hits: Hits) -> np.ndarray:
        """(N, 3) float32 radiance seen along rays from the eye."""
        raise NotImplementedError

    def trace(self, rays: np.ndarray, origin: np.ndarray | None = None) -> Hits:
        """First hits of (N, 3) rays from the eye, or from ``origin`` (3,)."""
        start = np.broadcast_to(self.eye if origin is None else origin.astype(np.float32), rays.shape)
        found = self.tracer.hits(np.ascontiguousarray(start), rays)
        normal = found["Ng"]
        normal /= np.sqrt(np.einsum("ij,ij->i", normal, normal))[:, None] + 1e-12
        normal *= np.where(np.einsum("ij,ij->i", normal, rays) > 0, np.float32(-1), np.float32(1))[:, None]
        depth = np.where(found["primID"] >= 0, found["tfar"], np.float32(np.inf))
        return Hits(found["primID"], depth, found["u"], found["v"], normal)


class Geometry(Traced):
    """All instances of a scene, traced together. ``normals`` (F, 3, 3) and ``materials`` (F,) are the templates'."""

    def __init__(self, instances: Sequence[Instance], eye: np.ndarray) -> None:
        templates = [instance.template for instance in instances]
        counts = np.array([len(t.vertices) for t in templates])
        offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
        yaws = np.array([instance.yaw for instance in instances])
        self.turns = np.stack([np.cos(yaws), np.sin(yaws)], -1).astype(np.float32)
        self.centers = np.array([instance.center for instance in instances], dtype=np.float32)
        self.scales = np.array([instance.scale for instance in instances], dtype=np.float32)
        who = np.repeat(np.arange(len(instances)), counts)
        vertices = np.concatenate([t.vertices for t in templates]) * self.scales[who, None]
        vertices = self.turned(vertices, who) + self.centers[who]
        faces = np.concatenate([t.faces + o for t, o in zip(templates, offsets, strict=True)])
        owner = np.repeat(np.arange(len(instances)), [len(t.faces) for t in templates])
        super().__init__(Tracer(vertices, faces.astype(np.int32)), owner, eye)
        self.normals = np.concatenate([t.normals for t in templates])
        self.materials = np.concatenate([t.materials for t in templates])
        self.rounded = (self.materials != Material.GROUND) & (self.materials != Material.FACADE)
        self.numbers = np.array([instance.number for instance in instances], dtype=np.int16)

    def turned(self, points: np.ndarray, who: np.ndarray) -> np.ndarray:
        """Points or normals (N, 3) from the frames of instances ``who`` (N,) into camera axes."""
        return turned(points, *self.turns[who].T)

    def local(self, directions: np.ndarray, who: np.ndarray) -> np.ndarray:
        """Camera axes (N, 3) in the frames of instances ``who`` (N,)."""
        c, s = self.turns[who].T
        return turned(directions, c, -s)

    def numbers_of(self, hits: Hits) -> np.ndarray:
        """(N,) int16 object numbers; 0 for scenery and sky."""
        return np.where(hits.face >= 0, self.numbers[self.owner[hits.face]], 0).astype(np.int16)

    def smooth(self, face: np.ndarray, who: np.ndarray, u: np.ndarray, v: np.ndarray, flat: np.ndarray) -> np.ndarray:
        """Smooth normals toward the viewer; walls and ground are flat."""
        normal, rows = flat.copy(), np.flatnonzero(self.rounded[face])
        u, v, corners = u[rows, None], v[rows, None], self.normals[face[rows]]
        mixed = self.turned(corners[:, 0] * (1 - u - v) + corners[:, 1] * u + corners[:, 2] * v, who[rows])
        mixed *= np.where(np.einsum("ij,ij->i", mixed, flat[rows]) < 0, np.float32(-1), np.float32(1))[:, None]
        normal[rows] = mixed / (np.sqrt(np.einsum("ij,ij->i", mixed, mixed))[:, None] + 1e-9)
        return normal


def rays_of(projection: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(N, 3) float32 directions with z = 1 through pixels (N, 2) of column and row."""
    inverse = np.linalg.inv(projection[:, :3]).astype(np.float32)
    return pixels.astype(np.float32) @ inverse[:, :2].T + inverse[:, 2]


def photograph(scene: Traced, projection: np.ndarray, height: int, width: int) -> tuple[np.ndarray, Hits]:
    """Radiance (H, W, 3) and what each pixel's middle hit; edges take up to three more rays a pixel.

    ``projection`` (3, 4) is of a camera at the eye of the scene.
    """
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2).astype(np.float32)
    rays = rays_of(projection, pixels)
    hits = scene.trace(rays)
    radiance = scene.shade(rays, hits)
    counts = _edges(scene, hits, radiance.reshape(height, width, 3)).ravel()
    rough = np.flatnonzero(counts)
    owner, starts = np.repeat(rough, counts[rough]), np.cumsum(counts[rough]) - counts[rough]
    shifts = np.array([[-0.36, -0.12], [0.28, -0.33], [0.1, 0.38]], np.float32)
    within = np.arange(len(owner)) - np.repeat(starts, counts[rough])
    more = rays_of(projection, pixels[owner] + shifts[within])
    extra = np.minimum(scene.shade(more, scene.trace(more)), 3.0)
    total = np.minimum(radiance[rough], 3.0) + (np.add.reduceat(extra, starts) if len(rough) else 0)
    radiance[rough] = total / (1 + counts[rough, None])
    return radiance.reshape(height, width, 3), hits


def _edges(scene: Traced, hits: Hits, radiance: np.ndarray) -> np.ndarray:
    """(H, W) how many more rays pixels take: three where a neighbor is another instance's, one where it is brighter."""
    height, width, _ = radiance.shape
    owner = np.where(hits.face >= 0, scene.owner[hits.face], -1).reshape(height, width)
    tone = np.sqrt(np.clip(radiance.mean(-1), 0, 2))
    counts = np.zeros((height, width), np.int64)
    for axis in (0, 1):
        change = np.where(np.diff(owner, axis=axis) != 0, 3, np.abs(np.diff(tone, axis=axis)) > 0.07)
        rows = np.moveaxis(counts, axis, 0)
        for side in (rows[:-1], rows[1:]):
            np.maximum(side, np.moveaxis(change, axis, 0), out=side)
    return counts
