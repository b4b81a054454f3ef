"""What a network gets wrong: confusion matrix and surest mistakes, explained."""

from invert3d.cli.options import Count, Device, Run, Running
from invert3d.cli.show import print_scores


def evaluate_errors(
    model: str = "voxnet-modelnet10",
    *,
    method: str = "integrated_gradients",
    most: Count = 6,
    per_class: Count | None = None,
    points: Count = 1024,
    device: Device = "cpu",
    run: Running = Run(),
) -> None:
    """What a network gets wrong: the confusion matrix, and its surest mistakes, explained.

    Args:
        model: Bundled weights.
        method: The method that explains the mistakes.
        most: Mistakes that are shown.
        per_class: Held-out shapes of each class; by default all there are, 20 of each procedural one.
        points: Points a cloud.
        run.out: The folder to write; by default runs/errors.
    """
    from invert3d.study.explaining.errors import analyze
    from invert3d.study.networks import open_network

    run = run.at("runs/errors")
    network = open_network(model, points=points, device=device)
    table = analyze(network, run, method=method, most=most, per_class=per_class)
    print_scores(table)
    print(f"open {run.folder() / 'index.html'}")
