"""Class inversion: what does this network think an airplane is?

As published (*Inverting 3D Deep Learning Architectures*, section 3.2) it is one stage of free points under plain
gradient descent. Ours draws the points from a few solids or a sheet, starts many times, lets a judge keep the good
starts, and goes on with those. Both are a ``Recipe``: argument lists to the one loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.projection import Projection
from invert3d.engine.recorder import Recorder, Snapshots, StopWhen, Trace
from invert3d.engine.result import Checkpoint, Result
from invert3d.engine.stepper import Stepper
from invert3d.engine.transform import Transform, chained
from invert3d.methods.judge import Judge
from invert3d.objectives.classes import CrossEntropy
from invert3d.parameterizations.direct import Direct


@dataclass(frozen=True, kw_only=True)
class Stage:
    """``steps`` of the loop, after which the judge keeps the ``keep`` best starts of each shape asked for.

    A judge compares each start with what it was before the stage and keeps the better, so no stage makes it worse.
    """

    steps: int
    keep: int = 1
    stepper: Stepper = Stepper()
    parameterization: Parameterization | None = None  # another than the recipe's, begun at the x reached so far
    projections: tuple[Projection, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 1 or self.keep < 1:
            raise ValueError(f"a stage needs at least one step and one start to keep, not {self.steps} and {self.keep}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All hyper-parameters of an inversion, in plain values."""

    name: str
    points: int = 1024
    candidates: int = 0  # random starts that are looked at, without a derivative, for each set of shapes
    starts: int = 1  # how many of them, the likeliest of the class, begin; or so many at random without candidates
    objective: Objective = field(default_factory=CrossEntropy)
    parameterization: Parameterization = field(default_factory=Direct)
    transforms: tuple[Transform, ...] = ()
    stages: tuple[Stage, ...] = (Stage(steps=1000),)
    judge: str = "none"  # "none", "own", or the name of bundled weights
    stop_at: float | None = None  # a sample is done at this probability, kept for ten steps
    about: str = ""

    def __post_init__(self) -> None:
        if self.starts < 1 or self.points < 16:
            raise ValueError(f"a recipe needs at least 1 start and 16 points, not {self.starts} and {self.points}")
        if self.candidates and self.candidates < self.starts:
            raise ValueError(f"{self.starts} starts cannot be chosen among {self.candidates} candidates")
        if not self.stages:
            raise ValueError("a recipe needs at least one stage")

    @property
    def steps(self) -> int:
        """Steps of the loop that the samples still in the run have taken at its end."""
        return sum(stage.steps for stage in self.stages)


@dataclass
class Unfinished:
    """Where an interrupted inversion stands: the stage, the starts still in the run, what was recorded before."""

    stage: int
    samples: list[int]
    places: list[int]  # which shape asked for each of them belongs to
    theta: dict[str, Tensor]  # that the stage begins with; empty for one of its own
    checkpoint: Checkpoint | None
    trace: list[dict[str, Tensor]]
    frames: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # steps and snapshots of the stages before


