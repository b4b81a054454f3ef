"""Inversion transfer: what is inverted from one network and recognized by others, with the control beside it.

Rows are the networks inverted, columns those that look. The judge of a recipe is never a row nor a column. The
control inverts the same networks with their weights shuffled, everything else alike: what others then recognize, the
recipe drew and not the network.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from invert3d.evaluate.inversion import randomize, recognize, transfer_matrix
from invert3d.methods.classes import Recipe
from invert3d.methods.recipes import load_recipe
from invert3d.study.classes.job import invert
from invert3d.study.networks import Network, open_network

NETWORKS = ("pointnet-shapes", "pointnet2_ssg-shapes", "dgcnn-shapes")


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """The matrix (rows inverted, columns look), its mean off the diagonal, and success on the rows' own networks."""

    recipe: str
    networks: tuple[str, ...]
    matrix: Tensor
    transfer: float
    own_success: float
    by_class: dict[str, float]
    seconds: float
    shapes: int

    def rows(self, table: str) -> list[dict[str, object]]:
        """The matrix as rows of plain values."""
        return [
            {
                "table": table,
                "recipe": self.recipe,
                "inverted": name,
                "shapes": self.shapes,
                **{column: round(float(value), 4) for column, value in zip(self.networks, line, strict=True)},
            }
            for name, line in zip(self.networks, self.matrix, strict=True)
        ]


def randomized(network: Network, seed: int = 0) -> Network:
    """The same architecture with its weights shuffled and its batch norms measured again on procedural clutter."""
    from invert3d.data.worlds.clutter import make_clutter_clouds

    clouds = torch.from_numpy(make_clutter_clouds(32, network.space.points, seed))
    model = copy.deepcopy(network.frozen.model)
    randomize(model, network.frozen.space.encode(clouds.to(network.frozen.device)), seed)
    return replace(network, name=f"{network.name} shuffled", frozen=network.frozen.on(network.space, model), card=None)


def transfer(
    recipe: str | Recipe,
    *,
    names: Sequence[str] = NETWORKS,
    classes: Sequence[str] | str = "all",
    repeats: int = 4,
    seed: int = 0,
    control: bool = False,
    device: str = "cpu",
    progress: bool = True,
    folder: Path | None = None,
) -> Transfer:
    """Invert classes from each network and let all of them look at the results.

    Args:
        recipe: a name or a ``Recipe``.
        names: bundled weights.
        classes: class names, or ``all``.
        repeats: shapes of each class.
        control: shuffle the weights of the networks that are inverted (those that look stay as they are).
        folder: keeps a run folder for each network, from which an interrupted call goes on.

    Raises:
        ValueError: if the recipe's judge is among the networks, or a run folder holds other questions.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folders.
    """
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if chosen.judge in names:
        raise ValueError(f"{chosen.judge} judges the starts of recipe {chosen.name}: it cannot also score the transfer")
    networks = [open_network(name, points=chosen.points, device=device) for name in names]
    inverted: dict[str, tuple[Tensor, Sequence[str]]] = {}
    own, seconds = [], 0.0
    for network in networks:
        source = randomized(network, seed) if control else network
        place = folder / name_of(chosen, control).replace(" ", "-") / network.name if folder else None
        result = invert(
            source,
            classes,
            recipe=chosen,
            repeats=repeats,
            seed=seed,
            progress=progress,
            out=place,
            resume=place is not None and (place / "run.json").is_file(),
        )
        if result.interrupted:
            raise KeyboardInterrupt
        asked = result.facts["names"]
        inverted[network.name] = (result.x.detach().cpu(), asked)
        own.append(recognize(source.frozen, source.name, source.classes, result.x.detach().cpu(), asked).share)
        seconds += result.seconds
    matrix, mean = transfer_matrix(inverted, {n.name: (n.frozen, n.classes) for n in networks})
    return Transfer(
        recipe=name_of(chosen, control),
        networks=tuple(names),
        matrix=matrix,
        transfer=mean,
        own_success=sum(own) / len(own),
        by_class=by_class(inverted, networks),
        seconds=seconds,
        shapes=len(asked),
    )


def name_of(recipe: Recipe, control: bool) -> str:
    """What a measured recipe is called in tables."""
    return recipe.name + (" on shuffled weights" if control else "")


def by_class(inverted: dict[str, tuple[Tensor, Sequence[str]]], networks: Sequence[Network]) -> dict[str, float]:
    """Transfer class by class: mean over the pairs of different networks and the shapes of the class."""
    votes: dict[str, list[bool]] = {}
    for row, (x, asked) in inverted.items():
        for network in networks:
            if network.name != row:
                seen = recognize(network.frozen, network.name, network.classes, x, asked)
                for name, right in zip(asked, seen.right.tolist(), strict=True):
                    votes.setdefault(name, []).append(right)
    return {name: sum(each) / len(each) for name, each in votes.items()}
