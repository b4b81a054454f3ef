"""What a run leaves: the inputs it found, how it got there, and what it takes to go on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.state import State, are_classes
from invert3d.engine.tree import Tree, detached, flattened, joined, moved, rows_of, unflattened

if TYPE_CHECKING:
    from invert3d.engine.parameterization import Parameterization
    from invert3d.engine.space import Space


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

    def remember(self, result: "Result") -> None:
        """Keep what was recorded until now, for the result of the rest."""
        self.trace = dict(result.trace)
        self.snapshots, self.snapshot_steps = result.snapshots, result.snapshot_steps

    def state(self, target: Tree | None, steps: int, device: torch.device) -> State:
        """The state to go on from."""
        return State(
            step=self.step,
            steps=steps,
            rows=self.rows,
            theta=moved(self.theta, device),
            draws=Draws.restored(self.draws),
            target=rows_of(target, self.rows),
            taken=self.step,
            memory=moved(self.memory, device),
            start=self.start.to(device),
            loss=self.loss.to(device),
            outputs=moved(self.outputs, device),
        )

    def save(self, path: Path) -> None:
        """Write to a file that ``load`` opens without running code."""
        torch.save(vars(self), path)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read what ``save`` wrote."""
        return cls(**torch.load(path, weights_only=True, map_location="cpu"))


