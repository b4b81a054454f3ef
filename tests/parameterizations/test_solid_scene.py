"""Solids in the boxes of a layout, seen by its camera."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.space import Image
from invert3d.ops.boxes import boxes_of, corners3d
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import pack
from invert3d.parameterizations.solid_scene import SolidScene

SPACE = Image(height=48, width=96)
CAMERA = torch.tensor([[80.0, 0.0, 48.0, 0.0], [0.0, 80.0, 20.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
SCENE = SolidScene(count=4, soft=0.02)


def layout(*depths: float, sides: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Layout:
    """Cars at these depths."""
    n = len(depths)
    centers = torch.tensor([[side, 1.6, depth] for depth, side in zip(depths, sides, strict=False)])
    sizes, yaws = torch.tensor([[1.5, 1.7, 4.0]]).expand(n, 3), torch.full((n,), 0.4)
    return Layout.of(["Car"] * n, sizes, centers, yaws, CAMERA, SPACE.height, SPACE.width)


def begun(layouts: list[Layout], scene: SolidScene = SCENE, samples=None) -> tuple[dict[str, Tensor], Tensor]:
    draws = Draws.seeded(0, samples or range(len(layouts)))
    theta = scene.initialize(torch.empty(len(layouts), 0), SPACE, draws)
    theta |= scene.given(pack(layouts, ["Car"]).fields())
    return theta, scene(theta, SPACE, draws)


def without(theta: dict[str, Tensor]) -> Tensor:
    """The backdrop alone."""
    return SCENE({**theta, "asked": torch.zeros_like(theta["asked"])}, SPACE, Draws.seeded(0, range(1)))


def test_an_object_stays_in_its_box_and_reaches_all_sides_of_it() -> None:
    asked = layout(9.0)
    theta, x = begun([asked])
    changed = (x - without(theta)).abs().amax((0, 1)) > 0.02
    left, top, right, bottom = boxes_of(corners3d(asked.sizes, asked.centers, asked.yaws), CAMERA)[0].tolist()
    rows, columns = changed.any(1).nonzero()[:, 0], changed.any(0).nonzero()[:, 0]
    assert (
        top - 1 <= rows.min() and rows.max() <= bottom + 1 and left - 1 <= columns.min() and columns.max() <= right + 1
    )
    low, high = SCENE._sides(theta)
    assert torch.allclose(low.amin(2), -torch.ones(1, 16, 3), atol=1e-5)
    assert torch.allclose(high.amax(2), torch.ones(1, 16, 3), atol=1e-5)


def test_solids_hang_together_and_have_twins() -> None:
    theta, _ = begun([layout(9.0)])
    low, high = SCENE._sides(theta)
    assert torch.allclose(low[:, :, 4:, 2], -high[:, :, :4, 2], atol=1e-6)
    assert torch.allclose(low[:, :, 4:, :2], low[:, :, :4, :2])
    for n in range(16):
        for k in range(1, 4):
            parent = int(theta["parent"][0, n, k])
            assert parent < k
            assert (low[0, n, k] <= high[0, n, parent] + 1e-5).all() and (
                low[0, n, parent] <= high[0, n, k] + 1e-5
            ).all()


def test_what_is_nearer_hides_what_is_farther() -> None:
    theta, both = begun([layout(6.0, 14.0)])
    asked = theta["asked"].clone()
    asked[:, 1] = False
    near = SCENE({**theta, "asked": asked}, SPACE, Draws.seeded(0, [0]))
    opaque = (near - without(theta)).abs().sum(1) > 0.3
    assert opaque.sum() > 100 and torch.allclose(both.movedim(1, -1)[opaque], near.movedim(1, -1)[opaque], atol=0.3)
    assert not torch.allclose(both, near)


def test_a_picture_does_not_depend_on_what_else_is_asked_in_the_batch() -> None:
    one = begun([layout(9.0)])[1]
    assert torch.allclose(begun([layout(9.0), layout(6.0, 12.0, 20.0, sides=(-3.0, 0.0, 3.0))])[1][:1], one, atol=1e-6)


def test_objects_behind_the_camera_or_beside_the_picture_are_not_drawn() -> None:
    theta, x = begun([layout(-9.0)])
    assert torch.equal(x, without(theta))
    theta, x = begun([layout(9.0, sides=(40.0,))])
    assert torch.equal(x, without(theta))


def test_what_it_cannot_draw_is_refused() -> None:
    flat = Layout.of_boxes(["Car"], torch.tensor([[1.0, 1.0, 9.0, 9.0]]), 48, 96)
    with pytest.raises(ValueError, match="boxes in space"):
        SCENE.given({name: value for name, value in pack([flat], ["Car"]).fields().items() if name == "boxes"})
    with pytest.raises(ValueError, match="boxes in space"):
        SCENE.given(None)
    with pytest.raises(ValueError, match="asks for 2 objects, the recipe has room for 1"):
        replace(SCENE, objects=1).given(pack([layout(9.0, 12.0)], ["Car"]).fields())
    for wrong in ({"count": 0}, {"soft": 0.0}, {"round": 1.5}):
        with pytest.raises(ValueError, match="must be"):
            SolidScene(**wrong)
