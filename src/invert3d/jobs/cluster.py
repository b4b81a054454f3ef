"""A crew of Ray actors, on one machine or many. An actor that dies is replaced; its batch is done again.

Ray (extra ``cluster``) brings the work to the machines. Results come back to the process that runs the job, which
alone writes the run folder, so no shared file system is needed.
"""

import os
import socket
import threading
from typing import Any

import torch

from invert3d.jobs.crew import Lost, Plan, run_batch
from invert3d.jobs.job import Batch, Context, Ended
from invert3d.jobs.processes import sendable


class Actor:
    """A worker on some machine. ``stop`` runs beside ``run``, in another thread."""

    def __init__(self, worker: bytes, seed: int, threads: int) -> None:
        import pickle

        self.worker, self.seed, self.threads = pickle.loads(worker), seed, threads
        self.asked = threading.Event()

    def run(self, batch: Batch, checkpoint: bytes | None) -> Ended:
        """Do a batch."""
        context = Context(seed=self.seed, checkpoint=checkpoint, stop=self.asked.is_set)
        return run_batch(self.worker, batch, context, self.threads)

    def stop(self) -> None:
        """Ask the batch that is running to stop."""
        self.asked.set()


class RayCrew:
    """One actor a worker (with 1, as many as the cluster has processors for), each with a network of its own.

    ``auto`` is the cluster of ``RAY_ADDRESS``, or one that is started for this job. Raises ValueError if Ray is not
    installed, no cluster answers at the address (HOST:PORT), or the worker cannot be sent.
    """

    def __init__(self, plan: Plan, address: str, workers: int, batches: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise ValueError("working on a cluster needs Ray: pip install 'invert3d[cluster]'") from error
        self.plan, self.ray, self.mine = plan, ray, False
        self.worker = sendable(plan.worker)
        self._connect(address)
        processors = max(1, int(self.ray.cluster_resources().get("CPU", 1)) // plan.threads)
        self.count = max(1, min(workers if workers > 1 else processors, batches))
        gpus = 1 if torch.device(getattr(plan.worker, "device", "cpu")).type == "cuda" else 0
        self.make: Any = self.ray.remote(num_cpus=plan.threads, num_gpus=gpus, max_concurrency=2)(Actor)
        self.idle: list[Any] = []
        self.running: dict[Any, tuple[Any, Batch]] = {}

    def _connect(self, address: str) -> None:
        if self.ray.is_initialized():
            return
        running = address != "auto" or bool(os.environ.get("RAY_ADDRESS"))
        if address != "auto":
            answers(address)
        options: dict[str, Any] = {"address": address} if running else {"include_dashboard": False}
        self.ray.init(log_to_driver=False, logging_level="error", **options)
        self.mine = True

    def free(self) -> bool:
        return bool(self.idle) or len(self.running) < self.count

    def start(self, batch: Batch, checkpoint: bytes | None) -> None:
        actor = self.idle.pop() if self.idle else self.make.remote(self.worker, self.plan.seed, self.plan.threads)
        self.running[actor.run.remote(batch, checkpoint)] = (actor, batch)

    def wait(self) -> list[Ended | Lost]:
        ready, _ = self.ray.wait(list(self.running), timeout=0.5)
        events: list[Ended | Lost] = []
        for future in ready:
            actor, batch = self.running.pop(future)
            try:
                events.append(self.ray.get(future))
                self.idle.append(actor)
            except self.ray.exceptions.RayActorError as error:
                events.append(Lost(batch=batch, why=type(error).__name__))
            except self.ray.exceptions.RayTaskError as error:
                raise error.cause or error from None
        return events

    def stop(self) -> None:
        for actor, _ in self.running.values():
            actor.stop.remote()

    def close(self) -> None:
        for actor in [*self.idle, *(actor for actor, _ in self.running.values())]:
            self.ray.kill(actor)
        if self.mine:
            self.ray.shutdown()


def answers(address: str) -> None:
    """Raise ValueError if nothing answers at HOST:PORT. Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(f"no Ray cluster answers at {address} ({error}); give HOST:PORT or auto") from error
