"""``invert3d invert class``; a module cannot be called ``class``."""

from invert3d.cli.options import Count, ModelOptions, Opening, Run, Running, Starts, distinct
from invert3d.cli.show import end_if_interrupted, print_scores


def invert_classes(
    *classes: str,
    model: str = "pointnet2_ssg-shapes",
    recipe: str = "ours",
    repeats: Count = 1,
    steps: Count | None = None,
    starts: Starts | None = None,
    judge: str | None = None,
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Invert classes of a frozen point-cloud classifier into a run folder with a page to open.

    Args:
        classes: Class names, or all.
        model: Bundled weights (see invert3d models), package.module:factory, or an architecture with --checkpoint.
        recipe: ours, published, another built-in one (see invert3d recipes), or a TOML file.
        repeats: Shapes of each class.
        steps: Steps in all, instead of the recipe's.
        starts: Starts of each shape, instead of the recipe's.
        judge: Which network keeps the good starts: none, own, or bundled weights.
        run.out: The run folder; by default runs/RECIPE-MODEL.
    """
    from invert3d.jobs.execute import execute
    from invert3d.methods.recipes import load_recipe
    from invert3d.study.classes.job import classes_job, result_of
    from invert3d.study.classes.report import write_report

    chosen = load_recipe(recipe, points=opening.points, steps=steps, starts=starts, judge=judge)
    network = opening.open(model, chosen.points)
    run = run.at(f"runs/{chosen.name}-{network.name.split(':')[-1].replace(' ', '-')}")
    outcome = execute(classes_job(network, distinct(classes), chosen, repeats), run)
    result = result_of(outcome)
    print_scores(write_report(run.folder(), network, result))
    end_if_interrupted(outcome)
    print(f"open {run.folder() / 'index.html'}")
