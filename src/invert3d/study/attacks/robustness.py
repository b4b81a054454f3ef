"""How robust are networks? Adversarial error and correction rate, as Huang et al. 2019 (3DWINN, table 7) count them.

Every network is attacked in every way, and every network reads what came of it: as it came out of the attack, and as a
file holds it. The same numbers show whether an attack was strong enough to say anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Any

import torch
from torch import Tensor

from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.options import RunOptions
from invert3d.methods.attacks import attack_recipe, budget_of, norm_of
from invert3d.methods.stages import Recipe
from invert3d.opening.networks import Network
from invert3d.study.attacks.job import Attack, attacked, attacks_job
from invert3d.study.explaining.held_out import probabilities

#: attacks that do not look at the gradient: what a change of that size does by itself
CONTROLS = ("noise", "flips_at_random")
#: attacks of 3DWINN's table 7, as they are called here, and in headlines
NETWORK, BASELINE, EPSILON = "winn3d-modelnet10", "winn3d-modelnet10-classifier", 0.005
HEADLINES = {"fgsm": "fgsm", "ifgsm_growing, 5 steps": "ifgsm5", "ifgsm_growing, 10 steps": "ifgsm10"}


@dataclass(frozen=True, kw_only=True)
class Way:
    """An attack by name, with a budget and a number of steps, or those of its recipe."""

    name: str
    budget: float | None = None
    steps: int | None = None

    def recipe(self, network: Network) -> Recipe:
        """The recipe for a network."""
        return attack_recipe(self.name, network.frozen.space, budget=self.budget, steps=self.steps)


def ways_of(texts: Sequence[str]) -> list[Way]:
    """Ways from words ``NAME``, ``NAME@STEPS``, ``NAME:BUDGET,BUDGET`` or both. Raises ValueError for other words."""
    found = []
    for text in texts:
        head, colon, budgets = text.partition(":")
        name, at, steps = head.partition("@")
        try:
            numbers = [float(each) for each in budgets.split(",")] if colon else [None]
            found += [Way(name=name, budget=each, steps=int(steps) if at else None) for each in numbers]
        except ValueError:
            raise ValueError(f"attacks are NAME, NAME@STEPS or NAME:BUDGET,BUDGET, not {text!r}") from None
    if len(set(found)) < len(found):
        raise ValueError("an attack is named twice")
    return found


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """What all networks make of the inputs that one attack made of one network's.

    Attributes:
        attack: its name, with the number of steps where that was asked for.
        network: that was attacked.
        control: whether the attack does not look at the gradient.
        budget, norm: how much an input could change, and in which norm (``norm_of``).
        wrong: by network, which inputs it gets wrong (A,), before saving.
        wrong_saved: the same of what a file holds.
        wrong_before: which inputs the attacked network got wrong before the attack (A,).
        change: how far each is from where it began (A,), in the norm of the budget, or ``linf`` where it has none.
    """

    attack: str
    network: str
    budget: float
    norm: str
    control: bool
    wrong: Mapping[str, Tensor]
    wrong_saved: Mapping[str, Tensor]
    wrong_before: Tensor
    change: Tensor

    @property
    def error(self) -> float:
        """Adversarial error: the share of its own adversarial inputs that the network gets wrong."""
        return share(self.wrong[self.network])

    @property
    def error_saved(self) -> float:
        """The same of what a file holds."""
        return share(self.wrong_saved[self.network])

    def correction(self, other: str) -> float:
        """Of the inputs that the attacked network gets wrong, the share that another gets right; NaN for none."""
        mine = self.wrong[self.network]
        return 1 - share(self.wrong[other][mine]) if mine.any() else float("nan")

    def row(self) -> dict[str, Any]:
        """Plain values: a row of the table of robustness."""
        others = [name for name in self.wrong if name != self.network]
        return {
            "attack": self.attack,
            "budget": f"{self.budget:g}",
            "norm": self.norm,
            "network": self.network,
            "inputs": len(self.wrong_before),
            "error before": round(share(self.wrong_before), 4),
            "adversarial error": round(self.error, 4),
            "adversarial error, saved": round(self.error_saved, 4),
            "median change": f"{float(self.change.median()):.3g}",
            **{f"corrected by {name}": _rounded(self.correction(name)) for name in others},
        }


def share(flags: Tensor) -> float:
    """The share of flags that are true."""
    return float(flags.double().mean())


def _rounded(value: float) -> float | str:
    return "-" if value != value else round(value, 4)


def robustness(
    networks: Sequence[Network],
    inputs: Mapping[str, Tensor],
    classes: Sequence[str],
    ways: Sequence[Way],
    run: RunOptions,
) -> list[Robustness]:
    """Attack every network in every way, and let all networks read the results.

    Args:
        networks: that take inputs of one shape and know the classes.
        inputs: (*space.shape) each, by name.
        classes: of the inputs.
        ways: attacks.
        run: how the job is run.

    Raises:
        ValueError: as ``attacks_job``, or networks that take inputs of other shapes.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    shapes = sorted({network.frozen.space.shape for network in networks})
    if len(shapes) > 1:
        raise ValueError(f"networks that read each other's inputs must take one shape, not {shapes}")
    pairs = [(way, network) for way in ways for network in networks]
    attacks = {key_of(way, each): Attack(network=each, recipe=way.recipe(each)) for way, each in pairs}
    if len(classes) != len(inputs):
        raise ValueError(f"{len(inputs)} inputs need as many classes, not {len(classes)}")
    truth = dict(zip(inputs, classes, strict=True))
    outcome = execute(attacks_job(attacks, inputs, truth), run).whole()
    return [measured(outcome, way, network, networks) for way, network in pairs]


