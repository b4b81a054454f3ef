"""Sampling and grouping of point clouds: farthest points, nearest neighbors, balls, gathering.

All clouds are ``(B, N, 3)`` in the units of the cloud. The functions that choose points return indices, which are
constants of the derivative: gradients flow through the *gathered* coordinates only. What was chosen can be recorded
on one input and replayed on others, which makes a network with groupings one smooth function::

    with record_groupings() as tape:
        model(x)
    with replay_groupings(tape):
        model(x + step)          # the same groups as at x
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass
class Groupings:
    """The indices that a forward pass chose, in the order it chose them."""

    indices: list[Tensor] = field(default_factory=list)
    replaying: bool = False
    position: int = 0

    def take(self, choose: Callable[[], Tensor]) -> Tensor:
        """The next recorded indices when replaying, else those that ``choose`` returns (and they are recorded)."""
        if not self.replaying:
            self.indices.append(choose())
            return self.indices[-1]
        if self.position >= len(self.indices):
            raise ValueError(f"the tape holds {len(self.indices)} groupings, the model asks for more: another model?")
        self.position += 1
        return self.indices[self.position - 1]


_tape: ContextVar[Groupings | None] = ContextVar("groupings", default=None)


@contextmanager
def record_groupings() -> Iterator[Groupings]:
    """Record every index that the point operations choose inside the ``with`` block."""
    tape = Groupings()
    token = _tape.set(tape)
    try:
        yield tape
    finally:
        _tape.reset(token)


@contextmanager
def replay_groupings(tape: Groupings) -> Iterator[None]:
    """Use the recorded indices again, from the first, instead of choosing. Raises ValueError if they run out."""
    token = _tape.set(Groupings(tape.indices, replaying=True))
    try:
        yield
    finally:
        _tape.reset(token)


def _chosen(choose: Callable[[], Tensor]) -> Tensor:
    tape = _tape.get()
    return choose() if tape is None else tape.take(choose)


def gather(values: Float[Tensor, "b n c"], indices: Int[Tensor, "b *m"]) -> Float[Tensor, "b *m c"]:
    """Rows of ``values`` (B, N, C) at ``indices`` (B, ...): (B, ..., C). Differentiable in the values."""
    batch, count, channels = values.shape
    offsets = torch.arange(batch, device=values.device).view(-1, *[1] * (indices.dim() - 1)) * count
    flat = values.reshape(-1, channels).index_select(0, (indices + offsets).flatten())
    return flat.view(*indices.shape, channels)


def unit_sphere(x: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
    """Center clouds on their mean and divide by the largest norm: what point networks are trained on."""
    x = x - x.mean(1, keepdim=True)
    return x / x.norm(dim=-1, keepdim=True).amax(1, keepdim=True).clamp_min(1e-6)


def farthest_point_sample(points: Float[Tensor, "b n 3"], count: int) -> Int[Tensor, "b count"]:
    """Indices (B, count) of points each farthest from those before it (Qi et al. 2017, PointNet++).

    It begins with the first point, where the public code draws one at random. Raises ValueError if the count is not
    positive, or the cloud has fewer points.
    """
    batch, total, _ = points.shape
    if not 1 <= count <= total:
        raise ValueError(f"cannot sample {count} points out of {total}; points has shape {tuple(points.shape)}")

    def choose() -> Tensor:
        x, y, z = (axis.contiguous() for axis in points.detach().unbind(-1))  # structure of arrays: 4x faster on a CPU
        nearest = torch.full_like(x, torch.inf)
        picked = torch.empty(batch, count, dtype=torch.long, device=points.device)
        last = torch.zeros(batch, 1, dtype=torch.long, device=points.device)
        for i in range(count):
            picked[:, i] = last[:, 0]
            dx, dy, dz = x - x.gather(1, last), y - y.gather(1, last), z - z.gather(1, last)
            distance = dx.square_().add_(dy.square_()).add_(dz.square_())
            torch.minimum(nearest, distance, out=nearest)
            last = nearest.argmax(1, keepdim=True)
        return picked

    return _chosen(choose)


def square_distances(a: Float[Tensor, "b m c"], b: Float[Tensor, "b n c"]) -> Float[Tensor, "b m n"]:
    """Squared Euclidean distances (B, M, N), as |a|^2 + |b|^2 - 2ab like the public implementations."""
    cross = torch.matmul(a, b.transpose(1, 2)).mul_(-2)
    return cross.add_(a.square().sum(-1)[:, :, None]).add_(b.square().sum(-1)[:, None, :])


def knn(queries: Float[Tensor, "b m c"], points: Float[Tensor, "b n c"], k: int) -> Int[Tensor, "b m k"]:
    """Indices (B, M, k) of the k nearest points to each query, nearest first (a query that is a point finds itself).

    Raises ValueError if k exceeds the number of points.
    """
    if not 1 <= k <= points.shape[1]:
        raise ValueError(f"k must be between 1 and the number of points {points.shape[1]}, not {k}")
    with torch.no_grad():
        return _chosen(lambda: square_distances(queries, points).topk(k, largest=False).indices)


def nearest_others(points: Float[Tensor, "b n c"], k: int) -> Int[Tensor, "b n k"]:
    """Indices (B, N, k) of the k nearest other points of each point, nearest first; never itself, even if they touch.

    Raises ValueError if there are fewer than k others.
    """
    if not 1 <= k < points.shape[1]:
        raise ValueError(f"k must be between 1 and the number of other points {points.shape[1] - 1}, not {k}")

    def choose() -> Tensor:
        distances = square_distances(points, points)
        distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        return distances.topk(k, largest=False).indices

    with torch.no_grad():
        return _chosen(choose)


def ball_query(
    centers: Float[Tensor, "b m 3"], points: Float[Tensor, "b n 3"], radius: float, count: int
) -> Int[Tensor, "b m count"]:
    """Indices (B, M, count) of points within ``radius`` of each center: the first ``count`` in order of index,
    padded with the first, exactly as the public PointNet++ implementations do.

    A center with no point inside (never so when centers are points) is given its nearest point. Raises ValueError if
    the radius or the count is not positive.
    """
    if radius <= 0 or count < 1:
        raise ValueError(f"radius and count must be positive, not {radius} and {count}")
    with torch.no_grad():
        return _chosen(lambda: _first_in_ball(square_distances(centers, points), radius**2, count))


def _first_in_ball(distances: Tensor, limit: float, count: int) -> Tensor:
    batch, queries, total = distances.shape
    inside = (distances <= limit).view(-1, total)
    row, column = inside.nonzero(as_tuple=True)  # sorted by row, then by index: the order the public code sorts into
    found = row.bincount(minlength=len(inside))
    rank = torch.arange(len(row), device=row.device) - (found.cumsum(0) - found)[row]
    first = column.new_empty(len(inside))
    first[row[rank == 0]] = column[rank == 0]
    empty = found == 0
    first[empty] = distances.view(-1, total)[empty].argmin(-1)
    keep = rank < count
    group = first[:, None].repeat(1, count)
    group[row[keep], rank[keep]] = column[keep]
    return group.view(batch, queries, count)
