"""Find shapes that a point-cloud classifier recognizes as given classes."""

from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.options import Count, ModelOptions, Opening, Run, Running, Starts, Weights, distinct
from invert3d.cli.show import print_scores


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """How shapes are made.

    Attributes:
        recipe: ours, published, another built-in one (see invert3d recipes), or a TOML file.
        steps: Steps in all, instead of the recipe's.
        starts: Starts of each shape, instead of the recipe's.
        judge: The network that selects the best starts: none, own, or bundled weights.
    """

    recipe: str = "ours"
    steps: Count | None = None
    starts: Starts | None = None
    judge: str | None = None


def invert_classes(
    *classes: str,
    model: Weights = "pointnet2_ssg-shapes",
    repeats: Count = 1,
    making: Annotated[RecipeOptions, Parameter(name="*")] = RecipeOptions(),
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Find shapes that a frozen point-cloud classifier recognizes as given classes, and write a page to open.

    Args:
        classes: Class names, or all.
        repeats: Shapes of each class.
        run.out: The run folder; by default runs/RECIPE-MODEL.
    """
    from invert3d.engine.progress import Meter
    from invert3d.jobs.execute import execute
    from invert3d.methods.recipes import load_recipe
    from invert3d.study.classes.job import classes_job, result_of
    from invert3d.study.classes.report import write_report

    changes = asdict(making)
    chosen = load_recipe(changes.pop("recipe"), points=opening.points, **changes)
    network = opening.open(model, chosen.points)
    run = run.at(f"runs/{chosen.name}-{network.name.split(':')[-1].replace(' ', '-')}")
    outcome = execute(classes_job(network, distinct(classes), chosen, repeats), run)
    result = result_of(outcome)
    with Meter("scoring and drawing", show=run.progress):
        scores = write_report(run.folder(), network, result)
    print_scores(scores)
    print(f"open {run.folder() / 'index.html'}")
    outcome.whole()
