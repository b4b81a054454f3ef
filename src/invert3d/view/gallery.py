"""The clouds of a page: what one is, how it is packed for the browser, and the card it stands on."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from invert3d.view.axis import short
from invert3d.view.camera import center_reach, checked_points, to_z_up
from invert3d.view.color import code_of, limits, palette

_LEVELS = 2047  # a coordinate is stored in 12 bits: steps of 1/2000 of the cloud, finer than any screen shows
_STATE_POINTS = 640_000  # points a page may hold over all states: about 2.5 MB
_MOST_SNAPSHOTS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """A cloud on the page: what it is called, what there is to say of it, and how it came about."""

    name: str
    points: np.ndarray  # (N, 3), the result
    caption: str = ""
    snapshots: np.ndarray | None = None  # (S, N, 3), earlier states
    snapshot_steps: Sequence[int] | None = None  # (S,)
    values: np.ndarray | None = None  # (N,), colors of the points on the map; without them height is
    kind: Literal["sequential", "diverging"] = "sequential"  # the map
    cube: float | None = None  # the points are cubes of this edge length, a voxel grid (see `view.grids`)
    ghost: np.ndarray | None = None  # (N,) bool, points that are taken away: they are drawn pale, behind the others
    badges: Mapping[str, str] = field(default_factory=dict)  # a few facts, such as {"recognized as": "chair"}
    row: str = ""  # clouds of one row, one after the other, stand side by side below these words


def checked_cloud(cloud: Cloud) -> Cloud:
    """The cloud itself, once its arrays are seen to fit each other.

    Raises:
        ValueError: they do not; the message names the cloud and the field.
    """
    name, count = f"cloud {cloud.name!r}", len(checked_points(cloud.points, f"cloud {cloud.name!r}: points"))
    if cloud.kind not in ("sequential", "diverging"):
        raise ValueError(f"{name}: kind: got {cloud.kind!r}, accepted are 'sequential', 'diverging'")
    steps, kept = cloud.snapshot_steps, 0 if cloud.snapshots is None else len(cloud.snapshots)
    each = ((count,), f"({count},)")
    forms = (("values", *each), ("ghost", *each), ("snapshots", (kept, count, 3), f"(S, {count}, 3)"))
    for part, shape, words in forms:
        if (given := getattr(cloud, part)) is not None and np.shape(given) != shape:
            raise ValueError(f"{name}: {part}: got shape {np.shape(given)}, accepted is {words}")
        if given is not None and not np.isfinite(given).all():
            raise ValueError(f"{name}: {part}: got NaN or infinity, accepted are finite numbers")
    if steps is not None and len(steps) != kept:
        raise ValueError(f"{name}: snapshot_steps: got {len(steps)} steps for {kept or 'no'} snapshots")
    return cloud


def states_of(cloud: Cloud, most: int | None = None) -> tuple[np.ndarray, list[str]]:
    """All states, the result last, (T, N, 3), and what each is called; at most `most` of the snapshots."""
    if cloud.snapshots is None or len(cloud.snapshots) == 0:
        return np.asarray(cloud.points)[None], ["result"]
    count = len(cloud.snapshots)
    steps = list(range(count) if cloud.snapshot_steps is None else cloud.snapshot_steps)
    kept = np.unique(np.linspace(0, count - 1, min(count, most or count)).round().astype(int))
    states = np.concatenate([np.asarray(cloud.snapshots)[kept], np.asarray(cloud.points)[None]])
    return states, [f"step {steps[i]}" for i in kept] + ["result"]


def packed(clouds: Sequence[Cloud], up: Literal["z", "y"] = "z") -> list[dict[str, Any]]:
    """The clouds as JSON values, their snapshots thinned to what a page of a few megabytes holds."""
    share = _STATE_POINTS // max(1, sum(len(cloud.points) for cloud in clouds))
    return [_packed(cloud, max(2, min(_MOST_SNAPSHOTS, share)), up) for cloud in clouds]


def _packed(cloud: Cloud, most: int, up: Literal["z", "y"]) -> dict[str, Any]:
    """States in the unit sphere, 12 bits a coordinate, each as its change from the one before, deflated."""
    states, steps = states_of(cloud, most)
    states = to_z_up(states.astype(np.float64), up)
    center, reach = np.zeros(3), 1.0
    if cloud.cube is None and not 0.5 <= np.linalg.norm(states[-1], axis=1).max() <= 1.05:  # not in the unit sphere
        center, reach = center_reach(states[-1])
    states = (states - center) / reach
    unit = max(float(np.abs(states).max()), 1e-9) / _LEVELS
    change = np.diff(np.rint(states / unit), axis=0, prepend=0).astype("<i2")
    planes = change.reshape(-1).view(np.uint8).reshape(-1, 2).T.tobytes()
    radius = float(np.clip(0.03 * (1024 / len(cloud.points)) ** 0.5, 0.006, 0.06))
    entry = {
        "name": cloud.name,
        "count": len(cloud.points),
        "steps": steps,
        "kind": cloud.kind,
        "unit": unit,
        "center": center.tolist(),
        "reach": reach,
        "radius": radius if cloud.cube is None else cloud.cube / reach * 3**0.5 / 2,
        "cube": cloud.cube is not None,
        "states": base64_of(zlib.compress(planes, 6)),
    }
    if cloud.ghost is not None:
        entry["ghost"] = base64_of(np.asarray(cloud.ghost, bool).astype(np.uint8).tobytes())
    if cloud.values is not None:
        low, high = limits(cloud.values, kind=cloud.kind)
        tones = (np.asarray(cloud.values, np.float64) - low) / (high - low)
        entry["tones"] = base64_of(np.rint(tones * 255).astype(np.uint8).tobytes())
    return entry


def base64_of(data: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(data).decode("ascii")


def card(cloud: Cloud, states: int) -> dict[str, Any]:
    """What the template writes the card of a cloud from: its words, how many states it has, its color map."""
    low, high = limits(np.zeros(1) if cloud.values is None else cloud.values, kind=cloud.kind)
    ends = (short(float(f"{end:.2g}")) for end in (low, high))
    size = f"a cloud of {len(cloud.points)} points" if cloud.cube is None else f"{len(cloud.points)} voxels"
    return {
        "name": cloud.name,
        "caption": cloud.caption,
        "said": f"{', '.join(filter(None, (cloud.row, cloud.name)))}, {size}. {cloud.caption}".strip(),
        "states": states,
        "legend": None if cloud.values is None else legend(cloud.kind, *ends),
        "badges": cloud.badges,
        "row": cloud.row,
    }


def legend(kind: Literal["sequential", "diverging"], low: str, high: str) -> dict[str, str]:
    """A strip of the color map, and what its two ends mean."""
    return {"low": low, "high": high, "stops": ", ".join(map(code_of, palette(kind)[::17]))}
