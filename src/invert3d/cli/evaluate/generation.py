"""Score generated voxel shapes, next to real ones, memorized training shapes and simple baselines."""

from invert3d.cli.options import Count, MeasureOptions, Measuring, Run, Running, distinct
from invert3d.cli.show import print_recorded, print_scores

#: what is scored if nothing else is asked for: each is a yardstick
YARDSTICKS = ("test", "train", "mean", "gaussians:8", "gaussians:64")
NOTE = (
    "Means over the classes that a source has shapes of; sources with other classes or numbers do not compare. Fréchet "
    "distance and KID: lower is better; 1-NNA: 0.5 is ideal; pairwise IoU: high where all look alike; nearest training "
    "IoU: 1 for copies. The row test compares test shapes with as many training shapes, every other row with test "
    "shapes. train is what a generator makes that has memorized its training set, on which the reference network was "
    "trained, too: its class probability is too good."
)


def evaluate_generation(
    *sources: str,
    each: Count = 50,
    reference: str = "voxel_nin-modelnet10",
    data: str | None = None,
    table: str = "generation",
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Score generated voxel shapes of ModelNet10's classes: probability, diversity, distances to real and trained ones.

    Args:
        sources: test, train, mean, gaussians:C for C principal components, or FILE.npz with voxels, labels and classes,
            NAME=SOURCE sets the name in the table. By default test, train, mean, gaussians:8 and gaussians:64.
        each: Shapes of each class.
        reference: The network whose features and probabilities are used.
        data: The file of ModelNet10's grids; by default the path that invert3d data where modelnet10-voxels prints.
        table: Name of the recorded table of means over classes.
        run.out: The run folder; by default runs/generation.
    """
    from invert3d.jobs.execute import execute
    from invert3d.jobs.report import report
    from invert3d.jobs.rows import rows_of
    from invert3d.study.generation.table import MEAN, generation_job, headline_of

    job = generation_job(distinct(sources or YARDSTICKS), each, reference, data, measuring.device)
    outcome = execute(job, run.at("runs/generation")).whole()
    rows = [row for found in rows_of(outcome) for row in found["rows"]]
    means = [row for row in rows if row["class"] == MEAN]
    print_scores(report(outcome.path, "How good are these shapes?", means, NOTE))
    if measuring.record:
        recorded = [{"table": table if row in means else f"generated {row['source']}", **row} for row in rows]
        print_recorded("introspective", headline_of(rows), recorded)
