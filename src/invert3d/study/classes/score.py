"""The scores of a run, from what it saved: one row a shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.data.voxels import Facing, refaced
from invert3d.engine.result import Result
from invert3d.evaluate.clouds import moved_share, nearest_shape, yardstick
from invert3d.evaluate.inversion import Recognition, recognize
from invert3d.models.weights import bundled
from invert3d.opening.networks import Network, open_network
from invert3d.ops.seeds import REFERENCE_SHAPES

REFERENCES = 24  # of each class, to measure Chamfer distances to
DISTANCES = ("Chamfer", "two of a class", "another class")  # how the distance and its yardsticks are headed


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What was measured of the shapes of a run."""

    own: Recognition
    others: tuple[Recognition, ...]
    chamfer: Tensor  # (A,) to the nearest reference shape of the class, NaN without any
    moved: Tensor  # (A,) share of the points that moved, NaN where points are drawn from surfaces
    nearest: Tensor  # (A, N, 3) the nearest reference shape of the class
    # of each class: how far one of its shapes is from the nearest other, and one of another class from the nearest
    yardsticks: Mapping[str, tuple[float, float]]

    @property
    def transfer(self) -> float:
        """Mean over shapes and other networks of "recognizes the class asked for"; NaN without other networks."""
        return float(np.mean([other.share for other in self.others])) if self.others else float("nan")

    def own_says(self, i: int) -> str:
        """How likely the network finds the class asked for, and what else it says: "chair 98%" or "only 2%: cup"."""
        likely = f"{self.own.probability[i]:.0%}"
        return f"{self.own.says[i]} {likely}" if self.own.right[i] else f"only {likely}: {self.own.says[i]}"

    def distances(self, name: str, i: int) -> dict[str, str]:
        """Chamfer distance of shape i, of the class ``name``, to the nearest reference shape, and its yardsticks."""
        known = [float(self.chamfer[i]), *self.yardsticks.get(name, (np.nan, np.nan))]
        return {key: "–" if np.isnan(each) else f"{each:.3f}" for key, each in zip(DISTANCES, known, strict=True)}

    def recognized_by(self, i: int) -> str:
        """How many of the other networks recognize shape i, as "2 of 2"."""
        return f"{sum(bool(other.right[i]) for other in self.others)} of {len(self.others)}" if self.others else "–"


def recognition(network: Network, x: Tensor, asked: Sequence[str], facing: Facing) -> Recognition:
    """What a network says of clouds x (A, N, 3) that face ``facing``, turned to how it learned their classes."""
    turned = torch.from_numpy(refaced(x.cpu().float().numpy(), asked, facing, network.facing))
    return recognize(network.frozen, network.name, network.classes, turned, asked)


def other_networks(network: Network, judge: str, names: Sequence[str]) -> list[Network]:
    """The bundled networks that may score a run: those that know its classes, take its clouds and learned shapes that
    face as its own did, and neither are inverted, nor the judge, nor of the inverted network's architecture: some of
    those began with the weights of another."""
    found, own = [], network.card.architecture if network.card else None
    for name, card in bundled("classifier").items():
        if name in (network.name, judge) or "size" in card.inputs or not set(names) <= set(card.classes):
            continue
        if card.architecture == own or card.inputs.get("facing", "front") != network.facing:
            continue
        other = open_network(name, device=str(network.frozen.device))
        if network.space.points >= getattr(other.frozen.model, "least_points", 1):
            found.append(other.with_points(network.space.points))
    return found


def reference_shapes(names: Sequence[str], points: int, facing: Facing = "front") -> dict[str, Tensor]:
    """Procedural shapes (REFERENCES, points, 3) of each of the classes that the procedural world has."""
    from invert3d.data.worlds.shapes import CATEGORIES, make_clouds

    known = [name for name in dict.fromkeys(names) if name in CATEGORIES]
    made = {name: make_clouds([name], REFERENCES, points, REFERENCE_SHAPES)[0] for name in known}
    return {name: torch.from_numpy(refaced(each, [name] * len(each), "front", facing)) for name, each in made.items()}


def shapes_but(name: str, points: int, facing: Facing) -> Tensor:
    """A procedural shape (classes - 1, points, 3) of each class but one."""
    from invert3d.data.worlds.shapes import CATEGORIES, make_clouds

    others = [other for other in CATEGORIES if other != name]
    return torch.from_numpy(refaced(make_clouds(others, 1, points, REFERENCE_SHAPES)[0], others, "front", facing))


def score(result: Result, network: Network, others: Sequence[Network]) -> Scored:
    """Measure the saved shapes of a run by its own network, by others, and against shapes of the classes."""
    names = result.facts["names"]
    x = result.x.detach().cpu().float()
    own = recognition(network, x, names, network.facing)
    rest = tuple(recognition(each, x, names, network.facing) for each in others)
    shapes = reference_shapes(names, 512, network.facing)
    yardsticks = {name: yardstick(each, shapes_but(name, 512, network.facing)) for name, each in shapes.items()}
    chamfer, nearest = torch.full((len(x),), torch.nan), torch.zeros(len(x), 512, 3)
    for i, name in enumerate(names):
        if name in shapes:
            best, distance = nearest_shape(x[i], shapes[name])
            chamfer[i], nearest[i] = distance, shapes[name][best]
    moved = torch.full((len(x),), torch.nan)
    free = "x" in result.theta or (result.snapshots is not None and result.facts.get("free_points"))
    if free and result.snapshots is not None:
        moved = moved_share(result.snapshots[0], x)
    return Scored(own=own, others=rest, chamfer=chamfer, moved=moved, nearest=nearest, yardsticks=yardsticks)


def score_table(result: Result, scored: Scored) -> dict[str, Any]:
    """The scores as a table: title, columns, rows, note."""
    each = result.seconds / max(1, len(scored.own.says))
    free = bool(torch.isfinite(scored.moved).all())
    rows = []
    for i, name in enumerate(result.facts["names"]):
        row = [
            name,
            scored.own.says[i],
            f"{scored.own.probability[i]:.2f}",
            scored.recognized_by(i),
            ", ".join(other.says[i] for other in scored.others) or "–",
            *scored.distances(name, i).values(),
        ]
        rows.append([*row, f"{scored.moved[i]:.0%}"] if free else row)
    judges = f" Others: {', '.join(other.network for other in scored.others)}." if scored.others else ""
    return {
        "title": f"{result.facts['model']}, recipe {result.facts['recipe']}",
        "columns": ["class", "prediction", "confidence", "recognized by others", "their predictions", *DISTANCES]
        + (["points moved"] if free else []),
        "rows": rows,
        "note": f"{each:.1f} s per shape.{judges} Chamfer: distance to the nearest of {REFERENCES} held-out shapes of "
        "the class. Medians for comparison: two of a class, from one of these shapes to the nearest other; another "
        "class, from a shape of another class to the nearest of these.",
        "transfer": scored.transfer,
        "own_success": scored.own.share,
    }
