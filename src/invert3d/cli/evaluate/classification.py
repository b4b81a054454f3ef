"""Measure accuracy and calibration of voxel classifiers, and the accuracy of a linear SVM on their features."""

from invert3d.cli.options import MeasureOptions, Measuring, Run, Running, distinct
from invert3d.cli.show import print_recorded, print_scores

NOTE = (
    "Shares of ModelNet10's test split; fresh: without the 71 shapes whose grid equals a training grid. Calibration "
    "error: how far the probability of the predicted class is from the share that is right. SVM on features: a "
    "linear support vector machine (C = 0.5) on the last convolution."
)


def evaluate_classification(
    *models: str, data: str | None = None, measuring: Measuring = MeasureOptions(), run: Running = Run()
) -> None:
    """Measure voxel classifiers on ModelNet10: accuracy, calibration, and a linear SVM on their features.

    Args:
        models: Bundled weights, or the paths of cards. Headline numbers are those of the first network that was trained
            with labels, and of the first that was trained without. By default
            winn3d-modelnet10, voxnet-modelnet10, voxel_nin-modelnet10 and vrn-modelnet10.
        data: The file of ModelNet10's grids; by default the path that invert3d data where modelnet10-voxels prints.
        run.out: The run folder; by default runs/classification.
    """
    from invert3d.jobs.execute import execute
    from invert3d.jobs.report import report
    from invert3d.jobs.rows import rows_of
    from invert3d.study.classification import classification_job

    names = distinct(models) or ["winn3d-modelnet10", "voxnet-modelnet10", "voxel_nin-modelnet10", "vrn-modelnet10"]
    outcome = execute(classification_job(names, data, measuring.device), run.at("runs/classification")).whole()
    rows = rows_of(outcome)
    print_scores(report(outcome.path, "How well do these networks classify?", rows, NOTE))
    if measuring.record:
        accuracy = {}
        for row in reversed(rows):
            told = "accuracy" in row
            name, column = ("supervised_accuracy", "accuracy") if told else ("unsupervised_accuracy", "SVM on features")
            accuracy[name] = row[column]
        print_recorded("introspective", accuracy, [{"table": "classification", **row} for row in rows])
