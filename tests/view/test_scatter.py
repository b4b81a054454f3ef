"""Scatter plots: every sample is drawn, and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest

from invert3d.view.scatter import Over, scatter_plots


def test_plots_stand_side_by_side() -> None:
    one = scatter_plots({"a": Over([1.0, 10.0, 100.0], log=True)}, [0.1, 0.2, 0.3])
    two = scatter_plots({"a": Over([1.0, 2.0, 3.0]), "b": Over([0, 1, 0], names=["x", "y"])}, [0.1, 0.2, 0.3])
    assert two.width > one.width and np.asarray(two).std() > 1
    many = scatter_plots({str(k): Over([1.0, 1.0, 1.0]) for k in range(5)}, [1.0, 1.0, 1.0])
    assert many.height > two.height


@pytest.mark.parametrize(
    ("over", "values", "reason"),
    [
        ({}, [1.0], "of 1 values"),
        ({"a": Over([1.0, 2.0])}, [1.0], "of 1 values"),
        ({"a": Over([1.0])}, [0.0], "positive"),
        ({"a": Over([1.0])}, [float("nan")], "positive"),
    ],
)
def test_what_does_not_fit_is_refused(over: dict[str, Over], values: list[float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        scatter_plots(over, values)
