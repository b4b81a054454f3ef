"""Pruning and training again: nonsense is refused, and the masks go through a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.methods.pruning import Operation, Surgery, prune_by_magnitude
from invert3d.methods.sparse import sparsified
from invert3d.models.voxnet import VoxNet
from invert3d.training.fit import Checkpoints, FitSettings, fit
from invert3d.training.pruning import prune

SETTINGS = FitSettings(steps=9, batch=8, rate=1e-2, bf16=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        *(
            ({"density": value}, f"density must lie between 0 and 1, not {value}")
            for value in (0, 1, -0.1, float("nan"))
        ),
        *(
            ({"epochs": value}, f"epochs must be above 0 .* not {value}")
            for value in (0, -1, float("nan"), float("inf"))
        ),
        ({"way": "gradaul"}, "unknown way 'gradaul'; did you mean gradual"),
    ],
)
def test_nonsense_is_refused(options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        prune(nn.Linear(2, 2), None, **{"density": 0.1, **options})  # type: ignore[arg-type]


def test_a_layer_is_timed_at_least_once() -> None:
    with pytest.raises(ValueError, match="repeats must be at least 1, not 0"):
        sparsified(VoxNet(2, width=4), torch.zeros(1, 1, 32, 32, 32), repeats=0)


def pruned(keep: Checkpoints | None = None, stop: int = -1) -> tuple[Tensor, ...]:
    """Weights and mask of a layer under gradual pruning, where weights return."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        return x, x[:, :3].argmax(-1)

    def report(step: int, loss: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    with Operation(model, Surgery()) as operation:

        def after(step: int) -> None:
            if step < 7:
                prune_by_magnitude(operation, 0.9 - 0.1 * step, adaptive=True)

        fit(model, batch, F.cross_entropy, SETTINGS, keep=keep, report=report, after=after)
        _, mask, hidden = next(operation.masks())
        return mask.mask.clone(), hidden.detach().clone()


@pytest.mark.parametrize("stop", [3, 8])
def test_a_pruning_goes_on_from_its_checkpoint_bit_for_bit(tmp_path: Path, stop: int) -> None:
    whole = pruned()
    keep = Checkpoints(path=tmp_path / "checkpoint.pt")
    with pytest.raises(KeyboardInterrupt):
        pruned(keep, stop)
    again = pruned(replace(keep, resume=True))
    assert 0 < whole[0].double().mean() < 0.6
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))
