"""Measure whether explanations survive pruning."""

from invert3d.cli.options import Count, MeasureOptions, Measuring, Names, Run, Running, distinct, split_names
from invert3d.cli.show import print_recorded, print_scores


def evaluate_pruning(
    whole: str = "vrn-modelnet10",
    *left: str,
    methods: Names = "gradient,guided,integrated_gradients",
    per_class: Count = 4,
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Measure whether explanations survive pruning: whole and pruned networks explain the same shapes.

    Args:
        whole: Bundled weights.
        left: Bundled weights that were pruned from them; by default all of these.
        methods: Names, comma separated.
        per_class: Held-out shapes of each class; those that the whole network gets wrong are left out.
        run.out: The run folder; by default runs/survival.
    """
    from invert3d.jobs.execute import execute
    from invert3d.jobs.report import report
    from invert3d.jobs.rows import rows_of
    from invert3d.models.weights import bundled
    from invert3d.study.pruning.survival import survival_job

    names = distinct(left) or [name for name in bundled() if name.startswith(f"{whole}-pruned")]
    if not names:
        raise ValueError(f"no pruned weights of {whole} are bundled: name some, or make them with invert3d prune")
    job = survival_job(whole, names, split_names(methods) or [], per_class=per_class, device=measuring.device)
    outcome = execute(job, run.at("runs/survival")).whole()
    rows = rows_of(outcome)
    print_scores(report(outcome.path, "Do explanations survive pruning?", rows))
    if measuring.record:
        print_recorded("pruning", {}, [{"table": "survival", **row} for row in rows])
