"""Numbers along an axis: round ticks, short labels, and long traces thinned without losing a spike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Plot:
    """The rectangle of a plot, y running down, and the numbers at its ends; `log` is for powers of ten."""

    left: float
    top: float
    right: float
    bottom: float
    x: tuple[float, float]
    y: tuple[float, float]
    log: bool = False

    def across(self, steps: np.ndarray) -> np.ndarray:
        """Where steps (n,) stand from left to right."""
        steps = np.asarray(steps, np.float64)
        return self.left + (steps - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - self.left)

    def down(self, values: np.ndarray) -> np.ndarray:
        """Where values (n,) stand from top to bottom."""
        ends, values = np.array(self.y), np.asarray(values, np.float64)
        if self.log:
            ends, values = np.log10(ends), np.log10(values)
        return self.bottom - (values - ends[0]) / (ends[1] - ends[0]) * (self.bottom - self.top)


def value_span(known: np.ndarray, log: bool, count: int = 4) -> tuple[float, float]:
    """Both ends of an axis for the finite numbers (n,), rounded outward where a tick is near; low < high."""
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if low == high:
        return (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    return (low, high) if log else rounded(low, high, count)


def ticks(low: float, high: float, count: int = 4) -> np.ndarray:
    """About `count` round numbers inside [low, high]: multiples of 1, 2, 2.5 or 5 times a power of ten."""
    if not high > low:
        return np.array([low])
    step = _step(low, high, count)
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step


def rounded(low: float, high: float, count: int = 4) -> tuple[float, float]:
    """[low, high] opened to the next tick on each side where that is near (within half a step)."""
    step = _step(low, high, count)
    below, above = float(np.floor(low / step + 1e-9) * step), float(np.ceil(high / step - 1e-9) * step)
    return (below if low - below <= step / 2 else low), (above if above - high <= step / 2 else high)


def _step(low: float, high: float, count: int) -> float:
    """The round distance between ticks."""
    rough = (high - low) / max(1, count)
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999))


def decades(low: float, high: float, count: int = 4) -> np.ndarray:
    """Powers of ten inside [low, high], both positive, about `count` at most; the ends if there is none."""
    first, last = int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9))
    if first > last:
        return np.array([low, high])
    return 10.0 ** np.arange(first, last + 1, max(1, round((last - first + 1) / count)))


def short(value: float) -> str:
    """A number in few characters: at most 4 digits, no trailing zeros, a real minus sign."""
    if not np.isfinite(value):
        return "not finite"
    size = abs(value)
    if size == 0:
        return "0"
    text = f"{value:,.0f}" if 1000 <= size < 1e7 else f"{value:.4g}" if 1e-3 <= size < 1e7 else f"{value:.2e}"
    mantissa, _, exponent = text.partition("e")
    if exponent:
        text = f"{float(mantissa):g}e{int(exponent)}"
    return text.replace("-", "\N{MINUS SIGN}")


def thin(values: np.ndarray, most: int = 400) -> np.ndarray:
    """Rising indices of about `most` of (n,) samples: both ends, the lowest and highest of every bucket."""
    size = len(values)
    if size <= most:
        return np.arange(size)
    known = np.where(np.isfinite(values), values, np.nanmedian(np.where(np.isfinite(values), values, np.nan)))
    edges = np.linspace(0, size, most // 2 + 1).astype(int)
    spikes = [
        start + pick(known[start:stop])
        for start, stop in zip(edges[:-1], edges[1:], strict=True)
        for pick in (np.argmin, np.argmax)
    ]
    return np.unique([0, *spikes, size - 1])


def wants_decades(values: np.ndarray) -> bool:
    """Whether finite samples (n,) are all positive and span more than three powers of ten."""
    known = values[np.isfinite(values)]
    return bool(known.size and known.min() > 0 and known.max() / known.min() > 1000)
