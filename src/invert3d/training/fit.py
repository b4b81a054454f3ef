"""The one loop over weights: AdamW, clipped gradients, a guard against losses that are not finite, checkpoints.

What a step draws follows from the seed, the number of the step, and what the checkpoint holds, so a training that goes
on from a checkpoint gives the weights, bit for bit, of one that was never interrupted.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from invert3d.engine.memory import keep_freed_memory
from invert3d.engine.model import computes_bf16
from invert3d.models.weights import NotFinite
from invert3d.ops.files import write_bytes
from invert3d.ops.seeds import seed_of

#: batches in a row whose gradient may be infinite or NaN; such a batch changes no weight
LOST = 10

Values = Tensor | Mapping[str, Tensor]
#: inputs (B, ...), a tensor or whatever the network takes that knows its device, and targets of a step
Batches = Callable[[int], tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a network is trained: ``steps`` batches with AdamW.

    If ``falling``, the rate rises to ``rate`` over the first twentieth and falls to almost nothing on half a cosine.

    Raises ValueError for fewer than one step or sample, a rate that is not positive, or numbers that are not finite.
    """

    steps: int = 2500
    batch: int = 16
    rate: float = 2e-3
    falling: bool = True
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 1e-2
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check("steps", self.steps, 1, 10_000_000)
        check("batch", self.batch, 1, 65_536)
        check("weight_decay", self.weight_decay, 0, 1e3)
        for name in ("beta1", "beta2"):
            check(name, getattr(self, name), 0, 0.999999)
        check("seed", self.seed, 0, 2**63 - 1)
        if not 0 < self.rate <= 100:
            raise ValueError(f"rate must be above 0 and at most 100, not {self.rate}")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if not self.falling:
            return self.rate
        warm = max(1, self.steps // 20)
        return self.rate * min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * step / self.steps)) + 1e-3)

    def groups(self, model: nn.Module, step: int) -> Sequence[tuple[nn.Module, float]]:
        """Parts of a network whose gradients are clipped apart, and their learning rates in a step."""
        return [(model, self.rate_at(step))]