def invert(
    model: Frozen,
    target: Tensor,
    recipe: Recipe,
    *,
    judge: Judge | None = None,
    seed: int = 0,
    samples: Sequence[int] | None = None,
    pools: Sequence[int] | None = None,
    recorders: Sequence[Recorder] = (),
    snapshots: int = 12,
    resume: Unfinished | None = None,
) -> tuple[Result, Unfinished | None]:
    """Invert classes: one shape for each entry of ``target`` (A,).

    Args:
        model: a frozen classifier of clouds.
        target: the class asked for, shape by shape; ask twice for two shapes of a class.
        recipe: how.
        judge: keeps the good starts after each stage; without one the starts of lowest loss are kept.
        seed: fixes every draw; ``samples`` number the shapes within the run (default 0, 1, ...).
        pools: which set of candidates each shape chooses from (default: a set of its own); shapes of different classes
            may share one, two shapes of a class should not.
        recorders: see the states of all stages.
        snapshots: how many to keep of each shape, over all stages.
        resume: go on from an interrupted call.

    Returns:
        A ``Result`` of A shapes with snapshots and a trace over all stages, and where it stands if interrupted.
    """
    numbers = list(samples if samples is not None else range(len(target)))
    now = resume or _beginning(recipe, numbers)
    if resume is None and recipe.candidates:
        now.theta = _likeliest(recipe, model, target, list(pools if pools is not None else numbers), seed)
    seconds = 0.0
    while True:
        stage = recipe.stages[now.stage]
        parameterization = stage.parameterization or recipe.parameterization
        if stage.parameterization is not None and now.theta and "x" not in now.theta:
            now.theta = _freed(recipe.parameterization, now, model, seed)
        share = max(2, round(snapshots * stage.steps / recipe.steps))
        watchers: list[Recorder] = [Trace(), Snapshots(count=share), *recorders]
        if recipe.stop_at is not None:
            watchers.append(StopWhen(probability=recipe.stop_at))
        result = optimize(
            model,
            recipe.objective,
            parameterization,
            target=target[now.places],
            steps=stage.steps,
            stepper=stage.stepper,
            transforms=recipe.transforms,
            projections=stage.projections,
            recorders=watchers,
            seed=seed + now.stage,
            samples=now.samples,
            theta=now.theta or None,
            checkpoint=now.checkpoint,
        )
        seconds += result.seconds
        if result.interrupted:
            left = replace(now, checkpoint=result.checkpoint)
            return _gathered(result, now, target, recipe, seconds), left
        scores = _scores(result, recipe, judge, parameterization, now, target, seed, model)
        kept = _kept(scores, now.places, stage.keep)
        result = result.select(kept)
        frames = [(steps, x[:, kept]) for steps, x in now.frames] + _frames(result, recipe, now.stage)
        now = Unfinished(
            stage=now.stage + 1,
            samples=[now.samples[i] for i in kept],
            places=[now.places[i] for i in kept],
            theta=result.theta,
            checkpoint=None,
            trace=[
                *({k: v if k == "step" else v[:, kept] for k, v in part.items()} for part in now.trace),
                result.trace,
            ],
            frames=frames,
        )
        if now.stage == len(recipe.stages):
            return _gathered(result, now, target, recipe, seconds), None


def _beginning(recipe: Recipe, numbers: list[int]) -> Unfinished:
    starts = range(recipe.starts)
    return Unfinished(
        stage=0,
        samples=[number * 1000 + start for number in numbers for start in starts],
        places=[place for place in range(len(numbers)) for _ in starts],
        theta={},
        checkpoint=None,
        trace=[],
    )


@torch.no_grad()
def _likeliest(recipe: Recipe, model: Frozen, target: Tensor, pools: list[int], seed: int) -> dict[str, Tensor]:
    """For each shape asked for, the ``starts`` candidates of its pool that the network finds likeliest of its class.

    All candidates are seen in one random view, the best of each class in two more, so that no lucky view decides.
    """
    chosen: dict[int, list[dict[str, Tensor]]] = {}
    for pool in dict.fromkeys(pools):
        numbers = [pool * 1_000_000 + j for j in range(recipe.candidates)]
        like = torch.empty(len(numbers), 0, dtype=model.dtype, device=model.device)
        theta = recipe.parameterization.initialize(like, model.space, Draws.seeded(seed + 13, numbers))
        asked = [place for place, own in enumerate(pools) if own == pool]
        likely = _seen(recipe, model, theta, numbers, seed + 29)[:, target[asked]]
        best = likely.topk(min(8 * recipe.starts, len(numbers)), dim=0).indices
        some = best.flatten().unique()
        subset = {name: value[some] for name, value in theta.items()}
        their = [numbers[i] for i in some.tolist()]
        again = torch.stack([_seen(recipe, model, subset, their, seed + 31 + view) for view in range(2)]).sum(0)
        likely[some] += again[:, target[asked]]
        for column, place in enumerate(asked):
            rows = best[likely[best[:, column], column].topk(recipe.starts).indices, column]
            chosen[place] = [{name: value[i] for name, value in theta.items()} for i in rows]
    flat = [start for place in range(len(pools)) for start in chosen[place]]
    return {name: torch.stack([start[name] for start in flat]) for name in flat[0]}


