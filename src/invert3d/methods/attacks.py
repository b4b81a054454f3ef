"""Adversarial attacks: the loop, a few steps long, inside a budget around a real input.

    recipe = attack_recipe("pgd", model.space, budget=0.02)
    result, _ = attack(model, x, labels, recipe)

An attack is a recipe whose stages move x against the loss and project it back into a ball around where it began; an
attack on voxels flips them one by one in place of a step. Files (``recipes/attacks``) say what an untargeted attack
minimizes: minus the loss of the true class. A targeted one minimizes that loss for the class that is wanted.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from invert3d.engine.model import Frozen
from invert3d.engine.projection import Projection
from invert3d.engine.recorder import Recorder
from invert3d.engine.result import Result
from invert3d.engine.space import Image, Space, Voxels
from invert3d.engine.state import State
from invert3d.methods.recipes import load_recipe
from invert3d.methods.stages import Recipe, Stage, Unfinished, run_stages
from invert3d.projections.bounds import Ball, Clip, Scatter
from invert3d.projections.surfaces import RemovePoints
from invert3d.projections.voxels import FlipVoxels
from invert3d.registry import plain

#: projections that change so many elements at each step: the budget is how many in all
COUNTED = (FlipVoxels, RemovePoints)


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
    restarts: int | None = None,
    targeted: bool = False,
) -> Recipe:
    """An attack by name, or from a TOML file, on inputs of a space.

    Args:
        name: ``fgsm``, ``ifgsm``, ``pgd``, ``flips``, ... (``invert3d recipes``), or a path.
        space: what is attacked; a recipe has other budgets for points and images than for voxels.
        budget: how much an input may change, in the norm of the recipe: the radius of its ball, in units of x, or how
            many voxels are flipped or points removed. Steps grow in proportion.
        steps: of the last stage, in place of the recipe's.
        restarts: random starts of each input; the worst for the network is kept.
        targeted: minimize the loss of the target rather than maximize it.

    Raises:
        ValueError: an unknown recipe, one for other inputs, a budget that is not positive, restarts of an attack
            without a random start, steps of one whose budget is counted in steps, or no step at all.
    """
    recipe = load_recipe(name, "attacks", family=space.name)
    for each in (projection for stage in recipe.stages for projection in stage.projections):
        if each.spaces is not None and space.name not in each.spaces:
            theirs = " or ".join(sorted(each.spaces))
            raise ValueError(f"the attack {recipe.name} is for {theirs}, and this network takes {space.name}")
    if restarts is not None:
        if restarts > 1 and not any(isinstance(each, Scatter) for each in _projections(recipe)):
            raise ValueError(f"the attack {recipe.name} begins at the input itself: further starts would be the same")
        recipe = replace(recipe, starts=restarts)
    if budget is not None:
        recipe = with_budget(recipe, budget)
    if steps is not None:
        recipe = with_steps(recipe, steps)
    if targeted:
        recipe = replace(recipe, objective=-recipe.objective, stages=tuple(map(_targeted, recipe.stages)))
    return recipe


def _projections(recipe: Recipe) -> list[Projection]:
    return [each for stage in recipe.stages for each in stage.projections]


def _counted(stage: Stage) -> int:
    """How many elements a stage changes at each step; 0 if it moves all a little."""
    return next((each.count for each in stage.projections if isinstance(each, COUNTED)), 0)


def _targeted(stage: Stage) -> Stage:
    return replace(stage, stop=Fooled(targeted=True)) if isinstance(stage.stop, Fooled) else stage


def budget_of(recipe: Recipe) -> float:
    """How much an input may change: the radius of the ball, the number of elements, or, without either, one step."""
    last = recipe.stages[-1]
    if count := _counted(last):
        return float(last.steps * count)
    return next((each.radius for each in _projections(recipe) if isinstance(each, Ball | Scatter)), last.stepper.rate)


def with_budget(recipe: Recipe, budget: float) -> Recipe:
    """The recipe with another budget. Raises ValueError unless it is positive and finite, and where elements are
    counted, so many at each step, a multiple of these."""
    counted = _counted(recipe.stages[-1])
    if not 0 < budget < math.inf or (counted and budget % counted):
        kind = f"a positive multiple of {counted}" if counted else "positive and finite"
        raise ValueError(f"the budget of {recipe.name} must be {kind}, not {budget}")
    if counted:
        return replace(recipe, stages=(*recipe.stages[:-1], replace(recipe.stages[-1], steps=int(budget) // counted)))
    factor = budget / budget_of(recipe)

    def scaled(stage: Stage) -> Stage:
        sizes = (Ball, Scatter)
        moved = [replace(p, radius=p.radius * factor) if isinstance(p, sizes) else p for p in stage.projections]
        stepper = replace(stage.stepper, rate=stage.stepper.rate * factor)
        return replace(stage, stepper=stepper, projections=tuple(moved))

    return replace(recipe, stages=tuple(map(scaled, recipe.stages)))


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with another number of steps in its last stage. Raises ValueError where they are the budget."""
    if _counted(recipe.stages[-1]):
        raise ValueError(f"the steps of {recipe.name} are its budget: give that")
    return replace(recipe, stages=(*recipe.stages[:-1], replace(recipe.stages[-1], steps=steps)))


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
    """Attack inputs x (B, *space.shape), legal ones, of the classes ``target`` (B,): those they are of, or, by a
    targeted recipe, those they shall become. All else as ``run_stages``.

    The result's x is what the last step made; score what is ``kept`` of it.
    """
    clip = next((each for each in _projections(recipe) if isinstance(each, Clip)), None)
    low, high = model.space.bounds
    if clip is not None and (clip.low > low or clip.high < high):
        clipped = f"{clip.low:g} to {clip.high:g}, and inputs may lie in {low:g} to {high:g}"
        raise ValueError(f"the attack {recipe.name} clips values to {clipped}")
    return run_stages(model, target, recipe, samples=samples, seed=seed, start=x, recorders=recorders, resume=resume)


def kept(x: Tensor, space: Space) -> Tensor:
    """What a file keeps of inputs (B, *space.shape): binary voxels, pictures in 8 bits, points as they are."""
    if isinstance(space, Voxels):
        return (x > 0.5).to(x.dtype)
    if isinstance(space, Image):
        return (x.clamp(0, 1) * 255).round() / 255
    return x.clone()


def sizes_of(start: Tensor, x: Tensor) -> dict[str, Tensor]:
    """How far inputs (B, ...) are from where they began, (B,) each: the largest change of a value (``linf``), the
    length of the change (``l2``), and how many values (of a cloud, points) changed (``l0``)."""
    change = (x - start).flatten(1) if x.dim() != 3 else (x - start)
    moved = change.any(-1) if x.dim() == 3 else change != 0
    flat = change.flatten(1)
    return {"linf": flat.abs().amax(1), "l2": flat.norm(dim=1), "l0": moved.sum(1).to(flat.dtype)}
