"""Adversarial attacks: the loop, a few steps long, inside a budget around a real input.

    recipe = attack_recipe("pgd", model.space, budget=0.02)
    result, _ = attack(model, x, labels, recipe)

An attack is a recipe whose stages move x against the loss and project it back into a ball around where it began; an
attack on voxels flips them one by one in place of a step. Recipes (``recipes/attacks``) say what an untargeted attack
minimizes: minus the loss of the true class. Targeted, the same recipe minimizes that loss for the class that is wanted.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective, WeightedSum, as_terms
from invert3d.engine.projection import Every, Projection
from invert3d.engine.recorder import Recorder
from invert3d.engine.result import Result
from invert3d.engine.space import Image, Points, Space
from invert3d.engine.state import State
from invert3d.methods.recipes import load_recipe
from invert3d.methods.stages import Recipe, Stage, Unfinished, run_stages
from invert3d.objectives.classes import ClassScore, Contrast, CrossEntropy, LogitGap, Margin
from invert3d.projections.bounds import Ball, Clip, Scatter
from invert3d.projections.surfaces import RemovePoints, TangentPlane
from invert3d.projections.voxels import FlipVoxels
from invert3d.registry import plain

#: projections that change so many elements at each step: the budget is how many in all
COUNTED = (FlipVoxels, RemovePoints)
#: objectives that a targeted attack turns round; priors stay as they are
OF_CLASSES = (ClassScore, Contrast, CrossEntropy, LogitGap, Margin)
Loss = Literal["cross_entropy", "logit_gap"]


@plain("stop", "fooled")
class Fooled(Recorder):
    """A sample is done once the network says another class than the target, or, if ``targeted``, the target."""

    targeted: bool = False

    def finished(self, state: State) -> Tensor | None:
        return (state.outputs.argmax(-1) == state.target) == self.targeted


def attack_recipe(
    name: str,
    space: Space,
    *,
    budget: float | None = None,
    steps: int | None = None,
    step_size: float | None = None,
    restarts: int | None = None,
    loss: Loss | None = None,
) -> Recipe:
    """An attack by name, or from a TOML file, on inputs of a space.

    Args:
        name: ``fgsm``, ``ifgsm``, ``pgd``, ``flips``, ... (``invert3d recipes``), or a path.
        space: what is attacked; a recipe has other budgets for points and images than for voxels.
        budget: epsilon, how much an input may change in the norm of the recipe (``norm_of``), in units of x, or how
            many voxels are flipped or points removed. Steps grow in proportion.
        steps: of the last stage, in place of the recipe's. Where there is a ball, steps are so much shorter or longer
            that all together reach as far.
        step_size: alpha, the length of a step of the last stage in units of x.
        restarts: random starts of each input; the worst for the network is kept.
        loss: ``cross_entropy``, or ``logit_gap``, whose gradient does not vanish where the network is certain.

    Raises:
        ValueError: an unknown recipe, one for other inputs, a budget that is not positive or more than there is,
            restarts of an attack without a random start, steps of one whose budget is counted in steps, or no step.
    """
    recipe = load_recipe(name, "attacks", family=space.name)
    if loss is not None:
        recipe = replace(recipe, objective=-{"cross_entropy": CrossEntropy(), "logit_gap": LogitGap()}[loss])
    if budget is not None:
        recipe = with_budget(recipe, budget)
    if steps is not None:
        recipe = with_steps(recipe, steps)
    if step_size is not None:
        recipe = with_step_size(recipe, step_size)
    if restarts is not None:
        if restarts > 1 and not any(map(_draws, projections_of(recipe))):
            raise ValueError(f"the attack {recipe.name} begins at the input itself: further starts would be the same")
        recipe = replace(recipe, starts=restarts)
    check_recipe(recipe, space)
    return recipe


def check_recipe(recipe: Recipe, space: Space) -> None:
    """Raise ValueError unless an attack fits inputs of a space."""
    elements = {"voxels": math.prod(space.shape), "points": space.shape[0]}.get(space.name, 0)
    if isinstance(space, Points) and space.normals:
        raise ValueError("an attack moves points, and not the normals that this network takes with them")
    for each in projections_of(recipe):
        if each.spaces is not None and space.name not in each.spaces:
            theirs = " or ".join(sorted(each.spaces))
            raise ValueError(f"the attack {recipe.name} is for {theirs}, and this network takes {space.name}")
        if isinstance(each, COUNTED) and budget_of(recipe) >= elements:
            raise ValueError(f"a budget of {budget_of(recipe):g} {space.name} is all there are, or more: {elements}")
        if isinstance(each, TangentPlane) and each.k >= elements:
            raise ValueError(f"{each.k} neighbors of a point in clouds of {elements} points: k must be smaller")
        low, high = space.bounds
        if isinstance(each, Clip) and (each.low > low or each.high < high):
            clipped = f"{each.low:g} to {each.high:g}, and inputs may lie in {low:g} to {high:g}"
            raise ValueError(f"the attack {recipe.name} clips values to {clipped}")


def projections_of(recipe: Recipe) -> list[Projection]:
    """All projections of a recipe, those inside ``every`` among them."""
    every = [each for stage in recipe.stages for each in stage.projections]
    return [each.projection if isinstance(each, Every) else each for each in every]


def _draws(projection: Projection) -> bool:
    return isinstance(projection, Scatter) or (isinstance(projection, FlipVoxels) and projection.at_random)


def _counted(recipe: Recipe) -> int:
    """How many elements the last stage changes at each step; 0 if it moves all a little."""
    return next((each.count for each in recipe.stages[-1].projections if isinstance(each, COUNTED)), 0)


def budget_of(recipe: Recipe) -> float:
    """How much an input may change: the radius of the ball, the number of elements, or, without either, one step."""
    if count := _counted(recipe):
        return float(recipe.stages[-1].steps * count)
    balls = [each.radius for each in projections_of(recipe) if isinstance(each, Ball | Scatter)]
    return balls[0] if balls else recipe.stages[-1].stepper.rate


def norm_of(recipe: Recipe) -> str:
    """The norm of the budget: ``linf``, ``l2``, with ``per point`` where each has its own, ``l0`` for elements that are
    counted, ``step`` where only the length of a step is given."""
    if _counted(recipe):
        return "l0"
    for each in projections_of(recipe):
        if isinstance(each, Ball | Scatter):
            return each.norm + (" per point" if getattr(each, "per", "sample") == "point" else "")
    return "step"


def with_budget(recipe: Recipe, budget: float) -> Recipe:
    """The recipe with another budget. Raises ValueError unless it is positive and finite, and where elements are
    counted, so many at each step, a multiple of these."""
    counted = _counted(recipe)
    if not 0 < budget < math.inf or (counted and budget % counted):
        kind = f"a positive multiple of {counted}" if counted else "positive and finite"
        raise ValueError(f"the budget of {recipe.name} must be {kind}, not {budget}")
    if counted:
        return replace(recipe, stages=(*recipe.stages[:-1], replace(recipe.stages[-1], steps=int(budget) // counted)))
    factor = budget / budget_of(recipe)

    def scaled(projection: Projection) -> Projection:
        if isinstance(projection, Every):
            return replace(projection, projection=scaled(projection.projection))
        sized = isinstance(projection, Ball | Scatter)
        return replace(projection, radius=projection.radius * factor) if sized else projection

    def changed(stage: Stage) -> Stage:
        stepper = replace(stage.stepper, rate=stage.stepper.rate * factor)
        return replace(stage, stepper=stepper, projections=tuple(map(scaled, stage.projections)))

    return replace(recipe, stages=tuple(map(changed, recipe.stages)))


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with another number of steps in its last stage, see ``attack_recipe``."""
    last = recipe.stages[-1]
    if _counted(recipe):
        raise ValueError(f"the steps of {recipe.name} are its budget: give that")
    if steps < 1:
        raise ValueError(f"an attack needs at least one step, not {steps}")
    rate = last.stepper.rate * (1 if norm_of(recipe) == "step" else last.steps / steps)
    last = replace(last, steps=steps, stepper=replace(last.stepper, rate=rate))
    return replace(recipe, stages=(*recipe.stages[:-1], last))


