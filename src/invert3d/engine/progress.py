"""How far a long job is: a bar on a terminal; in a log a line every tenth of the way and every minute, dots between.

Under ``alive``, in which every command runs, there is a sign of life whenever nothing was said for ``QUIET`` seconds.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

#: seconds without a word after which there is a sign of life
QUIET = 2.0
DOTS = 30  # between two lines: a minute

clock = time.monotonic


class Meter:
    """Shows the share of ``total`` that is done, with the facts it is given and the time that is left.

    The first line comes at once. Without a total it shows that something is being done, and for how long; in a log
    only once that takes longer than ``QUIET``. ``show=False`` shows nothing.
    """

    def __init__(self, label: str, total: float | None = None, done: float = 0, *, show: bool = True) -> None:
        self.label, self.total, self.begun, self.done = label, total and max(total, 1e-9), done, done
        self.words, self.printed, self.clock, self.dots = "", int(self.share * 10), clock(), 0
        self.shown, self.named, self.bar = show, False, _bar(label, self.total, done) if show else None
        if show:
            _signs.meters.append(self)
            _signs.said()
            if self.total:
                self.name()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def share(self) -> float:
        """What is done of it; 0 where nobody knows."""
        return self.done / self.total if self.total else 0.0

    def update(self, done: float, **facts: str) -> None:
        """``done`` of the total is done; facts are shown under their names, one called ``facts`` as it is."""
        self.done = done
        self.words = "  ".join(
            value if name == "facts" else f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value
        )
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done, facts=self.words)
        elif self.shown and int(self.share * 10) > self.printed:
            self.printed = int(self.share * 10)
            self.line()

    def name(self) -> None:
        """The first line of a log."""
        _signs.said()
        self.named = True
        if self.bar is None:
            print(f"{self.label} ...", flush=True)

    def line(self) -> None:
        """A line of a log."""
        _signs.said()
        passed, left = clock() - self.clock, ""
        if self.total and self.done > self.begun:
            left = f", {passed * (self.total - self.done) / max(1e-9, self.done - self.begun):.0f} s left"
        share = f" {self.share:.0%}" if self.total else ""
        self._end_dots()
        print(f"{self.label}{share}  {self.words}  {passed:.0f} s{left}", flush=True)

    def beat(self) -> None:
        """A sign of life. A bar moves by itself."""
        if not self.named:
            self.name()
        elif self.bar is None and self.dots >= DOTS:
            self.line()
        elif self.bar is None:
            print(".", end="", flush=True)
            self.dots += 1

    def _end_dots(self) -> None:
        if self.dots:
            self.dots = 0
            print(flush=True)

    def stop(self) -> None:
        """Take the bar down."""
        if self in _signs.meters:
            _signs.meters.remove(self)
            self._end_dots()
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _bar(label: str, total: float | None, done: float) -> Any:
    """A bar that is shown, or None where there is no terminal."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    words, facts = progress.TextColumn("{task.description}"), progress.TextColumn("{task.fields[facts]}")
    first = (progress.SpinnerColumn("line"), words, progress.BarColumn())
    known = (progress.TaskProgressColumn(), facts, progress.TimeRemainingColumn())
    rest = known if total else (facts, progress.TimeElapsedColumn())
    bar = progress.Progress(*first, *rest, console=console, transient=not total)
    bar.start()
    bar.add_task(label, total=total, completed=done, facts="")  # type: ignore[arg-type]  # None: nobody knows
    return bar


class Signs:
    """Who is to give the next sign of life, and when the last one was given."""

    def __init__(self) -> None:
        self.meters: list[Meter] = []  # that are shown, the innermost last
        self.begun = self.last = clock()

    def said(self) -> None:
        """Something was shown just now."""
        self.last = clock()

    def beat(self) -> None:
        """Give a sign if it has been quiet for long: of the innermost meter, or where none is shown, of the program."""
        if clock() - self.last < QUIET:
            return
        self.said()
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more
            if self.meters:
                self.meters[-1].beat()
            else:
                print(f"working, {clock() - self.begun:.0f} s", file=sys.stderr, flush=True)


_signs = Signs()


@contextlib.contextmanager
def alive() -> Iterator[Signs]:
    """Give signs of life for as long as this lasts, whatever is done meanwhile."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(min(0.25, QUIET)):
            _signs.beat()

    _signs.meters.clear()
    _signs.begun = _signs.last = clock()
    thread = threading.Thread(target=watch, name="signs of life", daemon=True)
    thread.start()
    try:
        yield _signs
    finally:
        over.set()
        thread.join()
        _signs.meters.clear()
