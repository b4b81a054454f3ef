"""Traces of the loop as arrays of units, and of several units together."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from invert3d.jobs.job import Made

PREFIX = "trace."


def trace_of(trace: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
    """The trace of sample i of a batch (T, B), as arrays (T,) of its unit."""
    return {PREFIX + name: value if name == "step" else value[:, i] for name, value in trace.items()}


def joined_traces(made: Sequence[Made]) -> dict[str, Tensor]:
    """The traces of units as one (T, B): those that ended earlier go on as NaN. Empty if one of them has none."""
    tables = [{k.removeprefix(PREFIX): v for k, v in each.arrays.items() if k.startswith(PREFIX)} for each in made]
    if not all(tables):
        return {}
    steps = max((table["step"] for table in tables), key=len)
    joined = {"step": steps}
    for name in [name for name in tables[0] if name != "step"]:
        rows = [pad(t[name].float(), (0, len(steps) - len(t[name])), value=torch.nan) for t in tables]
        joined[name] = torch.stack(rows, 1)
    return joined
