"""Which of the objects that were found is which of those that were asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from invert3d.view.axis import short
from invert3d.view.boxes import array, in_space

if TYPE_CHECKING:
    from invert3d.ops.layouts import Layout
    from invert3d.view.page import Cell

#: meters on the ground, and the share of the depth on top, within which an object counts as found
_NEAR, _SHARE = 2.0, 0.1
RULE = (
    "Depth in meters, yaw (rotation_y) in degrees. An object is paired with the one of its kind that overlaps it most, "
    "else with the nearest within 2 m and a tenth of its depth."
)


def pairs(truth: "Layout", found: "Layout") -> dict[int, tuple[int, float]]:
    """For each place in `truth` that was found: its place in `found`, and the overlap in space, 0 to 1.

    Objects of one kind are paired, each once, the largest overlap first and then the nearest on the ground, within 2 m
    and a tenth of the depth of what was asked for.
    """
    import torch

    from invert3d.ops.overlaps import iou3d

    one, other = (layout.to("cpu", torch.float64) for layout in (truth, found))
    shares = array(iou3d((one.sizes, one.centers, one.yaws), (other.sizes, other.centers, other.yaws)))
    asked, answered = array(truth.centers), array(found.centers)
    ranked = []
    for i, j in product(in_space(truth), in_space(found)):
        away = float(np.hypot(*(asked[i] - answered[j])[[0, 2]]))
        near = shares[i, j] > 0 or away <= _NEAR + _SHARE * abs(asked[i, 2])
        if near and truth.kinds[i] == found.kinds[j]:
            ranked.append((-shares[i, j], away, i, j))
    kept: dict[int, tuple[int, float]] = {}
    for _, _, i, j in sorted(ranked):
        if i not in kept and j not in {taken for taken, _ in kept.values()}:
            kept[i] = (j, float(shares[i, j]))
    return dict(sorted(kept.items()))


@dataclass(frozen=True)
class Seen:
    """An object of a scene."""

    asked: int | None  # its place in the truth; None where nobody asked for it
    found: Mapping[str, tuple[int, float | None]]  # its place in what was found, by where, and the overlap in space


def numbered(truth: "Layout", founds: dict[str, "Layout"]) -> list[Seen]:
    """The objects of a scene in the order of their numbers: first what was asked for, then what nobody asked for."""
    matched = {name: pairs(truth, found) for name, found in founds.items()}
    objects = [Seen(i, {name: each[i] for name, each in matched.items() if i in each}) for i in in_space(truth)]
    for name, found in founds.items():
        taken = {j for j, _ in matched[name].values()}
        objects += [Seen(None, {name: (j, None)}) for j in in_space(found) if j not in taken]
    return objects


def object_rows(
    truth: "Layout", founds: dict[str, "Layout"], objects: Sequence[Seen]
) -> tuple[list[str], list[list["Cell"]]]:
    """Columns and rows of the table of objects: asked and found depth and yaw, score, and overlap in space.

    Of what was found elsewhere than in the first of `founds`, the yaw is left out.
    """
    columns = ["#", "Kind", "Depth asked", "Yaw asked"]
    for place, name in enumerate(founds):
        further = [f"Depth, {name}", f"Score, {name}", f"IoU, {name}"]
        columns += further if place else ["Depth found", "Yaw found", "Score", "3-D IoU"]
    rows = []
    for number, each in enumerate(objects, start=1):
        kinds = [founds[name].kinds[j] for name, (j, _) in each.found.items()]
        row: list[Cell] = [number, *(kinds[:1] if each.asked is None else [truth.kinds[each.asked]])]
        row += _where(truth, each.asked)
        for place, (name, layout) in enumerate(founds.items()):
            j, share = each.found.get(name, (None, None))
            depth, yaw = _where(layout, j)
            score = np.nan if j is None else float(array(layout.scores)[j])
            row += [depth] if place else [depth, yaw]
            row += [f"{score:.2f}" if np.isfinite(score) else None, None if share is None else f"{share:.2f}"]
        rows.append(row)
    return columns, rows


def _where(layout: "Layout", place: int | None) -> tuple["Cell", "Cell"]:
    """Depth in meters and yaw in degrees, as text; None for no object."""
    if place is None:
        return None, None
    turn = float(np.degrees(array(layout.yaws)[place]))
    return f"{array(layout.centers)[place, 2]:.1f}", short(round(turn))
