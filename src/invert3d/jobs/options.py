"""How a job is run, and how it is interrupted. Imports nothing heavy: the command line reads it for ``--help``."""

import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: ``signal`` says which, and the words what was ``kept`` in a folder and how to go on."""

    def __init__(self, number: int = 0, kept: Path | None = None) -> None:
        words = f"interrupted: finished work is in {kept}; to continue, run the same command with --resume"
        super().__init__(words if kept else "")
        self.signal = number or signal.SIGINT


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how a job is run. Only ``seed`` and ``threads`` change what comes out.

    Attributes:
        out: The run folder; without one nothing is saved.
        seed: Fixes every random number.
        workers: Number of processes.
        threads: Threads of each process. Another number rounds sums differently.
        cluster: A Ray cluster to run on: HOST:PORT, or ``auto`` for that of ``RAY_ADDRESS``, else a local one.
        resume: Continue an interrupted run.
        overwrite: Replace an existing run.
        progress: Show progress.

    Raises:
        ValueError: a seed below 0, fewer than one worker or thread, or resume and overwrite together.
    """

    out: Path | None = None
    seed: int = 0
    workers: int = 1
    threads: int = 1
    cluster: str | None = None
    resume: bool = False
    overwrite: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"a seed must be 0 or more, not {self.seed}")
        for name in ("workers", "threads"):
            if not 1 <= getattr(self, name) <= 1024:
                raise ValueError(f"{name} must be between 1 and 1024, not {getattr(self, name)}")
        if self.resume and self.overwrite:
            raise ValueError("resume continues a run and overwrite deletes it: choose one of them")

    def into(self, out: str | Path | None) -> Self:
        """The same in another run folder, where one is given."""
        return self if out is None else replace(self, out=Path(out))
