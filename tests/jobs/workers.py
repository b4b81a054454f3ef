"""Workers for the tests of jobs: importable, so that other processes find them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from invert3d.jobs.job import Context, Made, Unfinished, Unit
from invert3d.ops.seeds import seed_of

STEPS = 20


@dataclass(frozen=True)
class Walk:
    """A random walk of 20 steps for each unit. It can be interrupted, and its process can die, once, at a step."""

    marker: Path | None = None  # made when the fault happens, so that it happens once
    fault: str = ""  # "kill", "stop", "error"
    at: tuple[str, int] = ("", 0)
    device: str = "cpu"

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made] | Unfinished:
        step, places = pickle.loads(context.checkpoint) if context.checkpoint else (0, [0.0] * len(units))
        while step < STEPS:
            if context.stop():
                return Unfinished(
                    made=[self._made(place, step) for place in places], checkpoint=pickle.dumps((step, places))
                )
            self._fault(units, step, context)
            for i, unit in enumerate(units):
                places[i] += np.random.default_rng(seed_of(context.seed, unit.name, step)).normal()
            step += 1
            context.progress(step / STEPS, "")
        return [self._made(place, step) for place in places]

    def _made(self, place: float, step: int) -> Made:
        arrays = {"place": torch.tensor([place], dtype=torch.float64)}
        return Made(facts={"step": step}, arrays=arrays, files={"note.txt": f"{place:.17g}".encode()})

    def _fault(self, units: Sequence[Unit], step: int, context: Context) -> None:
        name, when = self.at
        if not self.fault or step != when or name not in [unit.name for unit in units] or self.marker is None:
            return
        if self.fault == "error":
            raise ValueError(f"{name} is not legal")
        if self.marker.exists():
            return
        self.marker.touch()
        victim, how = (os.getpid(), signal.SIGKILL) if self.fault == "kill" else (_asking(), signal.SIGINT)
        os.kill(victim, how)
        while not context.stop():  # or the walk may be over before the other process has heard of it
            pass


def _asking() -> int:
    """The process that runs the job."""
    parent = multiprocessing.parent_process()
    return os.getppid() if parent is None else parent.pid or os.getppid()


@dataclass(frozen=True)
class Deadly:
    """A worker whose process dies every time."""

    device: str = "cpu"

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError
