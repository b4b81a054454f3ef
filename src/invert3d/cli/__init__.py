"""The command line: what goes in, and how it ends. A refusal is one sentence on standard error and exit code 2."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType, SimpleNamespace

from cyclopts import CycloptsError
from cyclopts.exceptions import ValidationError

from invert3d.cli.app import app
from invert3d.engine.progress import alive
from invert3d.jobs.options import Interrupted

#: errors of files that are damaged, of libraries that are not loaded until they are needed
DAMAGED = ("BadZipFile", "SafetensorError", "UnpicklingError", "error", "OutOfMemoryError")
LONGEST = 600  # characters of a sentence


def main() -> None:
    """Run the command line on the words the program was started with."""
    if code := run(sys.argv[1:]):
        sys.exit(code)


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit code: 2 where it was refused, 130 after Ctrl-C, 143 after SIGTERM.

    With ``INVERT3D_DEBUG`` in the environment errors are raised.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))  # more threads fight each other
    try:
        quiet = "--no-progress" in words
        with terminable(), contextlib.nullcontext() if quiet else alive(), announced(words):
            checked_words(words)
            app(list(words), exit_on_error=False, print_error=False)
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, head for instance, has enough
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt as stop:
        print(f"invert3d: {shortened(str(stop) or 'interrupted')}", file=sys.stderr)
        return 128 + getattr(stop, "signal", signal.SIGINT)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        if "INVERT3D_DEBUG" in os.environ or not refusal(error):
            raise
        print(f"invert3d: {sentence(error)}", file=sys.stderr)
        return 2
    return 0


def checked_words(words: Sequence[str]) -> None:
    """Raise ValueError for an empty word: it is a variable that was not set, and as a path it means this folder."""
    for before, word in zip(("", *words), words, strict=False):
        if not word.strip() or (word.startswith("--") and word.endswith("=")):
            raise ValueError(f"an empty value was given{' after ' + before if before else ''}{word.strip()}")


def refusal(error: Exception) -> bool:
    """Whether an error is about what was given, rather than a mistake in this program."""
    about_input = (CycloptsError, ValueError, TypeError, OSError, EOFError, MemoryError, ImportError)
    return isinstance(error, about_input) or type(error).__name__ in DAMAGED


def sentence(error: Exception) -> str:
    """An error as one line that names the option or the file."""
    words = str(error)
    if isinstance(error, ValidationError) and error.argument is not None:
        words = f"{error.argument.name}: {error.exception_message}"
    elif isinstance(error, OSError) and error.strerror:
        words = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, MemoryError):
        words = f"this needs more memory than there is ({words})"
    return shortened(words or type(error).__name__)


def shortened(words: str, most: int = LONGEST) -> str:
    """The words in one line, without the middle where they are too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[5 - most // 2 :]}"


@contextlib.contextmanager
def announced(words: Sequence[str]) -> Iterator[None]:
    """Say on a terminal when torch begins to be loaded, which takes seconds; elsewhere a refusal is the only line."""

    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "torch":
            print(shortened(f"invert3d {' '.join(words)}: loading torch", 78), file=sys.stderr, flush=True)

    finder = SimpleNamespace(find_spec=find_spec)  # asked by Python for every module that is imported; finds none
    if sys.stderr.isatty():
        sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(finder)  # type: ignore[arg-type]


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into Ctrl-C, so that a run keeps what is finished."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
