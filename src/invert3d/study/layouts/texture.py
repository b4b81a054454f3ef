"""How much a detector relies on texture: the same object, rendered with another one.

Figure 13 of *Inverting and Understanding Object Detectors* (Cao & Johnson 2021) replaces the texture of objects in
photographs by style transfer. In rooms the same picture is rendered again: geometry, light, shadow and everything else
stay, and it is known for which categories texture is a cue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.stats import bootstrap

from invert3d.data.worlds.colors import pick
from invert3d.data.worlds.finishes import TEXTURES
from invert3d.data.worlds.room_plan import CATEGORIES, SCALES, SHAPE_PAIRS, TEXTURE_PAIRS
from invert3d.data.worlds.rooms import Room, make_room
from invert3d.jobs.execute import Outcome
from invert3d.jobs.job import Job
from invert3d.jobs.provenance import fingerprint
from invert3d.jobs.rows import rows_job
from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import HELD_OUT, seed_of
from invert3d.study.layouts.job import device_of, frozen

#: groups of categories, by what tells them from another
GROUPS: dict[str, tuple[str, ...]] = {
    "differ in texture alone": tuple(name for pair in TEXTURE_PAIRS for name in pair),
    "differ in shape alone": tuple(name for pair in SHAPE_PAIRS for name in pair),
}
GROUPS["any neutral texture"] = tuple(c.name for c in CATEGORIES if not any(c.name in g for g in GROUPS.values()))
_USUAL = {each.name: each.textures for each in CATEGORIES}
_OTHER = {a: b for pair in TEXTURE_PAIRS for a, b in (pair, pair[::-1])}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One object before and after its texture was replaced.

    ``score`` is the highest of a detection of its category that overlaps it by at least a half (0: none); ``overlap``
    the largest IoU of any detection with it, whatever its category; ``other`` the score of the category that has the
    new texture and the same shape, if there is one. ``usual`` says that its category may have the new texture, too:
    what changes then does not come from a texture that it never has.
    """

    name: str
    scale: int
    texture: str
    usual: bool
    score: tuple[float, float]
    overlap: tuple[float, float]
    other: tuple[float, float]


def new_textures(name: str, texture: str, rng: np.random.Generator) -> list[str]:
    """What to replace the texture of an object by: one that its category never has (that of the category of the same
    shape, if there is one), and another that it may have, if there is one."""
    strange = list(_USUAL[_OTHER[name]]) if name in _OTHER else [each for each in TEXTURES if each not in _USUAL[name]]
    usual = [each for each in _USUAL[name] if each != texture]
    return [pick(rng, strange), *([pick(rng, usual)] if usual else [])]


def said_of(found: Layout, layout: Layout, row: int) -> tuple[float, float, float]:
    """Score, overlap and the score of the category of the same shape; see ``Change``."""
    from torchvision.ops import box_iou

    shares = box_iou(found.boxes, layout.boxes[row : row + 1])[:, 0]
    kinds, scores = np.array(found.kinds, dtype=object), found.scores.numpy(force=True)
    there = shares.numpy(force=True) >= 0.5
    own, other = (there & (kinds == name) for name in (layout.kinds[row], _OTHER.get(layout.kinds[row])))
    highest = [float(scores[each].max()) if each.any() else 0.0 for each in (own, other)]
    return highest[0], float(shares.max()) if len(shares) else 0.0, highest[1]


def texture_job(detectors: Mapping[str, Detector], rooms: int, device: str = "cpu") -> Job:
    """The job of asking detectors, by name, about every object in the first held-out rooms, before and after another
    texture; a unit for each detector and room.

    Raises ValueError for a detector that does not know the categories of rooms.
    """
    for name, detector in detectors.items():
        if missing := sorted(set(_USUAL) - set(detector.kinds)):
            raise ValueError(f"rooms have categories that {name} does not know: {', '.join(missing[:5])}")
    rows = [{"model": name, "room": index} for name in detectors for index in range(rooms)]
    job = rows_job("texture", of_room, rows, detectors=dict(detectors), device=device)
    weights = {name: fingerprint(detector) for name, detector in detectors.items()}  # type: ignore[arg-type]
    return replace(job, settings={"weights": weights}, label=f"rendering {len(rows)} rooms again")


