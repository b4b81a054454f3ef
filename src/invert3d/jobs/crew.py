"""Whoever does the batches of a job: this process (``Here``), others (``processes``), a cluster (``cluster``).

Crews differ in where a batch runs and in how a lost worker is noticed, and in nothing else.
"""

import time
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from invert3d.engine.progress import Meter
from invert3d.jobs.job import Batch, Context, Ended, Job, Unfinished, Worker


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A batch whose worker died."""

    batch: Batch
    why: str


class Crew(Protocol):
    """Whoever does the work."""

    def free(self) -> bool:
        """Whether another batch can be started."""
        ...

    def start(self, batch: Batch, checkpoint: bytes | None) -> None:
        """Start a batch, from where it stood."""

    def wait(self) -> list[Ended | Lost]:
        """Wait until something happens. An error in a worker is raised here."""
        ...

    def stop(self) -> None:
        """Ask all to stop where they can go on later."""

    def close(self) -> None:
        """End all at once."""


@dataclass
class Ask:
    """Whether Ctrl-C or SIGTERM asked for an end, and which."""

    stop: bool = False
    signal: int = 0


@dataclass
class Plan:
    """What every crew must know."""

    worker: Worker
    seed: int
    threads: int
    progress: "Shown"
    ask: "Ask"


def run_batch(worker: Worker, batch: Batch, context: Context, threads: int) -> Ended:
    """Do one batch in this process, with so many threads."""
    clock, before = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        result = worker(batch.units, context)
    except KeyboardInterrupt:
        result = Unfinished()
    finally:
        torch.set_num_threads(before)
    finished = not isinstance(result, Unfinished)
    made, checkpoint = (result, None) if finished else (result.made, result.checkpoint)
    if finished and len(made) != len(batch.units):
        raise RuntimeError(f"{type(worker).__name__} made {len(made)} of {len(batch.units)} units")
    files, seconds = [each.encoded() for each in made], time.perf_counter() - clock
    return Ended(batch=batch, files=files, finished=finished, checkpoint=checkpoint, seconds=seconds)


class Here:
    """A crew of one: this process."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.next = plan, None

    def free(self) -> bool:
        return self.next is None

    def start(self, batch: Batch, checkpoint: bytes | None) -> None:
        self.next = (batch, checkpoint)

    def wait(self) -> list[Ended | Lost]:
        assert self.next is not None
        (batch, checkpoint), self.next, plan = self.next, None, self.plan
        context = Context(plan.seed, checkpoint, partial(plan.progress, batch), lambda: plan.ask.stop)
        return [run_batch(plan.worker, batch, context, plan.threads)]

    def stop(self) -> None:
        """The context of a running batch asks by itself."""

    def close(self) -> None:
        """There is nothing to end."""


class Shown:
    """How far a job is, on one line."""

    def __init__(self, job: Job, show: bool, done: float, total: float) -> None:
        self.done, self.total, self.shares = done, total, dict[int, float]()
        self.meter = Meter(job.label, total, done) if show and done < total else None

    def __call__(self, batch: Batch, share: float, words: str = "") -> None:
        self.done += batch.cost * (share - self.shares.get(batch.number, 0.0))
        self.shares[batch.number] = share
        if self.meter is not None:
            self.meter.update(self.done, facts=words)

    def close(self) -> None:
        """Take the line down."""
        if self.meter is not None:
            self.meter.stop()
