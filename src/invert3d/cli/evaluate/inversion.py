"""Score a run: success, recognition by other networks, Chamfer distance, control."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invert3d.cli.options import Device, File, Folder, ModelArgs
from invert3d.cli.show import print_scores
from invert3d.opening.options import ModelOptions

if TYPE_CHECKING:
    from invert3d.opening.networks import Network


def evaluate_inversion(
    run: Folder,
    *,
    model: str | None = None,
    model_args: ModelArgs | None = None,
    checkpoint: File | None = None,
    control: bool = False,
    device: Device = "cpu",
) -> None:
    """Score a run folder again, from the clouds it saved.

    Args:
        run: A run folder of invert3d invert class. It has the class names, the layout and the up axis.
        model: The model that was inverted, if it is your own, as you gave it to invert3d invert class. No code is
            imported because a run folder names it.
        checkpoint: Its weights, if you gave a file.
        control: Also run the recipe on the network with shuffled weights, and measure how many of those shapes other
            networks recognize.
    """
    from invert3d.study.classes.job import read_shapes, shapes_facts
    from invert3d.study.classes.report import write_report

    facts = shapes_facts(run)
    name = confirmed_model(run, facts, model, model_args or {})
    judge = facts["recipe"]["judge"]
    if control and ":" in judge:
        raise ValueError(f"{run} names the judge {judge}, which is code, so there is no --control")
    _, result = read_shapes(run)
    opening = ModelOptions(checkpoint=checkpoint, args=model_args or {}, points=result.x.shape[1], device=device)
    network = inverted_network(run, facts, name, opening)
    print_scores(write_report(run, network, result))
    if control:
        print_scores(control_scores(run, network, facts))


def inverted_network(run: Path, facts: dict[str, Any], name: str, opening: ModelOptions) -> "Network":
    """The network that a run inverted, opened by ``name``. Raises ValueError if that is another network."""
    from invert3d.jobs.provenance import fingerprint
    from invert3d.opening.networks import open_network

    network = open_network(
        name,
        opening,
        layout=facts["layout"],
        features=facts.get("features"),
        grid_size=facts.get("grid_size"),
        up=facts["up"],
        classes=facts["classes"],
    )
    if network.name != facts["model"]:
        raise ValueError(f"{run} inverted {facts['model']}, not {network.name}")
    if fingerprint(network.frozen.model) != facts["weights"]:
        raise ValueError(f"{run} inverted other weights than {name} opens: give the --checkpoint, if there was one")
    return replace(network, guessed=facts.get("guessed", ""))


def confirmed_model(run: Path, facts: dict[str, Any], model: str | None, args: dict[str, Any]) -> str:
    """The model to open for a run folder, which is somebody's word about code: the user's own is named by the user.

    Raises ValueError where the run inverted the user's own and ``model`` does not name it, or they disagree.
    """
    said = facts["model"]
    used = facts.get("args", {}) if ":" in said else {}
    if model is None and ":" in said:
        with_args = f" --model-args '{json.dumps(used)}'" if used else ""
        raise ValueError(f"{run} names the model {said}, which is code: confirm it with --model {said}{with_args}")
    if model is None and " from " in said:
        architecture, file = said.split(" from ", 1)
        raise ValueError(f"{run} inverted weights of yours: give --model {architecture} --checkpoint {file}")
    if model is not None and ":" in said + model and model != said:
        raise ValueError(f"{run} inverted {said}, not {model}")
    if args != used:
        raise ValueError(f"{run} inverted {said} with --model-args '{json.dumps(used)}', not '{json.dumps(args)}'")
    return model or said


def control_scores(run: Path, network: "Network", facts: dict[str, Any]) -> dict[str, Any]:
    """Score the shapes of a shuffled network by the real others, into the folder's control.json."""
    from invert3d.jobs.execute import execute
    from invert3d.jobs.folder import write_json
    from invert3d.jobs.options import RunOptions
    from invert3d.methods.recipes import load_recipe
    from invert3d.study.classes.job import classes_job, result_of
    from invert3d.study.classes.score import other_networks, score, score_table
    from invert3d.study.controls import randomized

    seed = facts["settings"]["seed"]
    shuffled = randomized(network, seed)
    recipe = load_recipe(str(run / "recipe.toml"))
    if recipe.judge != facts["recipe"]["judge"]:
        raise ValueError(f"{run}: run.json and recipe.toml name different judges")
    job = classes_job(shuffled, list(dict.fromkeys(facts["names"])), recipe)
    drawn = result_of(execute(job, RunOptions(seed=seed)).whole())
    table = score_table(drawn, score(drawn, network, other_networks(network, recipe.judge, drawn.facts["names"])))
    table["title"] = f"Control: {shuffled.name}. The columns show what the trained networks predict for its shapes"
    write_json(run / "control.json", table)
    return table
