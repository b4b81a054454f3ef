"""Measure what each ingredient of the recipe adds."""

from invert3d.cli.options import Count, MeasureOptions, Measuring, Run, Running, distinct
from invert3d.cli.show import print_recorded, print_scores


def evaluate_ablation(
    *,
    repeats: Count = 1,
    network: str = "pointnet-shapes",
    recipes: str | None = None,
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Measure what each ingredient of the recipe adds: one network is inverted, the two others classify the shapes.

    Args:
        repeats: Shapes of each class.
        network: The network to invert.
        recipes: Only these rows of the table, separated by semicolons.
        run.out: The run folder; by default runs/ablation.
    """
    from invert3d.jobs.report import report
    from invert3d.registry import unknown
    from invert3d.study.classes.ablation import ablate, ladder
    from invert3d.study.classes.transfer import NETWORKS

    rungs = dict(ladder())
    chosen = distinct(name.strip() for name in recipes.split(";")) if recipes is not None else list(rungs)
    for name in chosen:
        if name not in rungs:
            raise ValueError(unknown("row", name, rungs))
    others = [name for name in NETWORKS["shapes"] if name != network]
    asked = [(label, rungs[label]) for label in rungs if label in chosen]
    outcome, rows = ablate(asked, network, others, repeats, run.at("runs/ablation"), measuring.device)
    print_scores(report(outcome.path, f"Inverting {network}, {repeats} shape{'s' * (repeats > 1)} a class", rows))
    if measuring.record:
        print_recorded("points", {}, [{"table": "ablation", **row} for row in rows])
