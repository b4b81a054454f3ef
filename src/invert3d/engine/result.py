"""What a run leaves: the inputs it found, how it got there, and what it takes to go on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.space import Space
from invert3d.engine.state import State, are_classes
from invert3d.engine.tree import Tree, detached, joined, moved, rows_of


@dataclass
class Checkpoint:
    """Theta, optimizer and draws of the samples still running at an interruption, and what was done before."""

    step: int
    rows: Tensor
    theta: dict[str, Tensor]
    optimizer: dict[str, Any]
    draws: dict[str, Any]
    memory: dict[str, Any]
    start: Tensor
    loss: Tensor
    outputs: Any
    done: list[tuple[Tensor, dict[str, Any]]]
    trace: dict[str, Tensor] = field(default_factory=dict)
    snapshots: Tensor | None = None
    snapshot_steps: Tensor | None = None

    def state(self, target: Tree | None, steps: int, device: torch.device) -> State:
        """The state to go on from."""
        return State(
            step=self.step,
            steps=steps,
            rows=self.rows,
            theta=moved(self.theta, device),
            draws=Draws(**self.draws),
            target=rows_of(target, self.rows),
            taken=self.step,
            memory=moved(self.memory, device),
            start=self.start.to(device),
            loss=self.loss.to(device),
            outputs=moved(self.outputs, device),
        )

    def found(self, device: torch.device) -> dict[str, Any]:
        """What the result goes on with."""
        parts = [(rows, moved(part, device)) for rows, part in self.done]
        recorded = {"snapshots": self.snapshots, "snapshot_steps": self.snapshot_steps, "trace": dict(self.trace)}
        return {"parts": parts, **recorded}


@dataclass(kw_only=True)
class Result:
    """Inputs x (B, *shape) in the user's units, last losses (B,), steps (B,), trace, snapshots.

    ``target`` and, where they are kept, the model's last ``outputs`` are tensors (B, ...) or dictionaries of them;
    outputs that are not kept are a tensor (B, 0).
    """

    x: Tensor = field(default_factory=lambda: torch.empty(0))
    loss: Tensor = field(default_factory=lambda: torch.empty(0))
    outputs: Any = None
    target: Any = None
    steps: Tensor
    seconds: float = 0.0
    interrupted: bool = False
    theta: dict[str, Tensor] = field(default_factory=dict)
    trace: dict[str, Tensor] = field(default_factory=dict)
    snapshots: Tensor | None = None
    snapshot_steps: Tensor | None = None
    best: Tensor | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # plain values: recipe, classes, scores
    checkpoint: Checkpoint | None = None
    keep_outputs: bool | None = field(default=None, repr=False)  # see ``optimize``
    parts: list[tuple[Tensor, dict[str, Any]]] = field(default_factory=list, repr=False)  # samples that are done

    @property
    def count(self) -> int:
        """How many samples."""
        return len(self.steps)

    def retire(self, state: State, done: Tensor) -> None:
        """Take over the samples ``done`` (B,) of a state."""
        part = {"x": state.x, "loss": state.loss, "outputs": self._kept(state), "theta": state.theta}
        part = detached(rows_of(part, done))
        part["steps"] = torch.full((len(part["x"]),), state.taken, device=state.x.device)
        self.parts.append((state.rows[done], part))

    def _kept(self, state: State) -> Tree:
        """The outputs, or (B, 0) in place of those that nobody asked for."""
        scores = isinstance(state.outputs, Tensor) and state.outputs.dim() == 2
        keep = scores if self.keep_outputs is None else self.keep_outputs
        return state.outputs if keep else torch.empty(len(state.rows), 0, device=state.x.device)

    def finish(
        self,
        state: State,
        parameterization: Parameterization,
        space: Space,
        optimizer: torch.optim.Optimizer,
        interrupted: bool,
        seconds: float,
    ) -> None:
        """Take over the samples still running, put all in order, and keep a checkpoint if there is more to do."""
        running = ~torch.isin(state.rows, torch.cat([state.rows[:0], *(rows for rows, _ in self.parts)]))
        if running.any():
            if interrupted:
                self.checkpoint = Checkpoint(
                    step=state.taken,
                    rows=state.rows,
                    theta=detached(moved(state.theta, "cpu")),
                    optimizer=optimizer.state_dict(),
                    draws=state.draws.state(),
                    memory=moved(state.memory, "cpu"),
                    start=state.start.cpu(),
                    loss=state.loss.detach().cpu(),
                    outputs=detached(moved(self._kept(state), "cpu")),
                    done=[(rows, moved(part, "cpu")) for rows, part in self.parts],
                )
            with torch.no_grad():
                state.x = parameterization(state.theta, space, state.draws.copy())
            if len(state.loss) != len(state.rows):  # no step was taken
                state.loss = torch.full((len(state.rows),), torch.nan, device=state.x.device)
                state.outputs = torch.empty(len(state.rows), 0, device=state.x.device)
            self.retire(state, running)
        order = torch.cat([rows for rows, _ in self.parts]).argsort()
        whole = rows_of(joined([part for _, part in self.parts]), order)
        self.x, self.loss, self.outputs, self.theta = (whole[name] for name in ("x", "loss", "outputs", "theta"))
        self.steps = whole["steps"].cpu()
        self.seconds, self.interrupted = seconds, interrupted
        self.parts = []

    @property
    def success(self) -> Tensor:
        """Whether the model's last outputs (B, K) have the target class as their largest, (B,) booleans."""
        if self.target is None or not are_classes(self.target, self.outputs):
            return torch.zeros(self.count, dtype=torch.bool)
        return self.outputs.argmax(-1).cpu() == self.target.cpu()

    def select(self, rows: Sequence[int]) -> "Result":
        """The result of these samples only, in this order."""
        rows = list(rows)
        first = {name: getattr(self, name) for name in ("x", "loss", "outputs", "steps", "target", "best", "theta")}
        return replace(
            self,
            **rows_of(first, rows),
            trace={name: value if name == "step" else value[:, rows] for name, value in self.trace.items()},
            snapshots=None if self.snapshots is None else self.snapshots[:, rows],
        )
