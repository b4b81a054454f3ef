"""What all detectors of boxes in pictures share: matching by hand, twins, and regions to be ignored."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

from invert3d.models.detectors.box_detector import BoxDetector, hungarian, in_ignored
from tests.models.dense import KINDS, asked

CAR, TRAM = ("Car", 10, 8, 40, 30), ("Tram", 50, 10, 90, 44)


class AnyDetector(BoxDetector):
    """Only what is shared."""

    kinds, height, width = KINDS, 48, 96


@pytest.mark.parametrize("seed", range(3))
def test_the_matching_is_the_cheapest_of_all(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    cost = torch.randn(3, 6, 4, generator=generator)
    there = torch.tensor([[True] * 4, [False, True, False, True], [False] * 4])
    chosen = hungarian(cost, there)
    for costs, row, kept in zip(cost, chosen, there, strict=True):
        objects = kept.nonzero()[:, 0].tolist()
        ways = permutations(range(6), len(objects))
        least = min(sum(float(costs[a, n]) for a, n in zip(way, objects, strict=True)) for way in ways)
        assert float(costs[row[kept], objects].sum()) == pytest.approx(least)
        assert len(set(row[kept].tolist())) == len(objects) and (row[~kept] == 0).all()


def agrees(found, wanted, within: float = 0.02) -> bool:
    detector = AnyDetector()
    target = {name: value[0] for name, value in detector.targets([wanted]).items()}
    return bool(detector.same(found, target, within))


def test_twins_are_two_detections() -> None:
    """Objects of a kind in one place, where nothing is suppressed, are found by as many detections."""
    near = ("Car", 10.1, 8, 40, 30)
    for wanted in (asked(CAR, CAR), asked(CAR, near), asked(near, TRAM, CAR)):
        assert agrees(wanted, wanted)
        assert agrees(asked(*zip_rows(wanted)[::-1]), wanted)
        rows = zip_rows(wanted)
        assert not agrees(asked(*rows[1:]), wanted) and not agrees(asked(*rows, CAR), wanted)


def zip_rows(layout) -> list[tuple]:
    return [(kind, *box) for kind, box in zip(layout.kinds, layout.boxes.tolist(), strict=True)]


def test_what_may_be_ignored_is_not_needed_for_a_twin() -> None:
    """An object in a region to be ignored: a second detection of it there is spared, none of it is not enough."""
    region = ("DontCare", 5, 5, 45, 35)
    assert agrees(asked(CAR), asked(CAR, region)) and agrees(asked(CAR, CAR), asked(CAR, region))
    assert not agrees(asked(), asked(CAR, region)) and not agrees(asked(CAR, TRAM), asked(CAR, region))
    assert agrees(asked(("Tram", *CAR[1:]), CAR), asked(CAR, region))


def test_regions_are_ignored_by_kind() -> None:
    detector = AnyDetector()
    targets = detector.targets([asked(("Van", 0, 0, 30, 48), ("DontCare", 60, 0, 96, 48), CAR)])
    found = torch.tensor([[[1.0, 1, 20, 20], [20, 1, 50, 20], [70, 5, 90, 20], [50, 5, 65, 20]]])
    spared = in_ignored(found, targets["boxes"], targets, len(KINDS))[0]
    assert spared.tolist() == [[False, True, False, False], [False] * 4, [True] * 4, [False] * 4]
