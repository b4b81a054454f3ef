"""The loop over weights: resumed bit for bit, wherever it stops; settings and checkpoints that are refused."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.training.classifiers import TrainSettings
from invert3d.training.fit import Checkpoints, FitSettings, fit

SETTINGS = FitSettings(steps=12, batch=8, rate=1e-2, bf16=False, seed=3)


def network(width: int = 6) -> nn.Sequential:
    """Everything that has a state: running statistics, and draws of its own."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, 3))


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(8, 4, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def jittered(outputs: Tensor, target: Tensor) -> Tensor:
    """A loss that draws too, as that of detectors does."""
    return F.cross_entropy(outputs + 0.1 * torch.randn(outputs.shape), target)


def trained(keep: Checkpoints | None = None, stop: int = -1, fail: int = -1) -> tuple[dict[str, Tensor], list[float]]:
    """Weights, and the running losses. ``stop``: asked to stop after so many steps; ``fail``: a batch raises."""
    model, losses = network(), []

    def report(step: int, loss: float) -> None:
        losses.append(loss)
        if step == stop:
            raise KeyboardInterrupt("stopped")

    def broken(step: int) -> tuple[Tensor, Tensor]:
        if step == fail:
            raise MemoryError("stopped")
        return batch(step)

    fit(model, broken, jittered, SETTINGS, keep=keep, report=report)
    assert not model.training
    return model.state_dict(), losses


@pytest.mark.parametrize(("stop", "fail", "left"), [(1, -1, 1), (7, -1, 7), (12, -1, 12), (-1, 2, 0), (-1, 11, 8)])
def test_a_resumed_training_gives_the_bits_of_one_that_was_not_interrupted(
    tmp_path: Path, stop: int, fail: int, left: int
) -> None:
    whole, losses = trained()
    keep = Checkpoints(path=tmp_path / "checkpoint.pt", every=4)
    with pytest.raises((KeyboardInterrupt, MemoryError), match="stopped"):
        trained(keep, stop, fail)
    torch.rand(17)  # somebody draws in between
    resumed, rest = trained(replace(keep, resume=True))
    assert rest == losses[left:]
    assert resumed.keys() == whole.keys() and all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_resumed_optimizer_is_the_same_too(tmp_path: Path) -> None:
    """What is left of it after the last step shows in its last checkpoint."""
    for name, stop in (("whole", -1), ("parts", 6)):
        keep = Checkpoints(path=tmp_path / name, every=12)
        if stop > 0:
            with pytest.raises(KeyboardInterrupt):
                trained(keep, stop)
        trained(replace(keep, resume=True))
    a, b = (torch.load(tmp_path / name, weights_only=True)["optimizer"]["state"] for name in ("whole", "parts"))
    assert len(a) == 6 and all(
        torch.equal(a[i][key], b[i][key]) for i in a for key in ("step", "exp_avg", "exp_avg_sq")
    )


@dataclass(frozen=True, kw_only=True)
class InParts(FitSettings):
    """Two layers with rates of their own; the second is that of ``second``."""

    second: float = 1.0

    def groups(self, model: nn.Module, step: int) -> Sequence[tuple[nn.Module, float]]:
        assert isinstance(model, nn.ModuleList)
        return [(model[0], self.rate), (model[1], self.second)]


def test_parts_of_a_network_learn_at_rates_of_their_own_and_their_gradients_are_clipped_apart() -> None:
    class Two(nn.ModuleList):
        def __init__(self, steep: float) -> None:
            super().__init__([nn.Linear(4, 1), nn.Linear(4, 1)])
            self.steep = steep

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self[0](x), self.steep * self[1](x)], 1)

    first = []
    for steep, rate in ((1.0, 1e-3), (1e6, 1e-3), (1.0, 0.0)):
        torch.manual_seed(0)
        model = Two(steep)
        before = model[1].weight.detach().clone()  # type: ignore[union-attr]
        settings = InParts(steps=5, batch=8, rate=1e-2, second=rate, bf16=False, weight_decay=0.0)
        fit(model, lambda step: (torch.ones(8, 4), torch.zeros(8, 2)), F.mse_loss, settings)
        first.append(model[0].weight.detach())  # type: ignore[union-attr]
        assert torch.equal(before, model[1].weight) == (rate == 0)  # type: ignore[union-attr]
    assert torch.allclose(first[0], first[1], atol=1e-7) and torch.allclose(first[0], first[2], atol=1e-7)


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    model = network()
    torch.manual_seed(5)
    fit(model, batch, jittered, SETTINGS)
    assert torch.equal(torch.rand(3), wanted)


