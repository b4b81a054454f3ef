"""Which of the objects that were found is which of those that were asked for."""

from __future__ import annotations

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


def pairs(truth: Layout, found: Layout) -> dict[int, tuple[int, float]]:
    """For each place in `truth` that was found: its place in `found`, and the overlap in space, 0 to 1.

    Objects of one kind are paired, each once, the largest overlap first and then the nearest on the ground, within 2 m
    and a tenth of the depth of what was asked for.
    """
    shares = _overlaps(truth, found)
    asked, answered = array(truth.centers), array(found.centers)
    ranked = []
    for i in in_space(truth):
        for j in in_space(found):
            if truth.kinds[i] != found.kinds[j]:
                continue
            away = float(np.hypot(*(asked[i] - answered[j])[[0, 2]]))
            if shares[i, j] > 0 or away <= _NEAR + _SHARE * abs(asked[i, 2]):
                ranked.append((-shares[i, j], away, i, j))
    kept: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for _, _, i, j in sorted(ranked):
        if i not in kept and j not in taken:
            kept[i] = (j, float(shares[i, j]))
            taken.add(j)
    return dict(sorted(kept.items()))


def _overlaps(truth: Layout, found: Layout) -> np.ndarray:
    """Intersection over union of volumes, all with all: (n, m)."""
    import torch

    from invert3d.ops.overlaps import iou3d

    one, other = (layout.to("cpu", torch.float64) for layout in (truth, found))
    return array(iou3d((one.sizes, one.centers, one.yaws), (other.sizes, other.centers, other.yaws)))


def numbered(
    truth: Layout, founds: dict[str, Layout], matched: dict[str, dict[int, tuple[int, float]]]
) -> list[tuple[int | None, dict[str, int]]]:
    """The objects of a scene, in the order of their numbers: the place in `truth`, and by name that in each found one.

    First what was asked for, then what nobody asked for, which has no place in `truth`.
    """
    objects: list[tuple[int | None, dict[str, int]]] = []
    for place in in_space(truth):
        objects.append((place, {name: each[place][0] for name, each in matched.items() if place in each}))
    for name, layout in founds.items():
        taken = {j for j, _ in matched[name].values()}
        objects += [(None, {name: place}) for place in in_space(layout) if place not in taken]
    return objects


def object_rows(
    truth: Layout, founds: dict[str, Layout], matched: dict[str, dict[int, tuple[int, float]]]
) -> tuple[list[str], list[list[Cell]]]:
    """Columns and rows of the table of objects: asked and found depth and yaw, score, and overlap in space.

    Of what was found elsewhere than in the first of `founds`, the yaw is left out.
    """
    columns = ["#", "Kind", "Depth asked", "Yaw asked"]
    for place, name in enumerate(founds):
        further = [f"Depth, {name}", f"Score, {name}", f"IoU, {name}"]
        columns += further if place else ["Depth found", "Yaw found", "Score", "3-D IoU"]
    rows = []
    for number, (own, places) in enumerate(numbered(truth, founds, matched), start=1):
        kind = next(founds[name].kinds[each] for name, each in places.items()) if own is None else truth.kinds[own]
        row: list[Cell] = [number, kind, *([None, None] if own is None else _where(truth, own))]
        for place, (name, layout) in enumerate(founds.items()):
            cells: list[Cell] = [None] * 4
            if name in places:
                share = None if own is None else f"{matched[name][own][1]:.2f}"
                cells = [*_where(layout, places[name]), _score(layout, places[name]), share]
            row += [cells[0], *cells[2:]] if place else cells
        rows.append(row)
    return columns, rows


def _score(layout: Layout, place: int) -> Cell:
    """The score as text, or None for a label."""
    score = float(array(layout.scores)[place])
    return f"{score:.2f}" if np.isfinite(score) else None


def _where(layout: Layout, place: int) -> list[Cell]:
    """Depth in meters and yaw in degrees, as text."""
    turn = float(np.degrees(array(layout.yaws)[place]))
    return [f"{array(layout.centers)[place, 2]:.1f}", short(round(turn))]
