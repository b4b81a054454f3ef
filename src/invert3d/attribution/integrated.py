"""Integrated gradients, refined until the parts add up to the whole.

    A_i = (x_i - x'_i) * integral_0^1 dF/dx_i (x' + a (x - x')) da          (Sundararajan et al. 2017)

and by the fundamental theorem the sum of A is F(x) - F(x') ("completeness"). Point networks are piecewise smooth, so
high-order quadrature gains nothing and a fixed number of steps is too many for one input and too few for the next.
The midpoint rule costs one evaluation an interval and yields F at its middle besides: after cutting an interval in two,
the difference of F over each half is known, so each says how wrong it is. The worst are cut until the whole is right.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.engine.gradient import input_gradient
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.space import Points
from invert3d.ops.points import Groupings, record_groupings, replay_groupings
from invert3d.registry import register

#: numbers of inputs evaluated at once: 32 clouds of 1,024 points, one image. Bounds the memory of a network.
NUMBERS_AT_ONCE = 32 * 1024 * 3


@dataclass(eq=False)
class Interval:
    """A piece [low, high] of the path of one sample: F at its ends and its middle, and the gradient in the middle."""

    row: int
    low: float
    high: float
    at_low: float = 0.0
    at_high: float = 0.0
    at_middle: float = 0.0
    gradient: Tensor = field(default_factory=lambda: torch.empty(0))
    along: float = 0.0  # the derivative along the path in the middle

    @property
    def middle(self) -> float:
        """Where it is evaluated."""
        return (self.low + self.high) / 2

    @property
    def error(self) -> float:
        """By how much the midpoint rule misses the difference of F over the interval."""
        return (self.at_high - self.at_low) - (self.high - self.low) * self.along

    def halves(self) -> tuple["Interval", "Interval"]:
        """Its two halves, whose ends are known."""
        left = Interval(self.row, self.low, self.middle, self.at_low, self.at_middle)
        return left, Interval(self.row, self.middle, self.high, self.at_middle, self.at_high)


@register("attribution", "integrated_gradients")
@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(Method):
    """Integrated gradients from a baseline, to a stated completeness error.

    ``tolerance`` is the largest error of completeness, as a share of F(x) - F(baseline), and ``most`` the largest
    number of evaluations a sample. Where ``steps`` is given, so many equal steps are taken instead (published: 50).

    The baseline of a cloud is its center (``center``) or the origin (``zero``), that of grids and images is zero:
    empty, black; or give one (1 or B, *space.shape). At least ``first`` intervals are looked at, so that errors do not
    cancel by luck.

    ``groupings`` are those of x all along the path (``frozen``: one smooth function, which is the network at x), or are
    chosen anew at every point (``live``: F then jumps where they change, and no quadrature sees a jump). ``facts``
    tells F at both ends, the completeness error as a share of their difference, and the evaluations a sample.
    """

    tolerance: float = 0.01
    steps: int = 0
    first: int = 8
    most: int = 128
    baseline: Literal["zero", "center"] | Tensor = "zero"
    groupings: Literal["frozen", "live"] = "frozen"

    def __post_init__(self) -> None:
        if self.tolerance < 0 or self.steps < 0 or (not self.tolerance and not self.steps):
            raise ValueError(f"give a tolerance above 0, or steps, not {self.tolerance} and {self.steps}")
        if self.first < 1 or self.most < self.first:
            raise ValueError(f"first must be 1 or more and most no less, not {self.first} and {self.most}")

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tensor | None = None) -> Attribution:
        model.space.validate(x)
        path = Path(model, score, x, self._baseline(x), target, frozen=self.groupings == "frozen")
        start, end = path.values_at(0.0), path.values_at(1.0)
        if self.steps:
            edges = torch.linspace(0, 1, self.steps + 1).tolist()
            pieces = [Interval(row, low, high) for row in range(len(x)) for low, high in pairwise(edges)]
            path.evaluate(pieces)
            return self._result(path, pieces, start, end, [self.steps + 2] * len(x))
        pieces = [Interval(row, 0.0, 1.0, low, high) for row, (low, high) in enumerate(zip(start, end, strict=True))]
        path.evaluate(pieces)
        used = [3] * len(x)
        while halves := [half for row in range(len(x)) for half in self._cut(row, pieces, used)]:
            path.evaluate(halves)
            pieces += halves
        return self._result(path, pieces, start, end, used)

    def _baseline(self, x: Tensor) -> Tensor:
        if isinstance(self.baseline, Tensor):
            if self.baseline.shape[1:] != x.shape[1:] or len(self.baseline) not in (1, len(x)):
                raise ValueError(f"the baseline {tuple(self.baseline.shape)} does not fit inputs {tuple(x.shape)}")
            return self.baseline.to(x).expand_as(x).clone()
        return x.mean(1, keepdim=True).expand_as(x).clone() if self.baseline == "center" else torch.zeros_like(x)

    def _cut(self, row: int, pieces: list[Interval], used: list[int]) -> list[Interval]:
        """The halves of the worst intervals of a sample, which are taken out of ``pieces``; none when it is done."""
        mine = sorted((piece for piece in pieces if piece.row == row), key=lambda piece: -abs(piece.error))
        whole = sum(piece.at_high - piece.at_low for piece in mine)
        allowed, affordable = self.tolerance * abs(whole), (self.most - used[row]) // 2
        if len(mine) >= self.first and abs(sum(piece.error for piece in mine)) <= allowed:
            return []
        few = len(mine) < self.first
        worst = [piece for i, piece in enumerate(mine) if few or i == 0 or abs(piece.error) > allowed][:affordable]
        for piece in worst:
            pieces.remove(piece)
        used[row] += 2 * len(worst)
        return [half for piece in worst for half in piece.halves()]

    def _result(
        self, path: "Path", pieces: list[Interval], start: list[float], end: list[float], used: list[int]
    ) -> Attribution:
        values = torch.zeros_like(path.x)
        for piece in pieces:
            values[piece.row] += (piece.high - piece.low) * piece.gradient.to(values)
        values = values * (path.x - path.baseline)
        whole = torch.tensor(end) - torch.tensor(start)
        errors = (values.flatten(1).sum(1).cpu() - whole).abs() / whole.abs().clamp_min(1e-12)
        return Attribution(values, {
            "evaluations": max(used), "evaluations_each": used, "F(x)": end, "F(baseline)": start,
            "completeness_error": errors.tolist(), "tolerance": self.tolerance if not self.steps else 1.0,
        })  # fmt: skip


class Path:
    """F and its gradient at points x' + a (x - x') of straight paths, sample by sample."""

    def __init__(
        self, model: Frozen, score: Objective, x: Tensor, baseline: Tensor, target: Tensor | None, *, frozen: bool
    ) -> None:
        self.model, self.objective, self.target = model, -score, target
        self.x, self.baseline = x.to(model.device, model.dtype), baseline.to(model.device, model.dtype)
        self.tape: Groupings | None = None
        if frozen and isinstance(model.space, Points):
            with torch.no_grad(), record_groupings() as self.tape:
                model(self.x)

    def at(self, rows: list[int], places: list[float]) -> tuple[Tensor, Tensor]:
        """F (M,) and its gradient (M, ...) for samples ``rows`` at ``places`` of their paths."""
        share = torch.tensor(places, dtype=self.x.dtype, device=self.x.device).view(-1, *[1] * (self.x.dim() - 1))
        x = self.baseline[rows] + share * (self.x[rows] - self.baseline[rows])
        target = None if self.target is None else self.target[rows]
        if self.tape is None:
            gradient, state = input_gradient(self.model, self.objective, x, target)
        else:
            with replay_groupings(Groupings([each[rows] for each in self.tape.indices])):
                gradient, state = input_gradient(self.model, self.objective, x, target)
        return state.loss, gradient

    def evaluate(self, pieces: list[Interval]) -> None:
        """Fill in the middles of the intervals, as many at once as memory allows."""
        size = max(1, NUMBERS_AT_ONCE // self.x[0].numel())
        for i in range(0, len(pieces), size):
            some = pieces[i : i + size]
            rows = [piece.row for piece in some]
            values, gradients = self.at(rows, [piece.middle for piece in some])
            along = (gradients * (self.x[rows] - self.baseline[rows])).flatten(1).sum(1)
            for piece, value, gradient, slope in zip(some, values.tolist(), gradients, along.tolist(), strict=True):
                piece.at_middle, piece.gradient, piece.along = value, gradient, slope

    def values_at(self, place: float) -> list[float]:
        """F of every sample at one place of its path."""
        pieces = [Interval(row, place, place) for row in range(len(self.x))]
        self.evaluate(pieces)
        return [piece.at_middle for piece in pieces]
