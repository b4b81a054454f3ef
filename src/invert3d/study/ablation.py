"""What each ingredient adds: a ladder from the published recipe to ours, one change a rung."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from invert3d.evaluate.inversion import recognize
from invert3d.methods.inversion import Recipe, Stage
from invert3d.parameterizations.direct import Direct
from invert3d.parameterizations.primitives import Primitives
from invert3d.parameterizations.sheets import Sheets
from invert3d.parameterizations.union import SolidsAndSheet
from invert3d.study.invert import invert
from invert3d.study.networks import open_network
from invert3d.study.recipe import load_recipe


def ladder() -> list[tuple[str, Recipe]]:
    """The rungs, first to last: a label and a recipe each."""
    ours = load_recipe("ours")
    once = replace(ours, starts=1, judge="none", stages=(Stage(steps=ours.steps, stepper=ours.stages[0].stepper),))
    free = replace(once, parameterization=Direct(start="uniform"), transforms=())
    several = replace(ours, judge="none")
    return [
        ("published", load_recipe("published")),
        ("free points, Adam", free),
        ("free points, random views", replace(free, transforms=ours.transforms)),
        ("one sheet", replace(once, parameterization=Sheets())),
        ("boxes", replace(once, parameterization=Primitives(count=5, kind="cuboid", tilt=False, taper=False))),
        ("superquadrics, mirrored", replace(once, parameterization=Primitives(count=5, mirror="x"))),
        ("superquadrics and sheet", replace(once, parameterization=SolidsAndSheet())),
        ("ours, one start", once),
        ("ours without random views", replace(once, transforms=())),
        ("ours, starts kept by loss", several),
        ("ours, starts kept by its own views", replace(ours, judge="own")),
        ("ours", ours),
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
