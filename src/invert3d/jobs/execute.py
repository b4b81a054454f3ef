"""Running a job: what is done is skipped, what is interrupted is kept, whoever does the work (``jobs.crew``)."""

import contextlib
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from invert3d.jobs.crew import Ask, Crew, Here, Lost, Plan, Shown
from invert3d.jobs.folder import RunFolder, opened, read_made
from invert3d.jobs.job import Batch, Job, Made, Unit, Worker
from invert3d.jobs.options import Interrupted, RunOptions
from invert3d.jobs.provenance import command_line, environment

#: how often a batch is given to a new worker when its worker dies
TRIES = 3


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

    def seconds(self, names: Collection[str]) -> float:
        """How long the batches of these units were worked at, all calls together."""
        mine = {each.number for each in self.job.batches() if all(unit.name in names for unit in each.units)}
        path = self.path / "log.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        return sum(line.get("seconds", 0.0) for line in lines if line["batch"] in mine)

    def whole(self) -> "Outcome":
        """The outcome, where it is needed to its end. Raises Interrupted if it was."""
        if self.interrupted:
            raise Interrupted(self.signal, None if self._temporary else self.path)
        return self


def execute(job: Job, options: RunOptions) -> Outcome:
    """Do a job, or what is left of it. After Ctrl-C or SIGTERM the outcome is ``interrupted``: what is finished, and
    what there is of the rest.

    Raises:
        ValueError: for a folder that cannot be written, another writer, or a run that was begun with other settings.
        ChildProcessError: the worker of one batch died three times.
    """
    if options.resume and options.out is None:
        raise ValueError("resume needs the run folder to go on with")
    asked = {
        "kind": job.kind,
        "settings": {**job.settings, "seed": options.seed, "threads": options.threads},
        "units": [unit.name for unit in job.units],
    }
    about = {**job.about, "command": command_line(), "environment": environment()}
    keep, path = None, options.out
    if path is None:
        keep = tempfile.TemporaryDirectory(prefix="invert3d-")
        path = Path(keep.name) / "run"
    with opened(path, asked, about, resume=options.resume, overwrite=options.overwrite) as folder:
        todo = [batch for batch in job.batches() if not all(folder.finished(unit.name) for unit in batch.units)]
        cost = sum(unit.cost for unit in job.units)
        progress, ask = Shown(job, options.progress, cost - sum(batch.cost for batch in todo), cost), Ask()
        crew = crew_of(job.worker, options, len(todo), progress, ask)
        try:
            with interruptions(ask):  # after Ray, which has a handler of its own
                interrupted = _work(crew, todo, folder, progress, ask)
        finally:
            crew.close()
            progress.close()
    return Outcome(job, path, interrupted, ask.signal if interrupted else 0, keep)


def crew_of(worker: Worker, options: RunOptions, batches: int, progress: Shown, ask: Ask) -> Crew:
    """The crew that the options ask for."""
    plan = Plan(worker, options.seed, options.threads, progress, ask)
    if options.cluster is not None and batches:
        from invert3d.jobs.cluster import RayCrew

        return RayCrew(plan, options.cluster, options.workers, batches)
    if options.workers > 1 and batches > 1:
        from invert3d.jobs.processes import ProcessCrew

        return ProcessCrew(plan, min(options.workers, batches))
    return Here(plan)


def _work(crew: Crew, todo: list[Batch], folder: RunFolder, progress: Shown, ask: Ask) -> bool:
    """Give out the batches and write what comes back. Returns whether it was interrupted."""
    waiting, running, stopped = list(todo), 0, False
    tries: dict[int, int] = {}
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
                    name = event.batch.units[0].name
                    raise ChildProcessError(f"the worker of {name} died {TRIES} times ({event.why}): out of memory?")
                waiting.insert(0, event.batch)
                continue
            folder.log(batch=event.batch.number, finished=event.finished, seconds=round(event.seconds, 3))
            folder.write(event)
            if event.finished:
                progress(event.batch, 1.0)
            else:
                ask.stop = True  # somebody asked for it here, or in the worker itself
                waiting.append(event.batch)
    return bool(waiting)


@contextlib.contextmanager
def interruptions(ask: Ask) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM ask for an orderly end; the second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return

    def handle(number: int, frame: object) -> None:
        if ask.stop:
            raise Interrupted(number)
        ask.stop, ask.signal = True, number
        print("interrupting in order (again to stop at once)", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
