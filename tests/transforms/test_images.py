"""Views of pictures: what is drawn at a box stays at the box that the moved target tells of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.transform import chained
from invert3d.ops.boxes import alpha_of, corners3d, project, wrapped
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import Objects, pack
from invert3d.transforms.images import FlipScene, Light, MoveScene
from tests.layouts import KINDS, kitti_camera, random_layout
from tests.models.test_detectors import centroid, dot

LEFT_AND_RIGHT = [1, 0, 3, 2, 5, 4, 7, 6]  # corners of a mirrored box


def target_of(layout: Layout, times: int) -> dict[str, Tensor]:
    return pack([layout] * times, KINDS).fields()


def drawn_corners(seed: int, **settings) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Eight pictures with a dot at a corner of a box each, (8, 3, 96, 320); the target, eight times; the pixels."""
    layout = random_layout(1, seed, dtype=torch.float32, **settings)
    pixels = project(layout.corners[0], layout.projection)[:, :2]
    pictures = torch.stack([dot(u, v, 96, 320, sigma=2.0) for u, v in pixels.tolist()])
    return pictures, target_of(layout, 8), pixels


def seen(target: dict[str, Tensor]) -> Tensor:
    """Where the corners of the first box of each target are in its picture: (8, 8, 2)."""
    corners = corners3d(target["sizes"], target["centers"], target["yaws"])[:, 0]
    return project(corners, target["projection"])[..., :2]


@pytest.mark.parametrize("seed", [0, 1])
def test_dots_land_on_the_corners_of_the_moved_boxes(seed: int) -> None:
    pictures, target, before = drawn_corners(seed)
    views, moved = MoveScene(scale=0.1, shift=0.04, takes="camera")(pictures, target, Draws.seeded(seed, range(8)))
    after = seen(moved)
    for k in range(8):
        assert centroid(views[k]) == pytest.approx(tuple(after[k, k].tolist()), abs=0.15)
    assert (after.diagonal().T - before).abs().max() > 3, "and something did move"
    assert torch.equal(moved["centers"], target["centers"]), "the camera took it, not the objects"


def test_dots_land_on_the_corners_of_mirrored_boxes() -> None:
    pictures, target, before = drawn_corners(2)
    views, moved = FlipScene(share=0.5)(pictures, target, Draws.seeded(3, range(8)))
    flipped = (moved["boxes"] != target["boxes"]).flatten(1).any(1)
    assert 0 < flipped.sum() < 8
    after = seen(moved)
    for k in range(8):
        corner = LEFT_AND_RIGHT[k] if flipped[k] else k
        assert centroid(views[k]) == pytest.approx(tuple(after[k, corner].tolist()), abs=0.05)
        assert torch.equal(views[k], pictures[k].flip(-1) if flipped[k] else pictures[k])
    assert torch.allclose(seen(target)[0], before, atol=1e-3)


def test_mirrored_and_moved_one_after_the_other() -> None:
    pictures, target, _ = drawn_corners(4)
    views = (FlipScene(share=1.0), MoveScene(scale=0.05, shift=0.013, takes="camera"), Light(noise=0.0))
    found, moved = chained(views, pictures, target, Draws.seeded(0, range(8)))
    for k in range(8):
        at = tuple(seen(moved)[k, LEFT_AND_RIGHT[k]].tolist())
        assert centroid(found[k]) == pytest.approx(at, abs=0.2)


def test_nearer_objects_have_their_middles_where_the_dots_are() -> None:
    """Depth goes by the factor; the camera is moved sideways only."""
    layout = random_layout(1, 5, dtype=torch.float32)
    target = target_of(layout, 6)
    u, v, _ = project(Objects(**target).middles[0], layout.projection)[0].tolist()
    pictures = dot(u, v, 96, 320, sigma=2.0).expand(6, 3, 96, 320)
    draws = Draws.seeded(1, range(6))
    views, moved = MoveScene(scale=0.1, shift=0.032, takes="objects")(pictures, target, draws)
    objects, before = Objects(**moved), Objects(**target)
    at = project(objects.middles, objects.projection)[:, 0, :2]
    for k in range(6):
        assert centroid(views[k]) == pytest.approx(tuple(at[k].tolist()), abs=0.15)
    factor = 1 + Draws.seeded(1, range(6)).uniform(views, -0.1, 0.1, 1)
    assert torch.allclose(objects.centers[:, 0, 2:] * factor, before.centers[:, 0, 2:])
    assert torch.equal(objects.sizes, before.sizes) and torch.equal(objects.yaws, before.yaws)
    assert wrapped(objects.alphas - alpha_of(objects.yaws, objects.centers)).abs().max() < 1e-5
    same = torch.tensor([row * 4 + column for row in range(3) for column in range(4) if (row, column) != (0, 2)])
    change = (objects.projection - before.projection).flatten(1)
    assert change[:, same].abs().max() == 0 and change[:, 2].abs().max() > 1, "the focal length stays"


