"""What every figure of a paper is asked with: ``invert3d reproduce PAPER/FIGURE``.

A figure is a function of ``FigureOptions`` that writes figure.png, table.json and index.html into the run folder and
returns the table, registered under its paper and number.
"""

from dataclasses import dataclass
from pathlib import Path

from invert3d.jobs.options import RunOptions


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """How a figure is made."""

    run: RunOptions  # where and how its job is run
    model: str | None = None  # bundled weights; by default a network as in the figure
    steps: int | None = None  # of the published recipe, instead of the paper's
    epochs: float = 1.0  # how long a pruned network is trained
    device: str = "cpu"  # where the network is
    pictures: int | None = None  # of each kind, instead of the few of a quick look

    @property
    def folder(self) -> Path:
        """Where the figure is written. Raises ValueError without one."""
        if self.run.out is None:
            raise ValueError("a figure is written into a folder: say which with out")
        return Path(self.run.out)
