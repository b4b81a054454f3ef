"""``invert3d.invert``: from a network and class names to shapes, as a job of one unit a shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.result import Result
from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.folder import read_job, read_made
from invert3d.jobs.job import Context, Job, Made, Progress, Unfinished, Unit, file_name, joined_traces, trace_of
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import fingerprint
from invert3d.methods.classes import invert as invert_batch
from invert3d.methods.judge import Judge, renamed_classes
from invert3d.methods.recipes import load_recipe, recipe_table
from invert3d.methods.stages import Recipe
from invert3d.methods.stages import Unfinished as Stopped
from invert3d.opening.networks import Network, cached_network, open_network

#: the share of a batch that the search among candidates takes, about: what the progress line counts it as
SEARCH = 0.4
#: points that are optimized at once: 48 clouds of 512. Bounds the memory of a PointNet++ to about 2 GB
CAPACITY = 48 * 512


@dataclass(frozen=True, kw_only=True)
class Source:
    """A network to invert, and how."""

    network: Network
    recipe: Recipe

    def facts(self) -> dict[str, Any]:
        """What its shapes depend on, as plain values."""
        space = self.network.space
        return {
            "model": self.network.name,
            "args": self.network.options,
            "classes": list(self.network.classes),
            "layout": space.layout,
            "features": list(space.features),
            "grid_size": space.grid_size,
            "up": space.up,
            "weights": fingerprint(self.network.frozen.model),
            "guessed": self.network.guessed,
            "recipe": recipe_table(self.recipe),
        }


@dataclass(frozen=True, kw_only=True)
class InvertClasses:
    """The worker: a batch of shapes, all of one source."""

    sources: Mapping[str, Source]

    @property
    def device(self) -> str:
        """Where the networks are."""
        return str(next(iter(self.sources.values())).network.frozen.device)

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made] | Unfinished:
        source = self.sources[units[0].values["source"]]
        network, recipe = source.network, source.recipe
        search = SEARCH if recipe.candidates and not context.checkpoint else 0.0
        result, left = invert_batch(
            network.frozen,
            torch.tensor([network.index(unit.values["class"]) for unit in units], device=network.frozen.device),
            recipe,
            judge=judge_of(recipe, network),
            seed=context.seed,
            samples=[unit.name for unit in units],
            recorders=[Progress(context, recipe.steps, search)],
            searching=lambda share: context.report(search * share, f"searching {share:.0%}"),
            resume=Stopped.from_bytes(context.checkpoint) if context.checkpoint else None,
        )
        made = made_of(result)
        return made if left is None else Unfinished(made=made, checkpoint=left.to_bytes())


def invert(
    model: str | nn.Module | Network,
    classes: Sequence[str] | str,
    *,
    recipe: str | Recipe = "ours",
    repeats: int = 1,
    out: str | Path | None = None,
    options: RunOptions = RunOptions(),
) -> Result:
    """Ask a frozen classifier of clouds what it thinks a class is.

    Args:
        model: what ``open_network`` opens by itself (bundled weights by name, ``package.module:factory``, any
            ``nn.Module``), or a ``Network`` that it opened with options.
        classes: class names, or ``"all"``.
        recipe: ``ours``, ``published``, another built-in one, a TOML file, or a ``Recipe`` (``load_recipe`` overrides).
        repeats: shapes of each class, each from its own starts.
        out: a run folder to write, in place of that of the options; nothing is kept without one.
        options: the seed, workers, and whether a run is gone on with.

    Returns:
        A ``Result``: x (A, points, 3) in the unit sphere, z up, with ``facts["names"]``, snapshots and trace. After
        Ctrl-C it holds what there is, ``interrupted``, and so does the run folder.

    Raises:
        ValueError: for unknown names, and anything else that is wrong before work starts.
        KeyboardInterrupt: it was interrupted before there was anything.
    """
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    network = model if isinstance(model, Network) else open_network(model, points=chosen.points)
    return result_of(execute(classes_job(network, classes, chosen, repeats), options.into(out)))


def classes_job(network: Network, classes: Sequence[str] | str, recipe: Recipe, repeats: int = 1) -> Job:
    """The job of inverting some classes of one network. Raises ValueError as ``shapes_job``."""
    return shapes_job({"": Source(network=network, recipe=recipe)}, classes, repeats)


def shapes_job(sources: Mapping[str, Source], classes: Sequence[str] | str, repeats: int) -> Job:
    """The job of inverting the same classes of several sources.

    Shapes of one source and one try share a batch, and with it the random candidates that they begin with.

    Raises:
        ValueError: for an unknown class, with the nearest names, no class at all, repeats outside 1 to
            100, or a recipe that does not fit its network.
    """
    if not 1 <= repeats <= 100:
        raise ValueError(f"between 1 and 100 shapes of a class can be asked for, not {repeats}")
    ready = {key: _ready(source) for key, source in sources.items()}
    units = tuple(
        Unit(
            name=file_name("-".join(part for part in (key, name, str(repeat)) if part)),
            cost=source.recipe.points * source.recipe.starts,
            group=f"{key}/{repeat}",
            values={"source": key, "class": name, "repeat": repeat},
        )
        for key, source in ready.items()
        for name in class_names(source.network, classes)
        for repeat in range(repeats)
    )
    label = f"inverting {len(units)} shape{'s' * (len(units) > 1)}"
    settings = {"sources": {key: source.facts() for key, source in ready.items()}}
    about = {"names": [unit.values["class"] for unit in units]}
    worker = InvertClasses(sources=ready)
    return Job(
        kind="classes", units=units, worker=worker, settings=settings, about=about, capacity=CAPACITY, label=label
    )


def _ready(source: Source) -> Source:
    """The source with its network on clouds of the recipe's size. Raises ValueError where the two do not fit."""
    recipe, network = source.recipe, source.network.with_points(source.recipe.points)
    for stage in recipe.stages:
        for projection in stage.projections:
            k = getattr(getattr(projection, "projection", projection), "k", 0)
            if k >= recipe.points:
                raise ValueError(f"K = {k} neighbors in a cloud of {recipe.points} points: K must be smaller")
    space = network.frozen.space
    space.validate(space.start("ball", torch.zeros(1, 0), Draws.seeded(0, [0])))
    judge_of(recipe, network)
    return Source(network=network, recipe=recipe)


