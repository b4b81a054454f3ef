"""What every figure of a paper is asked with: ``invert3d reproduce PAPER/FIGURE``.

A figure is a function of ``FigureOptions`` that writes figure.png, table.json and index.html into the run folder and
returns the table, registered under its paper and number.
"""

from dataclasses import dataclass

from invert3d.jobs.options import RunOptions


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """How a figure is made.

    Attributes:
        run: where and how its job is run.
        model: bundled weights; by default a network as in the figure.
        steps: of the published recipe, instead of the paper's.
        epochs: how long a pruned network is trained.
        device: where the network is.
    """

    run: RunOptions
    model: str | None = None
    steps: int | None = None
    epochs: float = 1.0
    device: str = "cpu"
