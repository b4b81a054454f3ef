"""What each ingredient adds: a ladder from the published recipe to ours, one change a rung."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from invert3d.evaluate.inversion import recognize
from invert3d.methods.classes import Recipe, Stage
from invert3d.methods.recipes import load_recipe
from invert3d.parameterizations.direct import Direct
from invert3d.parameterizations.primitives import Primitives
from invert3d.parameterizations.sheets import Sheets
from invert3d.parameterizations.union import SolidsAndSheet
from invert3d.study.classes.job import invert
from invert3d.study.networks import open_network


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
    ]


def measure(
    label: str, recipe: Recipe, network: str, others: Sequence[str], repeats: int, seed: int, device: str
) -> dict[str, Any]:
    """One rung: success on the network itself, and recognition by the others."""
    source = open_network(network, points=recipe.points, device=device)
    result = invert(source, "all", recipe=recipe, repeats=repeats, seed=seed)
    names, x = result.facts["names"], result.x.detach().cpu()
    own = recognize(source.frozen, network, source.classes, x, names)
    row: dict[str, Any] = {"ingredient": label, "own": round(own.share, 3)}
    shares = []
    for name in others:
        other = open_network(name, points=recipe.points, device=device)
        shares.append(recognize(other.frozen, name, other.classes, x, names).share)
        row[name.split("-")[0]] = round(shares[-1], 3)
    return {**row, "transfer": round(sum(shares) / len(shares), 3), "seconds": round(result.seconds / len(names), 2)}
