"""What room objects are painted with: two colors and a texture that fills space, so that no surface needs a map."""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invert3d.data.worlds.colors import Color, linear
from invert3d.data.worlds.surfaces import noise

TURNS = np.float32(2 * np.pi)


@dataclass(frozen=True)
class Finish:
    """A texture by name, two sRGB colors that it mixes, and where in space it begins (3,)."""

    texture: str
    one: Color
    other: Color
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def color(self, place: np.ndarray) -> np.ndarray:
        """Linear colors (N, 3) at places (N, 3), in lengths of the object."""
        share = _TEXTURES[self.texture](place + np.array(self.shift, np.float32))[:, None]
        return linear(self.one) * (1 - share) + linear(self.other) * share


def draw_finish(rng: np.random.Generator, texture: str) -> Finish:
    """A texture in two colors at random, one light and one dark. No color says anything about a category."""
    light = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.55), rng.uniform(0.75, 0.97))
    dark = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.12, 0.4))
    one, other = (light, dark) if rng.random() < 0.5 else (dark, light)
    x, y, z = rng.uniform(0, 8, 3)
    return Finish(texture, one, other, (x, y, z))


def _wave(phase: np.ndarray, sharp: float = 4.0) -> np.ndarray:
    """A wave of period 1 between 0 and 1, nearly rectangular."""
    return np.clip(0.5 + sharp * np.sin(TURNS * phase) / 2, 0, 1)


def _stripes(p: np.ndarray) -> np.ndarray:
    return _wave(p[:, 1] * 4)


def _checks(p: np.ndarray) -> np.ndarray:
    return (np.floor(p * 5).sum(1) % 2).astype(np.float32)


def _dots(p: np.ndarray) -> np.ndarray:
    gap = p * 5 - np.floor(p * 5) - 0.5
    return (np.einsum("ij,ij->i", gap, gap) < 0.16).astype(np.float32)


def _zigzag(p: np.ndarray) -> np.ndarray:
    across = (p[:, 0] + p[:, 2]) * 4
    tooth = np.abs(across - np.floor(across) - 0.5)
    return _wave(p[:, 1] * 4 + tooth * 1.6)


def _wood(p: np.ndarray) -> np.ndarray:
    bend = noise(p[:, 0] + 0.3 * p[:, 1], p[:, 2], 5.0)
    return _wave(p[:, 2] * 5 + p[:, 1] * 2 + p[:, 0] + 0.3 * bend, 1.0)


def _plaid(p: np.ndarray) -> np.ndarray:
    bands = [_wave(p[:, axis] * 4) for axis in range(3)]
    return (bands[0] + bands[1] + bands[2]) / 3


def _plain(p: np.ndarray) -> np.ndarray:
    return np.zeros(len(p), np.float32)


def _mottled(p: np.ndarray) -> np.ndarray:
    return np.clip(0.25 + 0.2 * noise(p[:, 0] + 0.5 * p[:, 1], p[:, 2] - 0.4 * p[:, 1], 9.0), 0, 1)


def _graded(p: np.ndarray) -> np.ndarray:
    return (0.5 + 0.5 * np.sin(TURNS * (0.4 * p[:, 1] + 0.2 * p[:, 0]))).astype(np.float32)


_TEXTURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "zigzag": _zigzag,
    "wood": _wood,
    "plaid": _plaid,
    "plain": _plain,
    "mottled": _mottled,
    "graded": _graded,
}
TEXTURES = tuple(_TEXTURES)
#: those that tell no category from another
NEUTRAL = ("plain", "mottled", "graded")
