"""Training of decoders: from what a layer of a frozen network makes of an input back to that input.

As published (*The Essence of Pose*, 3.2) the loss of pictures is their mean squared error. Its optimum is the average
of all inputs that have a descriptor, which is blurred. With an adversary (Dosovitskiy & Brox 2016, DeePSiM) a decoder
also has to make what a critic cannot tell from real pictures that have this descriptor:

    decoder: |G(z) - x|^2 + c |phi(G(z)) - z|^2 / |z|^2 - a w mean D(G(z), z)
    critic:  mean max(0, 1 - D(x, z)) + mean max(0, 1 + D(G(z), z))

The paper could not balance the two. Here the adversary begins when the decoder has learned for a while; w is the ratio
of the two gradients in the last layer of the decoder (Esser, Rombach & Ommer 2021, VQGAN); from then on the decoder
learns at a quarter of its rate, the critic at half of it (two time scales, Heusel et al. 2017), and their gradients are
clipped apart; the critic has spectral norms and sees pictures under noise that fades; it pauses while its loss is below
0.1; and a running average of the decoder's weights is what is kept. Clouds are compared by the Chamfer distance, grids
by cross entropy.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.engine.space import Points, Space, Voxels
from invert3d.evaluate.generation import overlaps
from invert3d.models.decoders import PatchCritic, PictureDecoder
from invert3d.objectives.features import relative_loss
from invert3d.ops.points import square_distances
from invert3d.ops.seeds import seed_of
from invert3d.training.average import averaged
from invert3d.training.fit import Batches, Checkpoints, FitSettings, Parts, check, fit

#: of the critic, below which it learns nothing more for a step
PAUSED = 0.1
#: the largest weight of the adversary
HEAVIEST = 1e4
#: losses are remembered every so many steps
EVERY = 10


@dataclass(frozen=True, kw_only=True)
class DecoderSettings(FitSettings):
    """How a decoder is trained.

    Attributes:
        consistency: c, weight of the squared relative distance of the descriptor of what is made.
        adversary: a; 0 trains without one.
        begins: share of the steps after which it begins.
        noise: standard deviation of the noise that the critic sees pictures under at first.
        average: decay of the running average of the weights.
        decoder_factor: the decoder's rate while there is an adversary, relative to ``rate``.
        critic_factor: the critic's rate, relative to ``rate``.
    """

    steps: int = 2000
    batch: int = 32
    rate: float = 1e-3
    beta1: float = 0.5
    weight_decay: float = 0.0
    consistency: float = 0.0
    adversary: float = 0.0
    begins: float = 0.3
    noise: float = 0.1
    average: float = 0.995
    decoder_factor: float = 0.25
    critic_factor: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("consistency", "adversary", "noise"):
            check(name, getattr(self, name), 0, 1e3)
        check("begins", self.begins, 0, 1)
        check("average", self.average, 0, 1)
        check("decoder_factor", self.decoder_factor, 0, 1)
        check("critic_factor", self.critic_factor, 0, 100)

    def adversarial_at(self, step: int) -> bool:
        """Whether there is an adversary in a step."""
        return self.adversary > 0 and step >= self.begins * self.steps

    def groups(self, model: nn.Module, step: int) -> Sequence[tuple[nn.Module, float]]:
        """The decoder, and its critic if it has one, which has to keep up with it (Heusel et al. 2017)."""
        assert isinstance(model, Decoding)
        rate = self.rate_at(step)
        if model.critic is None:
            return [(model.decoder, rate)]
        slowed = self.decoder_factor if self.adversarial_at(step) else 1.0
        return [(model.decoder, slowed * rate), (model.critic, self.critic_factor * rate)]


@dataclass
class Kept:
    """What a training remembers: the average of the decoder's weights, and rows of the losses (T, 5): step, of the
    inputs, of the decoder against the critic, of the critic, of held-out inputs; NaN where there is no such loss."""

    average: dict[str, Tensor] = field(default_factory=dict)
    losses: Tensor = field(default_factory=lambda: torch.zeros(0, 5))

    def state_dict(self) -> dict[str, Any]:
        """Its tensors."""
        return {"average": self.average, "losses": self.losses}

    def load_state_dict(self, table: Mapping[str, Any]) -> None:
        """Take them back."""
        self.average, self.losses = dict(table["average"]), table["losses"]


class Decoding(nn.Module):
    """A decoder, its critic, and what the losses are made of. ``describe`` gives the features (B, ...) of inputs with
    their gradient; without it they are not compared."""

    def __init__(
        self, decoder: nn.Module, critic: PatchCritic | None, describe: Callable[[Tensor], Tensor] | None
    ) -> None:
        super().__init__()
        self.decoder, self.critic, self.describe = decoder, critic, describe

    def forward(self, shown: Parts) -> dict[str, Tensor]:
        features = shown["features"]
        made = self.decoder(features)
        found = {"made": made}
        if self.describe is not None:
            found["again"] = self.describe(made.float())  # which may be in half precision
        if self.critic is not None and bool(shown["adversarial"]):
            self.critic.requires_grad_(False)  # what fools it teaches the decoder, and not the critic
            found["fooled"] = self.critic(made + shown["noise"], features)
            self.critic.requires_grad_(True)
            found["fake"] = self.critic(made.detach() + shown["noise"], features)
            found["real"] = self.critic(shown["x"] + shown["noise"].flip(0), features)
        return found


class DecoderLoss:
    """The loss above of a batch, and what it remembers of it."""

    def __init__(self, settings: DecoderSettings, space: Space, decoder: nn.Module, memory: Kept) -> None:
        self.settings, self.space, self.decoder, self.memory = settings, space, decoder, memory

    def __call__(self, found: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        own = difference(found["made"], target["x"], self.space).mean()
        if "again" in found:
            apart = (found["again"] - target["features"]).flatten(1).square().sum(1)
            own = own + self.settings.consistency * (apart / target["features"].flatten(1).square().sum(1)).mean()
        parts = [float(own.detach()), math.nan, math.nan, math.nan]
        whole = own
        if "fooled" in found:
            against = -found["fooled"].mean()
            critic = F.relu(1 - found["real"]).mean() + F.relu(1 + found["fake"]).mean()
            whole = own + self.settings.adversary * balance(own, against, self.last) * against
            whole = whole + critic if float(critic.detach()) > PAUSED else whole
            parts[1:3] = [float(against.detach()), float(critic.detach())]
        if (step := int(target["step"])) % EVERY == 0:
            self.memory.losses = torch.cat([self.memory.losses, torch.tensor([[float(step), *parts]])])
        return whole

    @property
    def last(self) -> Tensor:
        """The weights of the last layer of the decoder."""
        return self.decoder.last.weight  # type: ignore[union-attr, return-value]


def balance(own: Tensor, against: Tensor, last: Tensor) -> Tensor:
    """How much steeper one loss is than another in some weights: the norms of their gradients, one over the other."""
    steep, other = (torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (own, against))
    return (steep / (other + 1e-6)).clamp(0, HEAVIEST).detach()


def difference(made: Tensor, x: Tensor, space: Space) -> Tensor:
    """(B,) how far inputs are from those that are made: the mean squared error of pictures, the Chamfer distance of
    clouds (means of squared distances, both ways added), the mean cross entropy of grids."""
    if isinstance(space, Points):
        apart = square_distances(made, x)
        return apart.amin(2).mean(1) + apart.amin(1).mean(1)
    if isinstance(space, Voxels):
        return F.binary_cross_entropy(made.clamp(1e-6, 1 - 1e-6), x, reduction="none").flatten(1).mean(1)
    return (made - x).square().flatten(1).mean(1)


def saved_difference(made: Tensor, x: Tensor, space: Space) -> Tensor:
    """(B,) how far files of inputs are from those that are made: of grids 1 - IoU of their occupancy, else
    ``difference``."""
    if not isinstance(space, Voxels):
        return difference(made, x, space)
    return 1 - overlaps(made > 0.5, x > 0.5).diagonal()


@dataclass(frozen=True)
class Described:
    """Inputs (M, *space.shape), pictures in 8 bits, and what a layer makes of them (M, ...)."""

    inputs: Tensor
    features: Tensor
    space: Space

    def x(self, rows: Tensor | slice) -> Tensor:
        """Inputs (B, *space.shape) in the user's units."""
        x = self.inputs[rows]
        return x.float() / 255 if x.dtype == torch.uint8 and x.dim() == 4 else x.float()


