"""Steppers are torch's where torch has them; the others do what their papers say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from invert3d import registry
from invert3d.engine.draws import Draws
from invert3d.engine.schedule import Cosine, StepDecay
from invert3d.engine.stepper import Langevin, SignGradient, Stepper, keep_rows
from invert3d.registry import register, registered


def walk(make, steps: int = 15) -> Tensor:
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4).requires_grad_()
    optimizer = make([x])
    for _ in range(steps):
        optimizer.zero_grad()
        (x.square() * (1 + x.detach().abs()) + x.sin()).sum().backward()
        optimizer.step()
    return x.detach()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_adam_and_sgd_are_those_of_torch(momentum: float) -> None:
    adam = walk(lambda params: torch.optim.Adam(params, lr=0.03, betas=(momentum, 0.999)))
    assert torch.equal(walk(Stepper(rate=0.03, momentum=momentum)), adam)
    sgd = walk(lambda params: torch.optim.SGD(params, lr=0.03, momentum=momentum))
    assert torch.equal(walk(Stepper(kind="sgd", rate=0.03, momentum=momentum)), sgd)


def test_the_sign_stepper_moves_every_value_by_the_rate() -> None:
    x = torch.tensor([[3.0, -0.2, 0.0]], requires_grad=True)
    x.grad = torch.tensor([[100.0, -1e-6, 0.0]])
    stepper = Stepper(kind="sign", rate=0.1)([x])
    assert isinstance(stepper, SignGradient)
    stepper.step()
    assert torch.allclose(x, torch.tensor([[2.9, -0.1, 0.0]]))


def test_a_langevin_chain_samples_exp_of_minus_the_loss() -> None:
    """For the loss x^2 / (2 s^2) that is a Gaussian of standard deviation s (1 % more from steps of this size)."""
    deviation = 0.5
    x = torch.zeros(400, 5, dtype=torch.float64, requires_grad=True)
    chain = Stepper(kind="langevin", rate=0.02)([x])
    assert isinstance(chain, Langevin)
    kept = []
    for i in range(300):
        x.grad = x.detach() / deviation**2
        chain.step()
        if i >= 150 and i % 10 == 0:
            kept.append(x.detach().clone())
    found = torch.stack(kept)
    assert abs(float(found.mean())) < 0.03
    assert float(found.std()) == pytest.approx(deviation, rel=0.05)


def test_a_langevin_chain_without_noise_is_gradient_descent_of_half_the_rate() -> None:
    chain = walk(Stepper(kind="langevin", rate=0.04, noise=0.0))
    assert torch.allclose(chain, walk(Stepper(kind="sgd", rate=0.02, momentum=0.0)))


def test_the_noise_of_a_sample_is_its_own() -> None:
    def noise(samples: list[int]) -> Tensor:
        x = torch.zeros(len(samples), 3, 2)
        x.grad = torch.zeros_like(x)
        chain = Langevin([x], lr=1.0)
        chain.draws = Draws.seeded(0, samples)
        chain.step()
        return x

    assert torch.equal(noise([0, 1, 2])[[2]], noise([2]))
    assert not torch.equal(noise([0])[0], noise([1])[0])


def test_rates_over_a_run() -> None:
    constant, cosine = Stepper(rate=0.4), Stepper(rate=0.4, schedule=Cosine())
    assert [constant.rate_at(p) for p in (0, 0.3, 1)] == [0.4] * 3
    assert cosine.rate_at(0) == 0.4 and cosine.rate_at(1) == pytest.approx(0)
    assert cosine.rate_at(0.5) == pytest.approx(0.2)
    assert cosine.rate_at(0.25) == pytest.approx(0.2 * (1 + math.sqrt(0.5)))


def test_rates_of_the_published_layout_inversions() -> None:
    """0.6 of itself after 500, 1000 and 1500 of 2000 steps: torch's own scheduler."""
    stepper = Stepper(kind="sgd", rate=2.0, momentum=0.5, schedule=StepDecay(factor=0.6, period=0.25))
    optimizer = stepper([torch.zeros(1, requires_grad=True)])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=500, gamma=0.6)
    for step in range(2000):
        assert stepper.rate_at(step / 1999) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert stepper.rate_at(1.0) == 2.0 * 0.6**3, "it does not fall a fourth time"


@pytest.mark.parametrize(("period", "falls"), [(1.0, 0), (0.5, 1), (0.3, 3), (0.1, 9)])
def test_a_step_decay_of_any_period(period: float, falls: int) -> None:
    decay = StepDecay(factor=0.5, period=period)
    assert [decay(n * period + 1e-9) for n in range(falls + 1)] == [0.5**n for n in range(falls + 1)]
    assert decay(0) == 1 and decay(1) == 0.5**falls


@pytest.mark.parametrize("settings", [{"factor": 0.0}, {"factor": 1.5}, {"period": 0.0}, {"period": math.nan}])
def test_a_step_decay_that_is_none_is_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match="factor and period of a step decay must be in"):
        StepDecay(**settings)


def test_a_stepper_of_ones_own_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._entries, "stepper", dict(registered("stepper")))

    @register("stepper", "halves")
    def halves(params: list[Tensor], settings: Stepper) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=settings.rate / 2)

    assert torch.equal(walk(Stepper(kind="halves", rate=0.04)), walk(Stepper(kind="sgd", rate=0.02, momentum=0.0)))


def test_no_step_leaves_theta_as_it_was() -> None:
    start = walk(Stepper(kind="sgd", rate=1e-30))
    assert torch.equal(walk(Stepper(kind="none", rate=5.0)), start)
    assert not torch.equal(walk(Stepper(kind="sgd", rate=0.1)), start)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "adma"}, "unknown stepper 'adma'; did you mean adam"),
        ({"rate": 0.0}, "rate must be positive and finite, not 0.0"),
        ({"rate": math.nan}, "rate must be positive and finite, not nan"),
    ],
)
def test_bad_settings_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Stepper(**settings)


@pytest.mark.parametrize(
    "make",
    [
        Stepper(rate=0.1),
        Stepper(kind="sgd", rate=0.1),
        lambda params: torch.optim.Adam(params, amsgrad=True),
        lambda params: torch.optim.Adam([{"params": params[:1], "lr": 0.2}, {"params": params[1:]}], lr=0.1),
    ],
    ids=["adam", "sgd", "amsgrad", "groups"],
)
def test_rows_that_stay_keep_what_the_optimizer_knows_of_them(make) -> None:
    def start() -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        shapes = {"a": (4, 3), "b": (4, 2, 2)}
        return {k: torch.randn(s, generator=generator).requires_grad_() for k, s in shapes.items()}

    def step(optimizer: torch.optim.Optimizer, theta: dict[str, Tensor]) -> None:
        for value in theta.values():
            value.grad = (value.detach() ** 3).sin()
        optimizer.step()

    whole, part, rows = start(), start(), torch.tensor([0, 2, 3])
    for_whole, for_part = make(list(whole.values())), make(list(part.values()))
    for _ in range(3):
        step(for_whole, whole), step(for_part, part)
    rates = [group["lr"] for group in for_part.param_groups]
    part = keep_rows(for_part, part, rows)
    part = keep_rows(for_part, part, torch.tensor([1, 2]))
    assert [group["lr"] for group in for_part.param_groups] == rates
    assert sum(len(group["params"]) for group in for_part.param_groups) == 2
    for _ in range(3):
        step(for_whole, whole), step(for_part, part)
    for name in whole:
        assert torch.allclose(part[name], whole[name][[2, 3]], atol=1e-6)
