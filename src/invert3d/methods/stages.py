"""One recipe for every method, and the one runner that takes a batch through its stages.

A method is an argument list to the loop (``engine.loop``); a recipe is several such lists, one a stage. Each stage goes
on from where the last one ended, and after each the best starts of every sample are kept.
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Balanced, Objective, as_terms
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.projection import Projection
from invert3d.engine.recorder import Recorder, Snapshots, StopWhen, Trace
from invert3d.engine.result import Checkpoint, Result
from invert3d.engine.space import Space
from invert3d.engine.stepper import Stepper
from invert3d.engine.transform import Transform
from invert3d.engine.tree import Tree, moved, rows_of, size_of
from invert3d.methods.judge import Judge
from invert3d.objectives.classes import CrossEntropy
from invert3d.ops.seeds import seed_of
from invert3d.parameterizations.direct import Direct
from invert3d.registry import register, registered

register("stop", "probable")(StopWhen)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some steps of the loop with one setting.

    ``parameterization`` and ``transforms`` (``()`` shows x as it is) stand in place of the recipe's. A stage that draws
    x in another way than the one before begins with the x of that one.
    """

    steps: int
    keep: int | None = None  # how many starts of each sample go on to the next stage; by default all
    stepper: Stepper = Stepper()  # its schedule runs over this stage
    parameterization: Parameterization | None = None
    transforms: tuple[Transform, ...] | None = None
    projections: tuple[Projection, ...] = ()  # applied to x after each step
    stop: Recorder | None = None  # says which starts need no more steps of this stage
    precision: Literal["any", "full"] = "any"  # full: of the model, even where it was opened in half

    def __post_init__(self) -> None:
        if self.steps < 1 or (self.keep is not None and self.keep < 1):
            raise ValueError(f"a stage needs at least one step and one start to keep, not {self.steps} and {self.keep}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All hyper-parameters of a method, in plain values. ``methods.recipes`` reads and writes them as TOML.

    If ``balanced``, weights after the first are shares of the length of the first term's gradient
    (``engine.objective.Balanced``).
    ``parameterization`` and ``transforms`` say how x is drawn and seen, in the stages that say nothing else. ``judge``
    ranks the starts: ``none`` is the loss, ``own`` the inverted network in other views, or the name of bundled weights,
    whose vote is added to it. ``families`` are tables of what is different for a family of networks
    (``methods.recipes.in_family``), by its name.
    """

    name: str
    about: str = ""
    objective: Objective = field(default_factory=CrossEntropy)
    balanced: bool = False
    parameterization: Parameterization = field(default_factory=Direct)
    transforms: tuple[Transform, ...] = ()
    stages: tuple[Stage, ...] = (Stage(steps=1000),)
    points: int = 1024  # of a cloud; 0 where x is no cloud
    candidates: int = 0  # random starts that are looked at without a derivative (``methods.classes``)
    starts: int = 1  # of each sample
    judge: str = "none"
    families: dict[str, dict[str, Any]] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if self.starts < 1 or 0 != self.points < 16:
            raise ValueError(f"a recipe needs at least 1 start and 16 points, not {self.starts} and {self.points}")
        if self.candidates and self.candidates < self.starts:
            raise ValueError(f"{self.starts} starts cannot be chosen among {self.candidates} candidates")
        if not self.stages:
            raise ValueError("a recipe needs at least one stage")

    @property
    def loss(self) -> Objective:
        """What is minimized: the objective, balanced if so asked."""
        return Balanced(terms=as_terms(self.objective)) if self.balanced else self.objective

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def drawn(self, stage: int) -> Parameterization:
        """How x is drawn in a stage, by its number."""
        return self.stages[stage].parameterization or self.parameterization

    def views(self, stage: int) -> tuple[Transform, ...]:
        """How x is seen in a stage, by its number."""
        chosen = self.stages[stage].transforms
        return self.transforms if chosen is None else chosen


@dataclass(kw_only=True)
class Unfinished:
    """Where a run stands at the beginning of a stage, or, with a checkpoint, inside it. S counts the starts.

    Trace, snapshots and seconds are of the stages before.
    """

    stage: int = 0
    names: list[str]  # of the starts, ``SAMPLE/start K``: what they draw follows from these
    places: list[int]  # the sample (its place in the batch) that each start belongs to
    theta: dict[str, Tensor] = field(default_factory=dict)  # that the stage begins with (S, ...); empty to draw one
    given: Tensor | None = None  # the x (S, *shape) that the run was asked to begin with
    taken: Tensor  # steps (S,) in the stages before
    trace: dict[str, Tensor] = field(default_factory=dict)
    snapshots: Tensor | None = None
    snapshot_steps: Tensor | None = None
    seconds: float = 0.0
    checkpoint: Checkpoint | None = None

    def to_bytes(self) -> bytes:
        """What ``from_bytes`` makes the same of."""
        buffer = io.BytesIO()
        torch.save({**vars(self), "checkpoint": self.checkpoint and vars(self.checkpoint)}, buffer)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Unfinished":
        """Read without running code. Raises ValueError for anything that ``to_bytes`` did not write."""
        try:
            table: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
            checkpoint = table.pop("checkpoint")
            return cls(**table, checkpoint=checkpoint and Checkpoint(**checkpoint))
        except Exception as error:  # torch and pickle raise half a dozen kinds
            raise ValueError(f"not an unfinished run, or a damaged one: {error}") from error


def run_stages(
    model: Frozen,
    target: Tree | None,
    recipe: Recipe,
    *,
    samples: Sequence[str] | None = None,
    seed: int = 0,
    theta: dict[str, Tensor] | None = None,
    start: Tensor | None = None,
    judge: Judge | None = None,
    recorders: Sequence[Recorder] = (),
    snapshots: int = 0,
    resume: Unfinished | None = None,
) -> tuple[Result, Unfinished | None]:
    """Take a batch of samples through the stages of a recipe, and keep the best start of each.

    Start ``k`` of a sample draws what follows from the seed, the stage, and ``SAMPLE/start k``: the same in any batch.

    Args:
        target: what is asked of each of the A samples: (A, ...), a dictionary of such, or None.
        samples: their names in the whole run; by default ``0``, ``1``, ...
        theta, start: begin with these, ``recipe.starts`` rows for each sample; or with these x (A, *shape).
        judge: ranks the starts after each stage, and a start that the stage made worse goes back to what it was.
            Without one, those that stopped early come first, then those of lowest loss.
        recorders: see the states of all stages.
        snapshots: how many x on the way to keep of each sample, over all stages.
        resume: go on from what an interrupted call returned.

    The result's steps, trace and snapshots are those of all stages. After Ctrl-C it holds what there is,
    ``interrupted``, and comes with where it stands. Raises ValueError for a ``start`` that the recipe cannot begin
    with, or another run's ``resume``.
    """
    samples = list(map(str, range(size_of(target, "targets")))) if samples is None else list(samples)
    now = resume or _beginning(recipe, model, samples, theta, start)
    if any(not name.startswith(f"{samples[place]}/") for name, place in zip(now.names, now.places, strict=True)):
        raise ValueError(f"cannot go on with {', '.join(samples)}: the run that was interrupted had {now.names}")
    for number in range(now.stage, len(recipe.stages)):
        last, stage = number == len(recipe.stages) - 1, recipe.stages[number]
        result = _optimized(model, target, recipe, now, seed, recorders, snapshots)
        early = (result.steps < stage.steps).tolist()
        if judge is None or result.interrupted:
            losses = result.loss.double().nan_to_num(math.inf).tolist()
            scores = [(done, -loss) for done, loss in zip(early, losses, strict=True)]
        else:
            scores = _judged(judge, result, model, target, recipe, now, seed)
        _add_before(result, now, sum(each.steps for each in recipe.stages[:number]))
        kept = _kept(scores, now.places, 1 if last or result.interrupted else stage.keep)
        if last or result.interrupted:
            break
        now = _moved_on(result.select(kept), now, kept, recipe, model, seed)
    left = replace(now, checkpoint=result.checkpoint, seconds=result.seconds) if result.interrupted else None
    result = result.select(kept)
    result.checkpoint = None
    return result, left


def encoder_of(recipe: Recipe, stage: int = 0) -> Callable[[Tensor, Space], dict[str, Tensor]]:
    """What makes a theta of a given x. Raises ValueError if the recipe cannot begin (that stage) with one."""
    drawn = recipe.drawn(stage)
    encode = getattr(drawn, "encode", None)
    if encode is None:
        able = " and ".join(name for name, cls in registered("parameterization").items() if hasattr(cls, "encode"))
        why = f"{type(drawn).__name__} cannot stand for one; {able} can"
        raise ValueError(f"the recipe {recipe.name} cannot begin with a given input: {why}")
    return encode


def _beginning(
    recipe: Recipe, model: Frozen, samples: list[str], theta: dict[str, Tensor] | None, start: Tensor | None
) -> Unfinished:
    places = [place for place in range(len(samples)) for _ in range(recipe.starts)]
    names = [f"{sample}/start {k}" for sample in samples for k in range(recipe.starts)]
    if start is not None and start.shape != (len(samples), *model.space.shape):
        raise ValueError(f"the start must be {(len(samples), *model.space.shape)}, not {tuple(start.shape)}")
    given = None if start is None else start.to(model.device)[places]
    if given is not None and theta is None:
        theta = encoder_of(recipe)(given, model.space)
    for stage in range(1, len(recipe.stages)):
        if type(recipe.drawn(stage)) is not type(recipe.drawn(stage - 1)):
            encoder_of(recipe, stage)  # refused now, not after the stages before
    none = torch.zeros(len(names), dtype=torch.long)
    return Unfinished(names=names, places=places, theta=theta or {}, given=given, taken=none)


def _optimized(
    model: Frozen,
    target: Tree | None,
    recipe: Recipe,
    now: Unfinished,
    seed: int,
    recorders: Sequence[Recorder],
    snapshots: int,
) -> Result:
    """One stage of the loop."""
    stage = recipe.stages[now.stage]
    watchers: list[Recorder] = [Trace()]
    if snapshots:
        watchers.append(Snapshots(count=max(2, round(snapshots * stage.steps / recipe.steps))))
    if stage.stop is not None:
        watchers.append(stage.stop)
    if stage.precision == "full" and model.bf16:
        model = Frozen(model.model, model.space, output=model.output, key=model.key)
    return optimize(
        model,
        recipe.loss,
        recipe.drawn(now.stage),
        target=rows_of(target, now.places),
        batch=len(now.places),
        steps=stage.steps,
        stepper=stage.stepper,
        transforms=recipe.views(now.stage),
        projections=stage.projections,
        recorders=[*watchers, *recorders],
        seed=seed_of(seed, "stage", now.stage),
        samples=now.names,
        theta=moved(now.theta, model.device) or None,
        start=now.given,
        checkpoint=now.checkpoint,
    )


@torch.no_grad()
def _judged(
    judge: Judge, result: Result, model: Frozen, target: Tree | None, recipe: Recipe, now: Unfinished, seed: int
) -> list[tuple[float]]:
    """The scores of the starts. Those that were better before the stage go back to that, in ``result``."""
    drawn = recipe.drawn(now.stage)

    def scores(theta: dict[str, Tensor]) -> Tensor:
        draws = Draws.seeded(seed, now.names, "judge")
        return judge(drawn, theta, rows_of(target, now.places), recipe.transforms, draws)

    after = scores(result.theta)
    if now.theta:
        began = moved(now.theta, model.device)
        before = scores(began)
        worse = (after < before).nonzero()[:, 0].tolist()
        if worse:
            theirs = rows_of(began, worse)
            for name, value in theirs.items():
                result.theta[name][worse] = value
            draws = Draws.seeded(seed, [now.names[i] for i in worse], "put back", now.stage)
            result.x[worse] = drawn(theirs, model.space, draws)
            result.outputs[worse] = model(result.x[worse])
            result.loss[worse] = result.trace["loss"][0, worse].to(result.loss)
        after = torch.maximum(after, before)
    return [(score,) for score in after.tolist()]


def _kept(scores: Sequence[tuple[float, ...]], places: Sequence[int], keep: int | None) -> list[int]:
    """The starts that go on: the ``keep`` best of each sample, or all, in order."""
    chosen: dict[int, list[int]] = {place: [] for place in sorted(set(places))}
    for i in sorted(range(len(scores)), key=scores.__getitem__, reverse=True):
        if keep is None or len(chosen[places[i]]) < keep:
            chosen[places[i]].append(i)
    return [i for mine in chosen.values() for i in sorted(mine)]


def _add_before(result: Result, now: Unfinished, steps: int) -> None:
    """Put what was recorded in the stages before, which had so many steps, in front of what this one recorded."""
    for name, value in result.trace.items():
        value = value + steps if name == "step" else value
        result.trace[name] = torch.cat([now.trace[name], value]) if name in now.trace else value
    if result.snapshots is not None and result.snapshot_steps is not None:
        result.snapshot_steps = result.snapshot_steps + steps
        if now.snapshots is not None and now.snapshot_steps is not None:
            result.snapshots = torch.cat([now.snapshots, result.snapshots])
            result.snapshot_steps = torch.cat([now.snapshot_steps, result.snapshot_steps])
    result.steps, result.seconds = result.steps + now.taken, result.seconds + now.seconds


@torch.no_grad()
def _moved_on(result: Result, now: Unfinished, kept: list[int], recipe: Recipe, model: Frozen, seed: int) -> Unfinished:
    """The beginning of the next stage, with the starts that were kept."""
    stage, names, theta = now.stage + 1, [now.names[i] for i in kept], result.theta
    before, after = recipe.drawn(now.stage), recipe.drawn(stage)
    if type(before) is not type(after):
        x = before(theta, model.space, Draws.seeded(seed, names, "handed over", stage))
        theta = encoder_of(recipe, stage)(x, model.space)
    return Unfinished(
        stage=stage,
        names=names,
        places=[now.places[i] for i in kept],
        theta=theta,
        given=None if now.given is None else now.given[kept],
        taken=result.steps,
        trace=result.trace,
        snapshots=result.snapshots,
        snapshot_steps=result.snapshot_steps,
        seconds=result.seconds,
    )
