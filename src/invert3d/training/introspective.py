"""Introspective training: a classifier learns against pseudo-negatives, which it makes itself.

Reclassification by synthesis (Tu 2007; Lazarow, Jin & Tu 2017; Lee et al. 2018; Huang et al. 2019, 3DWINN), with what
energy-based models learned since. For real shapes x of classes y and pseudo-negatives x- that were made for y,

    loss = CE(f(x'), y) + alpha (softplus(-f_y(x)) + softplus(f_y(x-)) + lambda |df_y(x)/dx|^2)

x' is x in an augmented view (Yang et al. 2023, SADA-JEM), with uniform noise and then a step of FGSM (Tramer et al.
2018). Pseudo-negatives are gradient ascents on f_y, a few steps at a time, from a replay buffer of each class. Each one
drawn begins anew with some probability (Du & Mordatch 2019), at a Gaussian of its class over principal components
(``models.class_gaussians``), an informative start (Yang & Ji 2021, JEM++). The number of steps grows over the first
half of the training (Yin et al. 2026, DAT), which begins with samples of the Gaussians as pseudo-negatives. Ascent
stops at a score drawn from those of real shapes of the class (Lee et al. 2018; here for each shape by itself).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen, computes_bf16
from invert3d.engine.space import Voxels
from invert3d.engine.stepper import Stepper
from invert3d.methods.attacks import attack, attack_recipe
from invert3d.methods.introspection import Reached, begun, synthesize
from invert3d.models.class_gaussians import ClassGaussians
from invert3d.ops.seeds import seed_of
from invert3d.training.average import averaged
from invert3d.training.data import Grids, eight_bits
from invert3d.training.fit import Checkpoints, FitSettings, Parts, check, fit

REMEMBERED = 32  # scores of real shapes of each class


@dataclass(frozen=True, kw_only=True)
class IntrospectiveSettings(FitSettings):
    """How a network is trained against its own shapes; ``batch`` counts real shapes, and as many pseudo-negatives. The
    classes take turns.

    Attributes:
        alpha: weight of the terms that tell real shapes from pseudo-negatives; with 0 it is a classifier, and none are
            made.
        penalty: lambda, weight of the squared gradient at real shapes beside the other two, every fourth step.
        ascent: steps of ascent in one step of training, at most, from the middle of the training on.
        length: of a step of ascent (L2).
        kept: pseudo-negatives in the buffer of each class.
        renewed: share of them that begin anew.
        components: of the Gaussians that they begin from.
        jitter: standard deviation of noise on the occupancy of real shapes and of pseudo-negatives, as they are scored.
        adversary: how far a value of a view is moved at random, and then by FGSM; 0 leaves views as they are.
        average: decay of the running average of the weights, which is what is kept in the end.
    """

    steps: int = 4000
    batch: int = 20
    rate: float = 6e-4
    alpha: float = 0.3
    penalty: float = 1.0
    ascent: int = 6
    length: float = 1.0
    kept: int = 100
    renewed: float = 0.1
    components: int = 64
    jitter: float = 0.03
    adversary: float = 0.03
    average: float = 0.998

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("alpha", "penalty", "jitter"):
            check(name, getattr(self, name), 0, 1e3)
        for name in ("ascent", "kept", "components"):
            check(name, getattr(self, name), 1, 100_000)
        check("renewed", self.renewed, 0, 1)
        check("adversary", self.adversary, 0, 1)
        check("average", self.average, 0, 1)
        if not 0 < self.length <= 100:
            raise ValueError(f"length must be above 0 and at most 100, not {self.length}")

    def ascent_at(self, step: int) -> int:
        """Steps of ascent in a step of training."""
        return min(self.ascent, (2 * self.ascent * step) // self.steps)


@dataclass
class Memory:
    """What a training remembers beside weights and optimizer: pseudo-negatives (K, kept, S, S, S) in 8 bits, the scores
    of the latest real shapes of each class (K, n), and the running average of the weights, all on the CPU."""

    buffer: Tensor
    scores: Tensor
    average: dict[str, Tensor] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Its tensors."""
        return {"buffer": self.buffer, "scores": self.scores, "average": self.average}

    def load_state_dict(self, table: Mapping[str, Any]) -> None:
        """Take them back."""
        self.buffer, self.scores, self.average = table["buffer"], table["scores"], dict(table["average"])


