"""``invert3d.attack``: from a network and inputs to inputs that it gets wrong, as a job of one unit an input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.engine.space import Points, Voxels
from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.job import Context, Job, Made, Progress, Unfinished, Unit, file_name
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import digest, fingerprint
from invert3d.methods.attacks import attack as attack_batch
from invert3d.methods.attacks import attack_recipe, kept, sizes_of
from invert3d.methods.recipes import recipe_table
from invert3d.methods.stages import Recipe
from invert3d.methods.stages import Unfinished as Stopped
from invert3d.opening.networks import Network, open_network
from invert3d.study.explaining.job import checked, targets_of

#: inputs that are attacked together
AT_ONCE = 16
#: what the network is asked of: the input, what the attack made of it, and what a file keeps of that
SEEN = ("before", "after", "saved")


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """Inputs before and after an attack, A of them.

    Attributes:
        names: of the inputs.
        start, x: (A, *space.shape) before and after, in the user's units.
        saved: what a file keeps of x: binary voxels, pictures in 8 bits, points as they are.
        classes: those that the inputs are of, or by default what the network said of them.
        target: the class that was aimed at, or None.
        before, after, after_saving: the classes that the network predicts from ``start``, ``x`` and ``saved``.
        sizes: by norm (``linf``, ``l2``, ``l0``), how far ``x`` is from ``start`` (A,).
        steps: that were taken (A,).
    """

    names: tuple[str, ...]
    start: Tensor
    x: Tensor
    saved: Tensor
    classes: tuple[str, ...]
    target: str | None
    before: tuple[str, ...]
    after: tuple[str, ...]
    after_saving: tuple[str, ...]
    sizes: Mapping[str, Tensor]
    steps: Tensor

    @property
    def success(self) -> Tensor:
        """Whether the attack reached what it was to reach, of the saved inputs (A,): another class, or the target."""
        return self._reached(self.after_saving)

    @property
    def success_unsaved(self) -> Tensor:
        """The same of x as it came out of the attack, with voxels between empty and full."""
        return self._reached(self.after)

    def _reached(self, said: Sequence[str]) -> Tensor:
        if self.target is not None:
            return torch.tensor([each == self.target for each in said])
        return torch.tensor([each != own for each, own in zip(said, self.classes, strict=True)])


def attack(
    model: str | Network,
    x: Tensor | np.ndarray,
    recipe: str | Recipe = "pgd",
    *,
    classes: Sequence[str] | None = None,
    target: str | None = None,
    budget: float | None = None,
    steps: int | None = None,
    restarts: int | None = None,
    out: str | Path | None = None,
    options: RunOptions = RunOptions(),
) -> Attacked:
    """Change inputs a little, within a budget, so that a frozen classifier gets them wrong.

    Args:
        model: bundled weights by name, or an opened ``Network`` (see ``open_network`` for your own).
        x: clouds (A, N, 3) in the unit sphere, z up; grids (A, 1, S, S, S) of 0 and 1; images (A, 3, H, W) in [0, 1].
        recipe: ``fgsm``, ``ifgsm``, ``pgd``, ``pgd_l2``, ``momentum``; ``flips`` of voxels; ``remove_points``,
            ``tangent`` of clouds; a TOML file; or a ``Recipe`` of ``attack_recipe``, to which the next four are given.
        classes: the class of each input; by default what the network says of it.
        target: a class that all of them shall become; by default any other.
        budget, steps, restarts: see ``attack_recipe``.
        out: a run folder to write, in place of that of the options; nothing is kept without one.
        options: the seed, workers, and whether a run is gone on with.

    Raises:
        ValueError: for unknown names, an input that is not legal, or anything ``attack_recipe`` refuses.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    network = model if isinstance(model, Network) else open_network(model)
    inputs = torch.as_tensor(x).to(network.frozen.dtype)
    if isinstance(network.frozen.space, Points) and inputs.dim() == 3:
        network = network.with_points(inputs.shape[1])
    named = {f"{i:04d}": each for i, each in enumerate(inputs)}
    if isinstance(recipe, str):
        recipe = attack_recipe(
            recipe, network.frozen.space, budget=budget, steps=steps, restarts=restarts, targeted=target is not None
        )
    elif not (budget is None and steps is None and restarts is None):
        raise ValueError("a recipe that is made has its budget, steps and restarts: give them to attack_recipe")
    truth = None if classes is None else dict(zip(named, classes, strict=True))
    return attacked(execute(attacks_job(network, named, recipe, truth=truth, target=target), options.into(out)).whole())


