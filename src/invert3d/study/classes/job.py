"""``invert3d.invert``: from a model and class names to a result and a run folder, in chunks that fit in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invert3d.engine.recorder import ProgressBar, Recorder
from invert3d.engine.result import Checkpoint, Result
from invert3d.jobs.folder import prepared, write_json
from invert3d.jobs.provenance import command_line, environment
from invert3d.methods.classes import Recipe, Unfinished
from invert3d.methods.classes import invert as invert_batch
from invert3d.methods.judge import Judge, renamed_classes
from invert3d.methods.recipes import load_recipe, overridden, recipe_table, recipe_toml
from invert3d.study.networks import Network, open_network

#: points held at once: 96 clouds of 512. Bounds the memory of a PointNet++ to about 3 GB.
POINTS_AT_ONCE = 96 * 512


@dataclass(frozen=True)
class Asked:
    """One shape asked for: a class of the network and the number of the try."""

    name: str
    index: int
    repeat: int

    @property
    def sample(self) -> int:
        """Its number in any run: the same shape comes out whatever else is asked."""
        return self.index * 100 + self.repeat


def invert(
    model: str | nn.Module | Network,
    classes: Sequence[str] | str,
    *,
    recipe: str | Recipe = "ours",
    out: str | Path | None = None,
    repeats: int = 1,
    seed: int = 0,
    points: int | None = None,
    steps: int | None = None,
    starts: int | None = None,
    judge: str | None = None,
    checkpoint: str | Path | None = None,
    layout: str = "bn3",
    up: str | None = None,
    class_list: Sequence[str] | None = None,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Result:
    """Ask a frozen classifier of clouds what it thinks a class is.

    Args:
        model: bundled weights by name, ``package.module:factory``, an architecture with a ``checkpoint``, any
            ``nn.Module``, or an opened ``Network``.
        classes: class names, or ``"all"``.
        recipe: ``ours``, ``published``, another built-in one, a TOML file, or a ``Recipe``.
        out: a run folder to write; none is written without it.
        repeats: shapes of each class, each from its own starts.
        seed: fixes everything.
        points, steps, starts, judge: override the recipe's.
        checkpoint, layout, up, class_list, device: as for ``open_network``.
        resume, overwrite: what to do with a run folder that is there already.
        progress: show a progress bar.

    Returns:
        A ``Result``: x (A, points, 3) in the unit sphere, z up, with ``facts["names"]``, snapshots and trace. After
        Ctrl-C it holds what there is, ``interrupted``, and so does the run folder.

    Raises:
        ValueError: for unknown names, and anything else that is wrong before work starts.
    """
    chosen = overridden(
        recipe if isinstance(recipe, Recipe) else load_recipe(recipe),
        {"points": points, "steps": steps, "starts": starts, "judge": judge},
    )
    network = (
        model
        if isinstance(model, Network)
        else open_network(
            model, checkpoint=checkpoint, layout=layout, up=up, classes=class_list, points=chosen.points, device=device
        )
    )
    network = network.with_points(chosen.points)
    asked = asked_of(network, classes, repeats)
    check_neighbors(chosen)
    network.frozen.space.validate(network.frozen.space.start("ball", torch.zeros(1, 0), _draws()))
    jury = judge_of(chosen, network)
    folder = prepared(Path(out), resume=resume, overwrite=overwrite) if out is not None else None
    facts = {
        "model": network.name,
        "classes": list(network.classes),
        "names": [each.name for each in asked],
        "repeats": [each.repeat for each in asked],
        "recipe": chosen.name,
        "seed": seed,
        "weights": fingerprint(network.frozen.model),
    }
    if folder is not None:
        agrees_with_earlier(folder, facts, chosen, resume)
        write_json(
            folder / "run.json",
            {
                **facts,
                "table": recipe_table(chosen),
                "command": command_line(),
                "environment": environment(),
                "checkpoint": Path(checkpoint).name if checkpoint else None,
                "layout": layout,
                "up": network.space.up,
            },
        )
        (folder / "recipe.toml").write_text(recipe_toml(chosen))
    result, places = in_chunks(network, asked, chosen, jury, seed, folder, progress)
    result.facts = facts | {key: [facts[key][i] for i in places] for key in ("names", "repeats")}
    if folder is not None:
        result.save(folder)
    return result


def fingerprint(model: nn.Module) -> str:
    """Sixteen hexadecimal digits that change with any weight of a model."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]


def _draws():
    from invert3d.engine.draws import Draws

    return Draws.seeded(0, [0])


def asked_of(network: Network, classes: Sequence[str] | str, repeats: int) -> list[Asked]:
    """The shapes asked for. Raises ValueError for an unknown class, with the nearest names."""
    if repeats < 1 or repeats > 100:
        raise ValueError(f"between 1 and 100 shapes of a class can be asked for, not {repeats}")
    names = network.categories if classes == "all" or list(classes) == ["all"] else classes
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise ValueError(f"name a class to invert, or all; the network knows {', '.join(network.categories)}")
    return [Asked(name, network.index(name), repeat) for name in names for repeat in range(repeats)]


def check_neighbors(recipe: Recipe) -> None:
    """Raise ValueError if a smoothing of the recipe asks for more neighbors than its clouds have points."""
    for stage in recipe.stages:
        for projection in stage.projections:
            k = getattr(getattr(projection, "projection", projection), "k", 0)
            if k >= recipe.points:
                raise ValueError(f"K = {k} neighbors in a cloud of {recipe.points} points: K must be smaller")


