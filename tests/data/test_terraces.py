"""The two-view world: the same seed gives the same picture, changes change what they say, edges and poses are true."""

from __future__ import annotations

import numpy as np
import pytest

from invert3d.data.worlds.samples import picture
from invert3d.data.worlds.terrace_stage import Terrace, draw_colors, draw_paint
from invert3d.data.worlds.terraces import PAINTS, STYLES, Role, draw_plan
from invert3d.data.worlds.tracing import rays_of
from invert3d.data.worlds.true_edges import Direction, Kind, painted_lines, sampled
from invert3d.data.worlds.two_views import Camera, Changes, View, make_views, relative_pose, rotated


@pytest.fixture(scope="module")
def views() -> list[View]:
    """Three views of one terrace, with edges."""
    return make_views(4, 3, seed=9, edges=True)


def test_a_picture_follows_from_seed_scene_and_view(views: list[View]) -> None:
    again = make_views(4, 2, seed=9)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(again, views[:2], strict=True))
    assert again[0].edges is None and not np.array_equal(views[0].image, views[1].image)
    assert not np.array_equal(make_views(5, seed=9)[0].image, views[0].image)
    assert all(view.image.shape == (100, 100, 3) and 0 <= view.style < len(STYLES) for view in views)


def test_the_target_is_near_the_middle_and_the_street_vanishes_where_its_lines_meet(views: list[View]) -> None:
    for view in views:
        camera = view.camera
        assert np.allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-9)
        far = camera.projection @ np.array([1e7, 3.0, 2.0, 1.0])
        point = camera.vanishing_points[:, 0]
        assert np.allclose(far / np.linalg.norm(far), point / np.linalg.norm(point), atol=1e-4)


def test_edges_along_the_street_point_to_its_vanishing_point(views: list[View]) -> None:
    for view in views:
        assert view.edges is not None
        for direction, column in ((Direction.STREET, 0), (Direction.VERTICAL, 1)):
            own = view.edges.directions == direction
            assert own.sum() > 20
            places, (x, y, w) = view.edges.places[own], view.camera.vanishing_points[:, column]
            toward = np.stack([x - w * places[:, 0], y - w * places[:, 1]], 1)
            angle = np.arctan2(toward[:, 1], toward[:, 0]) - view.edges.angles[own]
            assert np.abs(np.sin(angle)).max() < 0.02