def test_the_rate_rises_and_falls() -> None:
    settings = FitSettings(steps=100, rate=2.0)
    rates = [settings.rate_at(step) for step in range(100)]
    fallen = 0.5 * (1 + math.cos(0.04 * math.pi)) + 1e-3
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2 * fallen])
    assert rates[50] == pytest.approx(2 * (0.5 + 1e-3)) and rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] < 0.01


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, value) for name in ("steps", "batch") for value in (0, -5, float("nan"), 10**9)),
        *(("rate", value) for value in (0.0, -1e-3, float("nan"), float("inf"))),
        *(("weight_decay", value) for value in (-1.0, float("nan"), float("inf"))),
        ("seed", -1),
        *(("points", value) for value in (0, -1, 5000)),
        *((name, value) for name in ("abstract", "clutter_share") for value in (-0.1, 1.1, float("nan"))),
    ],
)
def test_nonsense_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be .* not {value}"):
        TrainSettings(**{field: value})  # type: ignore[arg-type]


def test_a_loss_that_stays_infinite_ends_the_training_and_one_that_was_once_does_not() -> None:
    def poisoned(bad: range):
        return lambda step: (batch(step)[0], torch.full((8, 3), torch.nan if step in bad else 1.0))

    model = nn.Linear(4, 3)
    before = model.weight.detach().clone()
    with pytest.raises(ValueError, match=r"not been finite for 11 batches \(step 11\): try a smaller rate"):
        fit(model, poisoned(range(99)), F.mse_loss, replace(SETTINGS, steps=20))
    assert torch.equal(model.weight, before), "no such batch changes a weight"
    fit(model, poisoned(range(3, 13)), F.mse_loss, replace(SETTINGS, steps=20))
    assert model.weight.isfinite().all() and not torch.equal(model.weight, before)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        trained(Checkpoints(path=tmp_path / "checkpoint.pt"), 3)
    return tmp_path / "checkpoint.pt"


def test_a_checkpoint_of_something_else_is_refused(kept: Path) -> None:
    keep, model = Checkpoints(path=kept, resume=True), network()
    with pytest.raises(ValueError, match="checkpoint.pt was begun with other values of batch, rate$"):
        fit(model, batch, jittered, replace(SETTINGS, rate=1e-3, batch=4), keep=keep)
    with pytest.raises(ValueError, match="checkpoint.pt is the checkpoint of another network than this Sequential"):
        fit(network(5), batch, jittered, SETTINGS, keep=keep)


@pytest.mark.parametrize("damage", ["empty", "half", "other", "table"])
def test_a_damaged_checkpoint_is_refused_by_name(kept: Path, damage: str) -> None:
    data = kept.read_bytes()
    if damage == "table":
        torch.save({"step": 3}, kept)
    else:
        kept.write_bytes({"empty": b"", "half": data[: len(data) // 2], "other": b"hello"}[damage])
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="checkpoint.pt is not a checkpoint that training can go on from$"):
        fit(model, batch, jittered, SETTINGS, keep=Checkpoints(path=kept, resume=True))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_full_disk_leaves_the_old_checkpoint(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = kept.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trained(Checkpoints(path=kept, every=1))
    assert kept.read_bytes() == old and [each.name for each in kept.parent.iterdir()] == ["checkpoint.pt"]
