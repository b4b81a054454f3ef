"""Instances of a world's pictures as COCO JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from invert3d.data.files import writing


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths of a mask (H, W) bool: column by column, the first run is of zeros."""
    edges = np.flatnonzero(np.diff(np.asarray(mask, bool).ravel(order="F"), prepend=False))
    return np.diff(edges, prepend=0, append=mask.size).tolist()


def annotations_of(
    instances: np.ndarray, kinds: Sequence[str], categories: Sequence[str], image: int
) -> list[dict[str, Any]]:
    """COCO annotations of a picture, without their ids: visible masks, their boxes (x, y, width, height), areas.

    ``instances`` (H, W) is i + 1 where the i-th of ``kinds`` is seen.
    """
    found = []
    for k, kind in enumerate(kinds):
        mask = instances == k + 1
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        found.append(
            {
                "image_id": image,
                "category_id": categories.index(kind) + 1,
                "bbox": [float(side) for side in box],
                "area": int(mask.sum()),
                "iscrowd": 0,
                "object": k,
                "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
            }
        )
    return found


def write_coco(
    path: Path, names: dict[int, str], found: list[dict[str, Any]], size: tuple[int, int], categories: Sequence[str]
) -> None:
    """Write instances as one COCO JSON file; ``names`` are those of the pictures, by their ids."""
    images = [{"id": k, "file_name": f"{name}.png", "height": size[0], "width": size[1]} for k, name in names.items()]
    flat = [{"id": k + 1, **each} for k, each in enumerate(found) if each["image_id"] in names]
    kinds = [{"id": k + 1, "name": kind} for k, kind in enumerate(categories)]
    with writing(path) as part:
        part.write_text(json.dumps({"images": images, "annotations": flat, "categories": kinds}))
