"""How does a network want its input? Shapes that it should know are shown in several ways: which does it recognize?

Which axis is up, where fronts face, how large a cloud is, what voxels are fed as, in which order the classes stand: a
wrong guess at any of these looks like a bad network. The shapes are procedural, of the classes that the network names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest
from torch import Tensor

from invert3d.data.voxels import Facing
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
    """A way to show shapes (M, *shape) that stand z up, clouds in the unit sphere."""

    facing: Facing = "front"  # to -y, or as ModelNet stores each class
    up: str = "z"
    turn: int = 0  # and then turned, degrees about the vertical, from x to y
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
    """Shapes that were shown one way: the outputs that were largest, and which shapes were recognized, (M,) each."""

    way: Way
    said: Tensor
    recognized: Tensor

    def __int__(self) -> int:
        return int(self.recognized.sum())


def answers(network: Network, shapes: Mapping[str, HeldOut], ways: Sequence[Way]) -> list[Tensor]:
    """The outputs (M,) that are largest for the shapes, by where they face, shown in each of the ways."""
    found = []
    with Meter(f"showing {len(shapes['front'])} shapes in {len(ways)} ways", len(ways)) as meter:
        for way in ways:
            x, space = way.shown(shapes[way.facing].x, network.frozen.space)
            found.append(probabilities(replace(network, frozen=network.frozen.on(space)), x).argmax(-1))
            meter.update(len(found))
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
    if isinstance(space, Points) and space.normals:
        return ["It takes normals, which these shapes lack: up axis, facing and class order were not tested."]
    try:
        both: tuple[Facing, ...] = ("front", "stored")
        shapes = {each: held_out(replace(network, facing=each), PER_CLASS, data="shapes") for each in both}
    except ValueError:
        return ["None of its classes has procedural shapes: up axis, facing and class order were not tested."]
    known = shapes["front"]
    ways = [Way(up=up, turn=turn) for up in ("z", "y") for turn in (0, 90, 180, 270)]
    ways += [Way(facing="stored", up=up) for up in ("z", "y")]
    said = answers(network, shapes, ways)
    best, _ = judged(ways, said, known, outputs)
    fed = [replace(best.way, **change) for change in changes(space)]
    ways, said = ways + fed, said + answers(network, shapes, fed)
    best, found = judged(ways, said, known, outputs)
    total, classes = len(known), len(known.target.unique())
    chance = binomtest(int(best), total, 1 / classes, alternative="greater").pvalue
    if int(best) < ENOUGH * total or chance * len(found) >= SURE:
        return [f"It recognizes at most {int(best)} of {total} procedural shapes: too few to tell its expected input."]
    return [
        f"It recognizes {int(best)} of {total} procedural shapes of {classes} classes, if shown in the best way:",
        f"  up: {upright(best, found, space)}.",
        f"  facing: {faced(best, found)}.",
        f"  {measured(best, found, space)}.",
        f"  class names: {named(best, known, network.classes)}.",
    ]


def judged(ways: Sequence[Way], said: Sequence[Tensor], known: HeldOut, outputs: int) -> tuple[Shown, Sequence[Shown]]:
    """The best way and all of them. A shape counts as recognized by the name of its output, or, where that is surely
    more, by the output that stands for its class."""
    by_name = [Shown(way=way, said=each, recognized=each == known.target) for way, each in zip(ways, said, strict=True)]
    by_fit = [replace(each, recognized=consistent(each.said, known.target, outputs)) for each in by_name]
    named, fitted = max(by_name, key=int), max(by_fit, key=int)
    return (fitted, by_fit) if p_value(fitted.recognized, named.recognized) < SURE else (named, by_name)


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
    words, sure = against(best, [each for each in found if each.way.up != best.way.up])
    given, option = (space.up, f": give --up {best.way.up}") if isinstance(space, Points) else ("z", "")
    hint = f". It was opened with {given} up{option}" if sure and best.way.up != given else ""
    return f"{best.way.up}, {words}{hint}"


def faced(best: Shown, found: Sequence[Shown]) -> str:
    """Where fronts face."""
    way = best.way
    here = "-y, as procedural shapes do" if way.facing == "front" else "as ModelNet stores each class"
    where = f"turned by {way.turn} degrees" if way.turn else here
    rivals = [each for each in found if (each.way.facing, each.way.turn) != (way.facing, way.turn)]
    return f"{where}, {against(best, rivals)[0]}"


def measured(best: Shown, found: Sequence[Shown], space: Space) -> str:
    """How large clouds are, or what voxels are fed as."""
    way = best.way
    stands = (way.facing, way.up, way.turn)
    same = [each for each in found if (each.way.facing, each.way.up, each.way.turn) == stands and each is not best]
    words, sure = against(best, same)
    if isinstance(space, Points):
        hint = f". Feed it clouds of radius {way.radius:g}" if sure and way.radius != 1 else ""
        return f"radius: {way.radius:g}, {words}{hint}"
    low, high = way.values or (getattr(space, "low", 0.0), getattr(space, "high", 1.0))
    hint = f". Give --values {low:g} {high:g}" if sure and way.values else ""
    return f"values: {low:g} for empty and {high:g} for full, {words}{hint}"


def named(best: Shown, known: HeldOut, classes: Sequence[str]) -> str:
    """Whether the class names are in the right order, and if not, which output is which class, where that is sure."""
    target, by_name = known.target, int((best.said == known.target).sum())
    if by_name == int(best):
        return "in the right order"
    places, moved = order(best.said, target, len(classes)).tolist(), []
    for i in target.unique().tolist():
        most = (best.said[target == i] == places[i]).double().mean() > 0.5
        moved += [f"{classes[i]} is output {places[i]}"] if most and places[i] != i else []
    return f"in another order, {by_name} shapes are right by name: {', '.join(moved)}"
