"""Training of reference classifiers.

Clouds are drawn again from a pool of dense ones at every step, rotated, stretched, bent, shifted and thinned, half of
them redrawn as a few lumps, so that a network learns shapes and not coordinates or textures. With ``clutter`` there is
one class more, of things that are none of the others: a network that can say "none of these" makes *recognized* mean
something. Grids are shifted and mirrored.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.space import Voxels
from invert3d.models.weights import WeightCard, round_to_half, save_network
from invert3d.ops.seeds import seed_of
from invert3d.training.data import Data
from invert3d.training.fit import Batches, Checkpoints, FitSettings, check, fit


@dataclass(frozen=True, kw_only=True)
class TrainSettings(FitSettings):
    """And what a batch of shapes is made of.

    Clouds have ``points`` points and a share ``abstract`` of them is redrawn as a few lumps; grids use neither.
    """

    points: int = 512
    clutter_share: float = 0.12  # of a batch; 0 where the data has no class "clutter"
    abstract: float = 0.5  # share of the clouds redrawn as a few lumps

    def __post_init__(self) -> None:
        super().__post_init__()
        check("points", self.points, 16, 2048)
        check("abstract", self.abstract, 0, 1)
        check("clutter_share", self.clutter_share, 0, 1)


def batches(data: Data, settings: TrainSettings) -> Batches:
    """Augmented batches as the model takes them, and labels (B,): all classes equally often, except clutter."""
    labels = torch.from_numpy(data.train_labels)
    weights = 1 / torch.bincount(labels, minlength=len(data.classes)).clamp_min(1)[labels].double()
    if "clutter" in data.classes:
        clutter = labels == data.classes.index("clutter")
        share = settings.clutter_share
        weights[clutter] *= share / weights[clutter].sum()
        weights[~clutter] *= (1 - share) / weights[~clutter].sum()

    def batch(step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed_of(settings.seed, "batch", step))
        rows = torch.multinomial(weights, settings.batch, replacement=True, generator=generator)
        draws = Draws.seeded(settings.seed, ["views"], step)
        return data.views(rows, draws, settings.points, settings.abstract), labels[rows]

    return batch


def train(
    model: nn.Module,
    data: Data,
    settings: TrainSettings,
    *,
    keep: Checkpoints | None = None,
    report: Callable[[int, float], None] | None = None,
    after: Callable[[int], None] | None = None,
) -> None:
    """Train a classifier in place; see ``fit``."""
    if isinstance(data.space, Voxels):
        model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # faster in half precision
    fit(model, batches(data, settings), F.cross_entropy, settings, keep=keep, report=report, after=after)


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


def save(model: nn.Module, data: Data, settings: TrainSettings, card: WeightCard, folder: Path) -> WeightCard:
    """Round the weights to half precision, measure them so, and write them with their card.

    Args:
        model: a trained classifier, rounded in place.
        data: what it was trained on; its held-out shapes are classified.
        settings: how it was trained.
        card: name, architecture, command, options and notes; the rest is filled in.
        folder: where ``NAME.safetensors`` and ``NAME.json`` go.
    """
    round_to_half(model)
    table = accuracy_by_class(model, data, min(1024, data.test.shape[1]))
    worst = sorted((v, k) for k, v in table.items() if k in data.classes)[:3]
    space, many = data.space, len(data.classes) > 1
    if isinstance(space, Voxels):
        inputs = {"size": space.size, "values": [space.low, space.high]}
    else:
        inputs = {"points": settings.points, "up": "z"}
    card = replace(
        card,
        kind="classifier",
        classes=data.classes,
        data=data.source,
        licence=data.licence,
        seed=settings.seed,
        inputs={**inputs, "facing": data.facing},
        scores={"accuracy": round(table["all"], 4), "accuracy_fresh": round(table["fresh"], 4)} if many else {},
        held_out=len(data.test),
        environment=f"torch {torch.__version__}, {platform.machine()}, {next(model.parameters()).device}",
        notes=card.notes + ("; weakest classes " + ", ".join(f"{k} {v:.3f}" for v, k in worst) if many else ""),
    )
    return save_network(model, card, folder)
