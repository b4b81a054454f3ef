"""A page of inverted pictures: each beside its original, with a scene of boxes to turn and the numbers of each object.

It is one file like the page of a run (see `page`), with the same head, themes and tables. The boxes are drawn on a 2-D
canvas by `boxes.js`: there are few of them, and lines of any width come out sharp, which WebGL does not draw.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invert3d.view.boxes import array, in_space, kind_color, shots
from invert3d.view.camera import checked_points
from invert3d.view.color import code_of
from invert3d.view.gallery import base64_of
from invert3d.view.page import Table, table_fields, write_document
from invert3d.view.pairs import RULE, numbered, object_rows, pairs
from invert3d.view.plan import fitting_reach

if TYPE_CHECKING:
    from invert3d.ops.layouts import Layout

_MOST_POINTS = 16_000  # of a LiDAR in one scene
_LARGE_PNG = 300_000  # bytes from which a picture is kept as JPEG
_CAMERA = {"azimuth": -100.0, "elevation": 31.0}
_UNIT = 0.01  # meters: places of LiDAR points are kept to the centimeter
_CAMERA_HEIGHT = 1.65  # meters above the ground in KITTI, where no object tells


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneFrame:
    """One scene of the page: pictures (H, W, 3) uint8 and what a detector finds in them.

    Attributes:
        name: the headline of the scene.
        truth: what was asked for.
        original: the picture that `truth` is for, if there is one.
        on_original: what is found in it.
        inverted: the picture that was made. Its size may differ from the original's.
        on_inverted: what is found in it.
        points: (N, 3) meters in the coordinates of the camera (x to the right, y down, z forward), of a LiDAR.
        caption: a sentence below the headline.
        badges: a few facts by name.
    """

    name: str
    truth: Layout
    original: np.ndarray | None = None
    on_original: Layout | None = None
    inverted: np.ndarray | None = None
    on_inverted: Layout | None = None
    points: np.ndarray | None = None
    caption: str = ""
    badges: Mapping[str, str] = field(default_factory=dict)


def write_scene_page(
    path: str | Path,
    frames: Sequence[SceneFrame],
    facts: Mapping[str, str] | None = None,
    *,
    title: str = "Inverted pictures",
    subtitle: str = "",
    tables: Sequence[Table] = (),
    recipe: str = "",
    notes: Sequence[str] = (),
) -> Path:
    """Write one HTML file that opens from disk without a network, and return its path.

    Args:
        path: the file, or a folder (it gets `index.html`); folders are made.
        frames: the scenes, in their order, at least one.
        facts: where the page comes from, by name: version, seed, time, machine.
        title: the headline.
        subtitle: the sentence below it.
        tables: below the scenes.
        recipe: the text that repeats the run.
        notes: sentences of what to read with care.

    Raises:
        ValueError: there is no scene, a picture is none or of another size than its layout, points are not (N, 3).
    """
    if len(frames) == 0:
        raise ValueError("frames: got none, accepted is at least one")
    written, scenes = [], []
    for place, frame in enumerate(frames):
        founds = _founds(frame)
        matched = {name: pairs(frame.truth, found) for name, found in founds.items()}
        columns, rows = object_rows(frame.truth, founds, matched)
        table = Table(title=frame.name, columns=columns, rows=rows, note=RULE if place == 0 else "")
        written.append({**_written(frame), "table": table_fields(table)})
        scenes.append(_packed(frame, founds, matched))
    names = {name for frame in frames for name in _founds(frame)}
    fields = {
        "title": title,
        "subtitle": subtitle,
        "founds": [name for name in ("inverted", "original") if name in names] + ["nothing"],
        "points": any(frame.points is not None for frame in frames),
        "scenes": written,
        "tables": [table_fields(table) for table in tables],
        "recipe": recipe,
        "notes": notes,
        "provenance": facts or {},
    }
    data = {"camera": _CAMERA, "scenes": scenes}
    return write_document(path, "scenes.html.j2", fields, data=data, scripts=("base.js", "boxes.js"))


def _founds(frame: SceneFrame) -> dict[str, Layout]:
    """What was found, by where."""
    both = {"inverted": frame.on_inverted, "original": frame.on_original}
    return {name: layout for name, layout in both.items() if layout is not None}


def _written(frame: SceneFrame) -> dict[str, Any]:
    """What the template writes a scene from: its words, its pictures, and the colors of its kinds."""
    layouts = [frame.truth, *_founds(frame).values()]
    kinds = sorted({layout.kinds[place] for layout in layouts for place in in_space(layout)})
    try:
        pictures = shots(frame.original, frame.truth, frame.on_original, frame.inverted, frame.on_inverted)
    except ValueError as error:
        raise ValueError(f"{frame.name}: {error}") from error
    words = {
        "asked": "What was asked for" + ("" if frame.original is None else ", on the original"),
        "on original": "Found in the original",
        "inverted": "Inverted",
        "on inverted": "Found in it",
    }
    return {
        "name": frame.name,
        "caption": frame.caption,
        "shots": [(words[name], _uri(picture), *picture.shape[1::-1]) for name, picture in pictures.items()],
        "said": f"{frame.name}: a scene of {len(in_space(frame.truth))} boxes, from a point behind the camera",
        "kinds": [(kind, code_of(kind_color(kind))) for kind in kinds],
        "badges": frame.badges,
    }


def _uri(picture: np.ndarray) -> str:
    """A picture as a link that holds it: PNG, or JPEG where that would be large."""
    from PIL import Image

    kind, file = "png", io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    if len(file.getvalue()) > _LARGE_PNG:
        kind, file = "jpeg", io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=90, subsampling=0)
    return f"data:image/{kind};base64,{base64_of(file.getvalue())}"


def _packed(
    frame: SceneFrame, founds: dict[str, Layout], matched: dict[str, dict[int, tuple[int, float]]]
) -> dict[str, Any]:
    """A scene as JSON values: meters, x to the right, y forward, z up from the ground."""
    layouts = {"truth": frame.truth, **founds}
    bottoms = array(frame.truth.centers)[in_space(frame.truth), 1]
    ground = float(np.median(bottoms)) if len(bottoms) else _CAMERA_HEIGHT
    boxes: dict[str, list[dict[str, Any]]] = {name: [] for name in layouts}
    for number, (own, places) in enumerate(numbered(frame.truth, founds, matched), start=1):
        asked = {} if own is None else {"truth": own}
        for name, place in {**asked, **places}.items():
            boxes[name].append(_box(layouts[name], place, number, ground))
    corners = [box["corners"] for several in boxes.values() for box in several]
    places = np.array(corners).reshape(-1, 3)[:, :2] if corners else np.zeros((0, 2))
    front = fitting_reach(*layouts.values())
    places = np.concatenate([np.clip(places, [-front, -10], [front, front + 10]), [[0.0, 0.0], [0.0, 0.4 * front]]])
    low, high = places.min(axis=0), places.max(axis=0)
    field_ = [
        *(float(edge) for edge in (np.floor((low[0] - 4) / 10) * 10, np.ceil((high[0] + 4) / 10) * 10)),
        0.0,
        float(np.ceil(high[1] / 10) * 10),
    ]
    entry = {
        "center": [*np.round((low + high) / 2, 2).tolist(), 0.8],
        "reach": round(max(8.0, float(np.hypot(*(high - low))) / 2), 2),
        "field": field_,
        "boxes": boxes,
        **_camera(frame.truth, ground, field_),
    }
    if frame.points is not None:
        entry["cloud"] = _cloud(checked_points(frame.points, f"{frame.name}: points"), ground, field_)
    return entry


def _box(layout: Layout, place: int, number: int, ground: float) -> dict[str, Any]:
    """A box: its number, its color, 0 to 1, and its corners."""
    corners = _world(array(layout.corners)[place], ground)
    color = [round(part / 255, 3) for part in kind_color(layout.kinds[place])]
    return {"number": number, "color": color, "corners": np.round(corners, 3).tolist()}


def _camera(layout: Layout, ground: float, field_: Sequence[float]) -> dict[str, Any]:
    """The camera as a small pyramid, its tip first, and the ends of what it sees of the ground."""
    projection = array(layout.projection)
    if not np.isfinite(projection).all():  # a layout in the picture only
        return {"eye": [], "sides": []}
    inverse = np.linalg.inv(projection[:, :3])
    tip = -inverse @ projection[:, 3]
    front = field_[3]
    left, right, top, bottom = -0.5, layout.width - 0.5, -0.5, layout.height - 0.5
    rays = np.array([inverse @ (u, v, 1.0) for u, v in ((left, top), (right, top), (right, bottom), (left, bottom))])
    corners = tip + rays / rays[:, 2:] * max(1.5, front / 25)
    slopes = (rays[:2, 0] / rays[:2, 2]).tolist()
    ends = [
        min(front, edge / slope) if slope * edge > 0 else front for slope, edge in zip(slopes, field_, strict=False)
    ]
    return {
        "eye": np.round(_world(np.concatenate([tip[None], corners]), ground), 3).tolist(),
        "sides": [[round(slope * end, 2), round(end, 2), 0.0] for slope, end in zip(slopes, ends, strict=True)],
    }


def _cloud(points: np.ndarray, ground: float, field_: Sequence[float]) -> dict[str, Any]:
    """The points of a LiDAR on the field, at most some thousand, to the centimeter and deflated."""
    places = _world(points, ground)
    left, right, back, front = field_
    on_field = (places[:, 0] > left) & (places[:, 0] < right) & (places[:, 1] > back) & (places[:, 1] < front)
    places = places[on_field & (np.abs(places[:, 2]) < 8)]
    if len(places) > _MOST_POINTS:
        places = places[np.sort(np.random.default_rng(0).choice(len(places), _MOST_POINTS, replace=False))]
    return {"unit": _UNIT, "places": base64_of(zlib.compress(np.rint(places / _UNIT).astype("<i2").tobytes(), 9))}


def _world(points: np.ndarray, ground: float) -> np.ndarray:
    """Places (..., 3) of the camera (right, down, forward) as (right, forward, up from the ground)."""
    return np.stack([points[..., 0], points[..., 2], ground - points[..., 1]], axis=-1)
