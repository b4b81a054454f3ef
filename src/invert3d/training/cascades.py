"""The training of 3DWINN as published: cascades of reclassification by synthesis (Huang et al. 2019).

For real shapes x of classes y, pseudo-negatives x- of the same classes and points x^ between the two,

    loss = CE(f(x), y) + alpha (mean f_y(x-) - mean f_y(x) + lambda mean (|df_y(x^)/dx^| - 1)^2)

In equation 3 of the paper both means are over real shapes: a misprint, for its equation 1 and the code of WINN (Lee et
al. 2018) have them so. Each cascade has iterations. In one, the network learns against all pseudo-negatives that were
ever made; then it makes new ones, from where the cascade before ended, by Adam on their values until the mean score of
a batch reaches a threshold between the lowest and the highest mean score of real batches. The first cascade begins at
noise. What the paper leaves open, how many of all this, is small enough here for a processor core. Batches are smaller
(20 + 20, not 64 + 64), no mean is subtracted, and gradients of the weights are clipped at 5.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen, computes_bf16
from invert3d.engine.recorder import Recorder
from invert3d.engine.state import State
from invert3d.methods.introspection import synthesize
from invert3d.ops.seeds import seed_of
from invert3d.training.data import Grids, eight_bits
from invert3d.training.fit import Checkpoints, FitSettings, Parts, check, fit

#: pseudo-negatives that are made together
AT_ONCE = 25


@dataclass(frozen=True, kw_only=True)
class CascadeSettings(FitSettings):
    """How a network is trained as published; ``batch`` counts real shapes, and as many pseudo-negatives.

    Attributes:
        cascades, iterations: there are so many iterations in each cascade, of equally many steps.
        made: pseudo-negatives that an iteration makes of each class.
        kept: pseudo-negatives that the last iteration makes of each class, which are the shapes that are generated.
        ascent: steps of Adam for them, at most.
        speed: learning rate of these.
        alpha: weight of the terms of real shapes and pseudo-negatives; WINN's code has 0.01.
        penalty: lambda.
    """

    steps: int = 1200
    batch: int = 20
    rate: float = 1e-4
    falling: bool = False
    beta1: float = 0.0
    beta2: float = 0.9
    weight_decay: float = 0.0
    cascades: int = 4
    iterations: int = 5
    made: int = 10
    kept: int = 50
    ascent: int = 100
    speed: float = 0.005
    alpha: float = 1.0
    penalty: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cascades", "iterations", "made", "kept", "ascent"):
            check(name, getattr(self, name), 1, 100_000)
        for name in ("alpha", "penalty"):
            check(name, getattr(self, name), 0, 1e3)
        if self.steps % (self.cascades * self.iterations):
            parts = f"{self.cascades} cascades of {self.iterations} iterations"
            raise ValueError(f"{self.steps} steps cannot be divided among {parts}")
        if not 0 < self.speed <= 100:
            raise ValueError(f"speed must be above 0 and at most 100, not {self.speed}")


@dataclass
class Past:
    """Pseudo-negatives in 8 bits, (M, S, S, S) and their classes (M,): all that were ever made, those that the cascade
    before ended with, and those of the latest iteration; lowest and highest mean score of real batches in it."""

    pool: Tensor
    labels: Tensor
    before: Tensor
    latest: Tensor
    low: float = float("inf")
    high: float = float("-inf")

    def state_dict(self) -> dict[str, Any]:
        """Its fields."""
        return dict(vars(self))

    def load_state_dict(self, table: Mapping[str, Any]) -> None:
        """Take them back."""
        vars(self).update(table)


class MeanReached(Recorder):
    """All samples are done once the mean of the scores of their classes is at least a threshold."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def finished(self, state: State) -> Tensor | None:
        return (-state.loss).mean().expand(len(state.rows)) >= self.threshold


