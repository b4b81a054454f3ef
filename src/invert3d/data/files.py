"""The edges of reading and writing: whatever is wrong with a file is one sentence that names it."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: no reader unpacks more than this from one file
MOST_BYTES = 4 << 30


class BadFile(ValueError):
    """A file that is not there, cannot be opened, or is not what it should be. Its message is one line."""


def bad_file(path: str | Path, text: object) -> BadFile:
    """The error for a file: its path and what is wrong, in one line."""
    words = " ".join(str(text).split())
    return BadFile(" ".join(f"{path}: {words if len(words) <= 600 else words[:600] + '...'}".split()))


@contextmanager
def reading(path: str | Path, expected: str, *, empty: bool = False) -> Iterator[Path]:
    """Read a file; whatever goes wrong inside, also in a library, ends as a ``BadFile``.

    Args:
        path: of a file that is there and not empty; ``~`` is the user's folder.
        expected: what the file should be, for the message: ``"an OFF mesh"``.
        empty: accept an empty file.

    Raises:
        BadFile: nothing is there, it is a folder, empty or not to be opened, or the block raised an error.
    """
    file = Path(path)
    try:
        file = file.expanduser()
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise bad_file(file, f"found {kind}, expected {expected}")
        if not found.st_size and not empty:
            raise bad_file(file, f"found an empty file, expected {expected}")
        yield file
    except BadFile:
        raise
    except FileNotFoundError as error:
        raise bad_file(file, f"there is no file, expected {expected}") from error
    except MemoryError as error:
        raise bad_file(file, f"asks for more memory than there is, expected {expected}") from error
    except Exception as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise bad_file(file, f"not readable: {said or type(error).__name__}; expected {expected}") from error


def check_bytes(path: Path, count: int) -> None:
    """Refuse what unpacks to more than ``MOST_BYTES``. Raises BadFile."""
    if not 0 <= count <= MOST_BYTES:
        raise bad_file(path, f"unpacks to {count:,} bytes, accepted are at most {MOST_BYTES:,}")


@contextmanager
def in_folder(path: str | Path) -> Iterator[Path]:
    """Look into a folder; what the system refuses (permission, too long a name) ends as a ``BadFile``."""
    try:
        yield Path(path).expanduser()
    except OSError as error:
        raise bad_file(path, f"not readable: {error.strerror or error}") from error


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Write a file whole or not at all: the block writes to the path it is given, which then takes the name.

    Folders are made. What was there stays until the new file is whole, also after an error or a kill.

    Raises:
        BadFile: the system refuses (full or read-only disk, permission, a parent that is a file).
    """
    with _beside(path) as (file, part):
        yield part
        part.replace(file)


@contextmanager
def writing_folder(path: str | Path) -> Iterator[Path]:
    """Write a folder whole or not at all, like ``writing``; one of that name is replaced once the new one is whole.

    Raises:
        BadFile: the system refuses.
    """
    with _beside(path) as (folder, part):
        part.mkdir()
        yield part
        if folder.is_dir():
            old = folder.with_name(f"{part.name}-old")
            folder.rename(old)
            part.rename(folder)
            shutil.rmtree(old)
        else:
            part.rename(folder)


@contextmanager
def _beside(path: str | Path) -> Iterator[tuple[Path, Path]]:
    """The path and one beside it of the same suffix, removed in the end if it is still there."""
    target = Path(os.path.abspath(Path(path).expanduser()))
    part = target.with_name(f".part-{secrets.token_hex(4)}{target.suffix}")
    try:
        if len(os.fsencode(target.name)) > 255:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target, part
    except OSError as error:
        raise bad_file(path, f"not written: {error.strerror or error}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            with suppress(OSError):  # not there: it took its name, or its folder is none
                part.unlink()
