"""Colors: the order of numbers is the order of lightness, both ends stay visible, text can be read."""

from __future__ import annotations

import numpy as np
import pytest

from invert3d.view.color import DARK, LIGHT, colorize, limits, palette, rgb


def luminance(colors: np.ndarray) -> np.ndarray:
    """Relative luminance of (..., 3) sRGB bytes, as WCAG 2 defines it."""
    values = np.asarray(colors) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def contrast(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    bright, dark = np.maximum(luminance(one), luminance(other)), np.minimum(luminance(one), luminance(other))
    return (bright + 0.05) / (dark + 0.05)


def test_sequential_map_grows_lighter_all_the_way() -> None:
    light = luminance(palette("sequential"))
    assert (np.diff(light) > -2e-3).all()
    assert (np.diff(light[::8]) > 0).all()


def test_larger_numbers_get_later_colors() -> None:
    light = luminance(colorize(np.linspace(-3, 5, 33)))
    assert (np.diff(light) > 0).all()


@pytest.mark.parametrize("kind", ["sequential", "diverging", "categorical"])
@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_color_stands_out_from_both_backgrounds(kind: str, theme) -> None:
    assert contrast(palette(kind), np.array(rgb(theme.background))).min() > 1.5


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_can_be_read(theme) -> None:
    for sheet in (theme.background, theme.surface):
        assert contrast(np.array(rgb(theme.ink)), np.array(rgb(sheet))) > 12
        assert contrast(np.array(rgb(theme.muted)), np.array(rgb(sheet))) > 4.5
        assert contrast(np.array(rgb(theme.accent)), np.array(rgb(sheet))) > 4.5


def test_diverging_map_is_gray_at_zero_and_balanced() -> None:
    colors = colorize(np.array([-2.0, 0.0, 1.0]), kind="diverging").astype(int)
    assert np.ptp(colors[1]) < 12
    assert colors[0, 2] > colors[0, 0] + 80
    assert colors[2, 0] > colors[2, 2]
    assert limits(np.array([-2.0, 1.0]), kind="diverging") == (-2.0, 2.0)


def test_limits_clip_and_unknown_numbers_are_gray() -> None:
    table = palette("sequential")
    colors = colorize(np.array([-9.0, 9.0, np.nan, np.inf, -np.inf]), 0.0, 1.0)
    assert (colors[[0, 1, 3, 4]] == table[[0, -1, -1, 0]]).all()
    assert np.ptp(colors[2].astype(int)) < 16


def test_shape_is_kept_and_a_constant_is_allowed() -> None:
    assert colorize(np.zeros((4, 5))).shape == (4, 5, 3)
    assert colorize(np.zeros((0,))).shape == (0, 3)
    assert colorize(np.arange(10), kind="categorical")[0].tolist() == palette("categorical")[0].tolist()


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros(3), {"kind": "rainbow"}, "kind: got 'rainbow'"),
        (np.zeros(3), {"vmin": 1.0, "vmax": 0.0}, "vmin < vmax"),
        (np.zeros(3), {"kind": "categorical"}, "integers >= 0"),
    ],
)
def test_bad_input_is_refused(values: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        colorize(values, **options)
