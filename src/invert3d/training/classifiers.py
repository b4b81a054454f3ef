"""Training of the reference networks: the only place, with pruning, where weights change.

Clouds are drawn anew from a pool of dense ones at every step, turned, stretched, bent, shifted and thinned, half of
them redrawn as a few lumps, so that a network learns shapes and not coordinates or textures. With ``clutter`` there is
one class more, of things that are none of the others: a network that can say "none of these" makes *recognized* mean
something. Grids are shifted and mirrored.
"""

import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.memory import keep_freed_memory
from invert3d.engine.space import Voxels
from invert3d.models.weights import WeightCard, load_checkpoint, save_weights, write_card
from invert3d.registry import lookup
from invert3d.training.data import Data


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How long and how: AdamW with a rate that rises over a twentieth and falls to nothing, ``steps`` batches."""

    steps: int = 2500
    batch: int = 16
    rate: float = 2e-3
    weight_decay: float = 1e-2
    bf16: bool = True
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainSettings(FitSettings):
    """And what a batch of shapes is made of.

    Clouds have ``points`` points and a share ``abstract`` of them is redrawn as a few lumps; grids use neither.
    """

    points: int = 512
    clutter_share: float = 0.12  # of a batch; 0 where the data has no class "clutter"
    abstract: float = 0.5  # share of the clouds redrawn as a few lumps


def batches(data: Data, settings: TrainSettings, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented batches as the model takes them, labels (B,), classes equally often but for clutter, without end."""
    labels = torch.from_numpy(data.train_labels)
    weights = 1 / torch.bincount(labels, minlength=len(data.classes)).clamp_min(1)[labels].double()
    if "clutter" in data.classes:
        clutter = labels == data.classes.index("clutter")
        share = settings.clutter_share
        weights[clutter] *= share / weights[clutter].sum()
        weights[~clutter] *= (1 - share) / weights[~clutter].sum()
    draws = Draws.seeded(settings.seed, ["views"])
    while True:
        rows = torch.multinomial(weights, settings.batch, replacement=True, generator=generator)
        yield data.views(rows, draws, settings.points, settings.abstract), labels[rows]


def train(
    model: nn.Module,
    data: Data,
    settings: TrainSettings,
    report: Callable[[int, float], None] | None = None,
    after: Callable[[int], None] | None = None,
) -> None:
    """Train a classifier in place; see ``fit``."""
    generator = torch.Generator().manual_seed(settings.seed)
    if isinstance(data.space, Voxels):
        model.to(memory_format=torch.channels_last_3d)  # 3-D convolutions in half precision are faster so
    fit(model, batches(data, settings, generator), F.cross_entropy, settings, report, after)


def fit(
    model: nn.Module,
    stream: Iterator[tuple[Tensor, Tensor]],
    criterion: Callable[[Tensor, Tensor], Tensor],
    settings: FitSettings,
    report: Callable[[int, float], None] | None = None,
    after: Callable[[int], None] | None = None,
) -> None:
    """Train a network in place on a stream of inputs and targets. ``report`` is called with the step and the running
    loss, ``after`` with the step (the first is 0) once the weights have changed: the place for pruning.

    Raises ValueError where the loss was not finite for more than ten batches on end.
    """
    keep_freed_memory()
    torch.manual_seed(settings.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    warm = max(1, settings.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min((i + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1, i / settings.steps))) + 1e-3)
    )
    model.train()
    device = next(model.parameters()).device
    running, lost = math.nan, 0
    for i in range(settings.steps):
        x, target = next(stream)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            outputs = model(x.to(device))
        loss = criterion(outputs.float(), target.to(device))
        optimizer.zero_grad()
        loss.backward()
        size = nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        lost = 0 if bool(torch.isfinite(size)) else lost + 1
        if lost > 10:
            raise ValueError(f"the loss has not been finite for {lost} batches (step {i + 1}): try a smaller rate")
        if not lost:
            optimizer.step()
        schedule.step()
        if after:
            after(i)
        if lost:
            continue
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        if report:
            report(i + 1, running)
    model.eval()


