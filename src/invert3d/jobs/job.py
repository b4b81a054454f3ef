"""A job: named units, a worker that does some of them at once, and what must agree for a run to go on.

    job = Job(kind="classes", units=(Unit(name="chair-0"), ...), worker=InvertClasses(...), settings={...})
    outcome = execute(job, RunOptions(out="runs/chairs", workers=2))

A job cuts its units into batches once, from its own list. A batch is what is scheduled, retried, resumed and written,
and a unit's random numbers follow from the run's seed and its own name, so one process, many processes, a cluster and
an interrupted run give the same bytes. In a batch with other members a unit differs by rounding.
"""

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from invert3d.engine.recorder import Recorder
from invert3d.engine.state import State

TRACE = "trace."  # before the names of the arrays of a unit that are its trace


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One thing to do."""

    name: str  # unique in its job, and a legal file name (see ``file_name``)
    cost: float = 1.0  # its share of a batch's ``capacity``, in a measure of the job's own (points, pixels)
    group: str = ""  # units of different groups never share a batch
    values: Mapping[str, Any] = field(default_factory=dict)  # what the worker must know of it


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of a unit: plain values, tensors, and other files by name. Nothing in it depends on the clock."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def encoded(self) -> dict[str, bytes]:
        """The files of its folder but ``done.json``."""
        from safetensors.torch import save

        whole = {name: value.detach().cpu().contiguous() for name, value in self.arrays.items()}
        arrays = {"arrays.safetensors": save(whole)} if whole else {}
        return {"facts.json": json.dumps(dict(self.facts), indent=1).encode(), **arrays, **self.files}


def trace_of(trace: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
    """The trace of sample i of a batch (T, B), as arrays (T,) of its unit."""
    return {TRACE + name: value if name == "step" else value[:, i] for name, value in trace.items()}


def joined_traces(made: Sequence[Made]) -> dict[str, Tensor]:
    """The traces of units as one (T, B): those that ended earlier go on as NaN. Empty if one of them has none."""
    tables = [{k.removeprefix(TRACE): v for k, v in each.arrays.items() if k.startswith(TRACE)} for each in made]
    if not all(tables):
        return {}
    steps, names = max((table["step"] for table in tables), key=len), [name for name in tables[0] if name != "step"]
    return {"step": steps} | {
        name: pad_sequence([table[name].float() for table in tables], padding_value=torch.nan) for name in names
    }


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """An interrupted batch: what there is of each unit, and what it takes to go on (None: begin again)."""

    made: Sequence[Made] = ()
    checkpoint: bytes | None = None


@dataclass
class Context:
    """What a worker is given beside its units."""

    seed: int = 0  # the run's
    checkpoint: bytes | None = None  # what the same batch left when it was interrupted
    progress: Callable[[float, str], None] = lambda share, words: None  # of the batch, 0 to 1, and facts in words
    stop: Callable[[], bool] = lambda: False  # whether the worker should stop where it can go on later

    def report(self, share: float, words: str = "") -> None:
        """Say how far the batch is. Raises KeyboardInterrupt if the worker should stop."""
        self.progress(share, words)
        if self.stop():
            raise KeyboardInterrupt


class Progress(Recorder):
    """Reports the steps of one or several loops, ``steps`` in all, and stops a loop between two steps when that is
    asked for. ``before`` is the share of the batch that was done before the first step.
    """

    def __init__(self, context: Context, steps: int, before: float = 0.0) -> None:
        self.context, self.steps, self.before, self.taken, self.clock = context, max(1, steps), before, 0, 0.0

    def record(self, state: State) -> None:
        self.taken += 1
        now = time.monotonic()
        if now - self.clock > 0.2:  # a line is read by people
            self.clock = now
            share = self.before + (1 - self.before) * min(1.0, self.taken / self.steps)
            self.context.progress(share, f"loss {float(state.loss.mean()):.3f}")

    def interrupts(self) -> bool:
        return self.context.stop()


class Worker(Protocol):
    """Does a batch of units at once. It is sent to other processes, so it can be pickled."""

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made] | Unfinished:
        """What became of the units, in their order."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be done. Raises ValueError if there is no unit, two have one name, or a name is not legal."""

    kind: str  # what a run folder of it is called, ``classes`` for one
    units: tuple[Unit, ...]  # in the order they are shown in
    worker: Worker
    settings: Mapping[str, Any] = field(default_factory=dict)  # that the result depends on: must agree to be resumed
    about: Mapping[str, Any] = field(default_factory=dict)  # more facts for ``run.json``, which need not agree
    capacity: float = math.inf  # the largest cost of a batch; one unit may cost more
    label: str = "working"  # of the progress line

    def __post_init__(self) -> None:
        names = [unit.name for unit in self.units]
        if not names:
            raise ValueError("there is nothing to do")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice[:5])}")
        odd = [name for name in names if file_name(name) != name]
        if odd:
            raise ValueError(f"{odd[0]!r} cannot be the name of a folder")

    def batches(self) -> list["Batch"]:
        """The units in groups, each group in batches of nearly equal cost, none above the capacity."""
        made: list[Batch] = []
        for group in dict.fromkeys(unit.group for unit in self.units):
            mine = [unit for unit in self.units if unit.group == group]
            for units in balanced(mine, self.capacity):
                made.append(Batch(number=len(made), units=tuple(units)))
        return made


def balanced(units: Sequence[Unit], capacity: float) -> list[list[Unit]]:
    """Units in order, in as few parts as filling them to the capacity gives, of nearly equal cost where that fits."""
    filled: list[list[Unit]] = [[]]
    for unit in units:
        if filled[-1] and sum(each.cost for each in filled[-1]) + unit.cost > capacity:
            filled.append([])
        filled[-1].append(unit)
    total, before = sum(unit.cost for unit in units), 0.0
    even: list[list[Unit]] = [[] for _ in filled]
    for unit in units:
        middle, before = before + unit.cost / 2, before + unit.cost
        even[int(middle / total * len(filled))].append(unit)
    fits = all(part and sum(unit.cost for unit in part) <= capacity for part in even)
    return even if fits else filled


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Units that are done together."""

    number: int
    units: tuple[Unit, ...]

    @property
    def cost(self) -> float:
        """Of all its units."""
        return sum(unit.cost for unit in self.units)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A batch that came back: the files of its units; whether it is finished, and if not, where it stood."""

    batch: Batch
    files: Sequence[Mapping[str, bytes]]
    finished: bool
    checkpoint: bytes | None = None
    seconds: float = 0.0


def file_name(text: str) -> str:
    """A text as the name of a file: the text itself where it is legal, else what is legal of it and a digest.

    Letters, digits and ``-_+. `` are, up to 80 of them, unless a dot or a space comes first or last.
    """
    kept = re.sub(r"[^\w\-+. ]", "_", text, flags=re.ASCII).strip(". ")
    if kept == text and 0 < len(text) <= 80:
        return text
    return f"{kept[:60] or 'unit'}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"