def decoder_batches(data: Described, settings: DecoderSettings) -> Batches:
    """Features (B, ...) and inputs (B, *space.shape) of a step, and the noise of the critic."""

    def batch(step: int) -> tuple[Parts, dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(seed_of(settings.seed, "batch", step))
        rows = torch.randint(len(data.inputs), (settings.batch,), generator=generator)
        x, features = data.x(rows), data.features[rows].float()
        shown = Parts(features=features, x=x, adversarial=torch.tensor(settings.adversarial_at(step)))
        if settings.adversarial_at(step):
            left = 1 - step / settings.steps
            shown["noise"] = left * settings.noise * torch.randn(x.shape, generator=generator)
        return shown, {"x": x, "features": features, "step": torch.tensor(step)}

    return batch


def fit_decoder(
    decoder: nn.Module,
    data: Described,
    settings: DecoderSettings,
    *,
    describe: Callable[[Tensor], Tensor] | None = None,
    held: Described | None = None,
    keep: Checkpoints | None = None,
    report: Callable[[int, float], None] | None = None,
) -> Kept:
    """Train a decoder in place; it ends with the running average of its weights. See ``fit``.

    ``describe`` is needed for ``consistency``. The loss of the first batch of ``held``, with the weights as they are,
    is remembered and changes nothing. Returns what was remembered, the losses among it.

    Raises ValueError for an adversary of what are no pictures, and as ``fit``.
    """
    if settings.adversary and not isinstance(decoder, PictureDecoder):
        raise ValueError("an adversary judges pictures: train a decoder of clouds or grids without one")
    critic = None
    if settings.adversary:
        with torch.random.fork_rng():
            torch.manual_seed(seed_of(settings.seed, "critic"))
            critic = PatchCritic(data.features[0].numel()).to(next(decoder.parameters()).device)
    whole, memory = Decoding(decoder, critic, describe if settings.consistency else None), Kept()
    loss = DecoderLoss(settings, data.space, decoder, memory)

    def after(step: int) -> None:
        memory.average = averaged(decoder, memory.average, step, settings.average)
        if held is not None and step % EVERY == 0:
            decoder.eval()
            memory.losses[-1, -1] = held_out_loss(decoder, held, slice(settings.batch))
            decoder.train()

    fit(whole, decoder_batches(data, settings), loss, settings, keep=keep, report=report, after=after, memory=memory)
    decoder.load_state_dict(memory.average)
    return memory


@torch.no_grad()
def held_out_loss(decoder: nn.Module, held: Described, rows: slice) -> float:
    """The mean difference of some held-out inputs and what is made of their features."""
    device = next(decoder.parameters()).device
    made = decoder(held.features[rows].float().to(device))
    return float(difference(made, held.x(rows).to(device), held.space).mean())


@torch.no_grad()
def decoder_scores(
    decoder: nn.Module, held: Described, known: Described, describe: Callable[[Tensor], Tensor], at_once: int = 50
) -> Mapping[str, float]:
    """How well held-out inputs are decoded: the mean relative loss of what files keep, and the mean difference; beside
    it that of the training input whose descriptor is nearest. See ``saved_difference``."""
    tables: dict[str, list[Tensor]] = {"relative loss": [], "difference": [], "difference, nearest training input": []}
    device = next(decoder.parameters()).device
    for rows in torch.arange(len(held.inputs)).split(at_once):
        x, features = held.x(rows).to(device), held.features[rows].float().to(device)
        made = decoder(features)
        near = known.x(nearest(held.features[rows].float(), known.features)).to(device)
        found = (
            relative_loss(describe(held.space.saved(made)), features),
            saved_difference(made, x, held.space),
            saved_difference(near, x, held.space),
        )
        for table, values in zip(tables.values(), found, strict=True):
            table.append(values)
    return {name: round(float(torch.cat(values).mean()), 5) for name, values in tables.items()}


def nearest(features: Tensor, known: Tensor, at_once: int = 1000) -> Tensor:
    """(B,) the rows of known features (M, ...) that are nearest to features (B, ...)."""
    apart = [torch.cdist(features.flatten(1), part.float().flatten(1)) for part in known.split(at_once)]
    return torch.cat(apart, 1).argmin(1)