def class_names(network: Network, classes: Sequence[str] | str) -> list[str]:
    """The classes asked for. Raises ValueError for an unknown one, with the nearest names, one twice, or none."""
    names = network.categories if classes == "all" or list(classes) == ["all"] else classes
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise ValueError(f"name a class to invert, or all; the network knows {', '.join(network.categories)}")
    for name in names:
        network.index(name)
        if names.count(name) > 1:
            raise ValueError(f"{name} is named twice: ask for --repeats of it")
    return names


def judge_of(recipe: Recipe, network: Network) -> Judge | None:
    """The judge a recipe names: none; the inverted network itself; or bundled weights, whose vote is added to its own.

    Where the bundled network does not know a class, or learned shapes that face another way, the inverted network
    judges alone.
    """
    if recipe.judge == "none":
        return None
    networks, classes = [network.frozen], [torch.arange(len(network.classes))]
    if recipe.judge != "own":
        other = cached_network(recipe.judge, recipe.points, str(network.frozen.device))
        if other.facing == network.facing:
            networks.append(other.frozen)
            classes.append(renamed_classes(network.classes, other.classes))
    return Judge(networks=tuple(networks), classes=tuple(classes))


def made_of(result: Result) -> list[Made]:
    """A result as what is kept of each of its samples."""
    parts = {"x": result.x, "loss": result.loss, "outputs": result.outputs, "steps": result.steps}
    parts |= {f"theta.{name}": value for name, value in result.theta.items()}
    made = []
    for i in range(len(result.x)):
        arrays = {name: value[i].detach() for name, value in parts.items()}
        arrays |= trace_of(result.trace, i)
        if result.snapshots is not None and result.snapshot_steps is not None:
            arrays |= {"snapshots": result.snapshots[:, i], "snapshot_steps": result.snapshot_steps}
        made.append(Made(facts={"steps": int(result.steps[i]), "loss": float(result.loss[i])}, arrays=arrays))
    return made


def result_of(outcome: Outcome, source: str | None = None) -> Result:
    """What a job left, or what it left of one source, as a ``Result``. Raises KeyboardInterrupt if there is nothing."""
    there = [(unit, made) for unit, made in outcome.each() if source in (None, unit.values["source"])]
    if not there:
        outcome.whole()
    key = there[0][0].values["source"]
    facts = outcome.job.settings["sources"][key]
    result = joined([made for _, made in there])
    result.interrupted = outcome.interrupted
    result.seconds = outcome.seconds([unit.name for unit, _ in there])
    result.facts = {
        "model": facts["model"],
        "classes": facts["classes"],
        "recipe": facts["recipe"]["name"],
        "names": [unit.values["class"] for unit, _ in there],
        "repeats": [unit.values["repeat"] for unit, _ in there],
    }
    result.target = torch.tensor([facts["classes"].index(name) for name in result.facts["names"]])
    return result


def joined(made: Sequence[Made]) -> Result:
    """Samples in one result. Traces go on as NaN for those that ended earlier."""

    def stacked(name: str) -> Tensor:
        return torch.stack([each.arrays[name] for each in made])

    first = made[0].arrays
    count = min((len(each.arrays.get("snapshots", ())) for each in made), default=0)
    return Result(
        x=stacked("x"),
        loss=stacked("loss"),
        outputs=stacked("outputs"),
        target=None,
        steps=stacked("steps"),
        theta={k.removeprefix("theta."): stacked(k) for k in first if k.startswith("theta.")},
        trace=joined_traces(made),
        snapshots=torch.stack([each.arrays["snapshots"][:count] for each in made], 1) if count else None,
        snapshot_steps=first["snapshot_steps"][:count] if count else None,
    )


def shapes_facts(folder: Path) -> dict[str, Any]:
    """The facts of a run of ``invert3d invert class``. Raises ValueError if it is none."""
    facts = read_job(folder, "classes", ("model", "classes", "layout", "up", "weights", "recipe"))
    if not set(facts["names"]) <= set(facts["classes"]) or "judge" not in facts["recipe"]:
        raise ValueError(f"{folder} names shapes that its network has no class for")
    return facts


def read_shapes(folder: Path) -> tuple[dict[str, Any], Result]:
    """The facts of a run of ``invert3d invert class`` and its shapes. Raises ValueError if it is none, or empty."""
    facts = shapes_facts(folder)
    there = [i for i, name in enumerate(facts["units"]) if (folder / "units" / name).is_dir()]
    if not there:
        raise ValueError(f"{folder} has no shape yet")
    result = joined([read_made(folder / "units" / facts["units"][i]) for i in there])
    names = [facts["names"][i] for i in there]
    repeats = [facts["names"][:i].count(facts["names"][i]) for i in there]  # in the order of ``shapes_job``
    result.facts = {**facts, "recipe": facts["recipe"]["name"], "names": names, "repeats": repeats}
    result.target = torch.tensor([facts["classes"].index(name) for name in names])
    return facts, result
