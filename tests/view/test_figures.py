"""Figures: every panel is drawn, every word is there to be drawn, and no NaN stops them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from invert3d.view.axis import scale_of, short, thin
from invert3d.view.color import LIGHT, rgb
from invert3d.view.figures import Panel, contact_sheet, save_png
from invert3d.view.matrix import matrix_plot
from invert3d.view.style import Sheet, text_width, wrapped
from invert3d.view.trace import trace_plot

CLOUD = np.random.default_rng(0).normal(size=(64, 3)) * 0.3
PHOTO = np.full((20, 30, 3), 128, np.uint8)


def test_contact_sheet_draws_every_panel() -> None:
    rows = [[Panel(cloud=CLOUD, caption="a cloud"), Panel(image=PHOTO)], [None, Panel(image=PHOTO[..., 0])]]
    image = contact_sheet(
        rows,
        column_titles=["one", "two"],
        row_titles=["first", "second"],
        title="Title",
        note="Note. " * 30,
        panel_size=(60, 50),
    )
    pixels = np.asarray(image)
    assert image.mode == "RGB"
    assert tuple(pixels[0, 0]) == rgb(LIGHT.background)
    assert (pixels == 128).all(axis=2).sum() > 4 * 2 * 40 * 25
    assert (np.ptp(pixels.astype(int), axis=2) > 40).sum() > 4 * 60


def test_a_sheet_grows_with_its_words() -> None:
    short_, long_ = (
        contact_sheet([[Panel(cloud=CLOUD, caption=text)]], panel_size=(60, 60))
        for text in ("a", "a long caption that needs some lines")
    )
    assert long_.height > short_.height
    assert long_.width == short_.width


def test_scale_only_makes_it_sharper() -> None:
    one, two = (Sheet(90.0, 60.0, scale=scale, title="Title").image() for scale in (1, 2))
    assert (two.width, two.height) == (2 * one.width, 2 * one.height)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "got no panel"),
        ([[Panel(image=PHOTO)]], {"column_titles": ["a", "b"]}, "column_titles: got 2, accepted are 0 or 1"),
        ([[Panel()]], {}, "a cloud or an image"),
        ([[Panel(cloud=CLOUD, image=PHOTO)]], {}, "a cloud or an image"),
        ([[Panel(image=PHOTO / 255)]], {}, "uint8"),
    ],
)
def test_bad_sheets_are_refused(rows: list, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contact_sheet(rows, **options)


@pytest.mark.parametrize("count", [1, 3, 12])
@pytest.mark.parametrize("log", [False, True])
def test_trace_plot_survives_gaps_and_many_curves(count: int, log: bool) -> None:
    series = {f"run {number}": np.geomspace(10, 1e-3 * (number + 1), 50) for number in range(count)}
    series["run 0"][10:20] = np.nan
    image = trace_plot(series, title="Loss", y_label="nats", log=log, size=(300, 220))
    assert image.size == (600, 440)
    assert (np.ptp(np.asarray(image).astype(int), axis=2) > 60).sum() > 4 * 80


def test_trace_plot_takes_a_constant_a_single_step_and_steps_of_its_own() -> None:
    flat = trace_plot({"flat": np.ones(5)}, size=(200, 160))
    one = trace_plot({"one": np.ones(1)}, size=(200, 160))
    some = trace_plot({"some": np.arange(3.0)}, steps=np.array([0, 10, 100]), size=(200, 160))
    colored = [(np.ptp(np.asarray(image).astype(int), axis=2) > 60).sum() for image in (flat, one, some)]
    assert min(colored[0], colored[2]) > 4 * 80 and colored[1] > 0, "a line, a dot, a line"


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        ({}, {}, "no finite number"),
        ({"a": np.full(3, np.nan)}, {}, "no finite number"),
        ({"a": np.zeros((2, 2))}, {}, r"series 'a': got shape \(2, 2\)"),
        ({"a": np.arange(3.0)}, {"log": True}, "log=True"),
        ({"a": np.arange(3.0)}, {"steps": np.arange(2)}, "steps of shape"),
    ],
)
def test_bad_traces_are_refused(series: dict, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trace_plot(series, **options)


@pytest.mark.parametrize("names", [["a", "b", "c"], [f"a rather long name {number}" for number in range(8)]])
def test_matrix_plot_colors_its_tiles(names: list[str]) -> None:
    matrix = np.eye(len(names))
    matrix[0, 1] = np.nan
    image = matrix_plot(matrix, names, names, title="Who", labels=("from", "by"))
    pixels = np.asarray(image).reshape(-1, 3)
    top = np.array([249, 193, 73])
    assert (np.abs(pixels.astype(int) - top).max(axis=1) < 12).sum() > 300 * len(names)


def test_a_matrix_that_does_not_match_its_names_is_refused() -> None:
    with pytest.raises(ValueError, match=r"matrix: got shape \(2, 2\), accepted is \(2, 3\)"):
        matrix_plot(np.zeros((2, 2)), ["a", "b"], ["a", "b", "c"])


def test_save_png_round_trip(tmp_path: Path) -> None:
    path = save_png(PHOTO, tmp_path / "new" / "photo.png")
    assert np.array_equal(np.asarray(Image.open(path)), PHOTO)
    assert save_png(Image.fromarray(PHOTO), tmp_path / "b.png").is_file()
    with pytest.raises(ValueError, match=r"ends in \.png"):
        save_png(PHOTO, tmp_path / "photo.jpg")
    with pytest.raises(ValueError, match="uint8"):
        save_png(PHOTO / 255, tmp_path / "photo.png")


def test_dollars_in_words_are_letters() -> None:
    plain, odd = (
        contact_sheet([[Panel(image=PHOTO, caption=text)]], title=text, panel_size=(90, 60))
        for text in ("a b", "$a_b$ \\frac")
    )
    assert plain.width == odd.width
    matrix_plot(np.eye(1), ["$\\x$"], ["$x"], labels=("$^$", "a$b$"))
    trace_plot({"$\\y$": np.arange(3.0)}, y_label="$", x_label="$\\$", size=(200, 160))


def test_a_word_that_is_too_long_ends_at_a_hyphen() -> None:
    assert wrapped("posenet-facades-decoder: 0.5", 11.5, 100) == ["posenet-facades-", "decoder: 0.5"]
    assert wrapped("a 2-D one", 11.5, 100) == ["a 2-D one"]
    assert wrapped("incomprehensibilities", 11.5, 30) == ["incomprehensibilities"]


def test_words_are_wrapped_between_words() -> None:
    lines = wrapped("one two three four five six", 12, 70)
    assert len(lines) > 1
    assert " ".join(lines) == "one two three four five six"
    assert all(text_width(line, 12) <= 70 for line in lines)


@pytest.mark.parametrize(
    ("numbers", "log", "count", "ticks", "ends"),
    [
        ([0, 10], False, 4, [0, 2.5, 5, 7.5, 10], (0, 10)),
        ([0.04, 0.9998], False, 3, [0, 0.5, 1], (0, 1)),  # opened to the next tick, which is near
        ([-0.04, 3.2], False, 4, [0, 1, 2, 3], (-0.04, 3.2)),  # which is far
        ([7.0], False, 4, [6.5, 6.75, 7, 7.25, 7.5], (6.5, 7.5)),
        ([], False, 4, [0, 0.25, 0.5, 0.75, 1], (0, 1)),
        ([1e-4, 20], True, 6, [1e-4, 1e-3, 1e-2, 1e-1, 1, 10], (1e-4, 20)),
        ([2, 3], True, 4, [2, 3], (2, 3)),
    ],
)
def test_ticks_are_round_and_inside(numbers: list, log: bool, count: int, ticks: list, ends: tuple) -> None:
    marks, span = scale_of(np.array(numbers), log, count)
    assert np.allclose(marks, ticks)
    assert np.allclose(span, ends)


def test_many_decades_have_few_ticks() -> None:
    marks, _ = scale_of(np.array([1e-12, 1.0]), True, 4)
    assert 2 <= len(marks) <= 5
    assert np.allclose(np.log10(marks), np.round(np.log10(marks)))


def test_thinning_keeps_ends_and_spikes() -> None:
    values = np.zeros(10_000)
    values[4321], values[77] = 9, np.nan
    kept = thin(values, 200)
    assert len(kept) <= 402
    assert {0, 4321, 9999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.5, "−0.5"), (12345.6, "12,346"), (2.431e-4, "2.43e−4"), (1e9, "1e9"), (np.nan, "not finite")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text
