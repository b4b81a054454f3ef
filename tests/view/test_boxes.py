"""Boxes in pictures: where they are, which face is the front, what is cut, and pictures that are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from invert3d.ops.boxes import project
from invert3d.ops.layouts import Layout
from invert3d.view.boxes import difference_map, draw_layout, fitting_scale, in_space, kind_color
from invert3d.view.color import palette
from invert3d.view.plan import birds_eye, fitting_reach
from invert3d.view.wires import half_spaces, polygon_in, segments_in

H, W = 120, 400
P2 = torch.tensor([[240.0, 0, 200, 14.0], [0, 240, 55, 0.1], [0, 0, 1, 0.003]])
GRAY = np.full((H, W, 3), 128, np.uint8)


def layout(
    kinds: tuple[str, ...], centers: list[list[float]], yaws: list[float], scores: list[float] | None = None
) -> Layout:
    sizes = torch.tensor([[1.5, 1.6, 4.0]]).repeat(len(kinds), 1)
    known = None if scores is None else torch.tensor(scores)
    return Layout.of(kinds, sizes, torch.tensor(centers), torch.tensor(yaws), P2, H, W, known)


def changed(picture: np.ndarray) -> np.ndarray:
    return (np.abs(picture.astype(int) - 128) > 6).any(axis=2)


def near_color(picture: np.ndarray, color: tuple[int, int, int], within: int = 40) -> np.ndarray:
    return np.abs(picture.astype(int) - color).max(axis=2) < within


def test_a_box_is_drawn_where_it_projects_to_and_nowhere_else() -> None:
    given = layout(("Car",), [[1.0, 1.5, 12.0]], [0.4])
    mask = changed(draw_layout(GRAY, given, labels=False))
    rows, columns = np.nonzero(mask)
    left, top, right, bottom = given.boxes[0].tolist()
    assert (
        np.abs(np.array([columns.min(), rows.min(), columns.max(), rows.max()]) - [left, top, right, bottom]).max() < 4
    )
    for u, v, _ in project(given.corners, P2)[0].tolist():
        assert mask[round(v) - 1 : round(v) + 2, round(u) - 1 : round(u) + 2].any()


def test_the_front_face_is_filled_and_the_rear_is_not() -> None:
    # rotation_y = pi / 2 looks at -z, toward the camera; a quarter turn back looks away from it
    for yaw, x in ((0.0, 1.0), (np.pi, -1.0)):  # along +x and -x: the front is seen at one side
        given = layout(("Car",), [[0.0, 1.0, 8.0]], [yaw])
        picture = draw_layout(np.zeros_like(GRAY), given, labels=False, scale=2)
        wide = np.flatnonzero((picture > 0).any(axis=(0, 2)))
        middle = (wide.min() + wide.max()) / 2
        filled = near_color(picture, tuple(round(74 / 255 * part) for part in kind_color("Car")), 5)
        columns = np.nonzero(filled)[1]
        assert filled.sum() > 200
        assert (np.sign(columns - middle) == x).mean() > 0.95


def test_drawing_repeats_and_leaves_the_image_alone() -> None:
    given = layout(("Car", "Van"), [[1.0, 1.5, 12.0], [-3.0, 1.5, 20.0]], [0.4, 1.0], [0.9, 0.5])
    image = GRAY.copy()
    one, two = (draw_layout(image, given, faint=given, scale=3) for _ in range(2))
    assert np.array_equal(one, two)
    assert np.array_equal(image, GRAY)
    assert one.shape == (3 * H, 3 * W, 3)
    assert one.dtype == np.uint8


@pytest.mark.parametrize("center", [[1.4, 1.5, 0.5], [-1.2, 1.5, 1.5], [0.0, 1.5, 0.0], [3.0, 1.0, -1.0]])
@pytest.mark.parametrize("yaw", [0.0, 1.57, -2.5])
def test_a_box_that_passes_the_camera_stays_in_its_hull(center: list[float], yaw: float) -> None:
    """Whatever is drawn is the picture of a point of the box in front of the camera."""
    given = layout(("Car",), [center], [yaw])
    mask = changed(draw_layout(GRAY, given, labels=False))
    share = torch.linspace(0, 1, 60)
    corners = given.corners[0]
    grid = torch.stack(torch.meshgrid(share, share, share, indexing="ij"), -1).reshape(-1, 3)
    inside = corners[6] + grid @ torch.stack(
        [corners[7] - corners[6], corners[5] - corners[6], corners[2] - corners[6]]
    )
    seen = project(inside[inside[:, 2] > 0.1], P2)[:, :2].round().long()
    hull = np.zeros((H, W), bool)
    seen = seen[(seen[:, 0] >= 0) & (seen[:, 0] < W) & (seen[:, 1] >= 0) & (seen[:, 1] < H)]
    hull[seen[:, 1], seen[:, 0]] = True
    wide = np.zeros_like(hull)
    reach = 14  # half a line, and the holes of the grid just before the camera
    for row, column in zip(*np.nonzero(hull), strict=True):
        wide[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = True
    assert not (mask & ~wide).any()


def test_what_is_behind_the_camera_or_beside_the_picture_is_not_drawn() -> None:
    given = layout(("Car", "Car"), [[0.0, 1.5, -10.0], [40.0, 1.5, 12.0]], [0.3, 0.3])
    assert np.array_equal(draw_layout(GRAY, given), GRAY)
    assert np.array_equal(draw_layout(GRAY, Layout.empty(P2, H, W)), GRAY)


def test_every_kind_has_its_color() -> None:
    kinds = ("Car", "Van", "Pedestrian", "Cyclist", "Tram")
    colors = [kind_color(kind) for kind in kinds]
    assert len(set(colors)) == 5
    assert {tuple(color) for color in palette("categorical").tolist()} > set(colors[:4])
    assert kind_color("Misc") == kind_color("Tram")
    for kind, color in zip(kinds, colors, strict=True):
        picture = draw_layout(GRAY, layout((kind,), [[0.0, 1.5, 9.0]], [0.6]), labels=False, scale=3)
        assert (picture == color).all(axis=2).sum() > 200
        others = [other for other in colors if other != color]
        assert not any((picture == other).all(axis=2).any() for other in others)


def test_dont_care_is_a_dashed_rectangle() -> None:
    given = layout(("DontCare", "Car"), [[0.0, 1.5, 9.0], [0.0, 1.5, 9.0]], [0.6, 0.6])
    given = replace(
        given.select(torch.tensor([0])),
        centers=torch.full((1, 3), torch.nan),
        boxes=torch.tensor([[100.0, 30.0, 200.0, 80.0]]),
    )
    mask = changed(draw_layout(GRAY, given))
    assert in_space(given) == []
    assert not mask[35:76, 105:196].any()
    assert not mask[:, :96].any()
    assert 0.4 < mask[30, 100:200].mean() < 0.95


def test_what_is_known_in_the_picture_only_is_a_rectangle_with_a_name() -> None:
    """As a 2-D detector says it: nothing in space, no camera."""
    given = layout(("Car",), [[0.0, 1.5, 9.0]], [0.6], [0.87])
    unknown = {
        name: torch.full_like(getattr(given, name), torch.nan) for name in ("sizes", "centers", "yaws", "projection")
    }
    given = replace(given, boxes=torch.tensor([[100.0, 40.0, 200.0, 90.0]]), **unknown)
    bare, named = (draw_layout(GRAY, given, labels=labels, scale=3) for labels in (False, True))
    mask = changed(bare)
    assert mask[120, 306:594].all() and mask[271, 306:594].all()
    assert not mask[130:260, 310:590].any()
    assert near_color(bare, kind_color("Car"), 3).sum() > 600
    assert changed(named).sum() > mask.sum() + 500
    assert birds_eye(given, given).shape == (960, 720, 3)


def test_labels_name_scores_and_stay_inside() -> None:
    near = layout(("Car",), [[0.0, 1.5, 5.0]], [0.0])
    bare, named = (draw_layout(GRAY, near, labels=labels) for labels in (False, True))
    scored = draw_layout(GRAY, replace(near, scores=torch.tensor([0.87])))
    assert not np.array_equal(bare, named)
    assert not np.array_equal(named, scored)
    crowd = layout(("Car",) * 12, [[0.1 * i, 1.5, 9.0 + i] for i in range(12)], [0.1] * 12)
    assert draw_layout(GRAY, crowd).shape == GRAY.shape


def test_the_faint_layout_is_white_and_below() -> None:
    given = layout(("Car",), [[-2.0, 1.5, 10.0]], [0.4])
    other = layout(("Car",), [[3.0, 1.5, 10.0]], [0.4])
    plain = draw_layout(GRAY, given, labels=False, scale=2)
    both = draw_layout(GRAY, given, faint=other, labels=False, scale=2)
    assert np.array_equal(plain[:, : W - 20], both[:, : W - 20])
    assert (both[:, W:].min(axis=2) > 190).sum() > 30


def test_a_faint_layout_in_the_picture_only_is_white_too() -> None:
    given = Layout.of_boxes(["Car"], torch.tensor([[10.0, 40.0, 60.0, 90.0]]), *GRAY.shape[:2])
    other = replace(given, boxes=given.boxes + torch.tensor([100.0, 0.0, 100.0, 0.0]))
    both = draw_layout(GRAY, given, faint=other, labels=False, scale=2)
    assert np.array_equal(draw_layout(GRAY, given, labels=False, scale=2)[:, :180], both[:, :180])
    assert (both[70:190, 210:330].min(axis=2) > 190).sum() > 30


def test_small_pictures_are_enlarged() -> None:
    small = layout(("Car",), [[0.0, 1.5, 9.0]], [0.6]).resized(60, 200)
    picture = draw_layout(GRAY[:60, :200], small, scale=None)
    assert picture.shape == (300, 1000, 3)
    assert [fitting_scale(np.zeros((1, width))) for width in (96, 320, 959, 960, 1242)] == [10, 3, 2, 1, 1]


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (GRAY[..., 0], {}, r"image: got \(120, 400\) uint8"),
        (GRAY / 255, {}, "float64, accepted is"),
        (np.zeros((H, W, 4), np.uint8), {}, r"\(120, 400, 4\)"),
        (GRAY[:100], {}, "layout: is for a picture of 120 x 400, but the image has 100 x 400"),
        (GRAY, {"faint": Layout.empty(P2, 9, 9)}, "faint: is for a picture of 9 x 9"),
        (GRAY, {"scale": 0}, "scale: got 0"),
        (GRAY, {"scale": 1.5}, "scale: got 1.5"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(image: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_layout(image, layout(("Car",), [[0.0, 1.5, 9.0]], [0.6]), **options)


def test_cutting_keeps_what_is_inside() -> None:
    planes = half_spaces(P2.numpy(), H, W)
    line = np.array([[[0, 0, -5.0], [0, 0, 5.0]], [[0, 0, -5.0], [1, 0, -1.0]], [[0, 0, 5.0], [0.1, 0.2, 9.0]]])
    parts, seen = segments_in(line, planes)
    assert seen.tolist() == [True, False, True]
    assert np.allclose(parts[2], line[2])
    assert parts[0, 0, 2] >= 0.09
    square = np.array([[-1, 0.5, -3.0], [1, 0.5, -3.0], [1, 0.5, 6.0], [-1, 0.5, 6.0]])
    kept = polygon_in(square, planes)
    assert len(kept) >= 4
    assert (np.c_[kept, np.ones(len(kept))] @ planes.T > -1e-6).all()
    assert len(polygon_in(square - [0, 0, 20.0], planes)) == 0


def test_a_plan_shows_truth_as_lines_and_found_as_areas() -> None:
    truth = layout(("Car",), [[-4.0, 1.5, 15.0]], [-1.57])
    found = layout(("Pedestrian",), [[4.0, 1.5, 25.0]], [0.0])
    options = {"reach": 40.0, "width": 200, "height": 300, "scale": 2}
    light = birds_eye(truth, found, **options)
    assert light.shape == (600, 400, 3)
    assert light.mean() > 200
    meter, bottom = (300 - 32) / 40 * 2, 600 - 52
    x, y = round(200 - 4 * meter), round(bottom - 15 * meter)
    assert near_color(light[y - 60 : y + 60, x - 30 : x + 30], kind_color("Car"), 12).sum() > 60
    x, y = round(200 + 3 * meter), round(bottom - 25 * meter - 3)
    red, green, blue = light[y, x].astype(int)
    assert blue > red + 40  # through a filled box the field of view still shows


def test_the_heading_is_seen_from_above() -> None:
    north, south = (
        birds_eye(layout(("Car",), [[0.0, 1.5, 20.0]], [yaw]), None, reach=40, width=200, height=300)
        for yaw in (-np.pi / 2, np.pi / 2)
    )
    away, toward = (
        np.flatnonzero(near_color(each[:480], kind_color("Car"), 12).any(axis=1)) for each in (north, south)
    )
    assert away.min() < toward.min() - 10
    assert away.max() < toward.max() - 10


def test_a_plan_counts_what_it_cannot_show() -> None:
    inside, outside = (layout(("Car",), [[0.0, 1.5, depth]], [0.0]) for depth in (20.0, 55.0))
    field = (slice(0, 30), slice(0, 300))
    shown, hidden = (birds_eye(each, None, reach=40)[field] for each in (inside, outside))
    assert (shown.max(axis=2) < 140).sum() == 0
    assert (hidden.max(axis=2) < 140).sum() > 20
    assert (fitting_reach(), fitting_reach(inside), fitting_reach(inside, outside)) == (30, 30, 60)
    assert fitting_reach(Layout.empty(P2, H, W)) == 30


def test_bad_plans_are_refused() -> None:
    with pytest.raises(ValueError, match="reach, width, height: got 0"):
        birds_eye(Layout.empty(P2, H, W), None, reach=0)


def test_a_difference_has_one_map_and_says_where_it_ends() -> None:
    after = GRAY.copy()
    after[10, 10], after[20, 20] = 230, 77
    picture, reach = difference_map(GRAY, after)
    assert reach == pytest.approx(102 / 255)
    assert tuple(picture[10, 10]) == tuple(palette("diverging")[255])
    assert tuple(picture[0, 0]) in [tuple(palette("diverging")[place]) for place in (127, 128)]
    assert int(picture[20, 20, 2]) > int(picture[20, 20, 0])
    same, none = difference_map(GRAY, GRAY)
    assert none == 0
    assert len(np.unique(same.reshape(-1, 3), axis=0)) == 1
    for wrong, message in (((GRAY, GRAY[:9]), "after: got"), ((GRAY / 2, GRAY), "before: got")):
        with pytest.raises(ValueError, match=message):
            difference_map(*wrong)