def changes_of(outcome: Outcome) -> dict[str, list[Change]]:
    """What a job of textures found, by detector."""
    changes: dict[str, list[Change]] = {}
    for unit, made in outcome.each():
        changes.setdefault(unit.values["model"], []).extend(Change(**each) for each in made.facts["objects"])
    return changes


def of_room(model: str, room: int, *, detectors: Mapping[str, Any], device: str, seed: int) -> dict[str, Any]:
    """What a detector says of the objects in a room, before and after: the fields of ``Change``, a list of rows."""
    detector = detectors[model]
    made = make_room(room, size=detector.height, seed=HELD_OUT)
    return {"objects": [asdict(each) for each in _of_room(detector, made, room, seed)]}


@torch.no_grad()
def _of_room(detector: Detector, room: Room, index: int, seed: int) -> list[Change]:
    count = len(room.layout)
    if not count:
        return []
    rng = np.random.default_rng(seed_of(seed, "texture", index))
    replaced = [
        (row, texture) for row, item in enumerate(room.items) for texture in new_textures(item.name, item.texture, rng)
    ]
    images = [room.image]
    for row, texture in replaced:
        images.append(make_room(index, size=detector.height, seed=HELD_OUT, textures={row: texture}).image)
    pictures = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().to(device_of(detector)) / 255
    with frozen(detector):
        found = detector.finalize(detector.raw(pictures))
    changes = []
    for (row, texture), after in zip(replaced, found[1:], strict=True):
        pairs = zip(said_of(found[0], room.layout, row), said_of(after, room.layout, row), strict=True)
        item = room.items[row]
        told = dict(zip(("score", "overlap", "other"), pairs, strict=True))
        usual = texture in _USUAL[item.name]
        changes.append(Change(name=item.name, scale=item.scale, texture=texture, usual=usual, **told))
    return changes


def table_of(changes: Sequence[Change], least: float = 0.3) -> list[dict[str, Any]]:
    """A row for each group and scale, and for each group over all: means over the objects that the detector found
    before, with a score of at least ``least``, and 95 % intervals (bootstrap, BCa)."""
    rows = []
    for (group, names), usual in product(GROUPS.items(), (False, True)):
        for scale in (None, *range(len(SCALES))):
            some = [
                each
                for each in changes
                if each.name in names and each.usual == usual and scale in (None, each.scale) and each.score[0] >= least
            ]
            if len(some) < 5:
                continue
            rows.append(
                {
                    "categories": group,
                    "new texture": "another of its own" if usual else "one that it never has",
                    "length": "any" if scale is None else f"{SCALES[scale]:.0%} of the picture",
                    "objects": len(some),
                    "score before": round(float(np.mean([each.score[0] for each in some])), 3),
                    **_means("score", [each.score[1] - each.score[0] for each in some]),
                    **_means("IoU", [each.overlap[1] - each.overlap[0] for each in some]),
                    "becomes the other": flips(some) if names[0] in _OTHER else "-",
                }
            )
    return rows


def flips(changes: Sequence[Change]) -> float:
    """The share of objects for which the category that has the new texture, and the same shape, now scores higher."""
    return round(float(np.mean([each.other[1] > each.score[1] for each in changes])), 3)


def _means(name: str, values: list[float]) -> dict[str, Any]:
    """The mean change of a number, and its interval."""
    if np.ptp(values) == 0:
        return {f"change of {name}": round(values[0], 3), f"{name} interval": "-"}
    interval = bootstrap((values,), np.mean, n_resamples=2000, rng=np.random.default_rng(0)).confidence_interval
    words = f"{interval.low:+.2f} to {interval.high:+.2f}"
    return {f"change of {name}": round(float(np.mean(values)), 3), f"{name} interval": words}
