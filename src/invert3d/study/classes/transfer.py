"""Does what was inverted from one network mean anything to others? One job of all recipes and networks.

The judge of a recipe is never a row nor a column of the matrix. The control inverts the same networks with their
weights shuffled, everything else alike: what others recognize then comes from the recipe and not from the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from invert3d.engine.progress import Meter
from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import fingerprint
from invert3d.methods.recipes import load_recipe
from invert3d.methods.stages import Recipe
from invert3d.opening.networks import Network, cached_network
from invert3d.study.classes.job import Source, result_of, shapes_job
from invert3d.study.classes.score import recognition
from invert3d.study.controls import randomized
from invert3d.study.transfer import COLUMNS, Matrix

#: bundled networks that are compared, by the name of their set: what they learned
NETWORKS = {
    data: tuple(f"{each}-{card}" for each in ("pointnet", "pointnet2_ssg", "dgcnn"))
    for data, card in (("shapes", "shapes"), ("real", "modelnet10"))
}


@dataclass(frozen=True, kw_only=True)
class ClassTransfer:
    """Of one recipe: the matrix (share recognized), success on the inverted networks themselves, how many of how many
    votes of other networks by class; and what nobody said of a network (``Network.guessed``).
    """

    matrix: Matrix
    own_success: float
    by_class: dict[str, tuple[int, int]]
    seconds: float
    shapes: int
    guessed: str = ""

    @property
    def seconds_a_shape(self) -> float:
        """Of the whole call: search, steps and judge, mean over networks and shapes."""
        return self.seconds / self.shapes / len(self.matrix.rows)


def transfer(
    recipes: Sequence[tuple[str | Recipe, bool]],
    networks: Sequence[Network],
    options: RunOptions,
    *,
    classes: Sequence[str] | str = "all",
    repeats: int = 4,
) -> list[ClassTransfer]:
    """Invert classes from each network by each recipe, and let all networks look at the results.

    Args:
        recipes: each with whether it is the control, whose inverted networks have shuffled weights.
        networks: at least two, each of clouds.
        options: how the job is run; ``resume`` goes on from its folder.
        classes: class names, or ``all`` that all the networks know.
        repeats: shapes of each class.

    Raises:
        ValueError: a recipe's judge is among the networks, by whatever name, a network is called as a column of the
            table is, two recipes have one name, or no class is known to all.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    names = [network.name for network in networks]
    if taken := sorted({*names} & {*COLUMNS}):
        raise ValueError(f"a network cannot be called {taken[0]}: a column of the table is")
    if len(names) < 2:
        raise ValueError("a transfer matrix needs at least two networks")
    chosen = [(each if isinstance(each, Recipe) else load_recipe(each), control) for each, control in recipes]
    for recipe, _ in chosen:
        check_judge(recipe, networks)
    if classes == "all":
        classes = [name for name in networks[0].categories if all(name in each.categories for each in networks)]
        if not classes:
            raise ValueError(f"there is no class that {', '.join(names)} all know")
    shuffled = (
        [randomized(each, options.seed) for each in networks] if any(control for _, control in chosen) else networks
    )
    sources = {
        f"{label_of(recipe, control)}-{name}": Source(network=mixed if control else network, recipe=recipe)
        for recipe, control in chosen
        for name, network, mixed in zip(names, networks, shuffled, strict=True)
    }
    if len(sources) < len(chosen) * len(names):
        raise ValueError("two recipes have one name: name each once")
    outcome = execute(shapes_job(sources, classes, repeats), options).whole()
    with Meter("showing the shapes to the networks", show=options.progress):
        return [_measured(outcome, recipe, control, networks, sources) for recipe, control in chosen]


def check_judge(recipe: Recipe, networks: Sequence[Network]) -> None:
    """Raise ValueError if the judge of a recipe is one of the networks: its weights count, not what it is called."""
    if recipe.judge in ("none", "own"):
        return
    weights = fingerprint(cached_network(recipe.judge, recipe.points).frozen.model)
    for network in networks:
        if fingerprint(network.frozen.model) == weights:
            called = "" if network.name == recipe.judge else f" (called {network.name})"
            raise ValueError(
                f"{recipe.judge}{called} judges the starts of {recipe.name}: it cannot also score the transfer"
            )


def label_of(recipe: Recipe, control: bool) -> str:
    """What a measured recipe is called in tables."""
    return recipe.name + (" on shuffled weights" if control else "")


def _measured(
    outcome: Outcome, recipe: Recipe, control: bool, networks: Sequence[Network], sources: dict[str, Source]
) -> ClassTransfer:
    label, votes = label_of(recipe, control), dict[str, list[bool]]()
    values, own, seconds, shapes = [], [], 0.0, 0
    for row in networks:
        source = sources[f"{label}-{row.name}"].network.with_points(recipe.points)
        result = result_of(outcome, f"{label}-{row.name}")
        x, asked = result.x.float(), result.facts["names"]
        seen = [recognition(each.with_points(recipe.points), x, asked, row.facing).right for each in networks]
        own.append(float(recognition(source, x, asked, row.facing).right.float().mean()))
        values.append([float(each.float().mean()) for each in seen])
        for network, right in zip(networks, seen, strict=True):
            for name, vote in zip(asked, right.tolist(), strict=True):
                if network is not row:
                    votes.setdefault(name, []).append(vote)
        seconds, shapes = seconds + result.seconds, len(asked)
    names = tuple(network.name for network in networks)
    return ClassTransfer(
        matrix=Matrix(label=label, rows=names, columns=names, values=tuple(map(tuple, values))),
        own_success=sum(own) / len(own),
        by_class={name: (sum(each), len(each)) for name, each in votes.items()},
        seconds=seconds,
        shapes=shapes,
        guessed="".join(f" {each.name}:{each.guessed}" for each in networks if each.guessed),
    )
