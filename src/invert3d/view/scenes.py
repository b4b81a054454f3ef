"""A page of inverted pictures: each beside its original, with a scene of boxes to turn and the numbers of each object.

It is one file like the page of a run (see `page`), with the same head, themes and tables. The boxes are drawn on a 2-D
canvas by `boxes.js`: there are few of them, and lines of any width come out sharp, which WebGL does not draw.
"""

import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invert3d.view.boxes import SceneFrame, array, in_space, kind_color
from invert3d.view.camera import checked_points
from invert3d.view.color import code_of
from invert3d.view.gallery import base64_of
from invert3d.view.page import Table, embedded, table_fields, write_document
from invert3d.view.pairs import RULE, Seen, numbered, object_rows
from invert3d.view.plan import fitting_reach

if TYPE_CHECKING:
    from invert3d.ops.layouts import Layout

_MOST_POINTS = 16_000  # of a LiDAR in one scene
_LARGE_PNG = 300_000  # bytes from which a picture is kept as JPEG
_CAMERA = {"azimuth": -100.0, "elevation": 31.0}
_UNIT = 0.01  # meters: places of LiDAR points are kept to the centimeter
_CAMERA_HEIGHT = 1.65  # meters above the ground in KITTI, where no object tells


def write_scene_page(
    path: str | Path,
    frames: Sequence[SceneFrame],
    facts: Mapping[str, str] | None = None,
    *,
    title: str = "Inverted pictures",
    subtitle: str = "",
    pictures: Sequence[tuple[str, Path]] = (),
    recipe: str = "",
    notes: Sequence[str] = (),
) -> Path:
    """Write one HTML file that opens from disk without a network, and return its path.

    Args:
        frames: the scenes, in their order, at least one.
        facts: where the page comes from, by name: version, seed, time, machine.
        path, title, subtitle, pictures, recipe, notes: as of `page.write_page`; pictures are above the scenes.

    Raises:
        ValueError: there is no scene, a picture is none or of another size than its layout, points are not (N, 3).
    """
    if len(frames) == 0:
        raise ValueError("frames: got none, accepted is at least one")
    written, scenes = [], []
    for place, frame in enumerate(frames):
        objects = numbered(frame.truth, frame.founds)
        columns, rows = object_rows(frame.truth, frame.founds, objects)
        table = Table(title=frame.name, columns=columns, rows=rows, note=RULE if place == 0 else "")
        written.append({**_written(frame), "table": table_fields(table)})
        scenes.append(_packed(frame, objects))
    names = {name for frame in frames for name in frame.founds}
    fields = {
        "title": title,
        "subtitle": subtitle,
        "founds": [name for name in ("inverted", "original") if name in names] + ["nothing"],
        "points": any(frame.points is not None for frame in frames),
        "pictures": embedded(pictures),
        "scenes": written,
        "tables": [],
        "recipe": recipe,
        "notes": notes,
        "provenance": facts or {},
    }
    data = {"camera": _CAMERA, "scenes": scenes}
    return write_document(path, "scenes.html.j2", fields, data=data, scripts=("base.js", "boxes.js"))


def _written(frame: SceneFrame) -> dict[str, Any]:
    """What the template writes a scene from: its words, its pictures, and the colors of its kinds."""
    layouts = [frame.truth, *frame.founds.values()]
    kinds = sorted({layout.kinds[place] for layout in layouts for place in in_space(layout)})
    try:
        pictures = frame.shots()
    except ValueError as error:
        raise ValueError(f"{frame.name}: {error}") from error
    words = {
        "asked": "What was asked for" + ("" if frame.original is None else ", on the original"),
        "on original": "Found in the original",
        "inverted": "Inverted",
        "on inverted": "Found in the inverted picture",
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


def _packed(frame: SceneFrame, objects: Sequence[Seen]) -> dict[str, Any]:
    """A scene as JSON values: meters, x to the right, y forward, z up from the ground."""
    layouts = {"truth": frame.truth, **frame.founds}
    bottoms = array(frame.truth.centers)[in_space(frame.truth), 1]
    ground = float(np.median(bottoms)) if len(bottoms) else _CAMERA_HEIGHT
    boxes: dict[str, list[dict[str, Any]]] = {name: [] for name in layouts}
    for number, each in enumerate(objects, start=1):
        asked = {} if each.asked is None else {"truth": (each.asked, None)}
        for name, (place, _) in {**asked, **each.found}.items():
            boxes[name].append(_box(layouts[name], place, number, ground))
    places = np.array([box["corners"] for several in boxes.values() for box in several]).reshape(-1, 3)[:, :2]
    front = fitting_reach(*layouts.values())
    places = np.concatenate([np.clip(places, [-front, -10], [front, front + 10]), [[0.0, 0.0], [0.0, 0.4 * front]]])
    low, high = places.min(axis=0), places.max(axis=0)
    left, right, far = 10 * np.floor((low[0] - 4) / 10), 10 * np.ceil((high[0] + 4) / 10), 10 * np.ceil(high[1] / 10)
    field_ = [float(left), float(right), 0.0, float(far)]
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


def _box(layout: "Layout", place: int, number: int, ground: float) -> dict[str, Any]:
    """A box: its number, its color, 0 to 1, and its corners."""
    corners = _world(array(layout.corners)[place], ground)
    color = [round(part / 255, 3) for part in kind_color(layout.kinds[place])]
    return {"number": number, "color": color, "corners": np.round(corners, 3).tolist()}


def _camera(layout: "Layout", ground: float, field_: Sequence[float]) -> dict[str, Any]:
    """The camera as a small pyramid, its tip first, and the ends of what it sees of the ground."""
    projection = array(layout.projection)
    if not np.isfinite(projection).all():  # a layout in the picture only
        return {"eye": [], "sides": []}
    inverse = np.linalg.inv(projection[:, :3])
    tip = -inverse @ projection[:, 3]
    front = field_[3]
    right, bottom = layout.width - 0.5, layout.height - 0.5
    rays = np.array([inverse @ (u, v, 1.0) for u, v in ((-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom))])
    corners = tip + rays / rays[:, 2:] * max(1.5, front / 25)
    slopes = (rays[:2, 0] / rays[:2, 2]).tolist()
    sides = []
    for slope, edge in zip(slopes, field_[:2], strict=True):
        end = min(front, edge / slope) if slope * edge > 0 else front
        sides.append([round(slope * end, 2), round(end, 2), 0.0])
    return {"eye": np.round(_world(np.concatenate([tip[None], corners]), ground), 3).tolist(), "sides": sides}


def _cloud(points: np.ndarray, ground: float, field_: Sequence[float]) -> dict[str, Any]:
    """The points of a LiDAR on the field, at most some thousand, to the centimeter and deflated."""
    places = _world(points, ground)
    left, right, back, front = field_
    places = places[((places > (left, back, -8)) & (places < (right, front, 8))).all(axis=1)]
    if len(places) > _MOST_POINTS:
        places = places[np.sort(np.random.default_rng(0).choice(len(places), _MOST_POINTS, replace=False))]
    return {"unit": _UNIT, "places": base64_of(zlib.compress(np.rint(places / _UNIT).astype("<i2").tobytes(), 9))}


def _world(points: np.ndarray, ground: float) -> np.ndarray:
    """Places (..., 3) of the camera (right, down, forward) as (right, forward, up from the ground)."""
    return np.stack([points[..., 0], points[..., 2], ground - points[..., 1]], axis=-1)
