"""Score a run: success, recognition by other networks, Chamfer, control."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invert3d.cli.options import Device, Folder
from invert3d.cli.show import print_scores

if TYPE_CHECKING:
    from invert3d.opening.networks import Network


def evaluate_inversion(run: Folder, *, model: str | None = None, control: bool = False, device: Device = "cpu") -> None:
    """Score a run folder again, from the clouds it saved.

    Args:
        run: A run folder of invert3d invert class.
        model: The model that was inverted, where it is package.module:factory: nothing is imported because a folder
            says so.
        control: Also run the recipe on the network with shuffled weights and say how much of that others recognize.
    """
    from invert3d.jobs.provenance import fingerprint
    from invert3d.opening.networks import open_network
    from invert3d.study.classes.job import read_shapes, shapes_facts
    from invert3d.study.classes.report import write_report

    facts = shapes_facts(run)
    if " from " in facts["model"]:
        raise ValueError(f"{run} inverted a checkpoint of yours: run invert3d invert class --resume to score it again")
    name = confirmed_model(run, facts["model"], model)
    judge = facts["recipe"]["judge"]
    if control and ":" in judge:
        raise ValueError(f"{run} names the judge {judge}, which is code, so there is no --control")
    _, result = read_shapes(run)
    network = open_network(
        name, layout=facts["layout"], up=facts["up"], classes=facts["classes"], points=result.x.shape[1], device=device
    )
    if fingerprint(network.frozen.model) != facts["weights"]:
        raise ValueError(f"{run} inverted other weights than {name} opens: --resume of invert class scores it again")
    network = replace(network, guessed=facts.get("guessed", ""))
    print_scores(write_report(run, network, result))
    if control:
        print_scores(control_scores(run, network, facts))


def confirmed_model(run: Path, said: str, given: str | None) -> str:
    """The model to open for a run folder, which is somebody's word about code: a factory is confirmed by the user.

    Raises ValueError where the run names a factory and ``given`` does not, or they disagree.
    """
    if given is not None and given != said:
        raise ValueError(f"{run} inverted {said}, not {given}")
    if given is None and ":" in said:
        raise ValueError(f"{run} names the model {said}, which is code: confirm it with --model {said}")
    return said


def control_scores(run: Path, network: "Network", facts: dict[str, Any]) -> dict[str, Any]:
    """Score the shapes of a shuffled network by the real others, into the folder's control.json."""
    from invert3d.jobs.folder import write_json
    from invert3d.jobs.options import RunOptions
    from invert3d.methods.recipes import load_recipe
    from invert3d.study.classes.job import invert
    from invert3d.study.classes.score import other_networks, score, score_table
    from invert3d.study.controls import randomized

    seed = facts["settings"]["seed"]
    shuffled = randomized(network, seed)
    recipe = load_recipe(str(run / "recipe.toml"))
    if recipe.judge != facts["recipe"]["judge"]:
        raise ValueError(f"{run}: run.json and recipe.toml name different judges")
    drawn = invert(shuffled, list(dict.fromkeys(facts["names"])), recipe=recipe, options=RunOptions(seed=seed))
    table = score_table(drawn, score(drawn, network, other_networks(network, recipe.judge, drawn.facts["names"])))
    table["title"] = f"Control: {shuffled.name}. The columns say what the real networks see in its shapes"
    write_json(run / "control.json", table)
    return table
