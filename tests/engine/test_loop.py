"""The loop: it converges, samples do not know of each other, and an interruption changes nothing."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.gradient import input_gradient
from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.projection import Every, Projection
from invert3d.engine.recorder import Best, Recorder, Snapshots, StopWhen, Trace
from invert3d.engine.result import Checkpoint, Result
from invert3d.engine.schedule import Cosine
from invert3d.engine.space import Points
from invert3d.engine.state import State
from invert3d.engine.stepper import Stepper
from invert3d.engine.transform import DropPoints, Jitter, Rotate, Scale
from invert3d.objectives.classes import CrossEntropy, Margin
from invert3d.objectives.features import FeatureMatch
from invert3d.parameterizations.direct import Direct
from invert3d.parameterizations.primitives import Primitives
from invert3d.priors.points import Repulsion
from invert3d.projections.bounds import Ball, Clip
from invert3d.projections.smooth import KnnSmooth

SPACE = Points(points=32)
VIEWS = (Rotate(degrees=30, tilt=10), Scale(), Jitter(sigma=0.02), DropPoints(share=0.3))
TARGET = torch.tensor([0, 1, 2, 3, 1])


@pytest.fixture
def frozen(tiny: nn.Module) -> Frozen:
    return Frozen(tiny, SPACE)


@dataclass(frozen=True, kw_only=True)
class Quadratic(Objective):
    """Mean squared distance of x to the number that is asked for."""

    def __call__(self, state: State) -> Tensor:
        return (state.x - state.target[:, None, None]).square().mean((1, 2))


@dataclass(frozen=True, kw_only=True)
class Counting(Objective):
    """Remembers how often it was updated, and asks for a little more each time."""

    def update(self, state: State) -> None:
        state.memory["count"] = state.memory.get("count", torch.zeros(len(state.x))) + 1

    def __call__(self, state: State) -> Tensor:
        return (state.x.mean((1, 2)) - 0.01 * state.memory["count"]).square()


@dataclass(frozen=True, kw_only=True)
class Slowly(Objective):
    """As ``Counting``, in a place of its own for every ``rate``."""

    rate: float

    def update(self, state: State) -> None:
        memory = state.memory_of(self)
        memory["count"] = memory.get("count", torch.zeros(len(state.x))) + self.rate

    def __call__(self, state: State) -> Tensor:
        return (state.x.mean((1, 2)) - state.memory_of(self)["count"]).square()


class InterruptAt(Recorder):
    """Ctrl-C, once, when a step has been taken."""

    def __init__(self, step: int) -> None:
        self.step: int | None = step

    def record(self, state: State) -> None:
        if state.step == self.step:
            self.step = None
            raise KeyboardInterrupt


def run(frozen: Frozen, **changes: Any) -> Result:
    settings: dict[str, Any] = {
        "objective": CrossEntropy() + 0.1 * Repulsion(k=3),
        "parameterization": Direct(),
        "target": TARGET,
        "steps": 12,
        "stepper": Stepper(rate=0.05),
        "transforms": VIEWS,
        "seed": 3,
    } | changes
    return optimize(frozen, **settings)


def test_a_quadratic_converges_to_its_minimum(frozen: Frozen) -> None:
    target = torch.tensor([0.3, -0.5, 0.0])
    for stepper, steps in ((Stepper(kind="sgd", rate=8.0), 120), (Stepper(rate=0.05, schedule=Cosine()), 120)):
        result = optimize(frozen, Quadratic(), Direct(), target=target, steps=steps, stepper=stepper)
        assert (result.x - target[:, None, None]).abs().max() < 1e-2
        assert result.loss.max() < 1e-4
        assert result.steps.tolist() == [steps] * 3 and not result.interrupted and result.checkpoint is None


def test_a_class_is_reached(frozen: Frozen) -> None:
    result = run(frozen, steps=120)
    assert result.success.all()
    assert (frozen(result.x).argmax(-1) == TARGET).all()


@pytest.mark.parametrize("parameterization", [Direct(), Primitives(count=2)], ids=["direct", "primitives"])
@pytest.mark.parametrize("kind", ["adam", "sgd", "sign", "langevin"])
def test_a_sample_alone_is_the_sample_in_its_batch(
    frozen: Frozen, parameterization: Parameterization, kind: str
) -> None:
    settings = {"parameterization": parameterization, "stepper": Stepper(kind=kind, rate=0.02)}
    whole = run(frozen, **settings)
    alone = run(frozen, **settings, target=TARGET[3:4], samples=[3])
    pair = run(frozen, **settings, target=TARGET[[4, 3]], samples=[4, 3])
    assert torch.allclose(alone.x[0], whole.x[3], atol=1e-5)
    assert torch.allclose(pair.x, whole.x[[4, 3]], atol=1e-5)
    assert torch.allclose(alone.loss[0], whole.loss[3], atol=1e-5)
    other = run(frozen, **settings, seed=4)
    assert not torch.allclose(other.x, whole.x, atol=1e-3), "another seed is another run"


def test_the_same_seed_is_the_same_run(frozen: Frozen) -> None:
    torch.manual_seed(5)
    first = run(frozen)
    torch.manual_seed(6)
    torch.rand(3)
    state = torch.random.get_rng_state()
    assert torch.equal(run(frozen).x, first.x)
    assert torch.equal(torch.random.get_rng_state(), state), "torch's own generator is left alone"


@pytest.mark.parametrize(
    "projections", [(), (KnnSmooth(k=3, strength=0.2), Ball(radius=0.1, per="point"))], ids=["none", "two"]
)
@pytest.mark.parametrize("kind", ["adam", "langevin"])
def test_samples_that_finish_leave_the_others_as_they_were(
    tiny: nn.Module, kind: str, projections: tuple[Projection, ...]
) -> None:
    frozen = Frozen(tiny.double(), SPACE)
    settings = {"stepper": Stepper(kind=kind, rate=0.03), "steps": 60, "projections": projections}
    sizes: list[int] = []

    class Sizes(Recorder):
        def record(self, state: State) -> None:
            sizes.append(len(state.x))
            assert len(state.rows) == len(state.target) == len(state.loss) == len(state.outputs)

    stopping = run(frozen, **settings, recorders=[StopWhen(probability=0.4, patience=2), Sizes()])
    assert stopping.steps.min() < 60 and len(set(sizes)) > 1, "some finish early"
    assert sizes == sorted(sizes, reverse=True)
    for sample in range(5):
        one = {"target": TARGET[sample : sample + 1], "samples": [sample]}
        alone = run(frozen, **settings, **one, recorders=[StopWhen(probability=0.4, patience=2)])
        assert alone.steps[0] == stopping.steps[sample]
        assert torch.allclose(alone.x[0], stopping.x[sample], atol=1e-9)
        assert torch.allclose(alone.outputs[0], stopping.outputs[sample], atol=1e-9)
        assert torch.allclose(alone.theta["x"][0], stopping.theta["x"][sample], atol=1e-9)


def test_what_stopped_is_what_was_scored(frozen: Frozen) -> None:
    result = run(frozen, transforms=(), steps=200, recorders=[StopWhen(probability=0.6, patience=3)])
    done = result.steps < 200
    assert done.any()
    scores = frozen(result.x).softmax(-1).gather(1, TARGET[:, None])[:, 0]
    assert (scores[done] >= 0.6 - 1e-5).all()
    assert torch.allclose(frozen(result.x)[done], result.outputs[done], atol=1e-5)


RESUMED: dict[str, dict[str, Any]] = {
    "free points": {},
    "solids": {"parameterization": Primitives(count=2)},
    "langevin": {"stepper": Stepper(kind="langevin", rate=0.01)},
    "cosine momentum": {"stepper": Stepper(kind="sgd", rate=0.1, schedule=Cosine())},
    "projections": {"projections": (Every(period=4, projection=KnnSmooth(k=3)), Ball(radius=0.2, per="point"))},
    "memory": {"objective": Counting()},
    "memories": {"objective": Slowly(rate=0.01) + 2.0 * Slowly(rate=0.03)},
    "own optimizer": {"stepper": lambda params: torch.optim.RMSprop(params, lr=0.01, momentum=0.5)},
}


def reread(checkpoint: Checkpoint | None) -> Checkpoint:
    """A checkpoint from a file of plain values, as run folders have it."""
    buffer = io.BytesIO()
    torch.save(vars(checkpoint), buffer)
    buffer.seek(0)
    return Checkpoint(**torch.load(buffer, weights_only=True))


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("at", [0, 5, 11])
def test_an_interruption_changes_nothing(frozen: Frozen, name: str, at: int) -> None:
    whole = run(frozen, **RESUMED[name], recorders=[Trace()])
    broken = run(frozen, **RESUMED[name], recorders=[Trace(), InterruptAt(at)])
    assert broken.interrupted and broken.steps.tolist() == [at + 1] * 5 and broken.x.shape == whole.x.shape
    checkpoint = reread(broken.checkpoint)
    assert checkpoint.step == at + 1
    resumed = run(frozen, **RESUMED[name], checkpoint=checkpoint, recorders=[Trace()])
    assert torch.equal(resumed.x, whole.x)
    assert resumed.trace.keys() == whole.trace.keys()
    assert all(torch.equal(value, whole.trace[key]) for key, value in resumed.trace.items())
    assert torch.equal(resumed.loss, whole.loss) and torch.equal(resumed.outputs, whole.outputs)
    assert resumed.steps.tolist() == [12] * 5 and not resumed.interrupted
    again = run(frozen, **RESUMED[name], checkpoint=broken.checkpoint)
    twice = run(frozen, **RESUMED[name], checkpoint=broken.checkpoint)
    assert torch.equal(again.x, whole.x) and torch.equal(twice.x, whole.x), "a checkpoint is not used up"


@pytest.mark.parametrize("name", ["free points", "solids", "langevin", "memory", "memories"])
@pytest.mark.parametrize("at", [0, 5])
def test_an_interruption_in_the_middle_of_a_step_changes_nothing(
    frozen: Frozen, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    whole = run(frozen, **RESUMED[name])
    original, calls = Frozen.outputs, []

    def outputs(self: Frozen, x: Tensor) -> Any:
        calls.append(len(x))
        if len(calls) == at + 1:
            raise KeyboardInterrupt
        return original(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(Frozen, "outputs", outputs)
        broken = run(frozen, **RESUMED[name])
    assert broken.interrupted and broken.steps.tolist() == [at] * 5
    resumed = run(frozen, **RESUMED[name], checkpoint=broken.checkpoint)
    assert torch.equal(resumed.x, whole.x) and torch.equal(resumed.loss, whole.loss)


@pytest.mark.parametrize("drawn", [Direct(), Primitives(count=2)])
def test_an_interruption_after_some_finished_changes_nothing(frozen: Frozen, drawn: Parameterization) -> None:
    def stop() -> StopWhen:
        return StopWhen(probability=0.4, patience=2)

    settings = {"steps": 60, "stepper": Stepper(rate=0.03), "parameterization": drawn}
    whole = run(frozen, **settings, recorders=[stop()])
    finished = sorted(whole.steps.tolist())
    at = (finished[2] + finished[3]) // 2
    assert finished[1] < at < finished[-1] and at not in finished
    broken = run(frozen, **settings, recorders=[stop(), InterruptAt(at)])
    assert broken.interrupted and broken.x.shape == whole.x.shape and broken.success.shape == (5,)
    again = run(frozen, **settings, recorders=[InterruptAt(at + 1)], checkpoint=broken.checkpoint)
    assert again.interrupted
    resumed = run(frozen, **settings, recorders=[stop()], checkpoint=reread(broken.checkpoint))
    assert torch.equal(resumed.x, whole.x) and torch.equal(resumed.outputs, whole.outputs)
    assert torch.equal(resumed.steps, whole.steps)
    assert all(torch.equal(resumed.theta[name], value) for name, value in whole.theta.items())


def test_no_steps_return_the_start(frozen: Frozen) -> None:
    result = run(frozen, steps=0)
    assert result.steps.tolist() == [0] * 5 and result.loss.isnan().all() and not result.success.any()
    start = Direct().initialize(torch.empty(5, 0), SPACE, Draws.seeded(3, range(5)))
    assert torch.equal(result.x, start["x"])


def test_a_given_theta_is_where_it_starts_and_is_left_alone(frozen: Frozen, clouds) -> None:
    theta = {"x": clouds(5, 32)}
    given = theta["x"].clone()
    assert torch.equal(run(frozen, theta=theta, steps=0).x, given)
    run(frozen, theta=theta)
    assert torch.equal(theta["x"], given) and not theta["x"].requires_grad


def test_without_a_target_the_batch_is_said(frozen: Frozen) -> None:
    result = optimize(frozen, Repulsion(k=3), Direct(), target=None, batch=2, steps=3, recorders=[Trace(), Best()])
    assert result.x.shape == (2, 32, 3) and result.target is None and not result.success.any()
    assert list(result.trace) == ["step", "loss"]


def test_targets_that_are_no_classes(frozen: Frozen) -> None:
    """As in feature inversion: nothing that looks at classes trips over them."""
    wanted = torch.rand(2, 16)
    result = optimize(
        frozen,
        FeatureMatch(layer="second") * 1.0,
        Direct(),
        target=wanted[:, None].expand(2, 32, 16),
        steps=3,
        recorders=[Trace(), Best(), Snapshots()],
    )
    assert "probability" not in result.trace and not result.success.any()
    with pytest.raises(ValueError, match="the target is not a class"):
        optimize(
            frozen,
            FeatureMatch(layer="second"),
            Direct(),
            target=wanted[:, None].expand(2, 32, 16),
            steps=3,
            recorders=[StopWhen()],
        )


class Untouched(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("the model was run before the arguments were looked at")


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"steps": -1}, ValueError, "steps must be 0 or more, not -1"),
        ({"target": None}, ValueError, "target .* or a batch size"),
        (
            {"parameterization": Primitives(), "projections": (Clip(low=0, high=1),)},
            TypeError,
            "Primitives has no x of its own to project",
        ),
    ],
)
def test_bad_arguments_are_refused_before_any_work(changes: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        run(Frozen(Untouched(), SPACE), **changes)


def test_an_error_in_the_loop_leaves_the_model_as_it_was(frozen: Frozen) -> None:
    class Failing(Recorder):
        def record(self, state: State) -> None:
            raise RuntimeError("on purpose")

    frozen.model.train()
    with pytest.raises(RuntimeError, match="on purpose"):
        run(
            frozen,
            objective=FeatureMatch(layer="first"),
            target=torch.rand(2, 32, 16),
            transforms=(),
            recorders=[Failing()],
        )
    assert frozen.model.training and all(p.requires_grad for p in frozen.model.parameters())
    assert not any(module._forward_hooks for module in frozen.model.modules())


def test_projections_hold_after_every_step(frozen: Frozen) -> None:
    result = run(frozen, projections=(Clip(low=-0.1, high=0.15),), steps=20, stepper=Stepper(rate=0.5))
    assert result.x.min() >= -0.1 and result.x.max() <= 0.15 + 1e-7
    ball = run(frozen, projections=(Ball(radius=0.05, per="point"),), steps=20, stepper=Stepper(rate=0.5))
    start = run(frozen, steps=0).x
    assert (ball.x - start).norm(dim=-1).max() <= 0.05 + 1e-6, "around where it began, before the first step"
    one = run(frozen, projections=(Ball(radius=0.05, per="point"),), steps=1, stepper=Stepper(rate=0.5))
    assert float((one.x - start).norm(dim=-1).max()) == pytest.approx(0.05, abs=1e-6)


def test_a_start_may_be_given(frozen: Frozen, clouds) -> None:
    """As where a run goes on from an earlier part: changes are measured from there."""
    start = clouds(5, 32, seed=4)
    ball = run(frozen, projections=(Ball(norm="linf", radius=0.02),), start=start)
    assert (ball.x - start).abs().max() <= 0.02 + 1e-6
    with pytest.raises(ValueError, match=r"the start must be \(5, 32, 3\), not \(4, 32, 3\)"):
        run(frozen, start=start[:4])


def test_projections_of_what_theta_stands_for(frozen: Frozen) -> None:
    """A parameterization may have an x of its own without theta being x: the step is not lost."""

    @dataclass(frozen=True, kw_only=True)
    class Doubled(Direct):
        def initialize(self, like, space, draws):
            return {"half": super().initialize(like, space, draws)["x"] / 2}

        def __call__(self, theta, space, draws):
            return 2 * theta["half"]

        def assign(self, theta, x):
            theta["half"].data.copy_(x / 2)

    still = run(frozen, parameterization=Doubled(), projections=(Clip(low=-9, high=9),), transforms=())
    free = run(frozen, parameterization=Doubled(), transforms=())
    assert torch.allclose(still.x, free.x, atol=1e-6)
    clipped = run(frozen, parameterization=Doubled(), projections=(Clip(low=-0.1, high=0.1),))
    assert clipped.x.abs().max() <= 0.1 + 1e-6


@pytest.mark.parametrize("period", [1, 2, 5])
def test_every_applies_at_the_end_of_each_period(frozen: Frozen, period: int) -> None:
    applied: list[int] = []

    @dataclass(frozen=True, kw_only=True)
    class Noting(Projection):
        def __call__(self, state: State) -> Tensor:
            applied.append(state.step)
            return state.x

    run(frozen, steps=11, projections=(Every(period=period, projection=Noting()),))
    assert applied == list(range(period - 1, 11, period))


def test_every_refuses_a_period_below_one() -> None:
    with pytest.raises(ValueError, match="period must be at least 1, not 0"):
        Every(period=0, projection=KnnSmooth())


def test_the_gpu_gives_what_the_cpu_gives(tiny: nn.Module, device: torch.device) -> None:
    if device.type == "cpu":
        pytest.skip("the CPU is compared with a GPU: run with --device cuda")

    def recorders() -> list[Recorder]:
        return [Trace(), Snapshots(), Best(), StopWhen(probability=0.5)]

    there = run(Frozen(tiny.to(device), SPACE), target=TARGET.to(device), recorders=recorders())
    here = run(Frozen(tiny.cpu(), SPACE), recorders=recorders())
    assert torch.allclose(there.x.cpu(), here.x, atol=1e-4)


def test_the_margin_is_kept(frozen: Frozen) -> None:
    result = run(frozen, objective=Margin(margin=0.5), steps=150, transforms=())
    logits = frozen(result.x)
    wanted = logits.gather(1, TARGET[:, None])[:, 0]
    others = logits.scatter(1, TARGET[:, None], -torch.inf).amax(1)
    assert (wanted - others > 0.4).all()


@pytest.mark.parametrize("parameterization", [Direct(), Primitives(count=2)], ids=["a leaf", "of theta"])
def test_who_needs_it_sees_the_gradient_of_x(frozen: Frozen, parameterization: Parameterization) -> None:
    """That of ``input_gradient`` at the x that was scored, whether or not x is what is optimized."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    class Watching(Recorder):
        needs_gradient = True

        def record(self, state: State) -> None:
            seen.append((state.x, state.gradient, state.target))

    objective = CrossEntropy() + 0.1 * Repulsion(k=3)
    stop = StopWhen(probability=0.4, patience=1)
    run(frozen, objective=objective, parameterization=parameterization, transforms=(), recorders=[stop, Watching()])
    assert len(seen[-1][0]) < 5, "some left"
    for x, gradient, target in seen:
        wanted, state = input_gradient(frozen, objective, x, target)
        assert torch.allclose(gradient, wanted, atol=1e-6) and torch.equal(state.gradient, wanted)