def judge_of(recipe: Recipe, network: Network) -> Judge | None:
    """The judge a recipe names: none; the inverted network itself; or bundled weights, whose vote is added to its own.

    Where the bundled network does not know a class, the inverted network judges alone.
    """
    if recipe.judge == "none":
        return None
    networks, classes = [network.frozen], [torch.arange(len(network.classes))]
    if recipe.judge != "own":
        other = open_network(recipe.judge, points=recipe.points, device=str(network.frozen.device))
        networks.append(other.frozen)
        classes.append(renamed_classes(network.classes, other.classes))
    return Judge(networks=tuple(networks), classes=tuple(classes))


def in_chunks(
    network: Network,
    asked: list[Asked],
    recipe: Recipe,
    judge: Judge | None,
    seed: int,
    folder: Path | None,
    progress: bool,
) -> tuple[Result, list[int]]:
    """Invert so many shapes at a time as fit in memory; finished chunks are kept in the run folder.

    Returns the result, and which of the shapes asked for it holds: all, unless it was interrupted.
    """
    chunks = chunks_of(asked, max(1, POINTS_AT_ONCE // (recipe.points * recipe.starts)))
    bar = ProgressBar(total=recipe.steps * len(chunks)) if progress else None
    recorders: list[Recorder] = [bar] if bar else []
    parts: list[Result] = []
    try:
        for number, chunk in enumerate(chunks):
            parts.append(one_chunk(network, chunk, recipe, judge, seed, folder, number, recorders))
            if bar:
                bar.reached(recipe.steps * (number + 1))
            if parts[-1].interrupted:
                break
    finally:
        if bar:
            bar.stop()
    done = [each for chunk in chunks[: len(parts)] for each in chunk]
    places = [i for i, each in enumerate(asked) if each in done]
    return joined(parts).select([done.index(asked[i]) for i in places]), places


def chunks_of(asked: list[Asked], size: int) -> list[list[Asked]]:
    """The shapes in groups of at most ``size``, each of one try only: such a group shares its candidates."""
    tries = [[each for each in asked if each.repeat == repeat] for repeat in dict.fromkeys(e.repeat for e in asked)]
    return [group[i : i + size] for group in tries for i in range(0, len(group), size)]


def one_chunk(
    network: Network,
    chunk: list[Asked],
    recipe: Recipe,
    judge: Judge | None,
    seed: int,
    folder: Path | None,
    number: int,
    recorders: list[Recorder],
) -> Result:
    """One chunk: read if an earlier run finished it, gone on with if it was interrupted, else from the start."""
    place = folder / "parts" / f"{number:03d}" if folder is not None else None
    if place is not None and (place / "result.json").is_file():
        done = Result.load(place)
        if not done.interrupted:
            return done
    unfinished = read_unfinished(place) if place is not None else None
    target = torch.tensor([each.index for each in chunk], device=network.frozen.device)
    result, left = invert_batch(
        network.frozen,
        target,
        recipe,
        judge=judge,
        seed=seed,
        samples=[each.sample for each in chunk],
        pools=[each.repeat for each in chunk],
        recorders=recorders,
        resume=unfinished,
    )
    if place is not None:
        result.checkpoint = None
        result.save(place)
        if left is not None:
            torch.save({**vars(left), "checkpoint": left.checkpoint and vars(left.checkpoint)}, place / "unfinished.pt")
        else:
            (place / "unfinished.pt").unlink(missing_ok=True)
    return result


def read_unfinished(place: Path) -> Unfinished | None:
    """Where an interrupted chunk stands, if it was interrupted."""
    path = place / "unfinished.pt"
    if not path.is_file():
        return None
    table: dict[str, Any] = torch.load(path, weights_only=True)
    checkpoint = table.pop("checkpoint")
    return Unfinished(**table, checkpoint=Checkpoint(**checkpoint) if checkpoint else None)


def joined(parts: list[Result]) -> Result:
    """The samples of several results in one. Traces and snapshots are those of the steps that all of them took."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    names = [name for name in first.trace if all(name in part.trace for part in parts)]
    length = min(len(part.trace["step"]) for part in parts) if names else 0
    trace = {
        name: first.trace[name][:length]
        if name == "step"
        else torch.cat([part.trace[name][:length] for part in parts], 1)
        for name in names
    }
    frames = [part.snapshots for part in parts if part.snapshots is not None]
    shortest = min((len(frame) for frame in frames), default=0)

    def cat(name: str) -> Tensor:
        return torch.cat([getattr(part, name).cpu() for part in parts])

    return replace(
        first,
        x=cat("x"),
        loss=cat("loss"),
        outputs=cat("outputs"),
        target=cat("target"),
        steps=cat("steps"),
        seconds=sum(part.seconds for part in parts),
        interrupted=any(part.interrupted for part in parts),
        theta={},
        trace=trace,
        snapshots=torch.cat([frame[:shortest] for frame in frames], 1) if shortest else None,
        snapshot_steps=None if first.snapshot_steps is None else first.snapshot_steps[:shortest],
        best=None,
    )


def agrees_with_earlier(folder: Path, facts: dict[str, Any], recipe: Recipe, resume: bool) -> None:
    """Raise ValueError if a run is resumed with other questions or another recipe than it began with."""
    if not resume:
        return
    from invert3d.jobs.folder import read_run

    earlier = read_run(folder)
    table = recipe_table(recipe)
    differing = [key for key in facts if earlier.get(key) != facts[key]]
    differing += [f"recipe.{key}" for key in table if earlier["table"].get(key) != table[key]]
    if differing:
        raise ValueError(f"cannot resume {folder}: it was begun with other values of {', '.join(differing)}")