@torch.no_grad()
def predictions(model: nn.Module, x: Tensor, batch: int = 50) -> Tensor:
    """Classes (M,) that a model gives to inputs (M, ...) as it takes them."""
    device = next(model.parameters()).device
    return torch.cat([model(part.to(device)).argmax(-1).cpu() for part in x.split(batch)])


def accuracy_by_class(model: nn.Module, data: Data, points: int) -> dict[str, float]:
    """Share of the held-out shapes classified right: of all ("all"), of those that are no repeats of a training shape
    ("fresh"), and class by class."""
    labels = torch.from_numpy(data.test_labels)
    right = (predictions(model, data.held_out(points)) == labels).double()
    fresh = torch.ones(len(labels), dtype=torch.bool)
    fresh[list(data.repeats)] = False
    table = {"all": right.mean().item(), "fresh": right[fresh].mean().item()}
    for i, name in enumerate(data.classes):
        if (labels == i).any():
            table[name] = right[labels == i].mean().item()
    return table


def data_space(architecture: str, values: tuple[float, float] = (0.0, 1.0)) -> Voxels | None:
    """The grids that an architecture is trained on, None for one that takes clouds."""
    sizes = getattr(lookup("model", architecture), "grid_sizes", None)
    return Voxels(size=sizes[0], low=values[0], high=values[1]) if sizes else None


def train_and_save(
    architecture: str,
    name: str,
    data: Data,
    settings: TrainSettings,
    folder: Path,
    command: str,
    device: str = "cpu",
    report: Callable[[int, float], None] | None = None,
    start: Path | None = None,
    options: dict[str, int] | None = None,
) -> WeightCard:
    """Train, from a checkpoint ``start`` if there is one, measure on the held-out shapes in the half-precision weights
    as saved, write weights and card."""
    torch.manual_seed(settings.seed)
    model = lookup("model", architecture)(len(data.classes), **(options or {}))
    if start is not None:
        load_checkpoint(model, start)
    model.to(device)
    clock = time.perf_counter()
    train(model, data, settings, report)
    said = f"{settings.steps} steps of {settings.batch} in {time.perf_counter() - clock:.0f} s"
    return save(model, architecture, name, data, settings, folder, command, said, options)


def save(
    model: nn.Module,
    architecture: str,
    name: str,
    data: Data,
    settings: TrainSettings,
    folder: Path,
    command: str,
    said: str,
    options: dict[str, int] | None = None,
) -> WeightCard:
    """Round the weights to half precision, measure them so, and write them with their card."""
    model.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in model.state_dict().items()})
    table = accuracy_by_class(model, data, min(1024, data.test.shape[1]))
    digest, size = save_weights(model, folder / f"{name}.safetensors")
    worst = sorted((v, k) for k, v in table.items() if k in data.classes)[:3]
    device = next(model.parameters()).device
    card = WeightCard(
        name=name,
        architecture=architecture,
        classes=data.classes,
        data=data.source,
        command=command,
        seed=settings.seed,
        accuracy=round(table["all"], 4),
        accuracy_fresh=round(table["fresh"], 4),
        held_out=len(data.test),
        points=0 if isinstance(data.space, Voxels) else settings.points,
        up=getattr(data.space, "up", "z"),
        values=(data.space.low, data.space.high) if isinstance(data.space, Voxels) else (),
        size=getattr(data.space, "size", 0),
        licence=data.licence,
        parameters=sum(p.numel() for p in model.parameters()),
        bytes=size,
        sha256=digest,
        environment=f"torch {torch.__version__}, {platform.machine()}, {device}",
        options=dict(options or {}),
        notes=f"{said}; weakest classes " + ", ".join(f"{k} {v:.3f}" for v, k in worst),
    )
    write_card(card, folder / f"{name}.json")
    return card
