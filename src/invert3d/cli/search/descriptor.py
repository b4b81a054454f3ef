"""Search for the settings of a recipe with which descriptors are inverted best."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from invert3d.cli.options import Count, Files, ModelOptions, Opening, Run, Running, Up, Weights
from invert3d.cli.show import print_recorded, print_scores


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What is searched.

    Attributes:
        layer: Name of the module whose output is inverted.
        recipe: ours, published, or a TOML file: what is not varied stays as it is there.
        vary: What a value of the recipe may be, once for each: stages.0.stepper.rate=0.01:0.2:log, stages.1.steps=
            50:400:int, parameterization.power=0.8:1.6, stages.0.stepper.kind=adam|sgd. invert3d recipes shows a recipe.
        trials: Number of trials.
        sampler: random, with which any number of workers gives the same trials; or tpe, which learns from the trials
            that are done.
        storage: A file, or the address of a database (sqlite:///FILE, postgresql://...), that all workers can reach. By
            default trials.journal in the run folder.
        record: Write the number of trials and the best ones to docs/results.
    """

    layer: str = "fc5"
    recipe: str = "ours"
    vary: tuple[str, ...] = ()
    trials: Count = 200
    sampler: Literal["random", "tpe"] = "random"
    storage: str | None = None
    record: bool = False


def search_descriptor(
    *files: Files,
    model: Weights = "posenet-facades",
    searching: Annotated[SearchOptions, Parameter(name="*")] = SearchOptions(),
    file_up: Up = "z",
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Search the settings of a recipe for the lowest relative loss of what is saved, by Optuna (extra: search).

    Each trial is a unit of the run: --workers does several at once, --resume goes on. What is found is best.toml, a
    recipe to be run.

    Args:
        run.out: The run folder; by default runs/search-LAYER.
    """
    from invert3d.jobs.execute import execute
    from invert3d.methods.ranges import read_range
    from invert3d.opening.inputs import read_inputs
    from invert3d.study.descriptors.search import search_job
    from invert3d.study.descriptors.search_report import recorded, write_search

    network = opening.open(model)
    run = run.at(f"runs/search-{searching.layer}")
    job = search_job(
        network,
        read_inputs(files, network.frozen.space, up=file_up, facing=network.facing),
        searching.layer,
        searching.recipe,
        [read_range(each) for each in searching.vary],
        trials=searching.trials,
        sampler=searching.sampler,
        storage=searching.storage or str(Path(run.folder()).resolve() / "trials.journal"),
    )
    outcome = execute(job, run)
    print_scores(write_search(outcome))
    print(f"open {run.folder() / 'index.html'}")
    outcome.whole()
    if searching.record:
        print_recorded("descriptor", *recorded(outcome))
