"""Introspective generation: gradient ascent on the score of a class, from a shape that is not of it yet.

The synthesis step of reclassification by synthesis (Tu 2007; Lee et al. 2018; Huang et al. 2019). Unlike inversion of
classes it is meant for networks that were trained against what it finds (``training.introspective``).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Recorder
from invert3d.engine.state import State
from invert3d.engine.stepper import AnyStepper
from invert3d.objectives.classes import ClassScore
from invert3d.parameterizations.direct import Direct
from invert3d.projections.bounds import Clip

#: a voxel and the 26 around it
AROUND = np.ones((3, 3, 3), bool)


class Reached(Recorder):
    """A sample is done once the score of its class is at least its threshold (B,): by row of the whole batch."""

    def __init__(self, thresholds: Tensor) -> None:
        self.thresholds = thresholds

    def finished(self, state: State) -> Tensor | None:
        return -state.loss >= self.thresholds[state.rows].to(state.loss)


class Starts(Protocol):
    """Shapes (B, S, S, S) of classes (B,) and codes (B, ``codes``), which are standard normal."""

    @property
    def codes(self) -> int: ...

    def __call__(self, labels: Tensor, z: Tensor) -> Tensor: ...


def begun(starts: Starts, labels: Tensor, draws: Draws) -> Tensor:
    """Where shapes of classes (B,) begin, from random codes: (B, 1, S, S, S) in [0, 1]."""
    z = draws.normal(torch.empty(len(labels), 0, device=labels.device), starts.codes)
    return starts(labels, z).clamp(0, 1)[:, None]


def synthesize(
    model: Frozen,
    start: Tensor,
    labels: Tensor,
    *,
    steps: int,
    stepper: AnyStepper,
    recorders: Sequence[Recorder] = (),
    samples: Sequence[str] | None = None,
    seed: int = 0,
) -> Tensor:
    """Shapes (B, *space.shape) in [0, 1] that score higher as their classes.

    Args:
        model: a classifier of voxel grids.
        start: where each begins (B, *space.shape).
        labels: the class of each (B,).
        steps, stepper: of gradient ascent, at most.
        recorders: say which shapes are done, such as ``Reached``: the batch shrinks as they are.
        samples, seed: as of ``optimize``.

    Raises KeyboardInterrupt after Ctrl-C.
    """
    result = optimize(
        model,
        ClassScore(),
        Direct(),
        target=labels,
        steps=steps,
        stepper=stepper,
        projections=[Clip(low=0.0, high=1.0)],
        recorders=recorders,
        theta={"x": start},
        start=start,
        samples=samples,
        seed=seed,
    )
    if result.interrupted:  # the loop hands on what there is
        raise KeyboardInterrupt
    return result.x.detach()


@torch.no_grad()
def largest_piece(grids: Tensor, gaps: bool = True) -> Tensor:
    """Binary grids (B, 1, S, S, S) without the voxels that are far from the largest piece.

    With ``gaps`` voxels with at most two empty ones between them are of one piece: the leg of a table that lacks a
    voxel stays, dust goes. 3D-GAN (Wu et al. 2016) does the same with its own distance. Without, only voxels are that
    share a face: dense dust goes, too.
    """
    from scipy.ndimage import binary_dilation, label

    kept = torch.zeros_like(grids)
    for grid, clean in zip(grids[:, 0].numpy(force=True) > 0.5, kept[:, 0], strict=True):
        found = label(binary_dilation(grid, AROUND), AROUND) if gaps else label(grid)
        pieces, count = found  # type: ignore[misc]  # its stubs are wrong
        if count:
            sizes = torch.from_numpy(pieces[grid]).bincount()
            clean[torch.from_numpy(grid & (pieces == int(sizes.argmax())))] = 1
    return kept
