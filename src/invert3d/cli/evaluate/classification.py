"""Measure how well networks of voxels classify ModelNet10, and what their features are worth."""

from invert3d.cli.options import MeasureOptions, Measuring, Run, Running, distinct
from invert3d.cli.show import print_recorded, print_scores

NOTE = (
    "Shares of ModelNet10's test split; fresh: without the 71 shapes whose grid equals a training grid. Calibration "
    "error: how far the probability of the predicted class is from the share that is right. Machine on features: a "
    "linear support vector machine (C = 0.5) on the last convolution."
)


def evaluate_classification(
    *models: str, data: str | None = None, measuring: Measuring = MeasureOptions(), run: Running = Run()
) -> None:
    """Measure classifiers of voxels on ModelNet10: accuracy, calibration, and a linear machine on their features.

    Args:
        models: Bundled weights, or the paths of cards, of which the first is the one of headlines; by default
            winn3d-modelnet10, voxnet-modelnet10, voxel_nin-modelnet10 and vrn-modelnet10.
        data: The file of ModelNet10's grids; by default where invert3d data where modelnet10-voxels says.
        run.out: The run folder; by default runs/classification.
    """
    from invert3d.jobs.execute import execute
    from invert3d.jobs.report import report
    from invert3d.jobs.rows import rows_of
    from invert3d.study.classification import classification_job

    names = distinct(models) or ["winn3d-modelnet10", "voxnet-modelnet10", "voxel_nin-modelnet10", "vrn-modelnet10"]
    outcome = execute(classification_job(names, data), run.at("runs/classification")).whole()
    rows = rows_of(outcome)
    print_scores(report(outcome.path, "How well do these networks classify?", rows, NOTE))
    if measuring.record:
        accuracy = {"supervised_accuracy": rows[0]["accuracy"]}
        print_recorded("introspective", accuracy, [{"table": "classification", **row} for row in rows])
