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
    memory: dict[str, Tensor]
    loss: Tensor
    outputs: Tensor
    done: list[tuple[Tensor, dict[str, Tensor]]]
    trace: dict[str, Tensor] = field(default_factory=dict)
    snapshots: Tensor | None = None
    snapshot_steps: Tensor | None = None

    def remember(self, result: "Result") -> None:
        """Keep what was recorded until now, for the result of the rest."""
        self.trace = dict(result.trace)
        self.snapshots, self.snapshot_steps = result.snapshots, result.snapshot_steps

    def state(self, target: Tensor | None, steps: int, device: torch.device) -> State:
        """The state to go on from."""
        theta = {name: value.to(device) for name, value in self.theta.items()}
        memory = {name: value.to(device) for name, value in self.memory.items()}
        chosen = None if target is None else target[self.rows.to(target.device)]
        return State(
            step=self.step,
            steps=steps,
            rows=self.rows,
            theta=theta,
            draws=Draws.restored(self.draws),
            target=chosen,
            taken=self.step,
            memory=memory,
            loss=self.loss.to(device),
            outputs=self.outputs.to(device),
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
    """Inputs x (B, *shape) in the user's units, last losses (B,) and outputs (B, ...), steps (B,), trace, snapshots."""

    x: Tensor
    loss: Tensor
    outputs: Tensor
    target: Tensor | None
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
    _parts: list[tuple[Tensor, dict[str, Tensor]]] = field(default_factory=list, repr=False)

    @property
    def count(self) -> int:
        """How many samples."""
        return len(self.steps)

    @classmethod
    def empty(
        cls,
        count: int,
        target: Tensor | None,
        steps: int,
        checkpoint: Checkpoint | None = None,
        device: torch.device | str = "cpu",
    ) -> "Result":
        """A result to which the loop adds samples as they finish; a checkpoint's were done before."""
        nothing = torch.empty(0)
        planned = torch.full((count,), steps)
        result = cls(x=nothing, loss=nothing, outputs=nothing, target=target, steps=planned)
        if checkpoint is not None:
            result.trace = dict(checkpoint.trace)
            result.snapshots, result.snapshot_steps = checkpoint.snapshots, checkpoint.snapshot_steps
            for rows, part in checkpoint.done:
                result._parts.append((rows, {name: value.to(device) for name, value in part.items()}))
        return result

    def retire(self, state: State, done: Tensor) -> None:
        """Take over the samples ``done`` (B,) of a state."""
        places = done.to(state.x.device)
        part = {"x": state.x[places], "loss": state.loss[places], "outputs": state.outputs[places]}
        part |= {f"theta.{name}": value[places] for name, value in state.theta.items()}
        part = {name: value.detach() for name, value in part.items()}
        part["steps"] = torch.full((len(part["x"]),), state.taken, device=state.x.device)
        self._parts.append((state.rows[done], part))

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
                    theta={k: v.detach().cpu() for k, v in state.theta.items()},
                    optimizer=optimizer.state_dict(),
                    draws=state.draws.state(),
                    memory={k: v.cpu() for k, v in state.memory.items()},
                    loss=state.loss.detach().cpu(),
                    outputs=state.outputs.detach().cpu(),
                    done=[(rows, {k: v.cpu() for k, v in part.items()}) for rows, part in self._parts],
                )
            with torch.no_grad():
                state.x = parameterization(state.theta, space, state.draws.copy())
            if len(state.loss) != len(state.rows):  # no step was taken
                state.loss = torch.full((len(state.rows),), torch.nan, device=state.x.device)
                state.outputs = torch.empty(len(state.rows), 0, device=state.x.device)
            self.retire(state, running)
        order = torch.cat([rows for rows, _ in self._parts]).argsort()
        names = self._parts[0][1]
        joined = {name: torch.cat([part[name] for _, part in self._parts])[order.to(state.x.device)] for name in names}
        self.x, self.loss, self.outputs = joined["x"], joined["loss"], joined["outputs"]
        self.steps = joined["steps"].cpu()
        self.theta = {name.removeprefix("theta."): v for name, v in joined.items() if name.startswith("theta.")}
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
            outputs=self.outputs[rows],
            steps=self.steps[rows],
            target=None if self.target is None else self.target[rows],
            best=None if self.best is None else self.best[rows],
            seconds=self.seconds,
            interrupted=self.interrupted,
            facts=self.facts,
            theta={name: value[rows] for name, value in self.theta.items()},
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
        arrays = {
            "x": self.x,
            "loss": self.loss,
            "outputs": self.outputs,
            "steps": self.steps,
            "target": self.target,
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
            outputs=arrays["outputs"],
            target=arrays.get("target"),
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