@dataclass
class Result:
    """Inputs x (B, *shape) in the user's units, last losses (B,), steps (B,), trace, snapshots.

    ``target`` and, where they are kept, the model's last ``outputs`` are tensors (B, ...) or dictionaries of them;
    outputs that are not kept are a tensor (B, 0).
    """

    x: Tensor
    loss: Tensor
    outputs: Any
    target: Any
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
    _parts: list[tuple[Tensor, dict[str, Any]]] = field(default_factory=list, repr=False)
    _keep_outputs: bool | None = field(default=None, repr=False)

    @property
    def count(self) -> int:
        """How many samples."""
        return len(self.steps)

    @classmethod
    def empty(
        cls,
        count: int,
        target: Tree | None,
        steps: int,
        checkpoint: Checkpoint | None = None,
        device: torch.device | str = "cpu",
        keep_outputs: bool | None = None,
    ) -> "Result":
        """A result to which the loop adds samples as they finish; a checkpoint's were done before."""
        nothing = torch.empty(0)
        planned = torch.full((count,), steps)
        result = cls(x=nothing, loss=nothing, outputs=nothing, target=target, steps=planned)
        result._keep_outputs = keep_outputs
        if checkpoint is not None:
            result.trace = dict(checkpoint.trace)
            result.snapshots, result.snapshot_steps = checkpoint.snapshots, checkpoint.snapshot_steps
            for rows, part in checkpoint.done:
                result._parts.append((rows, moved(part, device)))
        return result

    def retire(self, state: State, done: Tensor) -> None:
        """Take over the samples ``done`` (B,) of a state."""
        part = {"x": state.x, "loss": state.loss, "outputs": self._kept(state), "theta": state.theta}
        part = detached(rows_of(part, done))
        part["steps"] = torch.full((len(part["x"]),), state.taken, device=state.x.device)
        self._parts.append((state.rows[done], part))

    def _kept(self, state: State) -> Tree:
        """The outputs, or (B, 0) in place of those that nobody asked for."""
        keep = self._keep_outputs
        if keep is None:
            keep = isinstance(state.outputs, Tensor) and state.outputs.dim() == 2
        return state.outputs if keep else torch.empty(len(state.rows), 0, device=state.x.device)

    def finish(
        self,
        state: State,
        parameterization: "Parameterization",
        space: "Space",
        optimizer: torch.optim.Optimizer,
        interrupted: bool,
        seconds: float,
    ) -> None:
        """Take over the samples still running, put all in order, and keep a checkpoint if there is more to do."""
        taken = torch.cat([rows for rows, _ in self._parts]) if self._parts else torch.empty(0, dtype=torch.long)
        running = ~torch.isin(state.rows, taken)
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
                    done=[(rows, moved(part, "cpu")) for rows, part in self._parts],
                )
            with torch.no_grad():
                state.x = parameterization(state.theta, space, state.draws.copy())
            if len(state.loss) != len(state.rows):  # no step was taken
                state.loss = torch.full((len(state.rows),), torch.nan, device=state.x.device)
                state.outputs = torch.empty(len(state.rows), 0, device=state.x.device)
            self.retire(state, running)
        order = torch.cat([rows for rows, _ in self._parts]).argsort()
        whole = rows_of(joined([part for _, part in self._parts]), order)
        self.x, self.loss, self.outputs, self.theta = (whole[name] for name in ("x", "loss", "outputs", "theta"))
        self.steps = whole["steps"].cpu()
        self.seconds, self.interrupted = seconds, interrupted
        self._parts = []

    @property
    def success(self) -> Tensor:
        """Whether the model's last outputs (B, K) have the target class as their largest, (B,) booleans."""
        if self.target is None or not are_classes(self.target, self.outputs):
            return torch.zeros(self.count, dtype=torch.bool)
        return self.outputs.argmax(-1).cpu() == self.target.cpu()

    def select(self, rows: Sequence[int]) -> "Result":
        """The result of these samples only, in this order."""
        rows = list(rows)
        return Result(
            x=self.x[rows],
            loss=self.loss[rows],
            outputs=rows_of(self.outputs, rows),
            steps=self.steps[rows],
            target=rows_of(self.target, rows),
            best=rows_of(self.best, rows),
            seconds=self.seconds,
            interrupted=self.interrupted,
            facts=self.facts,
            theta=rows_of(self.theta, rows),
            trace={name: value if name == "step" else value[:, rows] for name, value in self.trace.items()},
            snapshots=None if self.snapshots is None else self.snapshots[:, rows],
            snapshot_steps=self.snapshot_steps,
            checkpoint=self.checkpoint,
        )

    def save(self, folder: Path) -> None:
        """Write ``result.safetensors`` and ``result.json`` into a folder (made if missing)."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = flattened("outputs", self.outputs) | flattened("target", self.target)
        arrays |= {
            "x": self.x,
            "loss": self.loss,
            "steps": self.steps,
            "snapshots": self.snapshots,
            "snapshot_steps": self.snapshot_steps,
            "best": self.best,
        }
        arrays |= {f"trace.{k}": v for k, v in self.trace.items()} | {f"theta.{k}": v for k, v in self.theta.items()}
        save_file(
            {k: v.cpu().contiguous().clone() for k, v in arrays.items() if v is not None}, folder / "result.safetensors"
        )
        facts = {"seconds": self.seconds, "interrupted": self.interrupted, "facts": self.facts}
        (folder / "result.json").write_text(json.dumps(facts, indent=2) + "\n")
        if self.checkpoint is not None:
            self.checkpoint.save(folder / "checkpoint.pt")

    @classmethod
    def load(cls, folder: Path) -> "Result":
        """Read what ``save`` wrote. Raises ValueError if the folder holds no result."""
        from safetensors.torch import load_file

        folder = Path(folder)
        if not (folder / "result.safetensors").is_file():
            raise ValueError(f"{folder} holds no result.safetensors: not a run folder, or an empty one")
        arrays = load_file(folder / "result.safetensors")
        table = json.loads((folder / "result.json").read_text())
        result = cls(
            x=arrays["x"],
            loss=arrays["loss"],
            outputs=unflattened("outputs", arrays),
            target=unflattened("target", arrays),
            steps=arrays["steps"],
            snapshots=arrays.get("snapshots"),
            snapshot_steps=arrays.get("snapshot_steps"),
            best=arrays.get("best"),
            **table,
        )
        result.trace = {k.removeprefix("trace."): v for k, v in arrays.items() if k.startswith("trace.")}
        result.theta = {k.removeprefix("theta."): v for k, v in arrays.items() if k.startswith("theta.")}
        if (folder / "checkpoint.pt").is_file():
            result.checkpoint = Checkpoint.load(folder / "checkpoint.pt")
        return result

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{name}</td><td>{value}</td></tr>"
            for name, value in {
                "samples": self.count,
                "shape": tuple(self.x.shape[1:]),
                "as asked": f"{self.success.float().mean():.0%}",
                "mean loss": f"{self.loss.float().mean():.4f}",
                "seconds": f"{self.seconds:.1f}",
            }.items()
        )
        return f"<table><caption>invert3d result</caption>{rows}</table>"