def _seen(recipe: Recipe, model: Frozen, theta: dict[str, Tensor], numbers: list[int], seed: int) -> Tensor:
    """Log-probabilities (B, K) of every class for the thetas (B, ...), each drawn once and seen in one random view."""
    draws = Draws.seeded(seed, numbers)
    x, _ = chained(recipe.transforms, recipe.parameterization(theta, model.space, draws), None, draws)
    return torch.cat([model(part).log_softmax(-1) for part in x.split(64)])


def _freed(surface: Parameterization, now: Unfinished, model: Frozen, seed: int) -> dict[str, Tensor]:
    with torch.no_grad():
        return {"x": surface(now.theta, model.space, Draws.seeded(seed + 77, now.samples))}


def _scores(
    result: Result,
    recipe: Recipe,
    judge: Judge | None,
    parameterization: Parameterization,
    now: Unfinished,
    target: Tensor,
    seed: int,
    model: Frozen,
) -> Tensor:
    """How good each start is, larger is better: (B,). Those that were better before the stage go back to that."""
    if judge is None or not judge.networks:
        return -result.loss.cpu().double()

    def judged(theta: dict[str, Tensor]) -> Tensor:
        draws = Draws.seeded(seed + 991, now.samples)
        return judge(parameterization, theta, target[now.places], recipe.transforms, draws)

    after = judged(result.theta)
    if not now.theta:
        return after
    before = judged(now.theta)
    worse = (after < before).nonzero()[:, 0].to(result.x.device)
    if len(worse):
        _put_back(result, worse, now, parameterization, model, seed)
    return torch.maximum(after, before)


@torch.no_grad()
def _put_back(
    result: Result, rows: Tensor, now: Unfinished, parameterization: Parameterization, model: Frozen, seed: int
) -> None:
    theta = {name: value.to(rows.device)[rows] for name, value in now.theta.items()}
    for name, value in theta.items():
        result.theta[name][rows] = value
    draws = Draws.seeded(seed + 77, [now.samples[i] for i in rows.tolist()])
    result.x[rows] = parameterization(theta, model.space, draws)
    result.outputs[rows] = model(result.x[rows])
    result.loss[rows] = result.trace["loss"][0].to(rows.device)[rows]


def _kept(scores: Tensor, owners: list[int], keep: int) -> list[int]:
    """Positions of the starts that go on: the ``keep`` best of each shape asked for, in order."""
    places = torch.tensor(owners)
    kept = []
    for place in range(int(places.max()) + 1):
        mine = (places == place).nonzero()[:, 0]
        kept += sorted(mine[scores[mine].argsort(descending=True)[:keep]].tolist())
    return kept


def _frames(result: Result, recipe: Recipe, stage: int) -> list[tuple[Tensor, Tensor]]:
    before = sum(each.steps for each in recipe.stages[:stage])
    if result.snapshots is None or result.snapshot_steps is None:
        return []
    return [(result.snapshot_steps + before, result.snapshots)]


def _gathered(result: Result, now: Unfinished, target: Tensor, recipe: Recipe, seconds: float) -> Result:
    """The result of the last stage with the traces and snapshots of all; the best start of each shape asked for."""
    first = [now.places.index(place) for place in range(len(target))]
    result = result.select(first)
    result.target, result.seconds = target.cpu(), seconds
    offsets = [sum(each.steps for each in recipe.stages[:i]) for i in range(len(now.trace))]
    if now.trace:
        result.trace = {
            name: torch.cat(
                [
                    part[name] + offset if name == "step" else part[name][:, first]
                    for part, offset in zip(now.trace, offsets, strict=True)
                ]
            )
            for name in now.trace[0]
        }
    if now.frames:
        result.snapshot_steps = torch.cat([steps for steps, _ in now.frames])
        result.snapshots = torch.cat([x[:, first] for _, x in now.frames])
    return result