def with_step_size(recipe: Recipe, length: float) -> Recipe:
    """The recipe with steps of another length in its last stage."""
    if _counted(recipe):
        raise ValueError(f"{recipe.name} has no step size: it changes so many elements at each step")
    last = recipe.stages[-1]
    last = replace(last, stepper=replace(last.stepper, rate=length))
    return replace(recipe, stages=(*recipe.stages[:-1], last))


def toward(recipe: Recipe) -> Recipe:
    """The recipe of an untargeted attack as that of a targeted one: it minimizes the loss of the class it maximized."""
    terms = [(-w if isinstance(term, OF_CLASSES) else w, term) for w, term in as_terms(recipe.objective)]
    objective: Objective = WeightedSum(terms=tuple(terms))

    def turned(stage: Stage) -> Stage:
        return replace(stage, stop=Fooled(targeted=True)) if isinstance(stage.stop, Fooled) else stage

    return replace(recipe, objective=objective, stages=tuple(map(turned, recipe.stages)))


def is_targeted(recipe: Recipe) -> bool:
    """Whether a recipe minimizes the loss of the target class."""
    return any(weight > 0 for weight, term in as_terms(recipe.objective) if isinstance(term, OF_CLASSES))


def attack(
    model: Frozen,
    x: Tensor,
    target: Tensor,
    recipe: Recipe,
    *,
    samples: Sequence[str] | None = None,
    seed: int = 0,
    recorders: Sequence[Recorder] = (),
    resume: Unfinished | None = None,
) -> tuple[Result, Unfinished | None]:
    """Attack inputs x (B, *space.shape), legal ones, of the classes ``target`` (B,): those they are of, or, by a recipe
    that was turned ``toward`` them, those they shall become. All else as ``run_stages``.

    Of several starts of an input one is kept by what the network says of it in the end: one that is fooled before one
    that is not, then by the gap between the two logits. The result's loss is one step older than its x.

    Raises:
        ValueError: inputs that are not legal, a recipe that does not fit them, or no class (B,) of each.
    """
    check_recipe(recipe, model.space)
    model.space.validate(x)
    if not len(x) or target.shape != (len(x),) or target.is_floating_point():
        raise ValueError(f"{len(x)} inputs need as many classes, whole numbers ({len(x)},), not {tuple(target.shape)}")
    x, target = x.detach().to(model.device, model.dtype), target.to(model.device)
    names = list(map(str, range(len(x)))) if samples is None else list(samples)
    starts = recipe.starts
    result, left = run_stages(
        model,
        target.repeat_interleave(starts),
        replace(recipe, starts=1),
        samples=[f"{name}/{k}" for name in names for k in range(starts)],
        seed=seed,
        start=x.repeat_interleave(starts, 0),
        recorders=recorders,
        resume=resume,
    )
    if starts > 1:
        result = result.select(worst(model, result, target.repeat_interleave(starts), starts, is_targeted(recipe)))
    return result, left