class Cascades:
    """Batches of real shapes and of pseudo-negatives of the past, to which each iteration adds."""

    def __init__(self, model: nn.Module, data: Grids, settings: CascadeSettings) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.rows = [torch.from_numpy((data.train_labels == k).nonzero()[0]) for k in range(len(data.classes))]
        noise = self._noise(settings.made)
        self.memory = Past(pool=noise, labels=self._labels(settings.made), before=noise, latest=noise)

    def _labels(self, each: int) -> Tensor:
        return torch.arange(len(self.rows)).repeat_interleave(each)

    def _noise(self, each: int) -> Tensor:
        size, count = self.data.voxels.size, each * len(self.rows)
        draws = Draws.seeded(self.settings.seed, list(map(str, range(count))), "noise")
        return eight_bits(draws.normal(torch.empty(count, 0), size, size, size))

    def batch(self, step: int) -> tuple[Parts, Tensor]:
        """Real shapes and pseudo-negatives (B, 1, S, S, S) of a step, as the network takes them, and their ``labels``
        (B,): the classes take turns."""
        settings, memory = self.settings, self.memory
        long = settings.steps // (settings.cascades * settings.iterations)
        if step and step % long == 0:
            self.iterate(step // long)
        generator = torch.Generator().manual_seed(seed_of(settings.seed, "batch", step))
        labels = (torch.arange(settings.batch) + step * settings.batch) % len(self.rows)
        real, made = [], []
        for label in labels.tolist():
            past = (memory.labels == label).nonzero()[:, 0]
            real.append(self.rows[label][torch.randint(len(self.rows[label]), (), generator=generator)])
            made.append(past[torch.randint(len(past), (), generator=generator)])
        shares = torch.rand(settings.batch, 1, 1, 1, 1, generator=generator)
        shapes = torch.from_numpy(self.data.train[torch.stack(real).numpy()]).float()[:, None]
        negatives = memory.pool[torch.stack(made)].float()[:, None] / 255
        encode = self.data.voxels.encode
        between = encode(shares * shapes + (1 - shares) * negatives)
        return Parts(real=encode(shapes), made=encode(negatives), between=between, labels=labels), labels

    def iterate(self, done: int) -> None:
        """Make pseudo-negatives, after so many iterations."""
        settings, memory = self.settings, self.memory
        memory.latest = self.synthesized(memory.before, self._labels(settings.made), done)
        memory.pool = torch.cat([memory.pool, memory.latest])
        memory.labels = torch.cat([memory.labels, self._labels(settings.made)])
        memory.low, memory.high = float("inf"), float("-inf")
        if done % settings.iterations == 0:
            memory.before = memory.latest

    def synthesized(self, start: Tensor, labels: Tensor, done: int) -> Tensor:
        """Pseudo-negatives (M, S, S, S) in 8 bits of the model as it is, in eval mode, from others."""
        settings, device = self.settings, next(self.model.parameters()).device
        half = settings.bf16 and computes_bf16(device)
        frozen = Frozen(self.model, self.data.voxels, output="logits", bf16=half)
        generator = torch.Generator().manual_seed(seed_of(settings.seed, "thresholds", done))
        order = torch.randperm(len(start), generator=generator)
        made = torch.empty_like(start)
        for rows in order.split(AT_ONCE):
            share = torch.rand((), generator=generator).item()
            x = synthesize(
                frozen,
                start[rows].float()[:, None].to(device) / 255,
                labels[rows].to(device),
                steps=settings.ascent,
                stepper=self.adam,
                recorders=[MeanReached(self.memory.low + share * (self.memory.high - self.memory.low))],
            )
            made[rows] = eight_bits(x.cpu().float()[:, 0])
        return made

    def adam(self, params: list[Tensor]) -> torch.optim.Optimizer:
        """With the betas of the paper: nearly a step along the sign of the gradient."""
        return torch.optim.Adam(params, lr=self.settings.speed, betas=(0.8, 0.0))

    def shapes(self) -> tuple[Tensor, Tensor]:
        """What the cascades make in the end: grids (K * kept, S, S, S) in 8 bits and classes. They begin where the
        cascade before the last ended, as often as is needed, with noise, so that none are alike."""
        settings = self.settings
        each = torch.arange(settings.kept) % settings.made
        rows = torch.cat([settings.made * label + each for label in range(len(self.rows))])
        labels = self._labels(settings.kept)
        noise = torch.Generator().manual_seed(seed_of(settings.seed, "shapes"))
        start = self.memory.before[rows].float() / 255
        start = start + 0.1 * torch.randn(start.shape, generator=noise)
        return self.synthesized(eight_bits(start), labels, settings.cascades * settings.iterations), labels


class Criticized(nn.Module):
    """A classifier, its scores of real shapes and of pseudo-negatives, and its gradient between the two."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, shown: Parts) -> dict[str, Tensor]:
        real, made = self.model(torch.cat([shown["real"], shown["made"]])).chunk(2)
        leaf = shown["between"].detach().requires_grad_()
        own = self.model(leaf).gather(1, shown["labels"][:, None]).sum()
        (slope,) = torch.autograd.grad(own, leaf, create_graph=True)
        return {"real": real, "made": made, "slopes": slope.flatten(1).float().norm(dim=1)}


def cascade_loss(settings: CascadeSettings, memory: Past) -> Callable[..., Tensor]:
    """The loss above; the mean scores of real batches are remembered, to draw thresholds."""

    def loss(found: dict[str, Tensor], labels: Tensor) -> Tensor:
        real, made = (found[name].gather(1, labels[:, None]).mean() for name in ("real", "made"))
        score = float(real.detach())
        memory.low, memory.high = min(memory.low, score), max(memory.high, score)
        critic = made - real + settings.penalty * (found["slopes"] - 1).square().mean()
        return F.cross_entropy(found["real"], labels) + settings.alpha * critic

    return loss


def train_cascades(
    model: nn.Module,
    data: Grids,
    settings: CascadeSettings,
    *,
    keep: Checkpoints | None = None,
    report: Callable[[int, float], None] | None = None,
) -> Cascades:
    """Train a classifier of voxel grids in place, as published; see ``fit``. Returns its batches, which make shapes."""
    source = Cascades(model, data, settings)
    criterion = cascade_loss(settings, source.memory)
    fit(Criticized(model), source.batch, criterion, settings, keep=keep, report=report, memory=source.memory)
    return source
