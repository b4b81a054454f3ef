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
from invert3d.methods.attacks import Loss, attack_recipe, check_recipe, is_targeted, kept, sizes_of, toward
from invert3d.methods.attacks import attack as attack_batch
from invert3d.methods.recipes import recipe_table
from invert3d.methods.stages import Recipe
from invert3d.methods.stages import Unfinished as Stopped
from invert3d.opening.networks import Network, open_network
from invert3d.study.explaining.held_out import probabilities
from invert3d.study.explaining.job import checked

#: inputs that are attacked together, times the starts of each
AT_ONCE = 16
#: what the network is asked of: the input, what the attack made of it, and what a file keeps of that
SEEN = ("before", "after", "saved")


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """Inputs before and after an attack, A of them.

    Attributes:
        names: of the inputs.
        start, x: (A, *space.shape) before and after, in the user's units.
        saved: what a file keeps of x: binary voxels, pictures in 8 bits, rounded toward ``start``, points as they are.
        classes: those that the inputs are of, or by default what the network said of them.
        target: the class that was aimed at, or None.
        before, after, after_saving: the classes that the network predicts from ``start``, ``x`` and ``saved``.
        sizes: by norm (``linf``, ``l2``, ``l0``), how far ``x`` is from ``start`` (A,).
        steps: that were taken (A,), that to a random start among them.
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
    step_size: float | None = None,
    restarts: int | None = None,
    loss: Loss | None = None,
    out: str | Path | None = None,
    options: RunOptions = RunOptions(),
) -> Attacked:
    """Change inputs a little, within a budget, so that a frozen classifier gets them wrong.

    Args:
        model: bundled weights by name, or an opened ``Network`` (see ``open_network`` for your own).
        x: clouds (A, N, 3) in the unit sphere, z up; grids (A, 1, S, S, S) of 0 and 1; images (A, 3, H, W) in [0, 1]
            of the network's size.
        recipe: ``fgsm``, ``ifgsm``, ``pgd``, ``pgd_l2``, ``momentum``; ``flips`` of voxels; ``remove_points``,
            ``tangent`` of clouds; a TOML file; or a ``Recipe`` of ``attack_recipe``.
        classes: the name of the class of each input; by default what the network says of it.
        target: the name of a class that all of them shall become; by default any other than their own.
        budget, steps, step_size, restarts, loss: see ``attack_recipe``.
        out: a run folder to write, in place of that of the options; nothing is kept without one.
        options: the seed, workers, and whether a run is gone on with.

    Raises:
        ValueError: for unknown names, an input that is not legal, or anything ``attack_recipe`` refuses.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    network = model if isinstance(model, Network) else open_network(model)
    inputs = torch.as_tensor(x).detach().to(network.frozen.dtype)
    if isinstance(network.frozen.space, Points) and inputs.dim() == 3:
        network = network.with_points(inputs.shape[1])
    if inputs.dim() == len(network.frozen.space.shape):
        raise ValueError(f"give a batch of inputs, x[None] for one: this is {tuple(inputs.shape)}")
    if classes is not None and (isinstance(classes, str) or len(classes) != len(inputs)):
        raise ValueError(f"{len(inputs)} inputs need as many names of classes, in a list, not {classes!r}")
    named = {f"{i:04d}": each for i, each in enumerate(inputs)}
    if isinstance(recipe, str):
        asked = {"budget": budget, "steps": steps, "step_size": step_size, "restarts": restarts, "loss": loss}
        recipe = attack_recipe(recipe, network.frozen.space, **asked)  # type: ignore[arg-type]
    elif any(each is not None for each in (budget, steps, step_size, restarts, loss)):
        raise ValueError("a Recipe has its own budget, steps, step size, restarts and loss: give them to attack_recipe")
    truth = None if classes is None else dict(zip(named, classes, strict=True))
    attacks = {"": Attack(network=network, recipe=recipe, target=target)}
    return attacked(execute(attacks_job(attacks, named, truth), options.into(out)).whole())


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A network, how it is attacked, and the class that is aimed at, if any."""

    network: Network
    recipe: Recipe
    target: str | None = None

    def facts(self) -> dict[str, Any]:
        """What attacked inputs depend on, as plain values."""
        return {
            "model": self.network.name,
            "args": self.network.options,
            "weights": fingerprint(self.network.frozen.model),
            "target": self.target,
            "recipe": recipe_table(self.recipe),
        }


@dataclass(frozen=True, kw_only=True)
class AttackInputs:
    """The worker: a batch of inputs under one attack."""

    attacks: Mapping[str, Attack]

    @property
    def device(self) -> str:
        """Where the networks are."""
        return str(next(iter(self.attacks.values())).network.frozen.device)

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made] | Unfinished:
        asked = self.attacks[units[0].values["attack"]]
        network, recipe, frozen = asked.network, asked.recipe, asked.network.frozen
        start = torch.stack([unit.values["x"] for unit in units]).to(frozen.device)
        aims = [network.index(asked.target or unit.values["class"]) for unit in units]
        result, left = attack_batch(
            frozen,
            start,
            torch.tensor(aims, device=frozen.device),
            recipe if asked.target is None else toward(recipe),
            seed=context.seed,
            samples=[unit.name for unit in units],
            recorders=[Progress(context, recipe.steps)],
            resume=Stopped.from_bytes(context.checkpoint) if context.checkpoint else None,
        )
        x = result.x.detach()
        saved = kept(x, start, frozen.space)
        with torch.no_grad():
            said = {name: frozen(each).softmax(-1) for name, each in zip(SEEN, (start, x, saved), strict=True)}
        sizes = sizes_of(start, x)
        made = [
            Made(
                facts={
                    **{name: network.classes[int(each[i].argmax())] for name, each in said.items()},
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
    attacks: Mapping[str, Attack], inputs: Mapping[str, Tensor], truth: Mapping[str, str] | None = None
) -> Job:
    """The job of attacking the same named inputs (*space.shape) in one or more ways.

    A unit is called after the attack and the input. Inputs whose class is not known (``truth``) are of the class that
    the network of the first attack says.

    Raises ValueError for no input, an unknown class, an input that is not legal, or that is of the target already.
    """
    if not inputs:
        raise ValueError("there is nothing to attack: give at least one input")
    x = torch.stack(list(inputs.values()))
    classes = classes_of(next(iter(attacks.values())).network, inputs, truth or {})
    for attack in attacks.values():
        check_attack(attack, inputs, classes)
    return Job(
        kind="attacks",
        units=tuple(
            Unit(
                name=file_name(f"{key}-{label}" if key else label),
                cost=asked.recipe.starts,
                group=key,
                values={"attack": key, "x": each, "class": name, "label": label},
            )
            for key, asked in attacks.items()
            for (label, each), name in zip(inputs.items(), classes, strict=True)
        ),
        worker=AttackInputs(attacks=attacks),
        settings={
            "attacks": {key: attack.facts() for key, attack in attacks.items()},
            "inputs": digest(x),
            "classes": classes,
        },
        capacity=AT_ONCE,
        label=f"attacking {len(inputs)} input{'s' * (len(inputs) > 1)}",
    )


def classes_of(network: Network, inputs: Mapping[str, Tensor], truth: Mapping[str, str]) -> list[str]:
    """The classes of named inputs, those of ``truth`` or what the network says. Raises ValueError for bad inputs."""
    x, space = torch.stack(list(inputs.values())), network.frozen.space
    checked(space, x)
    if isinstance(space, Voxels) and (empty := [name for name, grid in inputs.items() if not grid.any()]):
        raise ValueError(f"{empty[0]}: nothing in the grid is filled")
    asked = [i for i, name in enumerate(inputs) if name not in truth]
    said = [network.classes[i] for i in probabilities(network, x[asked]).argmax(-1).tolist()] if asked else []
    return [truth[name] if name in truth else said[asked.index(i)] for i, name in enumerate(inputs)]


def check_attack(attack: Attack, inputs: Mapping[str, Tensor], classes: Sequence[str]) -> None:
    """Raise ValueError unless the network takes these inputs, and knows their classes and another that is aimed at."""
    check_recipe(attack.recipe, attack.network.frozen.space)
    if is_targeted(attack.recipe):
        raise ValueError(f"the recipe {attack.recipe.name} is targeted: give the untargeted one, and name the target")
    attack.network.frozen.space.validate(torch.stack(list(inputs.values())))
    for name in classes if attack.target is None else (*classes, attack.target):
        attack.network.index(name)
    if attack.target in classes:
        already = list(inputs)[classes.index(attack.target)]
        raise ValueError(f"{already} is of class {attack.target} already: name another target")


def attacked(outcome: Outcome, key: str = "") -> Attacked:
    """What one of the attacks of a job, that was done to its end, left."""
    units = [unit for unit in outcome.job.units if unit.values["attack"] == key]
    made = [done for unit in units if (done := outcome.made(unit.name)) is not None]

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
        target=outcome.job.settings["attacks"][key]["target"],
        before=said("before"),
        after=said("after"),
        after_saving=said("saved"),
        sizes={name: torch.tensor(said(name)) for name in ("linf", "l2", "l0")},
        steps=torch.tensor(said("steps")),
    )
