"""The transfer matrix: what is inverted from the row's network, as the column's network sees it. One for all methods.

The analogue of table 1 of *Inverting and Understanding Object Detectors* (Cao & Johnson 2021).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: columns of a recorded table beside those of the networks
COLUMNS = ("table", "command", "recipe", "inverted", "shapes", "seconds a shape")


def short_names(names: Sequence[str]) -> list[str]:
    """The names up to their first hyphen, as bundled ones are told apart; whole where that makes two of them equal."""
    short = [name.removeprefix("centernet3d-").split("-")[0] for name in names]
    return short if len(set(short)) == len(set(names)) else list(names)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Scores (rows, columns) of one recipe: shares recognized, or average precisions."""

    label: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def transfer(self) -> float:
        """The mean where row and column are different networks; NaN where there is no such place."""
        apart = [
            value
            for row, line in zip(self.rows, self.values, strict=True)
            for column, value in zip(self.columns, line, strict=True)
            if row != column
        ]
        return sum(apart) / len(apart) if apart else math.nan

    def table(self, **facts: Any) -> list[dict[str, Any]]:
        """The matrix as rows of plain values, each with the given facts."""
        return [
            {"recipe": self.label, "inverted": row, **facts}
            | {column: round(value, 4) for column, value in zip(self.columns, line, strict=True)}
            for row, line in zip(self.rows, self.values, strict=True)
        ]

    def draw(self, path: Path, *, most: float = 1.0, note: str = "") -> None:
        """A picture of the matrix; colors end at ``most``."""
        from invert3d.view.figures import save_png
        from invert3d.view.matrix import matrix_plot

        picture = matrix_plot(
            np.array(self.values),
            rows=short_names(self.rows),
            columns=short_names(self.columns),
            span=(0, most),
            title=f"Inversion transfer, recipe {self.label}",
            note=note,
        )
        save_png(picture, path)
