"""How far a long job is: a bar on a terminal, a line every tenth of the way in a log."""

import time
from typing import Any


class Meter:
    """Counts to ``total`` and shows it, with the facts it is given and the time that is left."""

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        from rich.console import Console

        self.label, self.total, self.begun, self.printed = label, max(1, total), done, done * 10 // max(1, total)
        self.done, self.clock = done, time.perf_counter()
        console = Console()
        self.bar: Any = self._bar(console) if console.is_terminal else None

    def _bar(self, console: Any) -> Any:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        words, facts = TextColumn("{task.description}"), TextColumn("{task.fields[facts]}")
        bar = Progress(words, BarColumn(), MofNCompleteColumn(), facts, TimeRemainingColumn(), console=console)
        bar.start()
        self.task = bar.add_task(self.label, total=self.total, completed=self.done, facts="")
        return bar

    def update(self, done: int, **facts: str) -> None:
        """``done`` of the total are done; facts are shown as they are called."""
        self.done = done
        words = "  ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value)
        if self.bar is not None:
            self.bar.update(self.task, completed=done, facts=words)
        elif done * 10 // self.total > self.printed:
            self.printed = done * 10 // self.total
            passed = time.perf_counter() - self.clock
            left = passed * (self.total - done) / max(1, done - self.begun)
            print(f"{self.label} {done}/{self.total}  {words}  {passed:.0f} s, {left:.0f} s left", flush=True)

    def stop(self) -> None:
        """Take the bar down."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
