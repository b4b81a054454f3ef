"""Layout inversion: which picture would this detector take for exactly that scene?

As published (*Inverting 3D Deep Learning Architectures*, section 3.1, after Cao & Johnson 2021) the pixels are free:
Gaussian noise under the training loss of the detector and total variation, clipped at every step and blurred at every
fifth. Ours asks for the boxes as they are decoded, sees the picture in random views that move the boxes with them,
draws it from a spectrum, coarse first, and stops once the detector reads the asked layout from the picture in 8 bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.projection import Projection
from invert3d.engine.recorder import Recorder, Snapshots, Trace
from invert3d.engine.result import Result
from invert3d.engine.space import Space
from invert3d.engine.state import State
from invert3d.engine.stepper import Stepper
from invert3d.engine.transform import Transform
from invert3d.objectives.boxes3d import CenterHeads, DecodedBoxes
from invert3d.ops.boxes import corners3d
from invert3d.ops.centers import HEADS, CenterCodec, corners_round, peaks, split_heads
from invert3d.ops.objects import Objects
from invert3d.parameterizations.images import Fourier, Normalized
from invert3d.priors.images import Nearness, PublishedVariation, TotalVariation
from invert3d.priors.statistics import BatchNormStatistics
from invert3d.projections.images import Blur, ClipImage
from invert3d.registry import unknown
from invert3d.transforms.images import FlipScene, Light, MoveScene


class Reads(Protocol):
    """The part of a detector that turns pictures into maps, see ``models.detectors``."""

    codec: CenterCodec

    def raw(self, images: Tensor) -> Tensor:
        """The maps of pictures (B, 3, h, w)."""
        ...


@dataclass(frozen=True, kw_only=True)
class LayoutRecipe:
    """All hyper-parameters of a layout inversion, in plain values."""

    name: str
    objective: Objective
    parameterization: Parameterization
    stepper: Stepper
    steps: int
    transforms: tuple[Transform, ...] = ()
    projections: tuple[Projection, ...] = ()
    coarse: float = 0.0  # share of the steps in which only frequencies up to a quarter of the finest are drawn
    plain: float = 0.0  # share of the steps, at the end, in which the picture is seen as it is
    stop_every: int = 0  # look at the 8-bit picture every so many steps, and stop where all is seen; 0 never
    about: str = ""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.stop_every < 0 or min(self.coarse, self.plain) < 0 or self.coarse + self.plain >= 1:
            raise ValueError(f"a layout recipe needs steps, shares that leave some, and stop_every >= 0, not {self}")


def published(
    codec: CenterCodec,
    *,
    heads: Sequence[str] = tuple(HEADS),
    clip: str = "legal",
    steps: int = 2000,
    swapped: bool = False,
) -> LayoutRecipe:
    """The recipe of the paper's code; ``clip`` ``authors`` is its range, ``legal`` the one that was meant.

    SGD with rate 2 and momentum 0.5 on normalized pixels, the rate times 0.6 at each quarter, six heads averaged over
    50 slots, total variation 3e-5, blur from 5 to 0.5 pixels every five steps.
    """
    return LayoutRecipe(
        name="published" if clip == "legal" else "published, authors' clip",
        objective=CenterHeads(codec=codec, heads=tuple(heads), per="slot") + 3e-5 * PublishedVariation(),
        parameterization=Normalized(swapped=swapped),
        steps=steps,
        stepper=Stepper(kind="sgd", rate=2.0, momentum=0.5, decay="quarters"),
        projections=(ClipImage(range=clip, swapped=swapped), Blur()),  # type: ignore[arg-type]
        about="Agarwalla et al., section 3.1, with the settings of their code",
    )


def ours(
    codec: CenterCodec,
    *,
    heads: Sequence[str] = tuple(HEADS),
    norms: Sequence[str] = (),
    steps: int = 300,
    smooth: float = 5.0,
    natural: float = 5.0,
) -> LayoutRecipe:
    """The recipe of this library, see the top of this file.

    ``norms`` are the detector's batch norms (``priors.statistics.norm_layers``), ``natural`` the weight of being like
    what they remember, ``smooth`` that of total variation.
    """
    objective = DecodedBoxes(codec=codec, heads=tuple(heads)) + smooth * TotalVariation()
    if norms:
        objective = objective + natural * BatchNormStatistics(layers=tuple(norms))
    return LayoutRecipe(
        name="ours",
        objective=objective,
        parameterization=Fourier(),
        steps=steps,
        stepper=Stepper(rate=0.04, decay="cosine"),
        transforms=(FlipScene(), MoveScene(), Light(noise=0.2)),
        coarse=0.3,
        plain=0.3,
        stop_every=10,
        about="decoded boxes, random views, remembered statistics, a spectrum drawn coarse to fine",
    )


def smallest_change(
    codec: CenterCodec, *, heads: Sequence[str] = tuple(HEADS), steps: int = 150, near: float = 5.0
) -> LayoutRecipe:
    """From a real picture: what must change for the asked layout to be seen? ``near`` weighs the change."""
    return LayoutRecipe(
        name="smallest change",
        objective=DecodedBoxes(codec=codec, heads=tuple(heads)) + near * Nearness(),
        parameterization=Fourier(),
        stepper=Stepper(rate=0.02, decay="cosine"),
        steps=steps,
        transforms=(Light(strength=0.05, noise=0.02),),
        plain=0.5,
        stop_every=10,
        about="the boxes as they are read, and as little change as possible",
    )


RECIPES = {"ours": ours, "published": published, "smallest_change": smallest_change}


def layout_recipe(name: str, codec: CenterCodec, **options: object) -> LayoutRecipe:
    """A recipe by name. Raises ValueError for an unknown one, with the nearest."""
    if name == "published_authors":
        return published(codec, clip="authors", **options)  # type: ignore[arg-type]
    if name not in RECIPES:
        raise ValueError(unknown("layout recipe", name, [*RECIPES, "published_authors"]))
    return RECIPES[name](codec, **options)  # type: ignore[operator]


def quantized(x: Tensor) -> Tensor:
    """The picture as an 8-bit file holds it."""
    return (x.clamp(0, 1) * 255).round() / 255


@dataclass
class StopWhenSeen(Recorder):
    """A sample is done once the detector reads exactly the asked layout from its 8-bit picture.

    Every asked object is a peak above ``threshold`` whose corners are on average within ``within`` diagonals of where
    they should be, and there is no other peak above the threshold.
    """

    detector: Reads
    every: int = 10
    threshold: float = 0.3
    within: float = 0.02
    patience: int = 1

    @torch.no_grad()
    def record(self, state: State) -> None:
        if (state.step + 1) % self.every:
            return
        raw = self.detector.raw(quantized(state.x))
        right = reads_exactly(raw, Objects(state.target), self.detector.codec, self.threshold, self.within)
        before = state.memory.get("times_seen", torch.zeros(len(right), device=right.device))
        state.memory["times_seen"] = torch.where(right, before + 1, torch.zeros_like(before))

    def finished(self, state: State) -> Tensor | None:
        times = state.memory.get("times_seen")
        return None if times is None else times >= self.patience


def reads_exactly(raw: Tensor, objects: Objects, codec: CenterCodec, threshold: float, within: float) -> Tensor:
    """Whether maps (B, 19, h, w) stand for exactly the objects: (B,) booleans. See ``StopWhenSeen``."""
    height, width = raw.shape[-2:]
    objects = codec.assignable(objects, height, width)
    scores, kinds, cells = peaks(split_heads(raw)["hm"].sigmoid(), 100)
    loud = scores > threshold
    own = codec.cells(objects, height, width)
    same = (cells[:, :, None] - own[:, None]).abs().amax(-1) <= 1
    same &= kinds[:, :, None] == objects.kind[:, None]
    ignored = same | ((cells[:, :, None] - own[:, None]).abs().amax(-1) <= 2)
    claimed = (same & objects.asked[:, None]) | (ignored & objects.ignored[:, None])
    stray = (loud & ~claimed.any(-1)).any(1)
    once = ((same & loud[..., None]).sum(1) == 1) | ~objects.asked
    gaps = _nearest_gap(raw, objects, codec, same & loud[..., None], cells)
    return ~stray & once.all(1) & ((gaps <= within) | ~objects.asked).all(1)


def _nearest_gap(raw: Tensor, objects: Objects, codec: CenterCodec, same: Tensor, cells: Tensor) -> Tensor:
    """For each object (B, N) the mean distance of its corners from those read at the peak that is it, in diagonals."""
    peak = same.float().argmax(1)
    at = cells.gather(1, peak[..., None].expand(-1, -1, 2))
    found = corners_round(*codec.boxes_at(raw, at, objects.camera))
    gap = (found - corners3d(objects.size, objects.center, objects.yaw)).norm(dim=-1).mean(-1)
    return torch.where(same.any(1), gap / objects.size.norm(dim=-1).clamp_min(1e-3), torch.inf)


def invert_layouts(
    model: Frozen,
    target: Tensor,
    recipe: LayoutRecipe,
    *,
    start: Tensor | None = None,
    seed: int = 0,
    samples: Sequence[int] | None = None,
    recorders: Sequence[Recorder] = (),
    snapshots: int = 0,
) -> Result:
    """Invert layouts: one picture for each packed layout of ``target`` (A, N, 26).

    Args:
        model: a frozen detector (``models.detectors``) on a space of RGB images in [0, 1] of its size.
        target: what is asked, see ``detector.targets``; ask twice for two pictures of a layout.
        recipe: how.
        start: pictures (A, 3, h, w) to begin with; by default noise.
        seed: fixes every draw; ``samples`` number the layouts within the run (default 0, 1, ...).
        recorders: see every state.
        snapshots: how many pictures on the way to keep of each.

    Returns:
        A ``Result``: x (A, 3, h, w) RGB, in [0, 1] where the recipe keeps it so; ``steps`` each one took; a trace.

    Raises:
        ValueError: the recipe cannot begin with a picture.
    """
    theta = None if start is None else encoder_of(recipe)(start.to(model.device), model.space)
    first = {} if start is None else {"nearness": start.to(model.device)}  # also what later parts must stay near to
    result, taken, seconds = None, torch.zeros(len(target), dtype=torch.long), 0.0
    seen: dict[str, list[Tensor]] = {}
    for number, part in enumerate(parts_of(recipe)):
        watchers: list[Recorder] = [Trace(), *recorders]
        if snapshots:
            watchers.append(Snapshots(count=max(1, round(snapshots * part.steps / recipe.steps))))
        if part.stop_every:
            watchers.append(StopWhenSeen(detector=model.model, every=part.stop_every))  # type: ignore[arg-type]
        seeing = model if part.transforms or not model.bf16 else Frozen(model.model, model.space)  # the end is exact
        result = optimize(
            seeing,
            recipe.objective,
            part.parameterization,
            target=target,
            steps=part.steps,
            stepper=recipe.stepper,
            transforms=part.transforms,
            projections=recipe.projections,
            recorders=watchers,
            seed=seed + 1_000_000 * number,
            samples=samples,
            theta=theta,
            memory=first,
        )
        theta, before = result.theta, taken.max()
        taken, seconds = taken + result.steps, seconds + result.seconds
        for name, value in {**result.trace, "snapshots": result.snapshots, "at": result.snapshot_steps}.items():
            if value is not None:
                seen.setdefault(name, []).append(value + (before if name in ("step", "at") else 0))
        if result.interrupted:
            break
    assert result is not None
    whole = {name: torch.cat(parts) for name, parts in seen.items()}
    result.snapshots, result.snapshot_steps = whole.pop("snapshots", None), whole.pop("at", None)
    result.steps, result.trace, result.seconds = taken, whole, seconds
    return result


def encoder_of(recipe: LayoutRecipe) -> Callable[[Tensor, Space], dict[str, Tensor]]:
    """What turns a picture into the theta that stands for it. Raises ValueError if the recipe cannot begin with one."""
    encode = getattr(recipe.parameterization, "encode", None)
    if encode is None:
        raise ValueError(f"the recipe {recipe.name} cannot begin with a picture; ours and smallest_change can")
    return encode


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some steps on end of a recipe: how x is drawn, how it is seen, and how often it is asked whether it is done."""

    steps: int
    parameterization: Parameterization
    transforms: tuple[Transform, ...]
    stop_every: int = 0


def parts_of(recipe: LayoutRecipe) -> list[Part]:
    """The parts of a recipe: coarse, whole, plain. ValueError where coarse is asked of anything but a spectrum."""
    coarse, plain = (round(share * recipe.steps) for share in (recipe.coarse, recipe.plain))
    parts = []
    if coarse:
        if not isinstance(recipe.parameterization, Fourier):
            name = type(recipe.parameterization).__name__
            raise ValueError(f"only a spectrum can be drawn coarse to fine, not {name}")
        rough = replace(recipe.parameterization, finest=0.25)
        parts.append(Part(steps=coarse, parameterization=rough, transforms=recipe.transforms))
    parts.append(
        Part(
            steps=recipe.steps - coarse - plain,
            parameterization=recipe.parameterization,
            transforms=recipe.transforms,
            stop_every=0 if plain else recipe.stop_every,
        )
    )
    if plain:
        parts.append(
            Part(steps=plain, parameterization=recipe.parameterization, transforms=(), stop_every=recipe.stop_every)
        )
    return parts
