"""Does a detector use what stands beside an object? The object beside it is taken away, and the picture rendered again.

Single objects that are inverted show what a detector expects beside them (``context``), which is a claim. In rooms it
can be tested: without its partner, or as the control without the nearest other object of the room, is an object found
less surely? The rest of the room stays as it is. An object that looks different afterwards does not count: the other
had partly hidden it, or cast a shadow on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.data.worlds.room_plan import MOTIFS, NAMES
from invert3d.data.worlds.rooms import Room, make_room
from invert3d.evaluate.attribution import interval
from invert3d.jobs.job import Job
from invert3d.jobs.provenance import fingerprint
from invert3d.jobs.rows import rows_job
from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout
from invert3d.ops.overlaps import mask_iou
from invert3d.ops.seeds import HELD_OUT
from invert3d.study.layouts.job import device_of, frozen
from invert3d.study.layouts.texture import said_of

#: an object counts if it is found with this score while everything is there
SURE = 0.3
SAME = 0.95  #: the share of an object's pixels that must look the same afterwards, and the overlap of its masks
LEVELS = 8  #: of 255: pixels that differ by less look the same
PARTNER, ANOTHER = "its partner", "the nearest other object"
#: pairs that stand together: the object that is looked at, and the one that is taken away
PAIRS = tuple(dict.fromkeys(pair for m in MOTIFS for pair in ((m.category, m.brings), (m.brings, m.category))))


def partners_job(detector: Detector, rooms: int, device: str = "cpu") -> Job:
    """The job of taking partners away, a unit for each held-out room.

    Raises ValueError for a detector that does not know the categories of rooms.
    """
    if missing := sorted(set(NAMES) - set(detector.kinds)):
        raise ValueError(f"rooms have categories that the detector does not know: {', '.join(missing[:5])}")
    job = rows_job("partners", of_room, [{"room": k} for k in range(rooms)], detector=detector, device=device)
    weights = fingerprint(detector)  # type: ignore[arg-type]
    return replace(job, settings={"weights": weights}, label=f"rendering {rooms} rooms again")


def of_room(room: int, *, detector: Any, device: str, seed: int) -> dict[str, Any]:
    """The scores of the objects in a room that stand beside a partner, before and after: a list of rows."""
    made = make_room(room, size=detector.height, seed=HELD_OUT)
    todo = removals(made.partners, made.layout.boxes)
    if not todo:
        return {"objects": []}
    rooms = [make_room(room, size=detector.height, seed=HELD_OUT, without=[gone]) for _, gone in todo]
    found = read(detector, [made.image, *(each.image for each in rooms)])
    return {
        "objects": [
            {
                "object": made.items[row].name,
                "beside": made.items[partner_of(made.partners, row)].name,
                "taken away": PARTNER if gone == partner_of(made.partners, row) else ANOTHER,
                "before": said_of(found[0], made.layout, row)[0],
                "after": said_of(after, made.layout, row)[0],
            }
            for (row, gone), other, after in zip(todo, rooms, found[1:], strict=True)
            if looks_the_same(made, other, row)
        ]
    }


def looks_the_same(before: Room, after: Room, row: int) -> bool:
    """Whether an object can be seen as before: what is taken away did not hide it, nor cast a shadow on it."""
    item = before.items[row]
    if item not in after.items or before.layout.masks is None or after.layout.masks is None:
        return False
    mask, other = before.layout.masks[row], after.layout.masks[after.items.index(item)]
    apart = np.abs(before.image.astype(int) - after.image).max(-1)[mask.numpy()]
    return float(mask_iou(mask[None], other[None])) >= SAME and float((apart < LEVELS).mean()) >= SAME


def partner_of(partners: Sequence[int] | np.ndarray, row: int) -> int:
    """The row of the object that brought this one, or that it brought; -1 if there is none."""
    if partners[row] >= 0:
        return int(partners[row])
    brought = [k for k, each in enumerate(partners) if each == row]
    return brought[0] if brought else -1


def removals(partners: Sequence[int] | np.ndarray, boxes: Float[Tensor, "n 4"]) -> list[tuple[int, int]]:
    """Rows of what to look at, and of what to take away: for each object beside a partner the partner, and the nearest
    of the others, if there is one."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    apart, todo = torch.cdist(middles, middles), []
    for row in range(len(partners)):
        partner = partner_of(partners, row)
        if partner < 0:
            continue
        todo.append((row, partner))
        others = [k for k in range(len(partners)) if k not in (row, partner)]
        if others:
            todo.append((row, others[int(apart[row, others].argmin())]))
    return todo


@torch.no_grad()
def read(detector: Detector, images: Sequence[np.ndarray]) -> list[Layout]:
    """What a detector finds in pictures (S, S, 3) of bytes."""
    pictures = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().to(device_of(detector)) / 255
    with frozen(detector):
        return detector.finalize(detector.raw(pictures))


def table_of(objects: Sequence[Mapping[str, Any]], least: int = 5) -> list[dict[str, Any]]:
    """A row for each pair that stands together: means over the objects that are found with a score of at least ``SURE``
    while all is there, and 95 % bootstrap intervals. Pairs of fewer than ``least`` are left out."""
    rows = []
    for name, beside in PAIRS:
        for gone in (PARTNER, ANOTHER):
            some = [
                each
                for each in objects
                if (each["object"], each["beside"], each["taken away"]) == (name, beside, gone)
                and each["before"] >= SURE
            ]
            if len(some) < least:
                continue
            center, low, high = interval(torch.tensor([each["after"] - each["before"] for each in some]))
            rows.append(
                {
                    "object": name,
                    "beside": beside,
                    "taken away": gone,
                    "objects": len(some),
                    "score before": round(float(np.mean([each["before"] for each in some])), 3),
                    "change of score": round(center, 3),
                    "interval": f"{low:+.3f} to {high:+.3f}",
                }
            )
    return rows
