"""A layout in a JSON file that a person writes: objects by kind and box in the picture."""

from pathlib import Path
from typing import Annotated

import msgspec
import torch
from msgspec import Meta, Struct

from invert3d.data.files import bad_file, reading
from invert3d.ops.layouts import Layout

_Pixels = Annotated[int, Meta(ge=1, le=100_000)]


class _Image(Struct, forbid_unknown_fields=True):
    height: _Pixels
    width: _Pixels


class _Object(Struct, forbid_unknown_fields=True):
    kind: str
    box: tuple[float, float, float, float]


class _Layout(Struct, forbid_unknown_fields=True):
    image: _Image
    objects: list[_Object]


def read_layout(path: str | Path) -> Layout:
    """The layout that a file describes::

        {"image": {"height": 160, "width": 160},
         "objects": [{"kind": "chair", "box": [20, 60, 60, 120]}, {"kind": "table", "box": [70, 70, 130, 120]}]}

    A box is left, top, right, bottom, in pixels from the top left corner of the picture.

    Raises:
        BadFile: there is no such file, it is not JSON, a key is not known, or a value is of the wrong type.
    """
    with reading(path, "a layout in a JSON file") as file:
        try:
            layout = msgspec.json.decode(file.read_bytes(), type=_Layout)
        except msgspec.ValidationError as error:
            raise bad_file(file, error) from error
        except msgspec.DecodeError as error:
            raise bad_file(file, f"not JSON: {error}") from error
    boxes = torch.tensor([each.box for each in layout.objects]).reshape(-1, 4)
    return Layout.of_boxes([each.kind for each in layout.objects], boxes, layout.image.height, layout.image.width)
