"""Training of networks that describe pictures (``models.posenet``) on the two-view world, for one of three tasks.

``pose``: the relative pose of two pictures and whether they show one point, from their two descriptors (Zamir et al.
2016): an L1 loss on poses of matching pairs, in deviations of the training set, and cross entropy. ``style``: what the
houses look like, from the descriptor of one picture. ``stacked``: the task ``pose`` for a network that sees both
pictures at once, which has no descriptor of one: a plain regression to compare with.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.data.worlds.terraces import STYLES
from invert3d.data.worlds.two_views import rotated
from invert3d.engine.progress import Meter
from invert3d.engine.space import Image
from invert3d.models.posenet import PairHeads, PoseNet
from invert3d.models.weights import WeightCard, round_to_half, save_network
from invert3d.ops.seeds import HELD_OUT, seed_of
from invert3d.registry import lookup, registered, unknown
from invert3d.training.fit import FitSettings, Parts, check, fit
from invert3d.training.frames import relit
from invert3d.training.runs import TrainRun, asked_of
from invert3d.training.terraces import Terraces, make_terraces

TASKS = ("pose", "style", "stacked")


@dataclass(frozen=True, kw_only=True)
class DescriptorTraining:
    """A network to train.

    Attributes:
        variant: a registered descriptor.
        task: one of ``TASKS``.
        scenes, held_out: terraces to train on, and to measure on.
        views: pictures of each.
        settings: how.
    """

    variant: str = "smallnet_v5"
    task: str = "pose"
    scenes: int = 6000
    held_out: int = 200
    views: int = 4
    settings: FitSettings = field(default_factory=lambda: FitSettings(steps=3000, batch=64, rate=1e-3))

    def __post_init__(self) -> None:
        if self.variant not in registered("descriptor"):
            raise ValueError(unknown("network", self.variant, registered("descriptor")))
        if self.task not in TASKS:
            raise ValueError(unknown("task", self.task, TASKS))
        for name in ("scenes", "held_out", "views"):
            check(name, getattr(self, name), 2, 1_000_000)


class Siamese(nn.Module):
    """Heads on the descriptors of two pictures, by one network."""

    def __init__(self, net: PoseNet) -> None:
        super().__init__()
        self.net, self.heads = net, PairHeads(net.size)

    def forward(self, shown: Parts) -> dict[str, Tensor]:
        one, other = self.net(torch.cat([shown["one"], shown["other"]])).chunk(2)
        return self.heads(one, other)


class Stacked(nn.Module):
    """The same heads on what a network makes of both pictures at once."""

    def __init__(self, net: PoseNet) -> None:
        super().__init__()
        self.net, self.heads = net, PairHeads(net.size // 2)

    def forward(self, shown: Parts) -> dict[str, Tensor]:
        return self.heads(*self.net(torch.cat([shown["one"], shown["other"]], 1)).chunk(2, 1))


class Styled(nn.Module):
    """Logits of styles from the descriptor of one picture."""

    def __init__(self, net: PoseNet) -> None:
        super().__init__()
        self.net, self.heads = net, nn.Linear(net.size, len(STYLES))

    def forward(self, shown: Parts) -> dict[str, Tensor]:
        return {"style": self.heads(self.net(shown["one"]))}


WHOLE: dict[str, Callable[[PoseNet], nn.Module]] = {"pose": Siamese, "style": Styled, "stacked": Stacked}


@dataclass(frozen=True)
class PairBatches:
    """Batches of pairs of pictures. Of ``pose`` (B, 6) the ``mean`` and ``deviation`` (6,) are those of the training
    set; in half of the pairs, those with ``match`` 0, the second picture is of another terrace."""

    data: Terraces
    space: Image
    settings: FitSettings
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, data: Terraces, space: Image, settings: FitSettings) -> "PairBatches":
        """With the statistics of all pairs."""
        poses = data.poses(*data.pairs())
        return cls(data, space, settings, poses.mean(0), poses.std(0))

    def __call__(self, step: int) -> tuple[Parts, dict[str, Tensor]]:
        count, views = self.settings.batch, self.data.images.shape[1]
        generator = torch.Generator().manual_seed(seed_of(self.settings.seed, "batch", step))
        scene = torch.randint(len(self.data), (count,), generator=generator)
        one = torch.randint(views, (count,), generator=generator)
        other = (one + torch.randint(1, views, (count,), generator=generator)) % views
        away = torch.randint(1, len(self.data), (count,), generator=generator)
        match = torch.arange(count) % 2
        shown = torch.where(match == 1, scene, (scene + away) % len(self.data))
        pictures = torch.cat([self.data.images[scene, one], self.data.images[shown, other]]).float() / 255
        first, second = self.space.encode(relit(pictures, generator)).chunk(2)
        pose = (self.data.poses(scene, one, other) - self.mean) / self.deviation
        return Parts(one=first, other=second), {"pose": pose, "match": match, "style": self.data.styles[scene]}


def descriptor_loss(found: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
    """The loss of a batch, for any of the tasks."""
    if "style" in found:
        return F.cross_entropy(found["style"], target["style"])
    there = target["match"] == 1
    apart = (found["pose"] - target["pose"]).abs()[there].mean()
    return apart + F.cross_entropy(found["match"], target["match"])


def train_descriptor(options: DescriptorTraining, run: TrainRun) -> WeightCard:
    """Train a network; measure it on held-out terraces; write its weights and card, without the heads.

    Raises:
        ValueError: a folder that cannot be written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with a checkpoint in the folder.
    """
    asked, settings = asked_of(options, run), options.settings
    if (done := run.finished(asked, "descriptor")) is not None:
        return done
    make, size = lookup("descriptor", options.variant), PoseNet.picture_size
    data = make_terraces(options.scenes, options.views, size, seed=settings.seed)
    held = make_terraces(options.held_out, options.views, size, seed=settings.seed + HELD_OUT)
    space = space_of(data)
    channels = {"channels": 6} if options.task == "stacked" else {}
    torch.manual_seed(seed_of(settings.seed, "weights"))
    whole = WHOLE[options.task](make(**channels)).to(run.device)
    batches = PairBatches.of(data, space, settings)
    with run.opened(asked, settings.steps) as opened:
        fit(whole, batches, descriptor_loss, settings, keep=opened.keep, report=opened.report)
        opened.meter.stop()
        round_to_half(whole)
        with Meter(f"measuring on {len(held)} held-out terraces"):
            scores = scored(whole, held, batches)
        card = WeightCard(
            name=run.name,
            kind="descriptor",
            architecture=options.variant,
            options=channels,
            inputs={"image": size, "mean": space.mean, "std": space.std, "order": space.order},
            scores=scores,
            held_out=len(held),
            data=f"{data.source}, {len(data)} terraces",
            command=opened.command,
            seed=settings.seed,
            licence="Apache-2.0",
            environment=f"torch {torch.__version__}, {platform.machine()}, {run.device}",
            notes=f"task {options.task}, {settings.steps} steps of {settings.batch}",
        )
        return save_network(whole.net, card, opened.run.path)  # type: ignore[arg-type]


def space_of(data: Terraces) -> Image:
    """What a network is fed: channels in the order blue, green, red, from 0 to 255, minus their means, as the paper
    has it (section 4)."""
    mean = data.images[:1000].float().mean((0, 1, 3, 4)).flip(0) / 255
    size = data.images.shape[-1]
    return Image(height=size, width=size, mean=tuple(mean.tolist()), std=(1 / 255,) * 3, order="bgr")


@torch.no_grad()
def scored(whole: nn.Module, held: Terraces, batches: PairBatches) -> dict[str, float]:
    """How well a trained network does on held-out terraces.

    ``style accuracy``; or of all pairs of views of a terrace the median angle between the relative rotation and the one
    that is found (degrees), and the median distance between the place of the second camera and the one that is found
    (m), each beside that of a guess, the mean pose of the training set; and the share of pairs, half of them of two
    terraces, for which ``match`` is wrong.
    """
    device = next(whole.parameters()).device

    def asked(one: Tensor, other: Tensor) -> dict[str, Tensor]:
        found = []
        for first, second in zip(one.split(100), other.split(100), strict=True):
            shown = Parts(one=encoded(first, batches.space), other=encoded(second, batches.space)).to(device)
            found.append({name: each.cpu() for name, each in whole(shown).items()})
        return {name: torch.cat([each[name] for each in found]) for name in found[0]}

    if isinstance(whole, Styled):
        views = held.images.flatten(0, 1)
        right = asked(views, views)["style"].argmax(1) == held.styles.repeat_interleave(held.images.shape[1])
        return {"style accuracy": round(right.float().mean().item(), 4)}
    scene, one, other = held.pairs()
    first = held.images[scene, one]
    found = asked(first, held.images[scene, other])
    wrong = found["match"].argmax(1) != 1
    wrong_away = asked(first, held.images[(scene + 1) % len(held), other])["match"].argmax(1) != 0
    true = held.poses(scene, one, other)
    said = found["pose"] * batches.deviation + batches.mean
    guess = batches.mean.expand_as(true)
    table = {"match error": torch.cat([wrong, wrong_away]).float().mean()}
    for name, poses in (("", said), (", guess", guess)):
        table[f"rotation error{name}"] = rotation_error(poses, true).median()
        table[f"place error{name}"] = (poses[:, 3:] - true[:, 3:]).norm(dim=1).median()
    return {name: round(float(value), 4) for name, value in table.items()}


def encoded(images: Tensor, space: Image) -> Tensor:
    """Pictures (B, 3, S, S) of 0 to 255 as a network takes them."""
    return space.encode(images.float() / 255)


def rotation_error(poses: Tensor, true: Tensor) -> Tensor:
    """(B,) the angle in degrees between the rotations of two poses (B, 6)."""
    one, other = (
        np.stack([rotated(*np.radians(each)) for each in table[:, :3].double().numpy()]) for table in (poses, true)
    )
    trace = np.einsum("bij,bij->b", one, other)
    return torch.from_numpy(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))
