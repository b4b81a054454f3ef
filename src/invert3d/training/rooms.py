"""The room world as a job of one unit a picture: into memory, to train and measure on, or as a folder in COCO's form.

A finished run folder of ``make_rooms`` has the pictures in ``images``, their instances in ``instances_train.json`` and
``instances_val.json``, the last tenth, and ``truths.json``: what is planted, and how often it was drawn.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import torch

from invert3d.data.files import writing
from invert3d.data.worlds.coco_files import annotations_of, write_coco
from invert3d.data.worlds.room_plan import NAMES, planted
from invert3d.data.worlds.rooms import Room, check_room, make_room
from invert3d.data.worlds.street_files import HELD_OUT
from invert3d.jobs.execute import execute
from invert3d.jobs.job import Job, Made, Unit
from invert3d.jobs.options import RunOptions
from invert3d.ops.layouts import Layout
from invert3d.training.pictures import Pictures
from invert3d.training.worlds import AT_ONCE, MakePictures, linked, made_in_memory


def rooms_job(count: int, size: int, keep: Callable[[str, Room], Made]) -> Job:
    """The job of making the first ``count`` pictures of a seed. Raises ValueError for none, or too small pictures."""
    check_room(0, size, 0)
    return Job(
        kind="rooms",
        units=tuple(Unit(name=f"{i:06d}") for i in range(count)),
        worker=MakePictures(make=make_room, scene={"size": size}, keep=keep),
        settings={"size": size},
        capacity=AT_ONCE,
        label=f"making {count} rooms",
    )


def as_arrays(name: str, room: Room) -> Made:
    """The picture (S, S, 3), whose pixel each is (S, S), and boxes (n, 4)."""
    image, instances = torch.from_numpy(room.image), torch.from_numpy(room.instances)
    return Made(
        facts={"kinds": room.layout.kinds}, arrays={"image": image, "instances": instances, "boxes": room.layout.boxes}
    )


def as_files(name: str, room: Room) -> Made:
    """The picture as a PNG file, its COCO annotations, and of each object what was planned."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(room.image).save(file, "PNG", compress_level=3)
    found = annotations_of(room.instances, room.layout.kinds, NAMES, int(name))
    for each, item, share, partner in zip(found, room.items, room.visible, room.partners, strict=True):
        each |= {"texture": item.texture, "scale": item.scale, "side": item.side, "partner": int(partner)}
        each["visible"] = round(float(share), 3)
    return Made(facts={"annotations": found}, files={f"images/{name}.png": file.getvalue()})


def room_pictures(count: int, size: int, *, seed: int = 0, options: RunOptions = RunOptions()) -> Pictures:
    """The first ``count`` pictures of a seed, made by the workers of ``options``, through a temporary folder.

    Raises KeyboardInterrupt after Ctrl-C.
    """
    images, instances, layouts = torch.empty(count, 3, size, size, dtype=torch.uint8), [], []
    for i, made in enumerate(made_in_memory(rooms_job(count, size, as_arrays), options, seed, "rooms")):
        images[i] = made.arrays["image"].permute(2, 0, 1)
        instances.append(made.arrays["instances"])
        layouts.append(Layout.of_boxes(tuple(made.facts["kinds"]), made.arrays["boxes"], size, size))
    source = f"procedural rooms, seed {seed}, {size} x {size}"
    return Pictures(images, torch.stack(instances), NAMES, tuple(layouts), source, "Apache-2.0")


def make_rooms(count: int, options: RunOptions, *, size: int) -> Path:
    """Write rooms in COCO's form into the run folder, and return it.

    Args:
        count, size: how many pictures, and their height and width in pixels.
        options: where and how.

    Raises:
        ValueError: a picture smaller than 64 pixels, no picture, or a folder that cannot be written.
        KeyboardInterrupt: after Ctrl-C; what is done is in the folder.
    """
    outcome = execute(rooms_job(count, size, as_files), options).whole()
    names, found = linked(outcome)
    held = max(1, round(count * HELD_OUT)) if count > 1 else 0
    numbered = list(enumerate(names))
    splits = {"train": numbered[: count - held], "val": numbered[count - held :]}
    for split, chosen in splits.items():
        write_coco(outcome.path / f"instances_{split}.json", dict(chosen), found, (size, size), NAMES)
    with writing(outcome.path / "truths.json") as part:
        part.write_text(json.dumps({**planted(), "as drawn": counted(found)}, indent=1))
    return outcome.path


def counted(annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many of each category are labeled, and how often b is in a picture with a: ``table[a][b]``."""
    pictures: dict[int, Counter[str]] = {}
    for each in annotations:
        pictures.setdefault(each["image_id"], Counter())[NAMES[each["category_id"] - 1]] += 1
    having = {a: [there for there in pictures.values() if there[a]] for a in NAMES}
    share = {a: {} for a in NAMES}
    for a, b in permutations(NAMES, 2):
        share[a][b] = round(sum(there[b] > 0 for there in having[a]) / max(1, len(having[a])), 4)
    return {"objects": {a: sum(there[a] for there in having[a]) for a in NAMES}, "probability of b given a": share}