class Introspection:
    """Batches of real shapes and pseudo-negatives that the model itself makes, and what has to be remembered."""

    def __init__(self, model: nn.Module, data: Grids, starts: ClassGaussians, settings: IntrospectiveSettings) -> None:
        self.model, self.data, self.starts, self.settings = model, data, starts, settings
        self.labels = torch.from_numpy(data.train_labels)
        classes, size = len(data.classes), data.voxels.size
        buffer = torch.zeros(classes, settings.kept, size, size, size, dtype=torch.uint8)
        self.memory = Memory(buffer=buffer, scores=torch.zeros(classes, REMEMBERED))
        for label in range(classes):
            draws = Draws.seeded(settings.seed, [f"{label}/{k}" for k in range(settings.kept)], "first")
            buffer[label] = eight_bits(begun(starts, torch.full((settings.kept,), label), draws)[:, 0])

    def batch(self, step: int) -> tuple[Parts, dict[str, Tensor]]:
        """Views (B, 1, S, S, S) of real shapes as the network takes them, and their ``labels`` (B,); unless alpha is 0,
        also the ``real`` shapes and pseudo-negatives ``made``, and whether the real ones are ``penalized``."""
        settings = self.settings
        generator = torch.Generator().manual_seed(seed_of(settings.seed, "batch", step))
        labels = (torch.arange(settings.batch) + step * settings.batch) % len(self.data.classes)
        rows = torch.cat([self._row(int(label), generator) for label in labels])
        frozen, encode = self._frozen(), self.data.voxels.encode
        made = self._synthesized(frozen, step, labels, generator) if settings.alpha else None
        views = self.data.augmented(rows, Draws.seeded(settings.seed, ["views"], step))
        shown = Parts(views=encode(self._attacked(frozen, views, labels, generator)), labels=labels)
        if made is not None:
            real = torch.from_numpy(self.data.train[rows.numpy()]).float()[:, None]
            shown["real"], shown["made"] = (encode(self._noisy(each, generator)) for each in (real, made))
            shown["penalized"] = torch.tensor(step % 4 == 0)
        return shown, {"labels": labels}

    def _synthesized(self, frozen: Frozen, step: int, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Pseudo-negatives (B, 1, S, S, S) of classes, which go back to the buffer."""
        settings, classes = self.settings, len(self.data.classes)
        orders = torch.stack([torch.randperm(settings.kept, generator=generator) for _ in range(classes)])
        places = orders[labels, torch.arange(settings.batch) // classes]  # no place twice: each is written to
        anew = torch.rand(settings.batch, generator=generator) < settings.renewed
        draws = Draws.seeded(settings.seed, [f"{step}/{k}" for k in range(settings.batch)], "starts")
        start = self.memory.buffer[labels, places].float()[:, None] / 255
        start = torch.where(anew.view(-1, 1, 1, 1, 1), begun(self.starts, labels, draws), start)
        picked = torch.randint(REMEMBERED, (settings.batch,), generator=generator)
        made = synthesize(
            frozen,
            start.to(frozen.device),
            labels.to(frozen.device),
            steps=settings.ascent_at(step),
            stepper=Stepper(kind="unit", rate=settings.length),
            recorders=[Reached(self.memory.scores[labels, picked])],
        )
        made = made.cpu().float()
        self.memory.buffer[labels, places] = eight_bits(made[:, 0])
        return made

    def _noisy(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """With noise on both, noise does not tell real shapes from pseudo-negatives."""
        return (x + self.settings.jitter * torch.randn(x.shape, generator=generator)).clamp(0, 1)

    def _row(self, label: int, generator: torch.Generator) -> Tensor:
        own = (self.labels == label).nonzero()[:, 0]
        return own[torch.randint(len(own), (1,), generator=generator)]

    def _attacked(self, frozen: Frozen, x: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Views (B, 1, S, S, S), each value moved at random and then by FGSM."""
        radius = self.settings.adversary
        if not radius:
            return x
        x = (x + radius * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)
        result, _ = attack(frozen, x, labels, attack_recipe("fgsm", frozen.space, budget=radius))
        if result.interrupted:  # the loop hands on what there is
            raise KeyboardInterrupt
        return result.x.cpu().float()

    def _frozen(self) -> Frozen:
        """The model as it is, in eval mode."""
        half = self.settings.bf16 and computes_bf16(next(self.model.parameters()).device)
        return Frozen(self.model, self.data.voxels, output="logits", bf16=half)

    def after(self, step: int) -> None:
        """Take the weights into their running average."""
        self.memory.average = averaged(self.model, self.memory.average, step, self.settings.average)


class Scores(nn.Module):
    """A classifier, its scores of all parts of a batch, and, where it is asked, its gradient at real shapes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, shown: Parts) -> dict[str, Tensor]:
        if "made" not in shown:
            return {"views": self.model(shown["views"])}
        penalized = bool(shown["penalized"])
        views, made = self.model(torch.cat([shown["views"], shown["made"]])).chunk(2)
        leaf = shown["real"].detach().requires_grad_(penalized)
        found = {"views": views, "made": made, "real": self.model(leaf)}
        if penalized:
            own = found["real"].gather(1, shown["labels"][:, None]).sum()
            (slope,) = torch.autograd.grad(own, leaf, create_graph=True)
            found["slopes"] = slope.flatten(1).float().square().sum(1)
        return found


def introspective_loss(settings: IntrospectiveSettings, memory: Memory) -> Callable[..., Tensor]:
    """The loss above; the scores of the real shapes are remembered, to be thresholds."""

    def loss(found: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        labels = target["labels"]
        classified = F.cross_entropy(found["views"], labels)
        if "made" not in found:
            return classified
        own = {name: found[name].gather(1, labels[:, None])[:, 0] for name in ("real", "made")}
        for label, score in zip(labels.tolist(), own["real"].detach().cpu(), strict=True):
            memory.scores[label] = torch.cat([score[None], memory.scores[label, :-1]])
        told = F.softplus(-own["real"]).mean() + F.softplus(own["made"]).mean()
        whole = classified + settings.alpha * told
        return whole + settings.penalty * settings.alpha * found["slopes"].mean() if "slopes" in found else whole

    return loss


def train_introspective(
    model: nn.Module,
    data: Grids,
    settings: IntrospectiveSettings,
    *,
    keep: Checkpoints | None = None,
    report: Callable[[int, float], None] | None = None,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Introspection:
    """Train a classifier of voxel grids in place; it ends with the running average of its weights. See ``fit``.

    ``watch`` is called after each step with the number of steps done and the pseudo-negatives that are kept, in 8 bits
    (K, kept, S, S, S). Returns its batches, with the pseudo-negatives of the end.

    Raises ValueError for a batch that has more shapes of a class than are kept of it, and as ``fit``.
    """
    if settings.batch > settings.kept * len(data.classes):
        raise ValueError(
            f"a batch of {settings.batch} needs more than the {settings.kept} shapes that are kept of a class"
        )
    labels, count = torch.from_numpy(data.train_labels), settings.components
    starts = ClassGaussians.fitted(torch.from_numpy(data.train), labels, len(data.classes), components=count)
    if getattr(model, "starts", None) is not None:
        model.starts.load_state_dict(starts.state_dict())  # type: ignore[union-attr]
    source = Introspection(model, data, starts, settings)

    def after(step: int) -> None:
        source.after(step)
        if watch:
            watch(step + 1, source.memory.buffer)

    fit(
        Scores(model),
        source.batch,
        introspective_loss(settings, source.memory),
        settings,
        keep=keep,
        report=report,
        after=after,
        memory=source.memory,
    )
    model.load_state_dict(source.memory.average)
    return source


def coarse(data: Grids) -> Grids:
    """The same shapes on half as many voxels a side. A cell is full where a quarter of its eight are: legs stay.
    More of the test shapes repeat a training shape then.

    Raises ValueError for an odd size.
    """
    size = data.voxels.size
    if size % 2:
        raise ValueError(f"grids of an odd size, {size}, cannot be halved")

    def halved(grids: Any) -> Any:
        x = torch.from_numpy(grids).float()[:, None]
        return (F.avg_pool3d(x, 2)[:, 0] >= 0.25).to(torch.uint8).numpy()

    voxels = Voxels(size=size // 2, low=data.voxels.low, high=data.voxels.high)
    train, test = halved(data.train), halved(data.test)
    known = {grid.tobytes() for grid in train}
    repeats = tuple(i for i, grid in enumerate(test) if grid.tobytes() in known) if data.repeats else ()
    return replace(data, train=train, test=test, voxels=voxels, repeats=repeats)