def key_of(way: Way, network: Network) -> str:
    """What an attack on a network is called in a job."""
    parts = (way.name, way.steps and f"{way.steps} steps", way.budget, network.name)
    return "-".join(str(part) for part in parts if part)


def measured(outcome: Outcome, way: Way, network: Network, networks: Sequence[Network]) -> Robustness:
    """What came of one attack on one network."""
    found = attacked(outcome, key_of(way, network))
    recipe = way.recipe(network)

    def wrong(x: Tensor) -> dict[str, Tensor]:
        return {
            each.name: probabilities(each, x).argmax(-1) != torch.tensor([each.index(name) for name in found.classes])
            for each in networks
        }

    norm = norm_of(recipe)
    return Robustness(
        attack=f"{way.name}, {way.steps} steps" if way.steps else way.name,
        network=network.name,
        budget=budget_of(recipe),
        norm=norm,
        control=way.name in CONTROLS,
        wrong=wrong(found.x),
        wrong_saved=wrong(found.saved),
        wrong_before=torch.tensor([a != b for a, b in zip(found.before, found.classes, strict=True)]),
        change=found.sizes.get(norm, found.sizes["linf"]),
    )


def headline_of(found: Sequence[Robustness]) -> dict[str, float]:
    """The headline numbers of the bundled network of 3DWINN beside its baseline, if they are the first two: the paper's
    two numbers, and how many voxels have to be flipped until the first errs, over the same of the second."""
    names = list(dict.fromkeys(each.network for each in found))
    if names[:2] != [NETWORK, BASELINE]:
        return {}
    numbers = {}
    for attack, key in HEADLINES.items():
        pair = {each.network: each for each in found if each.attack == attack and each.budget == EPSILON}
        if {NETWORK, BASELINE} <= set(pair):
            numbers[f"adversarial_error_{key}"] = round(pair[NETWORK].error, 4)
            numbers[f"correction_{key}"] = _rounded(pair[BASELINE].correction(NETWORK))
    flips = {each.network: float(each.change.median()) for each in found if each.attack == "flips"}
    if {NETWORK, BASELINE} <= set(flips) and flips[BASELINE]:
        numbers["flips_ratio_vs_baseline"] = round(flips[NETWORK] / flips[BASELINE], 3)
    return {key: value for key, value in numbers.items() if isinstance(value, float)}


def warnings_of(found: Sequence[Robustness]) -> list[str]:
    """Signs that an attack was too weak to show robustness (after Athalye et al. 2018), in words.

    An error that falls as the budget grows; inputs that were made for another network and fool this one more than its
    own do; as much change at random that fools it more; inputs that did not change, because the gradient is zero.
    """
    return [*falling(found), *beaten_by_others(found), *beaten_by_chance(found), *unmoved(found)]


def falling(found: Sequence[Robustness]) -> list[str]:
    """Errors that fall as the budget grows."""
    said = []
    for attack, network in dict.fromkeys((each.attack, each.network) for each in found):
        same = [each for each in found if (each.attack, each.network) == (attack, network)]
        for small, large in pairwise(sorted(same, key=lambda each: each.budget)):
            if large.error < small.error:
                budgets = f"as the budget grows from {small.budget:g} to {large.budget:g}"
                said.append(
                    f"{attack} on {network}: the error falls from {small.error:.1%} to {large.error:.1%} {budgets}"
                )
    return said


def beaten_by_others(found: Sequence[Robustness]) -> list[str]:
    """Attacks whose inputs fool a network less than those that the same attack made for another."""
    said = []
    for own, other in permutations(found, 2):
        if (own.attack, own.budget) == (other.attack, other.budget) and share(other.wrong[own.network]) > own.error:
            theirs = f"inputs made for {other.network} fool it more ({share(other.wrong[own.network]):.1%})"
            said.append(f"{named(own)}: {theirs} than its own ({own.error:.1%})")
    return said


def beaten_by_chance(found: Sequence[Robustness]) -> list[str]:
    """Attacks that fool a network less than their control with the same budget."""
    return [
        f"{named(own)}: {control.attack} fools it more"
        for own, control in permutations(found, 2)
        if control.control
        and not own.control
        and (own.network, own.budget, own.norm) == (control.network, control.budget, control.norm)
        and control.error > own.error
    ]


def unmoved(found: Sequence[Robustness]) -> list[str]:
    """Attacks that did not change some of the inputs that the network gets right."""
    still = [(each, share(each.change[~each.wrong_before] == 0)) for each in found if not each.wrong_before.all()]
    reason = "did not change: the gradient is zero there, try the loss logit_gap"
    return [f"{named(each)}: {part:.0%} of the inputs {reason}" for each, part in still if part > 0]


def named(one: Robustness) -> str:
    """An attack on a network, in words."""
    return f"{one.attack} on {one.network}, budget {one.budget:g}"
