"""Integrated gradients, refined until the parts add up to the whole.

    A_i = (x_i - x'_i) * integral_0^1 dF/dx_i (x' + a (x - x')) da          (Sundararajan et al. 2017)

and by the fundamental theorem the sum of A is F(x) - F(x') ("completeness"). Networks of rectifiers and maxima are
piecewise smooth, so a fixed number of steps is too many for one input and too few for the next. Every evaluation yields
F besides its gradient: of an interval the difference of F over it is known, so each says how wrong Simpson's rule is
on it. The worst are cut in two until the whole is right; nothing that was evaluated is thrown away.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.engine.gradient import input_gradient
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.space import Points
from invert3d.engine.tree import Tree, rows_of
from invert3d.ops.choices import Choices, recorded, replayed
from invert3d.registry import plain

#: numbers of inputs evaluated at once: 32 clouds of 1,024 points, one image. Bounds the memory of a network.
NUMBERS_AT_ONCE = 32 * 1024 * 3
#: steps that are taken where refinement does not help, as many as elsewhere by default
EQUAL = 50


@dataclass(eq=False)
class Node:
    """A place 0 to 1 on the path of one sample: F there, its gradient, and the derivative along the path."""

    row: int
    place: float
    score: float = 0.0
    gradient: Tensor = field(default_factory=lambda: torch.empty(0))
    along: float = 0.0


@dataclass(eq=False)
class Interval:
    """A piece of a path between two nodes, with one in its middle."""

    low: Node
    middle: Node
    high: Node

    def integral(self, what: str) -> Any:
        """The integral of a field of the nodes by Simpson's rule."""
        low, middle, high = (getattr(node, what) for node in (self.low, self.middle, self.high))
        return (low + 4 * middle + high) * ((self.high.place - self.low.place) / 6)

    @property
    def error(self) -> float:
        """By how much the rule misses the difference of F."""
        return (self.high.score - self.low.score) - self.integral("along")


def between(low: Node, high: Node) -> Interval:
    """The interval between two nodes."""
    return Interval(low, Node(low.row, (low.place + high.place) / 2), high)


def difference(pieces: Sequence[Interval]) -> float:
    """By how much F differs from one end of a path to the other."""
    return sum(piece.high.score - piece.low.score for piece in pieces)


def missing(pieces: Sequence[Interval]) -> float:
    """By how much the rule misses that."""
    return abs(sum(piece.error for piece in pieces))


