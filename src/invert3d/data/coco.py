"""COCO's instances: pictures in a folder and one JSON file with their boxes, masks and categories."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invert3d.data.files import bad_file, reading
from invert3d.data.images import read_image
from invert3d.ops.layouts import Layout


class CocoFolder:
    """The annotations of a file, with its pictures.

    Attributes:
        annotations: the file. images: the folder of the pictures.
        kinds: the names of the categories, in the order of their ids.
        ids: of the pictures, as in the file.
    """

    def __init__(self, annotations: Path, images: Path | None = None) -> None:
        """Read the file. ``images`` is the folder ``images`` beside it unless said.

        Raises:
            BadFile: it is not there, or is no COCO file.
        """
        self.annotations = Path(annotations)
        self.images = self.annotations.parent / "images" if images is None else Path(images)
        with reading(self.annotations, "COCO annotations in JSON") as file:
            table = json.loads(file.read_text())
            self._pictures = {each["id"]: _checked(each) for each in table["images"]}
            names = {each["id"]: str(each["name"]) for each in sorted(table["categories"], key=lambda c: c["id"])}
            self._rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
            for each in table["annotations"]:
                if each["image_id"] not in self._pictures or each["category_id"] not in names:
                    raise ValueError(f"annotation {each.get('id')} is of no picture or category of the file")
                self._rows[each["image_id"]].append(each)
        self._names, self.kinds, self.ids = names, tuple(names.values()), tuple(self._pictures)

    def __len__(self) -> int:
        return len(self.ids)

    def picture(self, number: Any) -> dict[str, Any]:
        """The entry of a picture. Raises BadFile for an id that the file does not have."""
        if number not in self._pictures:
            raise bad_file(self.annotations, f"has no picture with id {number!r}; its first are {self.ids[:5]}")
        return self._pictures[number]

    def image(self, number: Any) -> np.ndarray:
        """A picture (H, W, 3) uint8 RGB. Raises BadFile if it is not there, no picture, or of another size."""
        entry = self.picture(number)
        path = self.images / str(entry["file_name"])
        image = read_image(path, "a picture of the annotations")
        if image.shape[:2] != (entry["height"], entry["width"]):
            raise bad_file(path, f"is {image.shape[:2]}, its annotations say {(entry['height'], entry['width'])}")
        return image

    def layout(self, number: Any, *, masks: bool = False) -> Layout:
        """What is in a picture: categories and boxes, in pixels from edge to edge; crowds are DontCare.

        With ``masks`` also which pixels show each. Raises BadFile for a box or mask that cannot be read.
        """
        entry, rows = self.picture(number), self._rows[number]
        height, width = int(entry["height"]), int(entry["width"])
        with reading(self.annotations, "COCO annotations in JSON"):
            table = np.array([each["bbox"] for each in rows], np.float32).reshape(len(rows), 4)
            if not np.isfinite(table).all():
                raise ValueError(f"a box in the picture with id {number!r} is not finite")
            boxes = torch.from_numpy(np.concatenate([table[:, :2], table[:, :2] + table[:, 2:]], 1))
            found = [mask_of(each["segmentation"], height, width) for each in rows] if masks else []
        return Layout.of_boxes(
            ["DontCare" if each.get("iscrowd") else self._names[each["category_id"]] for each in rows],
            boxes,
            height,
            width,
            masks=torch.from_numpy(np.array(found, bool).reshape(-1, height, width)) if masks else None,
        )


def _checked(picture: dict[str, Any]) -> dict[str, Any]:
    """An entry of a picture, if it has a name and a size. Raises KeyError or ValueError."""
    if not picture["file_name"] or not min(int(picture["height"]), int(picture["width"])) > 0:
        raise ValueError(f"the picture with id {picture['id']!r} has no name or no size")
    return picture


def mask_of(segmentation: Any, height: int, width: int) -> np.ndarray:
    """A mask (H, W) bool of polygons, or of run lengths: plain, or compressed (extra ``detect``).

    Raises ValueError if it is neither, or of another size; ModuleNotFoundError without the extra.
    """
    if isinstance(segmentation, dict):
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(f"a mask is {segmentation['size']}, its picture {[height, width]}")
        counts = segmentation["counts"]
        if isinstance(counts, str | bytes):
            return _decoded(segmentation)
        return _from_runs(counts, height, width)
    return _from_polygons(segmentation, height, width)


def _from_runs(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    if sum(counts) != height * width:
        raise ValueError(f"the run lengths of a mask add up to {sum(counts)}, not to {height} x {width}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def _decoded(segmentation: dict[str, Any]) -> np.ndarray:
    try:
        from faster_coco_eval.core import mask
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("compressed masks need the extra detect: pip install 'invert3d[detect]'") from error
    return mask.decode(segmentation).astype(bool)


def _from_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """The pixels whose middles lie in any of them; pixel (column, row) reaches to (column + 1, row + 1)."""
    found = np.zeros((height, width), bool)
    for each in polygons:
        corners = np.array(each, float).reshape(-1, 2)
        if not np.isfinite(corners).all():
            raise ValueError("a corner of a polygon is not finite")
        (x, y), (to_x, to_y) = corners.T, np.roll(corners, -1, 0).T
        middles = np.arange(height)[:, None] + 0.5
        rows, edges = np.nonzero((y <= middles) != (to_y <= middles))  # an edge crosses the middle of a row
        share = (rows + 0.5 - y[edges]) / (to_y - y)[edges]
        first = np.ceil(x[edges] + share * (to_x - x)[edges] - 0.5).clip(0, width).astype(int)
        turns = np.zeros((height, width + 1), int)
        np.add.at(turns, (rows, first), 1)
        found |= turns.cumsum(1)[:, :width] % 2 == 1
    return found
