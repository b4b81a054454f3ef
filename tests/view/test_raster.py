"""The splatter: what is nearer hides what is behind, whatever the side it is seen from."""

from __future__ import annotations

import numpy as np
import pytest

from invert3d.view.camera import Camera, to_z_up
from invert3d.view.raster import splat

RED, BLUE = (220, 30, 30), (30, 30, 220)
PAIR = np.array([[0.0, -0.5, 0.0], [0.0, 0.5, 0.0]])
PAINT = np.array([RED, BLUE], np.uint8)


def middle(picture: np.ndarray) -> str:
    """Which of the two colors is in the middle of the picture."""
    height, width, _ = picture.shape
    red, _, blue, alpha = picture[height // 2, width // 2].astype(int)
    assert alpha == 255
    return "red" if red > blue else "blue"


@pytest.mark.parametrize(("azimuth", "seen"), [(-90, "red"), (90, "blue")])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
@pytest.mark.parametrize("distance", [6.0, np.inf])
def test_the_nearer_point_hides_the_other(azimuth: float, seen: str, order: list, distance: float) -> None:
    camera = Camera(azimuth=azimuth, elevation=0, distance=distance)
    picture = splat(PAIR[order], camera=camera, colors=PAINT[order], radius=0.2, size=(64, 64), shadow=False)
    assert middle(picture) == seen


def test_touching_spheres_cut_through_each_other() -> None:
    pair = np.array([[-0.1, 0.0, 0.0], [0.1, 0.0, 0.0]])
    camera = Camera(azimuth=-90, elevation=0, distance=np.inf)
    picture = splat(pair, camera=camera, colors=PAINT, radius=0.3, size=(101, 101), shadow=False).astype(int)
    row = picture[50]
    assert (row[34:48, 0] > row[34:48, 2]).all()
    assert (row[53:67, 2] > row[53:67, 0]).all()


def test_x_is_to_the_right_from_the_front_and_z_is_up() -> None:
    camera = Camera(azimuth=-90, elevation=0)
    picture = splat(np.array([[0.6, 0.0, 0.6]]), camera=camera, size=(100, 100), shadow=False)
    row, column = np.argwhere(picture[..., 3] > 0).mean(axis=0)
    assert column > 60
    assert row < 40


def test_default_camera_sees_the_front_from_the_left_and_above() -> None:
    right, up, eye = Camera().axes()
    assert eye[1] < 0
    assert eye[0] < 0
    assert eye[2] > 0
    assert np.allclose(np.stack([right, up, eye]) @ np.stack([right, up, eye]).T, np.eye(3))
    assert np.allclose(np.cross(right, up), eye)


def test_a_turned_cloud_looks_the_same_under_the_other_up_axis() -> None:
    points = np.random.default_rng(0).normal(size=(60, 3)) * 0.3
    other = to_z_up(points, "y", inverse=True)
    assert np.array_equal(to_z_up(other, "y"), points)
    assert np.array_equal(splat(points, size=(48, 48)), splat(other, camera=Camera(up="y"), size=(48, 48)))


def test_around_shows_a_cloud_of_any_size() -> None:
    points = np.random.default_rng(0).uniform(-40, 90, (500, 3)) + [1000, 0, 0]
    picture = splat(points, camera=Camera.around(points), radius=2.0, size=(80, 80), shadow=False)
    covered = picture[..., 3] > 0
    assert covered.sum() > 1000
    assert not (covered[0].any() or covered[-1].any() or covered[:, 0].any() or covered[:, -1].any())


def test_the_same_cloud_gives_the_same_picture() -> None:
    points = np.random.default_rng(1).normal(size=(300, 3)) * 0.4
    assert np.array_equal(splat(points, size=(64, 48)), splat(points, size=(64, 48)))
    assert splat(points, size=(64, 48)).shape == (48, 64, 4)


def test_the_background_is_clear_and_the_shadow_falls_below() -> None:
    ball = np.array([[0.0, 0.0, 0.4], [0.0, 0.0, -0.4]])
    bare, grounded = (splat(ball, size=(80, 80), radius=0.1, shadow=shadow) for shadow in (False, True))
    assert bare[0, 0, 3] == 0
    assert set(np.unique(bare[..., 3])) >= {0, 255}
    extra = np.argwhere((grounded[..., 3] > 0) & (bare[..., 3] == 0))
    assert len(extra) > 20
    assert extra[:, 0].min() > 40


def test_points_behind_the_eye_are_not_drawn() -> None:
    camera = Camera(azimuth=0, elevation=0, distance=2.0)
    picture = splat(np.array([[5.0, 0.0, 0.0]]), camera=camera, size=(32, 32), shadow=False)
    assert picture[..., 3].max() == 0


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (np.zeros((3, 2)), {}, r"points: got shape \(3, 2\)"),
        (np.zeros((0, 3)), {}, "N >= 1"),
        (np.array([[0, 0, np.nan]]), {}, "1 of 1 have NaN"),
        (PAIR, {"size": (0, 10)}, "size: got"),
        (PAIR, {"radius": -1.0}, "radius: got -1"),
        (PAIR, {"values": np.zeros(3)}, r"values: got shape \(3,\)"),
        (PAIR, {"colors": np.zeros((2, 3))}, "uint8"),
        (PAIR, {"values": np.zeros(2), "colors": PAINT}, "got both"),
        (PAIR, {"camera": Camera(up="x")}, "up: got 'x'"),
        (PAIR, {"camera": Camera(height=0)}, "height 0"),
    ],
)
def test_bad_input_is_refused(points: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        splat(points, **options)
