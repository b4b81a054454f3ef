"""How far a long job is: a bar on a terminal, a line every tenth of the way in a log."""

import time
from typing import Any


class Meter:
    """Shows the share of ``total`` that is done, with the facts it is given and the time that is left.

    The first line comes at once.
    """

    def __init__(self, label: str, total: float, done: float = 0) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self.label, self.total, self.begun, self.done = label, max(total, 1e-9), done, done
        self.printed, self.clock = int(done / self.total * 10), time.perf_counter()
        self.bar: Any = None
        console = Console(stderr=True)
        if not console.is_terminal:
            print(f"{label} ...", flush=True)
            return
        words, facts = TextColumn("{task.description}"), TextColumn("{task.fields[facts]}")
        self.bar = Progress(words, BarColumn(), TaskProgressColumn(), facts, TimeRemainingColumn(), console=console)
        self.bar.start()
        self.task = self.bar.add_task(label, total=self.total, completed=done, facts="")

    def update(self, done: float, **facts: str) -> None:
        """``done`` of the total is done; facts are shown under their names, one called ``facts`` as it is."""
        self.done = done
        words = "  ".join(
            value if name == "facts" else f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value
        )
        if self.bar is not None:
            self.bar.update(self.task, completed=done, facts=words)
        elif int(done / self.total * 10) > self.printed:
            self.printed = int(done / self.total * 10)
            passed = time.perf_counter() - self.clock
            left = passed * (self.total - done) / max(1e-9, done - self.begun)
            print(f"{self.label} {done / self.total:.0%}  {words}  {passed:.0f} s, {left:.0f} s left", flush=True)

    def stop(self) -> None:
        """Take the bar down."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