def check(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless ``low <= value <= high``; NaN is not."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, not {value}")


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where a training is kept, and how often.

    Attributes:
        path: the file.
        every: steps from one checkpoint to the next.
        resume: go on from the file, if it is there.
    """

    path: Path
    every: int = 200
    resume: bool = False

    def __post_init__(self) -> None:
        check("every", self.every, 1, 10_000_000)


class Remembers(Protocol):
    """What can be kept in a checkpoint, as tensors and plain values."""

    def state_dict(self) -> dict[str, Any]:
        """What there is to keep."""
        ...

    def load_state_dict(self, table: Mapping[str, Any]) -> None:
        """Take it back."""
        ...


def fit(
    model: nn.Module,
    batches: Batches,
    criterion: Callable[[Any, Any], Tensor],
    settings: FitSettings,
    *,
    keep: Checkpoints | None = None,
    report: Callable[[int, float], None] | None = None,
    after: Callable[[int], None] | None = None,
    memory: Remembers | None = None,
) -> None:
    """Train a network in place. It ends in eval mode.

    Args:
        model: on the device on which it is trained.
        batches: inputs and targets of a step, which must depend on the step, the weights and ``memory`` alone.
        criterion: the loss, a scalar, of outputs (in single precision) and targets.
        settings: how.
        keep: write a checkpoint now and then, and when ``report`` raises KeyboardInterrupt.
        report: called after each step with the number of steps done and the running loss.
        after: called with the step once the weights have changed. The first step is 0.
        memory: what batches and loss remember from step to step: it is kept in checkpoints.

    Raises:
        NotFinite: a ValueError, the loss was not finite for more than ten batches in a row.
        ValueError: the checkpoint is damaged, or is one
            of another network or other settings.
        KeyboardInterrupt: from ``report``, once the checkpoint is written.
    """
    keep_freed_memory()
    optimizer = torch.optim.AdamW(
        [{"params": list(part.parameters())} for part, _ in settings.groups(model, 0)],
        lr=settings.rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )
    training = Training(model, optimizer, settings, memory)
    if keep is not None and keep.resume and keep.path.exists():
        training.load(keep.path)
    model.train()
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for step in range(training.step, settings.steps):
            torch.manual_seed(seed_of(settings.seed, "step", step))
            x, target = batches(step)
            training.take(x.to(device), moved(target, device), criterion)
            if after:
                after(step)
            try:
                if report:
                    report(training.step, training.loss)
            except KeyboardInterrupt:
                if keep is not None:
                    training.save(keep.path)
                raise
            if keep is not None and training.step % keep.every == 0:
                training.save(keep.path)
    model.eval()


class Parts(dict[str, Tensor]):
    """What a network is fed in a step where that is several tensors, on one device."""

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return next(iter(self.values())).device

    def to(self, device: torch.device) -> "Parts":
        """The same on a device."""
        return Parts({name: each.to(device) for name, each in self.items()})


class Training:
    """A training between two steps: weights, optimizer, steps done, running loss.

    ``lost`` counts the latest batches that could not be used.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, settings: FitSettings, memory: Remembers | None = None
    ) -> None:
        self.model, self.optimizer, self.settings, self.memory = model, optimizer, settings, memory
        self.step, self.loss, self.lost = 0, math.nan, 0

    def take(self, x: Any, target: Any, criterion: Callable[[Any, Any], Tensor]) -> None:
        """One step."""
        groups = self.optimizer.param_groups
        for group, (_, rate) in zip(groups, self.settings.groups(self.model, self.step), strict=True):
            group["lr"] = rate
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.settings.bf16 and computes_bf16(x.device)):
            outputs = self.model(x)
        loss = criterion(moved(outputs, torch.float32), target)
        self.optimizer.zero_grad()
        loss.backward()
        sizes = [nn.utils.clip_grad_norm_(group["params"], 5.0) for group in groups]
        self.step += 1
        self.lost = 0 if all(bool(torch.isfinite(size)) for size in sizes) else self.lost + 1
        if self.lost > LOST:
            raise NotFinite(
                f"the loss has not been finite for {self.lost} batches (step {self.step}): try a smaller rate"
            )
        if not self.lost:
            self.optimizer.step()
            self.loss = loss.item() if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss.item()

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        table = {
            "settings": asdict(self.settings),
            "step": self.step,
            "loss": self.loss,
            "lost": self.lost,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "memory": None if self.memory is None else self.memory.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(table, buffer)
        write_bytes(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint. Raises ValueError, and nothing is changed, if it is not one of this training."""
        try:
            table = torch.load(path, map_location="cpu", weights_only=True)
            earlier, step, loss, lost = (table[key] for key in ("settings", "step", "loss", "lost"))
            weights, optimizer, memory = table["model"], table["optimizer"], table.get("memory")
        except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, UnpicklingError) as error:
            raise ValueError(f"{path} is not a checkpoint that training can go on from") from error
        now = asdict(self.settings)
        other = [each.name for each in fields(self.settings) if earlier.get(each.name) != now[each.name]]
        if other:
            raise ValueError(f"{path} was begun with other values of {', '.join(other)}")
        own = {key: value.shape for key, value in self.model.state_dict().items()}
        if own != {key: value.shape for key, value in weights.items()}:
            raise ValueError(f"{path} is the checkpoint of another network than this {type(self.model).__name__}")
        if (self.memory is None) != (memory is None):
            raise ValueError(f"{path} is the checkpoint of another kind of training")
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(optimizer)
        if self.memory is not None and memory is not None:
            self.memory.load_state_dict(memory)
        self.step, self.loss, self.lost = step, loss, lost


def moved(values: Values, to: torch.device | torch.dtype) -> Any:
    """A tensor, or each of a table of tensors, on another device or in another dtype."""
    return {key: each.to(to) for key, each in values.items()} if isinstance(values, Mapping) else values.to(to)
