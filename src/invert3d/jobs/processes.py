"""A crew of processes on this machine. One that dies takes nothing with it but the batch it was doing."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection, wait
from typing import Any

from invert3d.jobs.crew import Lost, Plan, run_batch
from invert3d.jobs.job import Batch, Context, Ended, Worker

START = "spawn"  # a process begins with nothing of this one


class Lane:
    """One process and what it does."""

    def __init__(self, worker: bytes, seed: int, threads: int) -> None:
        context: Any = multiprocessing.get_context(START)
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, worker, seed, threads), daemon=True)
        with _threads_at_start(threads):
            self.process.start()
        theirs.close()
        self.batch: Batch | None = None


class ProcessCrew:
    """So many processes, each with a worker of its own, which is sent to it once.

    Raises ValueError if the worker cannot be sent.
    """

    def __init__(self, plan: Plan, count: int) -> None:
        self.plan, self.count = plan, count
        self.worker = sendable(plan.worker)
        self.lanes: list[Lane] = []

    def free(self) -> bool:
        return len(self.lanes) < self.count or any(lane.batch is None for lane in self.lanes)

    def start(self, batch: Batch, checkpoint: bytes | None) -> None:
        lane = next((lane for lane in self.lanes if lane.batch is None), None)
        if lane is None:
            lane = Lane(self.worker, self.plan.seed, self.plan.threads)
            self.lanes.append(lane)
        lane.batch = batch
        with contextlib.suppress(BrokenPipeError):  # dead already: ``wait`` sees it
            lane.pipe.send_bytes(pickle.dumps((batch, checkpoint)))

    def wait(self) -> list[Ended | Lost]:
        busy = [lane for lane in self.lanes if lane.batch is not None]
        ready = wait([each for lane in busy for each in (lane.pipe, lane.process.sentinel)], timeout=0.5)
        heard = (self._heard(lane) for lane in busy if lane.pipe in ready or lane.process.sentinel in ready)
        return [event for event in heard if event is not None]

    def _heard(self, lane: Lane) -> Ended | Lost | None:
        assert lane.batch is not None
        try:
            kind, value = pickle.loads(lane.pipe.recv_bytes())
        except (EOFError, OSError):
            self.lanes.remove(lane)
            lane.process.join()
            lane.pipe.close()
            return Lost(batch=lane.batch, why=f"process ended with {lane.process.exitcode}")
        if kind == "progress":
            self.plan.progress(lane.batch, *value)
            return None
        lane.batch = None
        if kind == "error":
            raise value
        return value

    def stop(self) -> None:
        for lane in self.lanes:
            if lane.batch is not None:
                with contextlib.suppress(OSError):
                    lane.pipe.send_bytes(b"stop")

    def close(self) -> None:
        for lane in self.lanes:
            lane.process.kill()
            lane.process.join()
            lane.pipe.close()
        self.lanes.clear()


def sendable(worker: Worker) -> bytes:
    """A worker as bytes. Raises ValueError if it holds something that cannot be sent to another process."""
    try:
        return pickle.dumps(worker)
    except Exception as error:  # noqa: BLE001 - whatever a foreign model raises
        instead = "give it as package.module:factory, or work with one worker"
        raise ValueError(f"the model cannot be sent to another process ({error}): {instead}") from error


@contextlib.contextmanager
def _threads_at_start(threads: int) -> Any:
    """The number of threads that a process reads when it starts."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _serve(pipe: Connection, worker: bytes, seed: int, threads: int) -> None:
    """What a process does: batches, until the pipe closes. It is stopped by a word on the pipe, not by signals."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if "" not in sys.path:
        sys.path.insert(0, "")  # factories of the user's are looked for here, too
    chosen: Any = None
    while True:
        try:
            word = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        if word == b"stop":  # too late: its batch has ended
            continue
        batch, checkpoint = pickle.loads(word)
        context = Context(seed, checkpoint, lambda *facts: _say(pipe, "progress", facts), pipe.poll)
        try:
            if chosen is None:
                chosen = pickle.loads(worker)
            answer = "ended", run_batch(chosen, batch, context, threads)
        except Exception as error:  # noqa: BLE001 - raised again where the job is run
            answer = "error", portable(error)
        _say(pipe, *answer)


def _say(pipe: Connection, kind: str, value: Any) -> None:
    pipe.send_bytes(pickle.dumps((kind, value)))


def portable(error: Exception) -> Exception:
    """An error that can be sent: itself, or a RuntimeError that says what it was."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
