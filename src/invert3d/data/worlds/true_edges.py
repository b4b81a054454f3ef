"""The edges of a terrace that a camera sees, sampled a pixel apart: where, in which direction, and of what."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from invert3d.data.worlds.terrace_stage import Terrace
from invert3d.data.worlds.terraces import Role
from invert3d.data.worlds.tracing import rays_of

NEAREST = 0.3  # m: what is closer to the plane of the camera is not seen
SHORTEST = 3.0  # pixels: shorter lines have no direction that a picture could show
_ENDS = np.array([pair for k in range(4) for pair in ((k, (k + 1) % 4), (4 + k, 4 + (k + 1) % 4), (k, 4 + k))])


class Direction(IntEnum):
    """Where an edge runs: along the street, toward the main vanishing point; down; away from the street; elsewhere."""

    STREET = 0
    VERTICAL = 1
    DEPTH = 2
    OTHER = 3


class Kind(IntEnum):
    """What an edge is: the border of the sky, another edge of a solid, or the border of a painted band."""

    SILHOUETTE = 0
    SOLID = 1
    PAINTED = 2


@dataclass(frozen=True, eq=False)
class Edges:
    """Samples of the visible edges of a picture.

    Attributes:
        places: (M, 2) column and row in pixels.
        angles: (M,) of the edge in the picture, radians from the horizontal, clockwise, in [0, pi).
        directions, kinds: (M,) int8, values of ``Direction`` and ``Kind``.
    """

    places: np.ndarray
    angles: np.ndarray
    directions: np.ndarray
    kinds: np.ndarray


def edges_of(terrace: Terrace, projection: np.ndarray, size: int) -> Edges:
    """The edges in a picture of ``size`` pixels by a camera (3, 4) at the eye of the terrace."""
    solid, painted = solid_lines(terrace), painted_lines(terrace)
    lines = np.concatenate([solid, painted])
    kinds = np.repeat([Kind.SOLID, Kind.PAINTED], [len(solid), len(painted)])
    who, places, depths, angles = sampled(lines, projection, size)
    hits = terrace.trace(rays_of(projection, places))
    wall = (hits.face >= 0) & (terrace.roles[terrace.owner[hits.face]] == Role.WALL)
    there = (hits.depth > depths * 0.996 - 0.02) & (wall | (kinds[who] != Kind.PAINTED))
    who, places, angles = who[there], places[there], angles[there]
    across = np.stack([-np.sin(angles), np.cos(angles)], -1)
    beside = [terrace.trace(rays_of(projection, places + side * across)).face < 0 for side in (-1.5, 1.5)]
    kinds = kinds[who]
    kinds[(beside[0] | beside[1]) & (kinds == Kind.SOLID)] = Kind.SILHOUETTE
    return Edges(places, angles, directions_of(lines)[who].astype(np.int8), kinds.astype(np.int8))


def directions_of(lines: np.ndarray) -> np.ndarray:
    """(N,) the ``Direction`` of lines (N, 2, 3)."""
    run = np.abs(lines[:, 1] - lines[:, 0])
    run /= np.linalg.norm(run, axis=1, keepdims=True)
    axis = run.argmax(1)
    return np.where(run.max(1) > 0.999, np.array([Direction.STREET, Direction.VERTICAL, Direction.DEPTH])[axis], 3)


def solid_lines(terrace: Terrace) -> np.ndarray:
    """(N, 2, 3) the edges of all blocks."""
    lines = terrace.corners[:, _ENDS].reshape(-1, 2, 3).astype(np.float64)
    return lines[np.linalg.norm(lines[:, 1] - lines[:, 0], axis=1) > 0.04]


def painted_lines(terrace: Terrace) -> np.ndarray:
    """(N, 2, 3) the borders of the bands on the fronts of walls."""
    found, (a, b) = [], terrace.paint.across
    for block in np.flatnonzero(terrace.roles == Role.WALL):
        low, high = terrace.corners[block].min(0), terrace.corners[block].max(0)
        ends = sorted(a * x + b * y for x in (low[0], high[0]) for y in (low[1], high[1]))
        for place in terrace.paint.borders(terrace.houses[block], ends[0], ends[-1]):
            # p = place (a, b) + t (-b, a), inside the wall
            bounds = [
                sorted((edge - place * along) / step for edge in pair)
                for along, step, pair in ((a, -b, (low[0], high[0])), (b, a, (low[1], high[1])))
                if step
            ]
            first, last = max(pair[0] for pair in bounds), min(pair[1] for pair in bounds)
            if last > first:
                found.append([(place * a - t * b, place * b + t * a, low[2]) for t in (first, last)])
    return np.array(found, np.float64).reshape(-1, 2, 3)


def sampled(lines: np.ndarray, projection: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """Samples, a pixel apart, of lines (N, 2, 3) as a camera sees them, but for the shortest: row of the line (M,),
    column and row in pixels (M, 2), depth (M,), angle (M,)."""
    ends = lines @ projection[:, :3].T + projection[:, 3]
    depth = ends[..., 2]
    share = np.clip((NEAREST - depth) / np.where(depth == depth[:, ::-1], 1, depth[:, ::-1] - depth), 0, 1)
    ends = ends + np.where(depth < NEAREST, share, 0)[..., None] * (ends[:, ::-1] - ends)
    number = np.flatnonzero((depth > NEAREST).any(1))
    ends = ends[number]
    pixels, inverse = ends[..., :2] / ends[..., 2:], 1 / ends[..., 2]
    start, run = pixels[:, 0], pixels[:, 1] - pixels[:, 0]
    safe = np.where(np.abs(run) < 1e-9, 1e-9, run)
    walls = np.sort(np.stack([(-0.5 - start) / safe, (size - 0.5 - start) / safe]), 0)
    first, last = np.clip(walls[0].max(1), 0, 1), np.clip(walls[1].min(1), 0, 1)
    length = np.maximum(last - first, 0) * np.linalg.norm(run, axis=1)
    counts = np.where(length < SHORTEST, 0, np.ceil(length)).astype(int)
    which = np.repeat(np.arange(len(number)), counts)
    within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    t = first[which] + (within + 0.5) / counts[which] * (last - first)[which]
    places = start[which] + t[:, None] * run[which]
    depths = 1 / (inverse[which, 0] + t * (inverse[which, 1] - inverse[which, 0]))
    return number[which], places, depths, np.arctan2(run[which, 1], run[which, 0]) % np.pi
