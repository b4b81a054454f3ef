"""Files that appear whole: written beside their place, then renamed, so nobody ever sees half of one."""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file and return its path. Raises OSError, with the old file as it was, where it cannot be written."""
    write_together({Path(path): data})
    return Path(path)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together: all are written before the first one gets its name.

    Folders are made where there are none. Raises OSError, with all old files as they were, where one cannot be written.
    """
    written: dict[Path, str] = {}
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, written[path] = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(written[path], 0o644)
        for path, name in written.items():
            os.replace(name, path)
    finally:
        for name in written.values():
            with contextlib.suppress(OSError):
                os.unlink(name)