@pytest.mark.parametrize("takes", ["camera", "objects"])
def test_boxes_in_the_picture_move_with_it(takes) -> None:
    layout = random_layout(1, 6, dtype=torch.float32)
    target = target_of(layout, 4)
    left, top, right, bottom = (round(side) for side in layout.boxes[0].tolist())
    picture = torch.zeros(4, 3, 96, 320)
    picture[:, :, top : bottom + 1, left : right + 1] = 1
    views, moved = MoveScene(scale=0.1, shift=0.032, takes=takes)(picture, target, Draws.seeded(2, range(4)))
    for view, box in zip(views, moved["boxes"][:, 0], strict=True):
        rows, columns = (view[0] > 0.5).nonzero().T
        found = [columns.min(), rows.min(), columns.max(), rows.max()]
        assert [float(side) for side in found] == pytest.approx(box.tolist(), abs=1.5)


def test_scaling_is_about_the_principal_point_and_borders_repeat() -> None:
    camera = kitti_camera(torch.float32)
    camera[:2] /= 4
    layout = random_layout(1, 7, 93, 310, projection=camera, dtype=torch.float32)
    u, v = camera[0, 2].item(), camera[1, 2].item()
    target = target_of(layout, 3)
    views, _ = MoveScene(scale=0.3, shift=0.0)(
        dot(u, v, 93, 310).expand(3, 3, 93, 310), target, Draws.seeded(0, range(3))
    )
    for view in views:
        assert centroid(view) == pytest.approx((u, v), abs=0.1)
    ones, _ = MoveScene(scale=0.3, shift=0.13)(torch.ones(3, 3, 93, 310), target, Draws.seeded(0, range(3)))
    assert torch.allclose(ones, torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("make", [FlipScene, MoveScene, Light])
def test_views_without_a_target_are_those_with_one_about_the_middle(make: Callable) -> None:
    layout = random_layout(1, 8, dtype=torch.float32)
    camera = layout.projection.clone()
    camera[:2, 2] = torch.tensor([319.0, 95.0]) / 2
    target = target_of(layout, 3) | {"projection": camera.expand(3, 3, 4)}
    x = torch.rand(3, 3, 96, 320, generator=torch.Generator().manual_seed(0))
    alone, nothing = make()(x, None, Draws.seeded(0, range(3)))
    assert nothing is None and torch.allclose(alone, make()(x, target, Draws.seeded(0, range(3)))[0], atol=1e-5)


def test_a_share_of_none_and_of_all() -> None:
    x, target = torch.rand(4, 3, 8, 12), target_of(random_layout(1, 9, dtype=torch.float32), 4)
    kept, same = FlipScene(share=0.0)(x, target, Draws.seeded(0, range(4)))
    assert torch.equal(kept, x) and all(torch.equal(same[name], target[name]) for name in target)
    turned, _ = FlipScene(share=1.0)(x, target, Draws.seeded(0, range(4)))
    assert torch.equal(turned, x.flip(-1))


def test_another_light_is_a_gain_a_power_and_a_tint() -> None:
    gray = torch.linspace(0.1, 0.6, 12).expand(5, 3, 8, 12)
    found, target = Light(strength=0.2, noise=0.0)(gray, "kept", Draws.seeded(0, range(5)))
    assert target == "kept" and found.min() >= 0 and found.max() <= 1
    slope = found.log().diff(dim=-1) / gray.log().diff(dim=-1)
    power = slope[:, 0, 0, 0]
    assert torch.allclose(slope, power[:, None, None, None], atol=1e-3) and (power - 1).abs().max() <= 0.2
    gain = (found / gray ** power[:, None, None, None])[..., 0, 0]
    assert ((gain - 1).abs() <= 0.2 + 0.2 / 3 + 0.02).all() and gain.std(1).min() > 0, "a tint of each color"
    assert len({round(float(p), 4) for p in power}) == 5, "each sample its own"


def test_noise_is_of_a_strength_drawn_for_each_picture() -> None:
    gray = torch.full((6, 3, 40, 40), 0.5)
    found, _ = Light(strength=0.0, noise=0.05)(gray, None, Draws.seeded(0, range(6)))
    deviations = (found - 0.5).flatten(1).std(1)
    assert deviations.max() <= 0.052 and deviations.min() < 0.6 * deviations.max()


@pytest.mark.parametrize("make", [FlipScene, MoveScene, Light])
def test_targets_of_boxes_move_without_a_camera(make: Callable) -> None:
    """As a 2-D detector has them: a view that shows the boxes where they are drawn."""
    picture = torch.zeros(6, 3, 40, 60)
    picture[:, :, 10:25, 20:45] = 1
    target = {"boxes": torch.tensor([20.0, 10, 44, 24]).expand(6, 1, 4), "kinds": torch.zeros(6, 1).long()}
    settings = {} if make is FlipScene else {"scale": 0.2, "shift": 0.1} if make is MoveScene else {"noise": 0.0}
    views, moved = make(**settings)(picture, target, Draws.seeded(3, range(6)))
    assert set(moved) == set(target)
    for view, box in zip(views, moved["boxes"][:, 0], strict=True):
        rows, columns = (view[0] > 0.5 * view[0].max()).nonzero().T
        found = [columns.min(), rows.min(), columns.max(), rows.max()]
        assert [float(side) for side in found] == pytest.approx(box.tolist(), abs=1.2)
    assert make is Light or not torch.equal(moved["boxes"], target["boxes"])
