"""Solids in the boxes of a layout, seen by its camera."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.space import Image
from invert3d.ops.boxes import project
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import pack
from invert3d.parameterizations.solid_scene import SolidScene

SPACE = Image(height=48, width=96)
CAMERA = torch.tensor([[80.0, 0.0, 48.0, 0.0], [0.0, 80.0, 20.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
SCENE = SolidScene(count=4, soft=0.02)


def layout(*depths: float, sides: tuple[float, ...] = (0.0, 0.0, 0.0), yaw: float = 0.4) -> Layout:
    """Cars at these depths."""
    n = len(depths)
    centers = torch.tensor([[side, 1.6, depth] for depth, side in zip(depths, sides, strict=False)])
    sizes, yaws = torch.tensor([[1.5, 1.7, 4.0]]).expand(n, 3), torch.full((n,), yaw)
    return Layout.of(["Car"] * n, sizes, centers, yaws, CAMERA, SPACE.height, SPACE.width)


def begun(layouts: list[Layout], scene: SolidScene = SCENE) -> tuple[dict[str, Tensor], Tensor]:
    draws = Draws.seeded(0, range(len(layouts)))
    theta = scene.initialize(torch.empty(len(layouts), 0), SPACE, draws)
    theta |= scene.constants(pack(layouts, ["Car"]).fields())
    return theta, scene(theta, SPACE, draws)


def drawn(theta: dict[str, Tensor], scene: SolidScene = SCENE, *objects: int) -> Tensor:
    """The picture with only some objects, by number: the backdrop alone without any."""
    asked = torch.zeros_like(theta["asked"])
    asked[:, list(objects)] = True
    return scene({**theta, "asked": asked & theta["asked"]}, SPACE, Draws.seeded(0, range(1)))


@pytest.mark.parametrize(
    ("yaw", "depth", "side"), [(0.4, 9.0, 0.0), (-1.3, 7.0, 2.0), (2.6, 12.0, -3.0), (0.1, 1.8, 2.6)]
)
def test_one_box_shows_where_the_asked_box_is_seen(yaw: float, depth: float, side: float) -> None:
    scene = SolidScene(count=1, round=0.0, soft=0.01)
    asked = layout(depth, sides=(side,), yaw=yaw)
    theta, x = begun([asked], scene)
    theta["colors"][:] = 4.0  # white
    theta["backdrop"][:] = -4.0
    shown = scene(theta, SPACE, Draws.seeded(0, [0]))[0].mean(0) > 0.5
    shares = torch.rand(200_000, 3, generator=torch.Generator().manual_seed(0))
    corners = asked.corners[0]  # four of the bottom face, four of the top face: 0, 1, 3 and 4 span the box
    spans = torch.stack([corners[k] - corners[0] for k in (1, 3, 4)])
    inside = corners[0] + shares @ spans
    seen = project(inside[inside[:, 2] > 0.5], CAMERA)[:, :2].round().long()
    seen = seen[((seen >= 0) & (seen < torch.tensor([SPACE.width, SPACE.height]))).all(1)]
    oracle = torch.zeros(SPACE.height, SPACE.width, dtype=torch.bool)
    oracle[seen[:, 1], seen[:, 0]] = True
    wrong = shown ^ oracle
    border = torch.nn.functional.max_pool2d(oracle[None].float(), 3, 1, 1) != -torch.nn.functional.max_pool2d(
        -oracle[None].float(), 3, 1, 1
    )
    assert oracle.sum() > 60 and not (wrong & ~border[0]).any()


def test_solids_reach_all_sides_of_the_box_and_have_twins() -> None:
    low, high = SCENE._sides(begun([layout(9.0)])[0])
    assert torch.allclose(low.amin(2), -torch.ones(1, 16, 3), atol=1e-5)
    assert torch.allclose(high.amax(2), torch.ones(1, 16, 3), atol=1e-5)
    assert torch.allclose(low[:, :, 4:, 2], -high[:, :, :4, 2], atol=1e-6)
    assert torch.allclose(low[:, :, 4:, :2], low[:, :, :4, :2])


@pytest.mark.parametrize("round", [0.0, 1.0])
def test_solids_hang_together(round: float) -> None:
    """Some point is inside both a solid and the one that it holds on to."""
    scene = replace(SCENE, round=round)
    theta, _ = begun([layout(9.0)], scene)
    low, high = (side[0, :, :4] for side in scene._sides(theta))
    norm = 2.0 if round else torch.inf
    for n in range(16):
        for k in range(1, 4):
            parent = int(theta["parent"][0, n, k])
            assert parent < k
            places = torch.rand(50_000, 3, generator=torch.Generator().manual_seed(n)) * 2 - 1
            places = (low[n, k] + high[n, k]) / 2 + places * (high[n, k] - low[n, k]) / 2
            reach = [
                torch.linalg.vector_norm((2 * places - low[n, j] - high[n, j]) / (high[n, j] - low[n, j]), norm, dim=1)
                for j in (k, parent)
            ]
            assert torch.maximum(*reach).min() < 1.1


def test_what_is_nearer_hides_what_is_farther() -> None:
    theta, both = begun([layout(6.0, 14.0)])
    near, nothing = drawn(theta, SCENE, 0), drawn(theta)
    white = drawn(theta | {"colors": torch.full_like(theta["colors"], 9.0)}, SCENE, 0)
    opaque = white.amin(1) > 0.98
    assert opaque.sum() > 50 and not torch.allclose(both, near)
    assert torch.allclose(both.movedim(1, -1)[opaque], near.movedim(1, -1)[opaque], atol=0.05)
    assert (near - nothing).abs().movedim(1, -1)[opaque].mean() > 0.05


def test_soft_edges_fade_out() -> None:
    """Nowhere does the picture jump where an object ends."""
    scene = replace(SCENE, soft=0.5)
    theta, x = begun([layout(9.0)], scene)
    change = (x - drawn(theta, scene)).abs().amax(1)[0]
    assert change.max() > 0.2
    left, top, right, bottom = scene._crops(theta["box"].view(torch.float64).float()[0], CAMERA, 48, 96)[0]
    for edge in (
        change[top, left:right],
        change[bottom - 1, left:right],
        change[top:bottom, left],
        change[top:bottom, right - 1],
    ):
        assert edge.max() < 0.01


def test_a_picture_does_not_depend_on_what_else_is_asked_in_the_batch() -> None:
    one = begun([layout(9.0)])[1]
    assert torch.allclose(begun([layout(9.0), layout(6.0, 12.0, 20.0, sides=(-3.0, 0.0, 3.0))])[1][:1], one, atol=1e-6)


def test_objects_behind_the_camera_or_beside_the_picture_are_not_drawn() -> None:
    theta, x = begun([layout(-9.0)])
    assert torch.equal(x, drawn(theta))
    theta, x = begun([layout(9.0, sides=(40.0,))])
    assert torch.equal(x, drawn(theta))


def test_what_is_ignored_needs_no_room() -> None:
    scene = replace(SCENE, objects=1)
    some = layout(9.0, 12.0, 15.0)
    some = replace(some, kinds=("Van", "Car", "Van"))  # vans are neither asked for nor punished
    assert scene.constants(pack([some], ["Car"]).fields())["asked"].tolist() == [[True]]


def test_what_it_cannot_draw_is_refused() -> None:
    flat = pack([Layout.of_boxes(["Car"], torch.tensor([[1.0, 1.0, 9.0, 9.0]]), 48, 96)], ["Car"]).fields()
    for target in (None, {name: value for name, value in flat.items() if name == "boxes"}, flat):
        with pytest.raises(ValueError, match="boxes in space"):
            SCENE.constants(target)
    with pytest.raises(ValueError, match="asks for 2 objects, the recipe has room for 1"):
        replace(SCENE, objects=1).constants(pack([layout(9.0, 12.0)], ["Car"]).fields())
    for wrong in ({"count": 0}, {"soft": 0.0}, {"round": 1.5}):
        with pytest.raises(ValueError, match="must be"):
            SolidScene(**wrong)
