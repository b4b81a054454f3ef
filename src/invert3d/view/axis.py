"""Numbers along an axis: round ticks, short labels, and long traces thinned without losing a spike."""

import numpy as np
from numpy.typing import ArrayLike


def scale_of(known: np.ndarray, log: bool, count: int = 4) -> tuple[np.ndarray, tuple[float, float]]:
    """The ticks of an axis, about `count` intervals, and both of its ends, low < high, at a tick where one is near.

    `known` are (n >= 0,) finite numbers, positive where the axis counts in powers of ten (`log`).
    """
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if low == high:
        room = max(0.5, abs(low) * 1e-3)
        low, high = (low / 2, high * 2) if log else (low - room, high + room)
    if not log:
        marks = np.asarray(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10], min_n_ticks=1).tick_values(low, high))
        below, above, step = float(marks[0]), float(marks[-1]), float(marks[1] - marks[0])
        low = below if low - below <= step / 2 else low
        high = above if above - high <= step / 2 else high
        return marks[(marks >= low - step * 1e-9) & (marks <= high + step * 1e-9)], (low, high)
    marks = np.asarray(LogLocator(numticks=count + 1).tick_values(low, high))
    inside = marks[(marks >= low * (1 - 1e-9)) & (marks <= high * (1 + 1e-9))]
    return (inside if len(inside) else np.array([low, high])), (low, high)


def checked_curve(name: str, values: ArrayLike, steps: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """The steps of a curve, by default 0, 1, 2, ..., and its numbers, both (T >= 1,). Raises ValueError for others."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name}: got shape {values.shape}, accepted is (T >= 1,)")
    over = np.arange(len(values)) if steps is None else np.asarray(steps, np.float64)
    if over.shape != values.shape:
        raise ValueError(f"{name}: got {len(values)} numbers for {over.size} steps of shape {over.shape}")
    return over, values


def short(value: float) -> str:
    """A number in few characters: at most 4 digits, no trailing zeros, a real minus sign."""
    if not np.isfinite(value):
        return "not finite"
    size = abs(value)
    text = f"{value:,.0f}" if 1000 <= size < 1e7 else f"{value:.4g}" if 1e-3 <= size < 1e7 else f"{value:.2e}"
    mantissa, _, exponent = text.partition("e")
    text = f"{float(mantissa):g}e{int(exponent)}" if exponent else text
    return text.replace("-", "\N{MINUS SIGN}") if size else "0"


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
