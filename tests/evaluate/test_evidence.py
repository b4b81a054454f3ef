"""Shares of a map, borders of masks, and how much like an object a detection is."""

from __future__ import annotations

import math

import pytest
import torch

from invert3d.evaluate.attribution import named, occupied, removed
from invert3d.evaluate.evidence import outline, share_in, within
from invert3d.evaluate.redetection import similarity
from invert3d.ops.layouts import Layout


def test_shares_of_what_is_positive() -> None:
    values = torch.tensor([[1.0, 2.0, -9.0], [3.0, 4.0, 5.0]])
    part = torch.tensor([[True, False, True], [False, True, False]])
    whole = torch.tensor([[True, True, True], [True, True, False]])
    assert share_in(values, part, whole) == pytest.approx((1 + 4) / (1 + 2 + 3 + 4))
    assert share_in(torch.ones(2, 3), part, whole) == pytest.approx(3 / 5)
    assert math.isnan(share_in(-values.abs(), part, whole))


def test_the_outline_is_a_band_on_both_sides() -> None:
    mask = torch.zeros(20, 24, dtype=torch.bool)
    mask[5:15, 6:18] = True
    band = outline(mask, 2)
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(24), indexing="ij")
    for row, column in zip(rows.flatten().tolist(), columns.flatten().tolist(), strict=True):
        other = (mask != mask[row, column]).nonzero().float()
        near = float((other - torch.tensor([row, column])).norm(dim=1).min()) <= 2
        assert bool(band[row, column]) == near
    assert not outline(torch.zeros(4, 4, dtype=torch.bool), 2).any()


def test_the_pixels_of_a_box() -> None:
    inside = within(torch.tensor([2.0, 1.0, 5.0, 3.0]), 6, 8)
    assert inside.nonzero().tolist() == [[row, column] for row in (1, 2) for column in (2, 3, 4)]
    assert within(torch.tensor([2.4, 1.0, 5.0, 3.0]), 6, 8).sum() == 6, "the middle of a pixel counts"


def test_similarity_is_that_of_the_best_detection_of_the_kind() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 30], [10, 10, 30, 22], [10, 10, 30, 17], [10, 10, 30, 30]])
    masks = torch.zeros(4, 40, 40, dtype=torch.bool)
    for row, (left, top, right, bottom) in enumerate(boxes.long().tolist()):
        masks[row, top:bottom, left:right] = True
    scores = torch.tensor([0.3, 0.6, 0.9, 1.0])
    found = Layout.of_boxes(["chair", "chair", "chair", "table"], boxes, 40, 40, scores=scores, masks=masks)
    one = Layout.of_boxes(["chair"], boxes[:1], 40, 40, masks=masks[:1])
    assert similarity(found, one, "class") == pytest.approx(0.6), "0.9 overlaps by 0.35, and a table is no chair"
    assert similarity(found, one, "box") == 1 and similarity(found, one, "mask") == 1
    late = found.select(torch.tensor([1, 3]))
    assert similarity(late, one, "box") == pytest.approx(0.6) and similarity(late, one, "mask") == pytest.approx(0.6)
    nothing = found.select(torch.tensor([3]))
    assert [similarity(nothing, one, part) for part in ("class", "box", "mask")] == [0, 0, 0]
    bare = Layout.of_boxes(["chair"], boxes[:1], 40, 40)
    assert similarity(found, bare, "mask") == 0


def test_pixels_are_removed_by_blur_or_mean() -> None:
    x = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    keep = torch.rand(2, 16, 20, generator=torch.Generator().manual_seed(1)) > 0.3
    assert occupied(x).all() and occupied(x).shape == (2, 16, 20)
    mean, blurred = removed(x, keep, "mean"), removed(x, keep, "blur")
    for less in (mean, blurred):
        assert torch.equal(less.movedim(1, -1)[keep], x.movedim(1, -1)[keep])
    assert torch.allclose(mean[1, :, ~keep[1]], x[1].mean((1, 2))[:, None].expand(-1, int((~keep[1]).sum())))
    for row, column in (~keep[0]).nonzero()[:30].tolist():  # 16 // 16 = 1 pixel to each side, within the picture
        near = x[0, :, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        assert torch.allclose(blurred[0, :, row, column], near.mean((1, 2)), atol=1e-6)
    with pytest.raises(ValueError, match="pixels are removed by blur or mean, not by empty"):
        removed(x, keep, "empty")
    gone = named(x, x[:, 0], 0.1)
    assert gone.flatten(1).sum(1).tolist() == [32, 32]
    assert x[0, 0][gone[0]].min() > x[0, 0][~gone[0]].max()
