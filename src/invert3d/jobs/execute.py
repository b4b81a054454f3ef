"""Running a job: what is done is skipped, what is interrupted is kept, whoever does the work.

The work is done by a *crew*: this process (``Here``), others on this machine (``jobs.processes``), or a cluster
(``jobs.cluster``). Crews differ in where a batch runs and in how a lost worker is noticed, and in nothing else.
"""

import contextlib
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from invert3d.engine.progress import Meter
from invert3d.jobs.folder import RunFolder, opened, read_made
from invert3d.jobs.job import Batch, Context, Job, Made, Unfinished, Unit, Worker
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import command_line, environment

#: how often a batch is given to a new worker when its worker dies
TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A batch that came back: the files of its units; whether it is finished, and if not, where it stood."""

    batch: Batch
    files: Sequence[Mapping[str, bytes]]
    finished: bool
    checkpoint: bytes | None = None
    seconds: float = 0.0


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
        ...

    def wait(self) -> list[Ended | Lost]:
        """Wait until something happens. An error in a worker is raised here."""
        ...

    def stop(self) -> None:
        """Ask all to stop where they can go on later."""
        ...

    def close(self) -> None:
        """End all at once."""
        ...


@dataclass
class Outcome:
    """What a job left: its folder, and whether all of it was done."""

    job: Job
    path: Path
    interrupted: bool = False
    signal: int = 0  # that ended it
    _temporary: Any = field(default=None, repr=False)  # deleted with this object

    def made(self, name: str) -> Made | None:
        """What there is of a unit, finished or not; None if nothing is."""
        path = self.path / "units" / name
        return read_made(path) if path.is_dir() else None

    def each(self) -> Iterator[tuple[Unit, Made]]:
        """The units of which there is something, in the order of the job."""
        for unit in self.job.units:
            made = self.made(unit.name)
            if made is not None:
                yield unit, made

    def whole(self) -> "Outcome":
        """The outcome, where it is needed to its end. Raises KeyboardInterrupt if it was interrupted."""
        if self.interrupted:
            raise KeyboardInterrupt
        return self


def execute(job: Job, options: RunOptions) -> Outcome:
    """Do a job, or what is left of it.

    Args:
        job: what is to be done.
        options: where and how.

    Returns:
        An ``Outcome``. After Ctrl-C or SIGTERM it is ``interrupted``: what is finished, and what there is of the rest.

    Raises:
        ValueError: for a folder that cannot be written, another writer, or a run that was begun with other settings.
        ChildProcessError: the worker of one batch died three times.
    """
    asked = {
        "kind": job.kind,
        "settings": {**job.settings, "seed": options.seed, "threads": options.threads},
        "units": [unit.name for unit in job.units],
    }
    about = {**job.about, "command": command_line(), "environment": environment()}
    keep = None if options.out is not None else tempfile.TemporaryDirectory(prefix="invert3d-")
    path = options.out if options.out is not None else Path(str(keep and keep.name)) / "run"
    with (
        opened(path, asked, about, resume=options.resume, overwrite=options.overwrite) as folder,
        interruptions() as ask,
    ):
        todo = [batch for batch in job.batches() if not all(folder.finished(unit.name) for unit in batch.units)]
        cost = sum(unit.cost for unit in job.units)
        progress = Shown(job, options.progress, cost - sum(batch.cost for batch in todo), cost)
        crew = crew_of(job.worker, options, len(todo), progress, ask)
        try:
            interrupted = _work(crew, todo, folder, progress, ask) if todo else False
        finally:
            crew.close()
            progress.close()
    return Outcome(job, path, interrupted, ask.signal if interrupted else 0, keep)


def crew_of(worker: Worker, options: RunOptions, batches: int, progress: "Shown", ask: "Ask") -> Crew:
    """The crew that the options ask for."""
    plan = Plan(worker, options.seed, options.threads, progress, ask)
    if options.cluster is not None:
        from invert3d.jobs.cluster import RayCrew

        return RayCrew(plan, options.cluster, options.workers, batches)
    if options.workers > 1 and batches > 1:
        from invert3d.jobs.processes import ProcessCrew

        return ProcessCrew(plan, min(options.workers, batches))
    return Here(plan)


def _work(crew: Crew, todo: list[Batch], folder: RunFolder, progress: "Shown", ask: "Ask") -> bool:
    """Give out the batches and write what comes back. Returns whether it was interrupted."""
    waiting, running = list(todo), 0
    tries: dict[int, int] = {}
    stopped = False
    while running or (waiting and not ask.stop):
        while waiting and crew.free() and not ask.stop:
            batch = waiting.pop(0)
            crew.start(batch, folder.checkpoint(batch))
            running += 1
        if ask.stop and not stopped:
            stopped = True
            crew.stop()
        for event in crew.wait():
            running -= 1
            if isinstance(event, Lost):
                folder.log(batch=event.batch.number, lost=event.why)
                tries[event.batch.number] = tries.get(event.batch.number, 1) + 1
                if tries[event.batch.number] > TRIES:
                    raise ChildProcessError(
                        f"the worker of {event.batch.units[0].name} died {TRIES} times ({event.why}): out of memory?"
                    )
                waiting.insert(0, event.batch)
                continue
            folder.log(batch=event.batch.number, finished=event.finished, seconds=round(event.seconds, 3))
            if event.finished:
                folder.finish(event.batch, event.files)
                progress(event.batch, 1.0)
            else:
                folder.keep(event.batch, event.files, event.checkpoint)
                waiting.append(event.batch)
    return bool(waiting)


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
    made = result.made if isinstance(result, Unfinished) else result
    if finished and len(made) != len(batch.units):
        raise RuntimeError(f"{type(worker).__name__} made {len(made)} of {len(batch.units)} units")
    return Ended(
        batch=batch,
        files=[each.encoded() for each in made],
        finished=finished,
        checkpoint=result.checkpoint if isinstance(result, Unfinished) else None,
        seconds=time.perf_counter() - clock,
    )


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
        context = Context(
            seed=plan.seed,
            checkpoint=checkpoint,
            stop=lambda: plan.ask.stop,
            progress=lambda share, words="": plan.progress(batch, share, words),
        )
        return [run_batch(plan.worker, batch, context, plan.threads)]

    def stop(self) -> None:
        """The context of a running batch asks by itself."""

    def close(self) -> None:
        """There is nothing to end."""


@dataclass
class Ask:
    """Whether Ctrl-C or SIGTERM asked for an end, and which."""

    stop: bool = False
    signal: int = 0


@contextlib.contextmanager
def interruptions() -> Iterator[Ask]:
    """Let the first Ctrl-C or SIGTERM ask for an orderly end; the second one ends at once."""
    ask = Ask()
    if threading.current_thread() is not threading.main_thread():
        yield ask  # signals reach the main thread only
        return

    def handle(number: int, frame: object) -> None:
        if ask.stop:
            raise KeyboardInterrupt
        ask.stop, ask.signal = True, number
        print("interrupting: keeping what is done (again to stop at once)", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ask
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
