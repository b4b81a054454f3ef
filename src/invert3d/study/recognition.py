"""How does a network want its input? Shapes that it should know are shown in several ways: which does it recognize?

Which axis is up, where fronts face, how large a cloud is, what voxels are fed as, in which order the classes stand: a
wrong guess at any of these looks like a bad network. The shapes are procedural, of the classes that the network names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest
from torch import Tensor

from invert3d.engine.progress import Meter
from invert3d.engine.space import Points, Space, Voxels
from invert3d.opening.networks import Network
from invert3d.study.explaining.held_out import HeldOut, held_out, probabilities

PER_CLASS = 6
ENOUGH = 0.3  # share of the shapes that must be recognized in some way before anything is said
SURE = 0.01  # of a sign test over the shapes: one way is better than another
VALUES = ((0.0, 1.0), (-1.0, 1.0), (-1.0, 5.0))  # what public code feeds for an empty and a full voxel


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to show shapes (M, *shape) that stand z up, fronts to -y, clouds in the unit sphere."""

    up: str = "z"
    turn: int = 0  # degrees about the vertical, from x to y
    radius: float = 1.0  # of clouds
    values: tuple[float, float] | None = None  # of an empty and a full voxel; by default the space's

    def shown(self, x: Tensor, space: Space) -> tuple[Tensor, Space]:
        """The shapes as they are shown, and the space that feeds them."""
        clouds = isinstance(space, Points)
        for _ in range(self.turn // 90):
            x = torch.stack([-x[..., 1], x[..., 0], x[..., 2]], -1) if clouds else x.rot90(1, (-3, -2))
        if isinstance(space, Points):
            return self.radius * x, replace(space, up=self.up)
        x = x.transpose(-2, -1) if self.up == "y" else x
        if isinstance(space, Voxels) and self.values:
            space = replace(space, low=self.values[0], high=self.values[1])
        return x, space


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Shapes that were shown one way, and which of them (M,) were recognized."""

    way: Way
    recognized: Tensor

    def __int__(self) -> int:
        return int(self.recognized.sum())


def answers(network: Network, known: HeldOut, ways: Sequence[Way]) -> list[Tensor]:
    """The outputs (M,) that are largest for the shapes, shown in each of the ways."""
    meter, found = Meter(f"showing {len(known)} shapes in {len(ways)} ways", len(ways)), []
    for way in ways:
        x, space = way.shown(known.x, network.frozen.space)
        found.append(probabilities(replace(network, frozen=network.frozen.on(space)), x).argmax(-1))
        meter.update(len(found))
    meter.stop()
    return found


def order(said: Tensor, target: Tensor, outputs: int) -> Tensor:
    """The output that stands for each class (outputs,), -1 for classes that were not shown: the best one-to-one fit."""
    counts = torch.bincount(target * outputs + said, minlength=outputs**2).view(outputs, outputs)
    known, found = target.unique(), torch.full((outputs,), -1)
    places, chosen = linear_sum_assignment(counts[known].numpy(), maximize=True)
    found[known[places]] = torch.from_numpy(chosen)
    return found


def consistent(said: Tensor, target: Tensor, outputs: int) -> Tensor:
    """Which shapes (M,) get the output that stands for their class, whatever its name, by the other half of them."""
    half, found = torch.arange(len(said)) % 2 == 0, torch.zeros(len(said), dtype=torch.bool)
    for mine in (half, ~half):
        found[~mine] = said[~mine] == order(said[mine], target[mine], outputs)[target[~mine]]
    return found


def p_value(a: Tensor, b: Tensor) -> float:
    """Of a sign test that shapes are recognized more often in a (M,) than in b (M,)."""
    wins, losses = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(wins, wins + losses, alternative="greater").pvalue) if wins + losses else 1.0


def wanted(network: Network) -> list[str]:
    """What was found out about how a network wants its input, in sentences."""
    space, outputs = network.frozen.space, len(network.classes)
    try:
        known = held_out(network, PER_CLASS, data="shapes")
    except ValueError:
        return ["None of its classes can be made here: up axis, facing and class order were not looked at."]
    ways = [Way(up=up, turn=turn) for up in ("z", "y") for turn in (0, 90, 180, 270)]
    said = answers(network, known, ways)
    named = max((each == known.target for each in said), key=torch.sum)
    fitted = max((consistent(each, known.target, outputs) for each in said), key=torch.sum)
    by_name = p_value(fitted, named) >= SURE

    def shown(way: Way, said: Tensor) -> Shown:
        right = said == known.target if by_name else consistent(said, known.target, outputs)
        return Shown(way=way, recognized=right)

    found = [shown(*each) for each in zip(ways, said, strict=True)]
    best = max(found, key=int)
    fed = [replace(best.way, **change) for change in changes(space)]
    found += [shown(*each) for each in zip(fed, answers(network, known, fed), strict=True)]
    best = max(found, key=int)
    if int(best) < ENOUGH * len(known):
        return [f"It recognizes at most {int(best)} of {len(known)} procedural shapes, in whatever way they are shown."]
    classes = len(known.target.unique())
    lines = [f"It recognizes {int(best)} of {len(known)} procedural shapes of {classes} classes as it likes them best:"]
    lines += [f"  {line}" for line in (upright(best, found, space), faced(best, found), measured(best, found, space))]
    if by_name:
        return [*lines, "  class names: they fit."]
    places = order(said[ways.index(replace(best.way, radius=1.0, values=None))], known.target, outputs).tolist()
    moved = ", ".join(f"{network.classes[i]} is output {j}" for i, j in enumerate(places) if j not in (-1, i))
    return [*lines, f"  class names: they stand in another order, {int(named.sum())} are right by name: {moved}."]


def changes(space: Space) -> list[dict[str, float | tuple[float, float]]]:
    """What else is tried of the best way: other sizes of clouds, other values of voxels."""
    if isinstance(space, Points):
        return [{"radius": 0.5}, {"radius": 2.0}]
    return [{"values": pair} for pair in VALUES if isinstance(space, Voxels) and pair != (space.low, space.high)]


def against(best: Shown, rivals: Sequence[Shown]) -> tuple[str, bool]:
    """What is recognized in the best of other ways, in words, and whether that is surely less."""
    rival = max(rivals, key=int)
    p = p_value(best.recognized, rival.recognized)
    words = f"at most {int(rival)} otherwise (p = {p:.1g})"
    return words if p < SURE else f"no sure difference: {int(rival)} otherwise (p = {p:.1g})", p < SURE


def upright(best: Shown, found: Sequence[Shown], space: Space) -> str:
    """Which axis is up."""
    up, given = best.way.up, space.up if isinstance(space, Points) else "z"
    words, sure = against(best, [each for each in found if each.way.up != up])
    hint = f" It was opened with {given} up." if sure and up != given else ""
    return f"up: {up}, {words}.{hint}"


def faced(best: Shown, found: Sequence[Shown]) -> str:
    """Where fronts face."""
    where = f"turned by {best.way.turn} degrees" if best.way.turn else "as shapes are made here"
    return f"facing: {where}, {against(best, [each for each in found if each.way.turn != best.way.turn])[0]}."


def measured(best: Shown, found: Sequence[Shown], space: Space) -> str:
    """How large clouds are, or what voxels are fed as."""
    way = best.way
    rivals = [each for each in found if (each.way.up, each.way.turn) == (way.up, way.turn) and each is not best]
    words, sure = against(best, rivals)
    low, high = way.values or (getattr(space, "low", 0.0), getattr(space, "high", 1.0))
    what = f"radius: {way.radius:g}" if isinstance(space, Points) else f"values: {low:g} for empty, {high:g} for full"
    hint = " It was opened with others." if sure and (way.values or way.radius != 1) else ""
    return f"{what}, {words}.{hint}"