@plain("attribution", "integrated_gradients")
class IntegratedGradients(Method):
    """Integrated gradients from a baseline, to a stated completeness error.

    ``tolerance`` is the largest error of completeness, as a share of F(x) - F(baseline), and ``most`` the largest
    number of evaluations a sample. Of 100 and more, the last 50 are equal steps where refinement does not help, as F
    jumps, and the better of both is kept. Where ``steps`` is given, so many equal steps are taken instead (published:
    50).

    The baseline of a cloud is its center (``center``) or the origin (``zero``), that of grids and images is zero:
    empty, black; or give one (1 or B, *space.shape). At least ``first`` intervals are looked at, so that errors do not
    cancel by luck.

    ``groupings`` of clouds, and whatever else the network chooses (``ops.choices``), are those of x all along the path
    (``frozen``: one function without jumps, which is the network at x), or are chosen at every point of it (``live``: F
    jumps where they change, and no quadrature sees a jump). In a packed batch, where indices count through all clouds,
    they are always live. ``facts`` tells F at both ends, the completeness error as a share of their difference, the
    evaluations a sample, and where equal steps were kept.
    """

    tolerance: float = 0.01
    steps: int = 0
    first: int = 4
    most: int = 128
    baseline: Literal["zero", "center"] | Tensor = "zero"
    groupings: Literal["frozen", "live"] = "frozen"

    def __post_init__(self) -> None:
        if self.tolerance < 0 or self.steps < 0 or (not self.tolerance and not self.steps):
            raise ValueError(f"give a tolerance above 0, or steps, not {self.tolerance} and {self.steps}")
        if self.first < 1 or self.most < self.first:
            raise ValueError(f"first must be 1 or more and most no less, not {self.first} and {self.most}")

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        model.space.validate(x)
        path = Path(model, score, x, self._baseline(x), target, frozen=self.groupings == "frozen")
        ends = [(Node(row, 0.0), Node(row, 1.0)) for row in range(len(x))]
        path.evaluate([node for pair in ends for node in pair])
        rows, used = range(len(x)), [3] * len(x)
        if self.steps:
            parts = [gradient for gradient, _ in self._equal(path, rows, self.steps)]
            return self._result(path, parts, ends, [self.steps + 2] * len(x))
        pieces = [[between(*pair)] for pair in ends]
        path.evaluate([piece.middle for (piece,) in pieces])
        while halves := [half for row in rows for half in self._cut(row, pieces[row], used)]:
            path.evaluate([half.middle for half in halves])
            for half in halves:
                pieces[half.low.row].append(half)
        parts = [torch.stack([piece.integral("gradient") for piece in some]).sum(0) for some in pieces]
        fallback = rows if self.most >= 2 * EQUAL else ()
        equal: list[int] = []
        missed = [row for row in fallback if missing(pieces[row]) > self.tolerance * abs(difference(pieces[row]))]
        for row, (gradient, along) in zip(missed, self._equal(path, missed, EQUAL), strict=True):
            used[row] += EQUAL
            if abs(along - difference(pieces[row])) < missing(pieces[row]):
                parts[row] = gradient
                equal.append(row)
        found = self._result(path, parts, ends, used)
        found.facts["equal_steps"] = [row in equal for row in rows]
        return found

    def _equal(self, path: "Path", rows: Sequence[int], steps: int) -> list[tuple[Tensor, float]]:
        """The mean gradient of each row, and the mean derivative along its path, over the middles of equal steps."""
        places = ((torch.arange(steps, dtype=torch.float64) + 0.5) / steps).tolist()
        nodes = [[Node(row, place) for place in places] for row in rows]
        path.evaluate([node for some in nodes for node in some])
        return [
            (torch.stack([node.gradient for node in some]).mean(0), sum(node.along for node in some) / steps)
            for some in nodes
        ]

    def _baseline(self, x: Tensor) -> Tensor:
        if isinstance(self.baseline, Tensor):
            if self.baseline.shape[1:] != x.shape[1:] or len(self.baseline) not in (1, len(x)):
                raise ValueError(f"the baseline {tuple(self.baseline.shape)} does not fit inputs {tuple(x.shape)}")
            return self.baseline.to(x).expand_as(x).clone()
        return x.mean(1, keepdim=True).expand_as(x).clone() if self.baseline == "center" else torch.zeros_like(x)

    def _cut(self, row: int, pieces: list[Interval], used: list[int]) -> list[Interval]:
        """The halves of the worst intervals of a sample, which are taken out of ``pieces``; none when it is done."""
        pieces.sort(key=lambda piece: -abs(piece.error))
        most = self.most - EQUAL if self.most >= 2 * EQUAL else self.most
        allowed, affordable = self.tolerance * abs(difference(pieces)), (most - used[row]) // 2
        if len(pieces) >= self.first and missing(pieces) <= allowed:
            return []
        unrefined = len(pieces) < self.first
        bad = [piece for i, piece in enumerate(pieces) if unrefined or i == 0 or abs(piece.error) > allowed]
        worst = bad[:affordable]
        for piece in worst:
            pieces.remove(piece)
        used[row] += 2 * len(worst)
        return [between(*ends) for piece in worst for ends in pairwise((piece.low, piece.middle, piece.high))]

    def _result(
        self, path: "Path", gradients: list[Tensor], ends: list[tuple[Node, Node]], used: list[int]
    ) -> Attribution:
        values = torch.stack(gradients).to(path.x) * (path.x - path.baseline)
        start, end = ([pair[i].score for pair in ends] for i in (0, 1))
        whole = torch.tensor(end) - torch.tensor(start)
        errors = (values.flatten(1).sum(1).cpu() - whole).abs() / whole.abs().clamp_min(1e-12)
        facts = {
            "evaluations": max(used),
            "evaluations_each": used,
            "F(x)": end,
            "F(baseline)": start,
            "completeness_error": errors.tolist(),
            "tolerance": self.tolerance if not self.steps else 1.0,
        }
        return Attribution(values, facts)


class Path:
    """F and its gradient at points x' + a (x - x') of straight paths, sample by sample."""

    def __init__(
        self, model: Frozen, score: Objective, x: Tensor, baseline: Tensor, target: Tree | None, *, frozen: bool
    ) -> None:
        self.model, self.objective, self.target = model, -score, target
        self.x, self.baseline = x.to(model.device, model.dtype), baseline.to(model.device, model.dtype)
        self.choices: Choices | None = None
        if frozen and isinstance(model.space, Points) and model.space.layout != "packed":
            with torch.no_grad(), recorded(model.model, len(x)) as self.choices:
                model(self.x)

    def evaluate(self, nodes: list[Node]) -> None:
        """Fill in nodes, as many at once as memory allows."""
        size = max(1, NUMBERS_AT_ONCE // self.x[0].numel())
        for some in (nodes[i : i + size] for i in range(0, len(nodes), size)):
            rows = [node.row for node in some]
            way = self.x[rows] - self.baseline[rows]
            share = way.new_tensor([node.place for node in some]).view(-1, *[1] * (way.dim() - 1))
            target = rows_of(self.target, rows)
            held = nullcontext() if self.choices is None else replayed(self.model.model, self.choices.of(rows))
            with held:
                gradients, state = input_gradient(self.model, self.objective, self.baseline[rows] + share * way, target)
            along = (gradients * way).flatten(1).sum(1)
            for node, value, gradient, slope in zip(some, state.loss.tolist(), gradients, along.tolist(), strict=True):
                node.score, node.gradient, node.along = value, gradient, slope