def test_a_projection_may_need_the_gradient_also_inside_every(frozen: Frozen) -> None:
    moves: list[Tensor] = []

    @dataclass(frozen=True, kw_only=True)
    class Largest(Projection):
        """Only values of a gradient above the median may move."""

        needs_gradient = True

        def __call__(self, state: State) -> Tensor:
            moves.append(state.gradient)
            return state.x

    run(frozen, projections=(Every(period=5, projection=Largest()),))
    assert [gradient.shape for gradient in moves] == [(5, 32, 3)] * 2 and all(g.any() for g in moves)
    moves.clear()
    states: list[Tensor] = []

    class Idle(Recorder):
        def record(self, state: State) -> None:
            states.append(state.gradient)

    run(frozen, recorders=[Idle()], steps=2)
    assert all(gradient.numel() == 0 for gradient in states), "nobody needs it, nobody pays for it"


def test_two_of_a_kind_remember_apart(frozen: Frozen) -> None:
    """The sum of two has the minimum between what each asks for at its last update."""
    kept: list[dict[str, Any]] = []

    class Reading(Recorder):
        def record(self, state: State) -> None:
            kept.append({term: float(table["count"][0]) for term, table in state.memory.items()})

    run(frozen, objective=Slowly(rate=0.25) + Slowly(rate=0.5), recorders=[Reading()], steps=4)
    assert kept == [{"Slowly(rate=0.25)": 0.25 * n, "Slowly(rate=0.5)": 0.5 * n} for n in range(1, 5)]
