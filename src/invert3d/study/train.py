"""Training of the reference point networks: the only place, with pruning, where weights change.

Clouds are drawn anew from a pool of dense ones at every step, turned, stretched, bent, shifted and thinned, half of
them redrawn as a few lumps, so that a network learns shapes and not coordinates or textures. With ``clutter`` there is
one class more, of things that are none of the others: a network that can say "none of these" makes *recognized* mean
something.
"""

import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.memory import keep_freed_memory
from invert3d.engine.transform import Abstract, DropPoints, Jitter, Normalize, Rotate, Scale, Shift, Warp, chained
from invert3d.models.weights import WeightCard, load_checkpoint, save_weights, write_card
from invert3d.registry import lookup
from invert3d.study.datasets import Clouds

AUGMENTATION = (
    Warp(strength=0.06), Rotate(degrees=15, tilt=6), Scale(low=1, high=1, stretch=0.2), Normalize(),
    Scale(low=0.75, high=1.15), Shift(distance=0.08), Jitter(sigma=0.03), DropPoints(share=0.5),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How long and how: AdamW with a one-cycle rate, ``steps`` batches of ``batch`` clouds of ``points`` points."""

    steps: int = 2500
    batch: int = 16
    points: int = 512
    rate: float = 2e-3
    weight_decay: float = 1e-2
    clutter_share: float = 0.12  # of a batch; 0 where the data has no class "clutter"
    abstract: float = 0.5  # share of the clouds redrawn as a few lumps
    bf16: bool = True
    seed: int = 0


def batches(clouds: Clouds, settings: TrainSettings, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented batches (B, points, 3), labels (B,), classes equally often but for clutter, without end."""
    pool, labels = torch.from_numpy(clouds.train), torch.from_numpy(clouds.train_labels)
    weights = 1 / torch.bincount(labels, minlength=len(clouds.classes)).clamp_min(1)[labels].double()
    if "clutter" in clouds.classes:
        clutter = labels == clouds.classes.index("clutter")
        share = settings.clutter_share
        weights[clutter] *= share / weights[clutter].sum()
        weights[~clutter] *= (1 - share) / weights[~clutter].sum()
    draws = Draws([generator])
    while True:
        rows = torch.multinomial(weights, settings.batch, replacement=True, generator=generator)
        picks = torch.rand(settings.batch, pool.shape[1], generator=generator).topk(settings.points).indices
        x = pool[rows].gather(1, picks[..., None].expand(-1, -1, 3))
        yield chained((Abstract(share=settings.abstract), *AUGMENTATION), x, labels[rows], draws)


def train(
    model: nn.Module, clouds: Clouds, settings: TrainSettings, report: Callable[[int, float], None] | None = None
) -> None:
    """Train a classifier of clouds (B, N, 3) in place. ``report`` is called with the step and the running loss."""
    keep_freed_memory()
    generator = torch.Generator().manual_seed(settings.seed)
    torch.manual_seed(settings.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    warm = max(1, settings.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda i: min((i + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1, i / settings.steps))) + 1e-3),
    )
    model.train()
    device = next(model.parameters()).device
    running = math.nan
    stream = batches(clouds, settings, generator)
    for i in range(settings.steps):
        x, labels = next(stream)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            logits = model(x.to(device))
        loss = F.cross_entropy(logits.float(), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        if report:
            report(i + 1, running)
    model.eval()


@torch.no_grad()
def predictions(model: nn.Module, clouds: np.ndarray | Tensor, points: int, batch: int = 50) -> Tensor:
    """Classes (M,) that a model gives to clouds (M, P, 3), each by its first ``points`` points."""
    device = next(model.parameters()).device
    x = torch.as_tensor(clouds)[:, :points]
    return torch.cat([model(part.to(device)).argmax(-1).cpu() for part in x.split(batch)])


def accuracy_by_class(model: nn.Module, clouds: Clouds, points: int) -> dict[str, float]:
    """Share of the held-out clouds classified right, class by class, and over all ("all")."""
    labels = torch.from_numpy(clouds.test_labels)
    right = (predictions(model, clouds.test, points) == labels).double()
    table = {"all": right.mean().item()}
    for i, name in enumerate(clouds.classes):
        if (labels == i).any():
            table[name] = right[labels == i].mean().item()
    return table


def train_and_save(
    architecture: str, name: str, clouds: Clouds, settings: TrainSettings, folder: Path, command: str,
    device: str = "cpu", report: Callable[[int, float], None] | None = None, start: Path | None = None,
) -> WeightCard:  # fmt: skip
    """Train, from a checkpoint ``start`` if there is one, measure on the held-out shapes in the half-precision weights
    as saved, write weights and card."""
    torch.manual_seed(settings.seed)
    model = lookup("model", architecture)(len(clouds.classes))
    if start is not None:
        load_checkpoint(model, start)
    model.to(device)
    clock = time.perf_counter()
    train(model, clouds, settings, report)
    seconds = time.perf_counter() - clock
    model.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in model.state_dict().items()})
    table = accuracy_by_class(model, clouds, min(1024, clouds.test.shape[1]))
    digest, size = save_weights(model, folder / f"{name}.safetensors")
    worst = sorted((v, k) for k, v in table.items() if k != "all")[:3]
    card = WeightCard(
        name=name, architecture=architecture, classes=clouds.classes, data=clouds.source, command=command,
        seed=settings.seed, accuracy=round(table["all"], 4), held_out=len(clouds.test), points=settings.points,
        up=clouds.up, licence=clouds.licence, parameters=sum(p.numel() for p in model.parameters()), bytes=size,
        sha256=digest, environment=f"torch {torch.__version__}, {platform.machine()}, {device}",
        notes=f"{settings.steps} steps of {settings.batch} in {seconds:.0f} s; weakest classes "
        + ", ".join(f"{k} {v:.3f}" for v, k in worst),
    )  # fmt: skip
    write_card(card, folder / f"{name}.json")
    return card
