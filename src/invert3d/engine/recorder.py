"""Recorders: they see every state, and some say which samples are done."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from invert3d.engine.progress import Meter
from invert3d.engine.result import Result
from invert3d.engine.state import State, are_classes


class Recorder:
    """Sees every state; may stop samples; is closed with the result."""

    #: whether it reads ``state.gradient`` (B, ...), the derivative of the loss in x
    needs_gradient: bool = False

    def record(self, state: State) -> None:
        """Look at a state. Tensors in it belong to the loop: copy what is kept."""

    def finished(self, state: State) -> Tensor | None:
        """Which of the running samples (B,) are done; None for none."""
        return None

    def interrupts(self) -> bool:
        """Whether the loop should stop here, between two steps, and leave a checkpoint to go on from."""
        return False

    def close(self, result: Result) -> None:
        """Put what was recorded into the result."""


def target_scores(state: State) -> Tensor:
    """Probability (B,) of the target class in the outputs (B, K). Raises ValueError if the target is no class."""
    if not are_classes(state.view_target, state.outputs):
        raise ValueError("the target is not a class (B,) of each sample, so it has no probability to look at")
    return state.outputs.softmax(-1).gather(1, state.view_target[:, None])[:, 0]


@dataclass
class Trace(Recorder):
    """Loss and target probability of every sample at every ``every``-th step: ``result.trace`` (names -> (T, B)).

    Numbers are written into tables that are there already: small tensors that stay, allocated between large ones that
    go, would cut up the memory (11 GB after a thousand steps of a DGCNN).
    """

    every: int = 1
    steps: list[int] = field(default_factory=list)
    tables: dict[str, Tensor] = field(default_factory=dict)

    def record(self, state: State) -> None:
        if state.step % self.every and state.step != state.steps - 1:
            return
        values = {"loss": state.loss}
        if are_classes(state.view_target, state.outputs):
            values["probability"] = target_scores(state)
        for name, value in values.items():
            if name not in self.tables:
                lines = (state.steps - state.step) // self.every + 2
                self.tables[name] = torch.full((lines, int(state.rows.max()) + 1), torch.nan)
            self.tables[name][len(self.steps), state.rows] = value.detach().float().cpu()
        self.steps.append(state.step)

    def close(self, result: Result) -> None:
        seen = {"step": torch.tensor(self.steps)} if self.steps else {}
        for name, table in self.tables.items():
            seen[name] = torch.full((len(self.steps), result.count), torch.nan)
            seen[name][:, : table.shape[1]] = table[: len(self.steps)]
        for name, table in seen.items():  # after what was seen before an interruption
            result.trace[name] = torch.cat([result.trace[name], table]) if name in result.trace else table


@dataclass
class Snapshots(Recorder):
    """x at ``count`` steps spread over the run, the first and the last among them: ``result.snapshots`` (S, B, ...)."""

    count: int = 12
    steps: list[int] = field(default_factory=list)
    frames: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def record(self, state: State) -> None:
        marks = torch.linspace(0, max(state.steps - 1, 0), max(self.count, 1)).round().long()
        if (marks == state.step).any():
            self.steps.append(state.step)
            self.frames.append((state.rows, state.x.detach().float().cpu().clone()))

    def close(self, result: Result) -> None:
        if not self.frames:
            return
        frames = result.x.float().cpu().expand(len(self.frames), *result.x.shape).clone()
        for frame, (rows, value) in zip(frames, self.frames, strict=True):
            frame[rows] = value
        steps = torch.tensor(self.steps)
        if result.snapshots is not None and result.snapshot_steps is not None:  # of before an interruption
            frames, steps = torch.cat([result.snapshots, frames]), torch.cat([result.snapshot_steps, steps])
        result.snapshots, result.snapshot_steps = frames, steps


@dataclass
class Best(Recorder):
    """The x of lowest loss of every sample so far, kept sample by sample: ``result.best`` (B, ...)."""

    loss: Tensor | None = None
    x: Tensor | None = None
    rows: Tensor | None = None

    def record(self, state: State) -> None:
        if self.x is None or self.loss is None or self.rows is None:
            self.loss, self.x, self.rows = state.loss.clone(), state.x.clone(), state.rows
            return
        places = torch.searchsorted(self.rows, state.rows).to(state.loss.device)
        better = state.loss < self.loss[places]
        self.loss[places[better]] = state.loss[better]
        self.x[places[better]] = state.x[better]

    def close(self, result: Result) -> None:
        result.best = self.x


@dataclass
class StopWhen(Recorder):
    """A sample is done once its target probability stayed at or above ``probability`` for ``patience`` steps."""

    probability: float = 0.99
    patience: int = 10

    def record(self, state: State) -> None:
        memory = state.memory_of(self)
        above = target_scores(state) >= self.probability
        memory["run"] = torch.where(above, memory.get("run", torch.zeros_like(state.loss)) + 1, 0)

    def finished(self, state: State) -> Tensor | None:
        return state.memory_of(self)["run"] >= self.patience


class ProgressBar(Recorder):
    """One line with the mean loss, the share that is as asked, and the time left; in a log, a line every tenth."""

    def __init__(self, label: str = "inverting") -> None:
        self.label, self.meter = label, None

    def record(self, state: State) -> None:
        self.meter = self.meter or Meter(self.label, state.steps, state.step)
        right = ""
        if are_classes(state.view_target, state.outputs):
            right = f"{(state.outputs.argmax(-1) == state.view_target).float().mean():.0%}"
        self.meter.update(self.meter.done + 1, loss=f"{state.loss.mean():.3f}", as_asked=right)

    def close(self, result: Result) -> None:
        if self.meter is not None:
            self.meter.stop()
            self.meter = None
