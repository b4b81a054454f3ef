"""Introspective generation: gradient ascent on the score of a class, from a shape that is not of it yet.

The synthesis step of reclassification by synthesis (Tu 2007; Lee et al. 2018; Huang et al. 2019). Unlike inversion of
classes it is meant for networks that were trained against what it finds (``training.introspective``).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Recorder
from invert3d.engine.state import State
from invert3d.engine.stepper import Stepper
from invert3d.models.class_gaussians import ClassGaussians
from invert3d.objectives.classes import ClassScore
from invert3d.parameterizations.direct import Direct
from invert3d.projections.bounds import Clip


class Reached(Recorder):
    """A sample is done once the score of its class is at least its threshold (B,): by row of the whole batch."""

    def __init__(self, thresholds: Tensor) -> None:
        self.thresholds = thresholds

    def finished(self, state: State) -> Tensor | None:
        return -state.loss >= self.thresholds[state.rows].to(state.loss)


def begun(starts: ClassGaussians, labels: Tensor, draws: Draws) -> Tensor:
    """Where shapes of classes (B,) begin, drawn from the Gaussians of their classes: (B, 1, S, S, S) in [0, 1]."""
    z = draws.normal(starts.means.new_empty(len(labels), 0), len(starts.components))
    return starts(labels, z).clamp(0, 1)[:, None]


def synthesize(
    model: Frozen,
    start: Tensor,
    labels: Tensor,
    *,
    steps: int,
    rate: float,
    thresholds: Tensor | None = None,
    samples: Sequence[str] | None = None,
    seed: int = 0,
) -> Tensor:
    """Shapes (B, *space.shape) in [0, 1] that score higher as their classes.

    Args:
        model: a classifier of voxel grids.
        start: where each begins (B, *space.shape).
        labels: the class of each (B,).
        steps: at most so many, each ``rate`` long (L2).
        thresholds: scores (B,) at which a shape is done: the batch shrinks as they are reached.
        samples, seed: as of ``optimize``.

    Raises KeyboardInterrupt after Ctrl-C.
    """
    result = optimize(
        model,
        ClassScore(),
        Direct(),
        target=labels,
        steps=steps,
        stepper=Stepper(kind="unit", rate=rate),
        projections=[Clip(low=0.0, high=1.0)],
        recorders=[] if thresholds is None else [Reached(thresholds)],
        theta={"x": start},
        start=start,
        samples=samples,
        seed=seed,
    )
    if result.interrupted:  # the loop hands on what there is
        raise KeyboardInterrupt
    return result.x.detach()


@torch.no_grad()
def largest_piece(grids: Tensor) -> Tensor:
    """Binary grids (B, 1, S, S, S) without the voxels that are in no contact, by a face, with the largest piece."""
    from scipy.ndimage import label

    kept = torch.zeros_like(grids)
    for grid, clean in zip(grids[:, 0].numpy(force=True) > 0.5, kept[:, 0], strict=True):
        pieces, count = label(grid)  # type: ignore[misc]  # scipy's stubs say that it may be a number
        if count:
            sizes = torch.from_numpy(pieces).flatten().bincount()[1:]
            clean[torch.from_numpy(pieces) == int(sizes.argmax()) + 1] = 1
    return kept