@torch.no_grad()
def worst(model: Frozen, result: Result, target: Tensor, starts: int, targeted: bool) -> list[int]:
    """The rows of a result that are worst for the network, one of each ``starts``: those of the largest gap between the
    logits of another class and the true one, or, if ``targeted``, the other way round."""
    outputs = torch.cat([model(part) for part in result.x.split(64)])
    own = outputs.gather(1, target[:, None])[:, 0]
    other = outputs.scatter(1, target[:, None], -torch.inf).amax(1)
    gaps = (own - other if targeted else other - own).view(-1, starts)
    return (gaps.argmax(1).cpu() + starts * torch.arange(len(gaps))).tolist()


def kept(x: Tensor, start: Tensor, space: Space) -> Tensor:
    """What a file keeps of attacked inputs (B, *space.shape), see ``Space.saved``, but that pictures are rounded toward
    where they began, so that they stay inside the budget."""
    if not isinstance(space, Image):
        return space.saved(x)
    levels, slack = 255 * x.clamp(0, 1), 1e-3  # of a level, for what is whole but for rounding
    inward = torch.where(x > start, (levels + slack).floor(), (levels - slack).ceil())
    return torch.where(x == start, levels.round(), inward) / 255


def sizes_of(start: Tensor, x: Tensor) -> dict[str, Tensor]:
    """How far inputs (B, ...) are from where they began, (B,) each: the largest change of a value (``linf``), the
    length of the change (``l2``), and how many values (of a cloud, points) changed (``l0``)."""
    change = x - start
    flat = change.flatten(1)
    moved = change.any(-1) if x.dim() == 3 else flat != 0
    return {"linf": flat.abs().amax(1), "l2": flat.norm(dim=1), "l0": moved.sum(1).to(flat.dtype)}
