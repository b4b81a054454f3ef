"""Whether evidence for detections lies where it must: in rooms it is known which pixels show an object.

*Inverting and Understanding Object Detectors* (Cao & Johnson 2021, section 4.3) concludes from attributions that the
head of classes looks at local features and that of boxes at borders. In rooms the mask of every object is known, and
whether texture or shape tells its category from another, so both can be counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from invert3d.data.worlds.room_plan import NAMES
from invert3d.data.worlds.rooms import make_room
from invert3d.evaluate.attribution import interval
from invert3d.evaluate.evidence import outline, share_in, within
from invert3d.evaluate.layouts import match
from invert3d.jobs.job import Job
from invert3d.jobs.provenance import fingerprint
from invert3d.jobs.rows import rows_job
from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import HELD_OUT
from invert3d.study.explaining.detections import prepared, sure
from invert3d.study.explaining.heads import label_of, usual_heads
from invert3d.study.explaining.ways import way_of
from invert3d.study.layouts.texture import GROUPS

#: what is measured if nothing else is asked for: others take longer
METHODS = ("gradient", "grad_cam", "d_rise")
#: a map that is largest in the middle of the box, whatever is in it
CONTROL = "middle of the box"
#: an object whose box has a shorter side, in pixels, is passed over: its border is all of it
LEAST_SIDE = 16.0
ANY = "any"
#: what evidence is about, and the part of the picture that is looked at
CLAIMS = (("class", "object"), ("box", "border"))


def evidence_job(
    detector: Detector,
    rooms: int,
    methods: Sequence[str] | None = None,
    *,
    masks: int = 300,
    band: float = 3.0,
    device: str = "cpu",
) -> Job:
    """The job of measuring where the evidence for right detections lies, a unit for each held-out room.

    Args:
        detector: of rooms.
        rooms: how many.
        methods: see ``way_of``.
        masks: of d_rise.
        band: the border of an object is so many pixels wide, on either side of its outline.
        device: where the detector is.

    Raises ValueError for a detector that does not know the categories of rooms, and an unknown method.
    """
    if missing := sorted(set(NAMES) - set(detector.kinds)):
        raise ValueError(f"rooms have categories that the detector does not know: {', '.join(missing[:5])}")
    names = tuple(methods or METHODS)
    heads = [head for head in usual_heads(detector) if label_of(detector, head) in ("class", "box")]
    for name in names:
        way_of(name, masks).check(detector, heads)
    function: Callable[..., dict[str, Any]] = partial(of_room, detector=detector)
    rows = [{"room": index} for index in range(rooms)]
    job = rows_job("evidence", function, rows, methods=names, masks=masks, band=band, device=device)
    return replace(job, settings={**job.settings, "weights": fingerprint(detector)})  # type: ignore[arg-type]


def of_room(
    room: int, *, detector: Detector, methods: Sequence[str], masks: int, band: float, device: str, seed: int
) -> dict[str, Any]:
    """Where the evidence for each detection lies that is right in a room: shares, a list of rows."""
    made = make_room(room, size=detector.height, seed=HELD_OUT)
    picture, truth = prepared(detector, made.image, made.layout)
    found = sure(detector, picture)
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    pairs = [(i, j) for i, j in match(truth, found).tolist() if float(sides[j].min()) >= LEAST_SIDE]
    if not pairs or truth.masks is None:
        return {"objects": []}
    ones = [found.select(torch.tensor([j])) for _, j in pairs]
    heads = [head for head in usual_heads(detector) if label_of(detector, head) in ("class", "box")]
    maps = {(CONTROL, "-"): torch.stack([middle(one) for one in ones])}
    for name in methods:
        for head, told in way_of(name, masks)(detector, picture, ones, heads).items():
            maps[name, label_of(detector, head)] = told.values
    rows = []
    for row, ((i, _), one) in enumerate(zip(pairs, ones, strict=True)):
        about = {"room": room, "number": i, "category": truth.kinds[i]}
        shares = shares_of({key: values[row] for key, values in maps.items()}, one, truth.masks[i], band)
        rows += [{**about, **each} for each in shares]
    return {"objects": rows}


def shares_of(maps: Mapping[tuple[str, str], Tensor], one: Layout, mask: Tensor, band: float) -> list[dict[str, Any]]:
    """A row for each map (h, w), by method and what the evidence is about: of what is positive in the box the shares on
    the object's mask and near its border, and what they are of a map that is the same everywhere."""
    whole, even = within(one.boxes[0], *mask.shape), torch.ones(mask.shape)
    parts = {"object": mask, "border": outline(mask, band)}
    usual = {f"{name} uniform": share_in(even, part, whole) for name, part in parts.items()}
    rows = []
    for (method, about), values in maps.items():
        found = {name: share_in(values, part, whole) for name, part in parts.items()}
        rows.append({"method": method, "evidence": about, **found, **usual})
    return [row for row in rows if row["object"] == row["object"]]  # a map of which nothing is positive says nothing


