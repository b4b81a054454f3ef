"""Show what a network gets wrong: the confusion matrix, and its most confident mistakes, explained."""

from invert3d.cli.options import Count, ModelOptions, Opening, Run, Running, Weights
from invert3d.cli.show import print_scores


def evaluate_errors(
    model: Weights = "voxnet-modelnet10",
    *,
    method: str = "integrated_gradients",
    most: Count = 6,
    per_class: Count | None = None,
    data: str | None = None,
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Show what a network gets wrong: the confusion matrix, and its most confident mistakes, explained.

    Args:
        method: The method that explains the mistakes.
        most: Largest number of mistakes to show.
        per_class: Held-out shapes of each class; by default all of them, or 20 of each procedural class.
        data: shapes (procedural), modelnet10-voxels, a ModelNet folder, or a .npz of invert3d data make shapes; by
            default the data that a bundled network is measured on.
        run.out: The folder to write; by default runs/errors.
    """
    from invert3d.study.explaining.errors import analyze

    run = run.at("runs/errors")
    table = analyze(opening.open(model), run, method=method, most=most, per_class=per_class, data=data)
    print_scores(table)
    print(f"open {run.folder() / 'index.html'}")
