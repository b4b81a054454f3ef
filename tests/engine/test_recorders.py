"""Recorders see what happened, also of samples that left early; results are read back as they were written."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.progress import Meter
from invert3d.engine.recorder import Best, ProgressBar, Recorder, Snapshots, StopWhen, Trace
from invert3d.engine.result import Result
from invert3d.engine.space import Points
from invert3d.engine.state import State
from invert3d.engine.stepper import Stepper
from invert3d.objectives.classes import CrossEntropy
from invert3d.parameterizations.direct import Direct

SPACE = Points(points=32)
TARGET = torch.tensor([0, 1, 2, 3])


@dataclass(frozen=True, kw_only=True)
class Rough(Objective):
    """A loss that goes up and down over the run, differently for each sample, and depends on x too."""

    def __call__(self, state: State) -> Tensor:
        wave = torch.sin((0.3 + 0.2 * state.rows) * state.step)
        return wave + state.x.square().mean((1, 2))


class Everything(Recorder):
    """Keeps x, loss and rows of every state."""

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def record(self, state: State) -> None:
        self.seen.append((state.rows.clone(), state.x.clone(), state.loss.clone()))


class Leaving(Recorder):
    """Sample i leaves after the step ``at[i]``."""

    def __init__(self, at: list[int]) -> None:
        self.at = torch.tensor(at)

    def finished(self, state: State) -> Tensor:
        return self.at[state.rows] <= state.step


@pytest.fixture
def frozen(tiny: nn.Module) -> Frozen:
    return Frozen(tiny, SPACE)


def run(frozen: Frozen, recorders: list[Recorder], objective: Objective | None = None, steps: int = 20) -> Result:
    stepper = Stepper(kind="sgd", rate=2.0, momentum=0.0)
    return optimize(
        frozen, objective or Rough(), Direct(), target=TARGET, steps=steps, stepper=stepper, recorders=recorders
    )


def test_what_is_recorded_is_what_was_scored(frozen: Frozen) -> None:
    watcher = Everything()
    run(frozen, [watcher])
    assert len(watcher.seen) == 20
    for step, (rows, x, loss) in enumerate(watcher.seen):
        state = State(step=step, steps=20, rows=rows, theta={}, draws=_draws(), x=x)
        assert torch.allclose(Rough()(state), loss)


def test_the_best_is_kept_sample_by_sample(frozen: Frozen) -> None:
    watcher, best = Everything(), Best()
    result = run(frozen, [watcher, best])
    losses = torch.stack([loss for _, _, loss in watcher.seen])
    winners = losses.argmin(0)
    assert len(set(winners.tolist())) > 1 and torch.equal(best.loss, losses.amin(0))
    for sample, step in enumerate(winners.tolist()):
        assert torch.equal(result.best[sample], watcher.seen[step][1][sample])


def test_the_best_of_samples_that_left(frozen: Frozen) -> None:
    watcher, best = Everything(), Best()
    result = run(frozen, [watcher, best, Leaving([15, 99, 12, 99])])
    assert result.best.shape == (4, 32, 3)
    for sample, last in enumerate([15, 19, 12, 19]):
        found = [(float(loss[rows == sample]), x[rows == sample][0]) for rows, x, loss in watcher.seen[: last + 1]]
        value, x = min(found, key=lambda pair: pair[0])
        assert float(best.loss[sample]) == value and torch.equal(result.best[sample], x)


def test_a_trace_has_gaps_where_samples_had_left(frozen: Frozen) -> None:
    watcher = Everything()
    result = run(frozen, [watcher, Trace(), Leaving([3, 99, 0, 7])])
    assert result.trace["step"].tolist() == list(range(20))
    assert result.trace["loss"].shape == result.trace["probability"].shape == (20, 4)
    for step, (rows, _, loss) in enumerate(watcher.seen):
        assert torch.equal(result.trace["loss"][step, rows], loss)
    gaps = result.trace["loss"].isnan()
    assert gaps.sum(0).tolist() == [16, 0, 19, 12] and not gaps[:1].any()
    assert result.steps.tolist() == [4, 20, 1, 8]
    assert ((result.trace["probability"] >= 0) | gaps).all()


@pytest.mark.parametrize("every", [1, 3, 7, 100])
def test_a_trace_of_every_few_steps_has_the_last_one(frozen: Frozen, every: int) -> None:
    result = run(frozen, [Trace(every=every)])
    assert result.trace["step"].tolist() == sorted({*range(0, 20, every), 19})
    assert len(result.trace["loss"]) == len(result.trace["step"])


@pytest.mark.parametrize(("count", "steps"), [(1, 20), (4, 20), (12, 20), (50, 20), (5, 1)])
def test_snapshots_are_spread_over_the_run(frozen: Frozen, count: int, steps: int) -> None:
    result = run(frozen, [Snapshots(count=count)], steps=steps)
    marks = result.snapshot_steps.tolist()
    assert len(marks) == min(count, steps) == len(result.snapshots)
    assert marks[0] == 0 and (count == 1 or marks[-1] == steps - 1)
    gaps = {b - a for a, b in zip(marks, marks[1:], strict=False)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_snapshots_of_samples_that_left_stay_at_their_last(frozen: Frozen) -> None:
    result = run(frozen, [Snapshots(count=5), Leaving([3, 99, 0, 7])])
    start = Direct().initialize(torch.empty(4, 0), SPACE, _draws())["x"]
    assert result.snapshots.shape == (5, 4, 32, 3) and result.snapshot_steps.tolist() == [0, 5, 10, 14, 19]
    assert torch.equal(result.snapshots[0], start), "the first is the start"
    assert torch.equal(result.snapshots[1:, 0], result.x[0].expand(4, 32, 3))
    assert torch.equal(result.snapshots[2:, 3], result.x[3].expand(3, 32, 3))
    assert not torch.equal(result.snapshots[1, 3], result.x[3])


def _draws():
    from invert3d.engine.draws import Draws

    return Draws.seeded(0, range(4))


def test_patience_counts_steps_in_a_row(frozen: Frozen) -> None:
    state = State(step=0, steps=9, rows=torch.arange(3), theta={}, draws=_draws())
    state.view_target, state.loss = torch.tensor([0, 0, 0]), torch.zeros(3)
    stop, sure, unsure = StopWhen(probability=0.9, patience=2), [9.0, 0.0], [0.0, 9.0]
    done = []
    for scores in ([sure, unsure, sure], [sure, sure, unsure], [unsure, sure, sure], [sure, unsure, sure]):
        state.outputs = torch.tensor(scores)
        stop.record(state)
        done.append(stop.finished(state).tolist())
    assert done == [[False] * 3, [True, False, False], [False, True, False], [False, False, True]]


def test_a_progress_bar_tells_and_goes_away(frozen: Frozen, capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("looking")
    run(frozen, [bar])
    assert bar.meter is None
    assert "looking" in capsys.readouterr().out


def test_a_log_gets_a_line_every_tenth_and_a_terminal_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter("counting", 200, done=50)
    for done in range(51, 201):
        meter.update(done, loss="1.5", as_asked="")
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "counting ..."
    assert [line.split()[1] for line in lines] == [f"{share}%" for share in range(30, 101, 10)]
    assert all("loss 1.5" in line and "left" in line and "asked" not in line for line in lines)
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    meter = Meter("counting", 200)
    meter.update(7, as_asked="30%")
    meter.stop()
    assert meter.bar is None
    shown = "".join(capsys.readouterr())
    assert "4%" in shown and "as asked 30%" in shown


def test_a_selection_of_samples(frozen: Frozen) -> None:
    result = run(frozen, [Trace(), Snapshots(count=3), Best()], CrossEntropy())
    part = result.select([2, 0])
    assert torch.equal(part.x, result.x[[2, 0]]) and torch.equal(part.target, TARGET[[2, 0]])
    assert torch.equal(part.trace["loss"], result.trace["loss"][:, [2, 0]]) and part.count == 2
    assert torch.equal(part.snapshots, result.snapshots[:, [2, 0]]) and torch.equal(part.best, result.best[[2, 0]])