def middle(one: Layout) -> Tensor:
    """A Gaussian (h, w) about the middle of a box, of which a quarter of the sides are the deviations."""
    left, top, right, bottom = one.boxes[0].tolist()
    rows, columns = torch.arange(one.height) + 0.5, torch.arange(one.width) + 0.5
    down, across = (rows - (top + bottom) / 2) / (bottom - top), (columns - (left + right) / 2) / (right - left)
    return torch.exp(-8 * (down[:, None].square() + across.square()))


def table_of(shares: Sequence[Mapping[str, Any]], least: int = 5) -> list[dict[str, Any]]:
    """A row for each group of categories, method and kind of evidence: mean shares, and how much they are above those
    of a uniform map, with 95 % bootstrap intervals over the objects. Groups of fewer than ``least`` are left out."""
    keys = list(dict.fromkeys((each["method"], each["evidence"]) for each in shares))
    rows = []
    for group, names in {ANY: NAMES, **GROUPS}.items():
        for method, about in keys:
            some = [
                each
                for each in shares
                if (each["method"], each["evidence"]) == (method, about) and each["category"] in names
            ]
            if len(some) < least:
                continue
            row = {"categories": group, "method": method.replace("_", " "), "evidence": about, "objects": len(some)}
            for part in ("object", "border"):
                own, even = ([each[name] for each in some] for name in (part, f"{part} uniform"))
                row |= {f"on the {part}": mean(own), f"{part} if uniform": mean(even)}
                row |= difference(f"{part}: more by", own, even)
            rows.append(row)
    return rows


def contrasts(shares: Sequence[Mapping[str, Any]], least: int = 5) -> list[dict[str, Any]]:
    """A row for each group of categories and method: by how much evidence for the box is nearer to the border, and less
    on the object, than evidence for the class of the same object."""
    by_object: dict[Any, dict[str, Mapping[str, Any]]] = {}
    for each in shares:
        by_object.setdefault((each["method"], each["room"], each["number"]), {})[each["evidence"]] = each
    both = [(key[0], pair) for key, pair in by_object.items() if {"class", "box"} <= set(pair)]
    rows = []
    for group, names in {ANY: NAMES, **GROUPS}.items():
        for method in dict.fromkeys(name for name, _ in both):
            some = [pair for name, pair in both if name == method and pair["class"]["category"] in names]
            if len(some) < least:
                continue
            row = {"categories": group, "method": method.replace("_", " "), "objects": len(some)}
            for part in ("border", "object"):
                box, kind = ([pair[about][part] for pair in some] for about in ("box", "class"))
                row |= difference(f"{part}: box less class", box, kind)
            rows.append(row)
    return rows


def mean(values: Sequence[float]) -> float:
    """A mean, as it is shown."""
    return round(sum(values) / len(values), 3)


def difference(name: str, one: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """The mean of one less the other, pair by pair, and its interval."""
    center, low, high = interval(torch.tensor(one) - torch.tensor(other))
    return {name: round(center, 3), f"{name}, interval": f"{low:+.2f} to {high:+.2f}"}


def headline(table: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What is recorded: of all objects, how much more of the class evidence is on the object, and of the box evidence
    near the border, than of a uniform map, by Grad-CAM and D-RISE."""
    told = {}
    for method in ("grad cam", "d rise"):
        for about, part in CLAIMS:
            for row in table:
                if (row["categories"], row["method"], row["evidence"]) == (ANY, method, about):
                    told[f"evidence_{about}_{part}_{method.replace(' ', '_')}"] = row[f"{part}: more by"]
    return told
