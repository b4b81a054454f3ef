"""Random masks against a slow loop, and on a network of which it is known where it looks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invert3d.attribution import random_masks
from invert3d.attribution.random_masks import RISE
from invert3d.engine.model import Frozen
from invert3d.engine.space import Image, Points, Voxels
from invert3d.objectives.classes import ClassScore
from tests.attribution.test_places import Corner

SPACE = Image(height=20, width=26, mean=(0.0,) * 3, std=(1.0,) * 3)


def pictures(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 20, 26, generator=torch.Generator().manual_seed(3))


def test_values_are_the_mean_with_a_pixel_less_the_mean_without() -> None:
    method, x, target = RISE(masks=40, cells=4, keep=0.4, seed=5), pictures(), torch.tensor([0, 1])
    found = method(Frozen(Corner(), SPACE), ClassScore(), x, target)
    masks = torch.cat(list(method.drawn(x[0])))
    assert masks.shape == (40, 20, 26) and masks.min() >= 0 and masks.max() <= 1
    for row in range(2):
        with_it, without, shown, hidden = 0.0, 0.0, 0.0, 0.0
        for mask in masks:
            score = float(Corner()(x[row : row + 1] * mask)[0, target[row]])
            with_it, without = with_it + score * mask, without + score * (1 - mask)
            shown, hidden = shown + mask, hidden + 1 - mask
        expected = with_it / shown - without / hidden
        assert torch.allclose(found.per_element("sum")[row], expected, atol=1e-4)
    assert found.facts["evaluations"] == 40


def test_masks_are_shifted_grids_of_which_a_share_is_shown() -> None:
    masks = torch.cat(list(RISE(masks=400, cells=4, keep=0.3).drawn(pictures()[0])))
    assert masks.mean() == pytest.approx(0.3, abs=0.03)
    assert masks.mean(0).max() < 0.45 and masks.mean(0).min() > 0.18, "no pixel is shown much more often than others"
    assert masks.diff(dim=1).abs().max() < 0.5, "smooth"


def test_what_the_network_sees_is_found_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, target = Frozen(Corner(), SPACE), pictures(1), torch.tensor([0])
    found = RISE(masks=300, cells=4)(model, ClassScore(), x, target).per_element("sum")[0]
    assert found[:8, :10].mean() > 5 * found[12:, 16:].abs().mean()
    monkeypatch.setattr(random_masks, "AT_ONCE", 300)
    again = RISE(masks=300, cells=4)(model, ClassScore(), x, target).per_element("sum")[0]
    assert torch.allclose(found, again, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"masks": 1}, {"cells": 1}, {"keep": 0.0}, {"keep": 1.0}])
def test_settings_must_make_sense(wrong: dict) -> None:
    with pytest.raises(ValueError, match="masks and cells must be 2 or more and keep between 0 and 1"):
        RISE(**wrong)


@pytest.mark.parametrize("space", [Points(points=16), Voxels(size=8)])
def test_only_images_are_explained(space: Points | Voxels) -> None:
    with pytest.raises(ValueError, match="RISE explains image, not"):
        RISE()(Frozen(Corner(), space), ClassScore(), torch.zeros(1, *space.shape), torch.tensor([0]))