@dataclass(frozen=True, kw_only=True)
class AttackInputs:
    """The worker: a batch of inputs under one attack."""

    network: Network
    recipe: Recipe
    target: str | None = None

    @property
    def device(self) -> str:
        """Where the network is."""
        return str(self.network.frozen.device)

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made] | Unfinished:
        frozen, recipe = self.network.frozen, self.recipe
        start = torch.stack([unit.values["x"] for unit in units]).to(frozen.device)
        aims = [self.network.index(self.target or unit.values["class"]) for unit in units]
        result, left = attack_batch(
            frozen,
            start,
            torch.tensor(aims, device=frozen.device),
            recipe,
            seed=context.seed,
            samples=[unit.name for unit in units],
            recorders=[Progress(context, recipe.steps)],
            resume=Stopped.from_bytes(context.checkpoint) if context.checkpoint else None,
        )
        x = result.x.detach()
        saved = kept(x, frozen.space)
        with torch.no_grad():
            said = {name: frozen(each).softmax(-1) for name, each in zip(SEEN, (start, x, saved), strict=True)}
        sizes = sizes_of(start, x)
        made = [
            Made(
                facts={
                    **{name: self.network.classes[int(each[i].argmax())] for name, each in said.items()},
                    **{f"{name} probability": round(float(each[i].max()), 4) for name, each in said.items()},
                    **{name: float(value[i]) for name, value in sizes.items()},
                    "steps": int(result.steps[i]),
                },
                arrays={"start": start[i], "x": x[i], "saved": saved[i]},
            )
            for i in range(len(units))
        ]
        return made if left is None else Unfinished(made=made, checkpoint=left.to_bytes())


def attacks_job(
    network: Network,
    inputs: Mapping[str, Tensor],
    recipe: Recipe,
    *,
    truth: Mapping[str, str] | None = None,
    target: str | None = None,
) -> Job:
    """The job of attacking named inputs (*space.shape), some of which are known (``truth``) to be of a class.

    Raises ValueError for no input, an unknown class, an input that is not legal, or that is of the target already.
    """
    if not inputs:
        raise ValueError("there is nothing to attack: give at least one input")
    x, space = torch.stack(list(inputs.values())), network.frozen.space
    checked(space, x)
    if isinstance(space, Voxels) and (empty := [name for name, grid in inputs.items() if not grid.any()]):
        raise ValueError(f"{empty[0]}: nothing in the grid is filled")
    said = [network.classes[i] for i in targets_of(network, x, None).tolist()]
    classes = [(truth or {}).get(name, each) for name, each in zip(inputs, said, strict=True)]
    for name in {*classes, *(() if target is None else (target,))}:
        network.index(name)
    if (already := [name for name, each in zip(inputs, classes, strict=True) if each == target]) and target:
        raise ValueError(f"{already[0]} is of class {target} already: name another target")
    return Job(
        kind="attacks",
        units=tuple(
            Unit(name=file_name(label), values={"x": each, "class": name, "label": label})
            for (label, each), name in zip(inputs.items(), classes, strict=True)
        ),
        worker=AttackInputs(network=network, recipe=recipe, target=target),
        settings={
            "model": network.name,
            "args": network.options,
            "weights": fingerprint(network.frozen.model),
            "inputs": digest(x),
            "classes": classes,
            "target": target,
            "recipe": recipe_table(recipe),
        },
        capacity=AT_ONCE,
        label=f"attacking {len(inputs)} input{'s' * (len(inputs) > 1)}",
    )


def attacked(outcome: Outcome) -> Attacked:
    """What a job of attacks left."""
    units, made = zip(*outcome.each(), strict=True)

    def stacked(name: str) -> Tensor:
        return torch.stack([each.arrays[name] for each in made])

    def said(name: str) -> tuple[Any, ...]:
        return tuple(each.facts[name] for each in made)

    return Attacked(
        names=tuple(unit.values["label"] for unit in units),
        start=stacked("start"),
        x=stacked("x"),
        saved=stacked("saved"),
        classes=tuple(unit.values["class"] for unit in units),
        target=outcome.job.settings["target"],
        before=said("before"),
        after=said("after"),
        after_saving=said("saved"),
        sizes={name: torch.tensor(said(name)) for name in ("linf", "l2", "l0")},
        steps=torch.tensor(said("steps")),
    )
