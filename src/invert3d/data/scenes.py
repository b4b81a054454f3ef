"""A scene in a JSON file that a person writes: objects by kind and place, a camera like KITTI's unless it is given."""

import math
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta, Struct

from invert3d.data.files import BadFile, bad_file, reading
from invert3d.data.kitti import KINDS, usual_projection
from invert3d.ops.layouts import Layout
from invert3d.registry import unknown

#: means of KITTI's training labels: height, width, length in meters
MEAN_SIZES: dict[str, tuple[float, float, float]] = {
    "Car": (1.53, 1.63, 3.88),
    "Van": (2.21, 1.90, 5.08),
    "Truck": (3.25, 2.59, 10.11),
    "Pedestrian": (1.76, 0.66, 0.84),
    "Person_sitting": (1.27, 0.59, 0.80),
    "Cyclist": (1.74, 0.60, 1.76),
    "Tram": (3.53, 2.54, 16.09),
    "Misc": (1.91, 1.51, 3.58),
}

_Length = Annotated[float, Meta(gt=0)]
_Pixels = Annotated[int, Meta(ge=1, le=100_000)]
_Row = tuple[float, float, float, float]


class _Image(Struct, forbid_unknown_fields=True):
    height: _Pixels
    width: _Pixels


class _Object(Struct, forbid_unknown_fields=True):
    kind: str
    center: tuple[float, float, float]
    yaw_degrees: float = 0.0
    size: tuple[_Length, _Length, _Length] | None = None


class _Scene(Struct, forbid_unknown_fields=True):
    image: _Image
    objects: list[_Object]
    projection: tuple[_Row, _Row, _Row] | None = None


def read_scene(path: str | Path) -> Layout:
    """The layout that a scene file describes::

        {"image": {"height": 384, "width": 1280},
         "projection": [[720, 0, 620, 0], [0, 720, 180, 0], [0, 0, 1, 0]],
         "objects": [{"kind": "Car", "center": [2.5, 1.6, 15], "yaw_degrees": -90, "size": [1.5, 1.6, 3.9]}]}

    Centers are of the bottom faces in meters: right, down, ahead (1.6 down is the road under KITTI's camera). A yaw of
    0 looks to the right, -90 ahead. Sizes are height, width, length. Without a size the mean of the kind is taken,
    without a projection KITTI's for the size of the image.

    Raises:
        ValueError: there is no such file, it is not JSON, a key or kind is not known, or a value is of the wrong type.
    """
    with reading(path, "a scene in a JSON file") as file:
        try:
            table = msgspec.json.decode(file.read_bytes())
            _check_keys(table, str(file))
            scene = msgspec.convert(table, _Scene)
        except msgspec.ValidationError as error:
            raise bad_file(file, error) from error
        except msgspec.DecodeError as error:
            raise bad_file(file, f"not JSON: {error}") from error
        for i, each in enumerate(scene.objects, 1):
            if each.kind not in KINDS:
                raise bad_file(file, f"object {i}: {unknown('kind', each.kind, KINDS)}")
        height, width = scene.image.height, scene.image.width
        layout = Layout.of(
            [each.kind for each in scene.objects],
            torch.tensor([each.size or MEAN_SIZES[each.kind] for each in scene.objects]).reshape(-1, 3),
            torch.tensor([each.center for each in scene.objects]).reshape(-1, 3),
            torch.tensor([math.radians(each.yaw_degrees) for each in scene.objects]),
            torch.tensor(scene.projection) if scene.projection else usual_projection(height, width),
            height,
            width,
        )
        if not all(bool(part.isfinite().all()) for part in (layout.centers, layout.sizes, layout.projection)):
            raise bad_file(file, "found numbers that a float32 does not hold")
    return layout


def _check_keys(table: Any, name: str) -> None:
    """Refuse keys that are not known, with the nearest that are; what is no table is left to msgspec."""
    tables: list[tuple[Any, type[Struct], str]] = [(table, _Scene, name)]
    if isinstance(table, dict):
        tables.append((table.get("image"), _Image, f"{name}, image"))
        objects = table.get("objects")
        listed = enumerate(objects if isinstance(objects, list) else (), 1)
        tables += [(each, _Object, f"{name}, object {i}") for i, each in listed]
    for each, struct, where in tables:
        for key in each if isinstance(each, dict) else ():
            if key not in struct.__struct_fields__:
                raise BadFile(f"{where}: {unknown('key', key, struct.__struct_fields__)}")
