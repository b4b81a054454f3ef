"""The training as published on small boxes: its loss, its pseudo-negatives, and a run that is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from invert3d.training.cascades import Cascades, CascadeSettings, Criticized, cascade_loss, train_cascades
from invert3d.training.fit import Checkpoints
from tests.training.test_introspective import data, network

SETTINGS = CascadeSettings(
    steps=8, batch=4, rate=1e-3, bf16=False, cascades=2, iterations=2, made=3, kept=4, ascent=2, speed=0.1, alpha=0.5
)


def cascades(settings: CascadeSettings = SETTINGS) -> Cascades:
    return Cascades(network(), data(), settings)


def test_the_loss_is_the_one_that_is_written() -> None:
    source = cascades()
    shown, labels = source.batch(0)
    model = network()
    found = Criticized(model)(shown)
    real, made = (model(shown[name]) for name in ("real", "made"))
    leaf = shown["between"].clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(leaf)[torch.arange(4), labels].sum(), leaf)
    own = [each[torch.arange(4), labels].mean() for each in (real, made)]
    critic = own[1] - own[0] + 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
    loss = cascade_loss(SETTINGS, source.memory)(found, labels)
    assert loss.item() == pytest.approx((F.cross_entropy(real, labels) + 0.5 * critic).item(), rel=1e-4)
    assert source.memory.low == source.memory.high == pytest.approx(own[0].item(), rel=1e-4)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_points_between_are_between() -> None:
    shown, _ = cascades().batch(1)
    low, high = torch.minimum(shown["real"], shown["made"]), torch.maximum(shown["real"], shown["made"])
    assert (shown["between"] >= low - 1e-6).all() and (shown["between"] <= high + 1e-6).all()


def test_every_iteration_adds_pseudo_negatives_and_a_cascade_begins_where_the_last_one_ended() -> None:
    source = cascades()
    memory = source.memory
    noise = memory.before.clone()
    assert len(memory.pool) == 6 and memory.labels.tolist() == [0, 0, 0, 1, 1, 1]
    memory.low = memory.high = 1e9  # no score is enough
    source.iterate(1)
    assert len(memory.pool) == 12 and torch.equal(memory.pool[:6], noise), "nothing is forgotten"
    assert torch.equal(memory.before, noise), "the first cascade begins at noise each time"
    first = memory.latest
    moved = (first.float() - noise.float()).abs()
    assert 0 < moved.max() <= 2 * 0.1 * 255 / (1 - 0.8) + 1, "Adam without a second moment"
    memory.low = memory.high = 1e9
    source.iterate(2)
    assert torch.equal(memory.before, memory.latest)
    assert torch.equal(memory.before, first), "the model did not change, nor where this began"
    memory.low = memory.high = -1e9
    source.iterate(3)
    assert torch.equal(memory.latest, memory.before), "all scores are enough: no step is taken"


def test_an_interrupted_training_goes_on_to_the_same_weights_and_shapes(tmp_path: Path) -> None:
    whole = network()
    made, labels = train_cascades(whole, data(), SETTINGS).shapes()
    assert made.shape == (8, 16, 16, 16) and labels.tolist() == [0] * 4 + [1] * 4
    parts, keep = network(), Checkpoints(path=tmp_path / "checkpoint.pt", resume=True)

    def stop(step: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_cascades(parts, data(), SETTINGS, keep=keep, report=stop)
    parts = network(seed=1)
    again, _ = train_cascades(parts, data(), SETTINGS, keep=keep).shapes()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    assert torch.equal(again, made)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"steps": 7}, "7 steps cannot be divided among 2 cascades of 2 iterations"),
        ({"made": 0}, "made must be between 1"),
        ({"speed": 0.0}, "speed must be above 0"),
        ({"penalty": -1.0}, "penalty must be between 0"),
        ({"beta2": 1.0}, "beta2 must be between 0"),
    ],
)
def test_what_cannot_be_trained_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(SETTINGS, **wrong)
