"""What each ingredient adds: a ladder from the published recipe to ours, one change a rung."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.options import RunOptions
from invert3d.methods.recipes import load_recipe
from invert3d.methods.stages import Recipe, Stage
from invert3d.opening.networks import open_network
from invert3d.parameterizations.direct import Direct
from invert3d.parameterizations.primitives import Primitives
from invert3d.parameterizations.sheets import Sheets
from invert3d.parameterizations.union import SolidsAndSheet
from invert3d.study.classes.job import Source, result_of, shapes_job
from invert3d.study.classes.score import recognition


def ladder() -> list[tuple[str, Recipe]]:
    """The rungs, first to last: a label and a recipe each."""
    ours = load_recipe("ours")
    one_stage = (Stage(steps=ours.steps, stepper=ours.stages[-1].stepper),)
    once = replace(ours, candidates=0, starts=1, judge="none", stages=one_stage)
    many = replace(once, candidates=ours.candidates)
    solids = ours.parameterization
    plain = replace(solids, single=0.0, fourfold=0.0, open=0.0) if isinstance(solids, Primitives) else solids
    free = replace(once, parameterization=Direct(start="uniform"), transforms=())
    return [
        ("published", load_recipe("published")),
        ("free points, Adam", free),
        ("+ random views", replace(free, transforms=ours.transforms)),
        ("one smooth sheet", replace(once, parameterization=Sheets())),
        ("solids and a sheet", replace(once, parameterization=SolidsAndSheet())),
        ("solids that hang together", once),
        ("+ the likeliest of many starts", many),
        ("the same, all solids closed and mirrored once", replace(many, parameterization=plain)),
        ("the same without random views", replace(many, transforms=())),
        ("+ several starts, by loss", replace(ours, judge="none")),
        ("+ several starts, by its own views", replace(ours, judge="own")),
        ("ours (+ a second judge)", ours),
        ("search and judge, no step", load_recipe("search")),
    ]


def ablate(
    rungs: Sequence[tuple[str, Recipe]],
    network: str,
    others: Sequence[str],
    repeats: int,
    options: RunOptions,
    device: str = "cpu",
) -> tuple[Outcome, list[dict[str, Any]]]:
    """The job's outcome, and a row a rung: success on the network itself, recognition by the others, seconds a shape.

    Raises KeyboardInterrupt after Ctrl-C; what was done is in the run folder.
    """
    opened = open_network(network, device=device)
    sources = {label: Source(network=opened, recipe=recipe) for label, recipe in rungs}
    outcome = execute(shapes_job(sources, "all", repeats), options).whole()
    rows = []
    for label, recipe in rungs:
        result = result_of(outcome, label)
        names, x = result.facts["names"], result.x.float()
        seen = {}
        for name in (network, *others):
            other = open_network(name, points=recipe.points, device=device)
            seen[name] = recognition(other, x, names, opened.facing).share
        columns = {name.split("-")[0]: round(seen[name], 3) for name in others}
        mean = round(sum(seen[name] for name in others) / len(others), 3)
        row = {"ingredient": label, "own": round(seen[network], 3), **columns, "transfer": mean}
        rows.append({**row, "seconds": round(result.seconds / len(names), 2)})
    return outcome, rows