def test_edges_are_where_the_picture_has_them_and_not_behind_houses(views: list[View]) -> None:
    import torch

    from invert3d.evaluate.descriptors import edges_found

    for view in views:
        edges = view.edges
        assert edges is not None
        assert (edges.places > -0.5 - 1e-6).all() and (edges.places < 99.5 + 1e-6).all()
        seen = torch.from_numpy(view.image).permute(2, 0, 1).float() / 255
        border = edges.kinds == Kind.SILHOUETTE
        if border.sum() > 30:
            found = edges_found(
                seen, *(torch.from_numpy(each[border]).float() for each in (edges.places, edges.angles))
            )
            assert found.float().mean() > 0.6
            columns, rows = edges.places[border].round().astype(int).clip(1, 98).T
            beside = [view.sky[rows + i, columns + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
            share = np.any(beside, 0).mean()
            assert share > 0.8, "but for wires, which are thinner than a pixel"


def test_samples_of_a_line_agree_with_a_slow_walk() -> None:
    camera = Camera(np.array([1.0, -2.0, -8.0]), rotated(0.3, 0.1, -0.05))
    line = np.array([[-6.0, -1.0, 0.5], [30.0, -4.0, 2.0]])
    who, places, depths, angles = sampled(line[None], camera.projection, camera.size)
    assert len(who) and not who.any() and np.allclose(np.diff(places, axis=0), np.diff(places, axis=0)[0], atol=1e-6)
    walk = line[0] + np.linspace(0, 1, 20001)[:, None] * (line[1] - line[0])
    seen = walk @ camera.projection[:, :3].T + camera.projection[:, 3]
    seen = seen[seen[:, 2] > 0.3]
    pixels = seen[:, :2] / seen[:, 2:]
    inside = ((pixels > -0.5) & (pixels < 99.5)).all(1)
    for place, depth in zip(places, depths, strict=True):
        near = np.linalg.norm(pixels - place, axis=1).argmin()
        assert np.linalg.norm(pixels[near] - place) < 0.05 and seen[near, 2] == pytest.approx(depth, rel=0.01)
    length = np.linalg.norm(pixels[inside][-1] - pixels[inside][0])
    assert abs(length - len(places)) < 2
    rays = rays_of(camera.projection, places)
    assert np.allclose(
        (camera.eye + rays * depths[:, None])[len(places) // 2, 1],
        np.interp((camera.eye + rays * depths[:, None])[len(places) // 2, 0], line[:, 0], line[:, 1]),
        atol=1e-3,
    )
    behind = np.array([[0.0, 0.0, -20.0], [1.0, 0.0, -30.0]])
    assert not len(sampled(behind[None], Camera(np.zeros(3), np.eye(3)).projection, 100)[0])


def test_painted_lines_are_where_the_paint_changes() -> None:
    rng = np.random.default_rng(0)
    plan = draw_plan(rng)
    houses = max(plan.houses) + 1
    for name in PAINTS:
        paint = draw_paint(np.random.default_rng(1), houses, name)
        terrace = Terrace(plan, draw_colors(np.random.default_rng(2), houses), paint, None)  # type: ignore[arg-type]
        lines = painted_lines(terrace)
        assert (len(lines) == 0) == (name == "plain")
        for line in lines[:: max(1, len(lines) // 20)]:
            middle, across = line.mean(0)[:2], np.array(PAINTS[name])
            walls = [k for k in range(houses) if _inside(plan.corners, plan.roles, plan.houses, k, middle)]
            assert walls
            near = np.full(1, 1e-3)
            sides = [
                paint.covered(np.array(walls[:1]), *(np.array([each]) for each in middle + side * across), near)[0]
                for side in (-0.02, 0.02)
            ]
            assert sorted(sides) == [0, 1]


def _inside(corners: list, roles: list, houses: list, house: int, place: np.ndarray) -> bool:
    """Whether a place (x, y) lies on the wall of a house."""
    own = [c for c, role, h in zip(corners, roles, houses, strict=True) if role == Role.WALL and h == house]
    return any((c[:, :2].min(0) <= place + 1e-6).all() and (place - 1e-6 <= c[:, :2].max(0)).all() for c in own)


def test_relative_poses_turn_one_camera_into_the_other(views: list[View]) -> None:
    one, other = views[0].camera, views[1].camera
    pose = relative_pose(one.rotation, one.eye, other.rotation, other.eye)
    assert np.allclose(rotated(*np.radians(pose[:3])) @ one.rotation, other.rotation, atol=1e-9)
    assert np.allclose(one.eye + one.rotation.T @ pose[3:], other.eye, atol=1e-9)
    still = relative_pose(one.rotation, one.eye, one.rotation, one.eye)
    assert np.allclose(still, 0, atol=1e-9)
    stacked = np.stack([one.rotation, other.rotation]), np.stack([one.eye, other.eye])
    both = relative_pose(stacked[0], stacked[1], stacked[0][::-1], stacked[1][::-1])
    assert np.allclose(both[0], pose) and both.shape == (2, 6)


def test_a_change_changes_what_it_says_and_nothing_else(views: list[View]) -> None:
    base = views[0]

    def changed(**what: object) -> View:
        return make_views(4, seed=9, edges=True, changes=Changes(**what))[0]  # type: ignore[arg-type]

    for what in ({"colors": True}, {"light": True}):
        other = changed(**what)
        assert np.array_equal(other.normals, base.normals) and not np.array_equal(other.image, base.image)
        assert np.array_equal(other.edges.places, base.edges.places)  # type: ignore[union-attr]
    plain = changed(paint="plain")
    assert plain.edges is not None and not (plain.edges.kinds == Kind.PAINTED).any()
    assert np.array_equal(plain.normals, base.normals)
    bare = changed(cornices=False)
    assert (bare.sky | ~base.sky).all() and np.array_equal(bare.camera.rotation, base.camera.rotation)
    turned = changed(turn=20.0)
    assert not np.allclose(turned.camera.eye, base.camera.eye) and turned.style == base.style
    with pytest.raises(ValueError, match="unknown paint"):
        Changes(paint="brick")


def test_bad_numbers_are_refused() -> None:
    for what in ({"scene": -1}, {"scene": 0, "seed": -1}):
        with pytest.raises(ValueError, match="must not be negative"):
            make_views(**what)
    for what in ({"views": 0}, {"size": 20}):
        with pytest.raises(ValueError, match="at least one view of 32 pixels"):
            make_views(0, **what)


def test_worlds_give_pictures_by_number() -> None:
    for world in ("terraces", "cars", "rooms"):
        seen = picture(world, 1, 100)
        assert seen.shape == (100, 100, 3) and seen.dtype == np.uint8 and seen.std() > 5
    with pytest.raises(ValueError, match="unknown world"):
        picture("moon", 0, 100)
