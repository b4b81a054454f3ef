"""Projections of occupancy grids (B, 1, S, S, S)."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invert3d.engine.projection import Projection
from invert3d.engine.state import State
from invert3d.registry import plain


@plain("projection", "flip_voxels")
class FlipVoxels(Projection):
    """Flip the ``count`` voxels of each grid whose flip lowers the loss most, to first order.

    Flipping voxel i changes the loss by about ``g_i (1 - 2 x_i)``, g the gradient. No voxel is flipped back, so after n
    steps n * ``count`` voxels differ from the start: with the stepper ``none`` this is a greedy attack in the L0 norm,
    its gains evaluated again at every step.

    ``only`` adds or removes voxels; ``surface`` flips those only that have a face in common with a voxel of the other
    kind; ``connected`` takes, of the 64 best, the first flips after which the full voxels are in no more pieces;
    ``at_random`` does not look at the gradient: the control of such an attack.
    """

    spaces = frozenset({"voxels"})

    count: int = 1
    only: Literal["any", "add", "remove"] = "any"
    surface: bool = False
    connected: bool = False
    at_random: bool = False

    def __post_init__(self) -> None:
        if self.count < 1 or self.only not in ("any", "add", "remove"):
            raise ValueError(f"flips need a count of at least 1 and any, add or remove, not {self.count}, {self.only}")

    @property
    def needs_gradient(self) -> bool:  # type: ignore[override]
        return not self.at_random

    def __call__(self, state: State) -> Float[Tensor, "b 1 d h w"]:
        x, full = state.x, state.x > 0.5
        change = state.draws.uniform(x, -1, 0, *x.shape[1:]) if self.at_random else state.gradient * (1 - 2 * x)
        change = change.masked_fill(~self.allowed(full, state.start > 0.5), torch.inf).flatten(1)
        best = change.topk(min(max(64, self.count) if self.connected else self.count, change.shape[1]), largest=False)
        flips = torch.zeros_like(full).flatten(1).scatter(1, best.indices, best.values.isfinite())
        if self.connected:
            flips = torch.stack([self._connected(*each) for each in zip(full, best.indices, flips, strict=True)])
        return torch.where(flips.view_as(full), 1 - x, x)

    def allowed(self, full: Bool[Tensor, "b 1 d h w"], start: Bool[Tensor, "b 1 d h w"]) -> Bool[Tensor, "b 1 d h w"]:
        """Which voxels may be flipped."""
        may = full == start
        if self.only != "any":
            may = may & (full == (self.only == "remove"))
        return may & at_surface(full) if self.surface else may

    def _connected(self, full: Tensor, places: Tensor, allowed: Tensor) -> Tensor:
        """Of the allowed flips of one grid (1, S, S, S), as a mask (S * S * S,), the first ``count`` of the places that
        leave the full voxels in no more pieces."""
        grid, chosen = full[0].numpy(force=True).copy(), torch.zeros_like(allowed)
        pieces, found = pieces_of(grid), 0
        for place in places[allowed[places]].tolist():
            grid.flat[place] ^= True
            if (now := pieces_of(grid)) > pieces:
                grid.flat[place] ^= True
                continue
            pieces, found, chosen[place] = now, found + 1, True
            if found == self.count:
                break
        return chosen


def at_surface(full: Bool[Tensor, "b 1 d h w"]) -> Bool[Tensor, "b 1 d h w"]:
    """Voxels that have a face in common with one of the other kind."""
    found = torch.zeros_like(full)
    for axis in (2, 3, 4):
        border = full.diff(dim=axis)
        found.narrow(axis, 0, border.shape[axis]).logical_or_(border)
        found.narrow(axis, 1, border.shape[axis]).logical_or_(border)
    return found


def pieces_of(grid: np.ndarray) -> int:
    """How many pieces, connected by faces, the full voxels of a grid (S, S, S) are in."""
    from scipy.ndimage import label

    _, count = label(grid)  # type: ignore[misc]  # scipy's stubs say that it may be a number
    return int(count)
