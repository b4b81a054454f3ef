"""A run folder: what was asked, one folder a unit, readable at any moment, written by one process at a time.

    run.json            what was asked: settings, units, command, environment
    units/NAME/         facts.json, arrays.safetensors, pictures; done.json once it is finished, partial.json before
    unfinished/N.bin    where batch N stood when it was interrupted
    log.jsonl           a line for each batch: when it ended, how long it took, how

Everything is written beside its place and then renamed, so a reader, a kill and a full disk never see half of it.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from invert3d.jobs.job import Batch, Ended, Made, file_name
from invert3d.ops.files import write_bytes

MARK = "run.json"


def write_json(path: Path, table: Any) -> None:
    """Write JSON as ``write_bytes`` does."""
    write_bytes(path, (json.dumps(table, indent=2) + "\n").encode())


def read_run(folder: Path) -> dict[str, Any]:
    """The ``run.json`` of a run folder. Raises ValueError if there is none, or it is damaged."""
    path = Path(folder) / MARK
    if not path.is_file():
        raise ValueError(f"{folder} is not a run folder: it has no {MARK}")
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path} holds no table")
    return table


def read_job(folder: Path, kind: str, source: Sequence[str]) -> dict[str, Any]:
    """The facts of a finished or interrupted job of one source: ``run.json``, and what it says of the source.

    Raises ValueError if it is no run of this kind, has names that leave the folder, or lacks a fact in ``source``.
    """
    run = read_run(folder)
    try:
        known, units, names = run["settings"]["sources"][""], run["units"], run["names"]
        right = run["kind"] == kind and len(units) == len(names) and all(file_name(unit) == unit for unit in units)
        missing = [key for key in source if key not in known]
    except (KeyError, TypeError, AttributeError):
        right, missing, known = False, [], {}
    if not right:
        raise ValueError(f"{folder} is not a run of {kind}: its {MARK} says something else")
    if missing:
        raise ValueError(f"{folder / MARK} is damaged: it has no {', '.join(missing)}")
    return {**run, **known}


def checked_folder(folder: Path, *, resume: bool = False, overwrite: bool = False) -> Path:
    """The folder, once it is seen that a run may be written there; nothing is changed.

    Raises ValueError if a run is there already and neither is asked for, if there is none to resume, or if what is
    there is no run folder.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, not a run folder")
    parent = next(each for each in (*folder.absolute().parents, folder.absolute()) if each.exists())
    if not parent.is_dir():
        raise ValueError(f"{folder} cannot be made: {parent} is a file")
    there = folder / MARK
    full = folder.is_dir() and not all(is_leftover(each) for each in folder.iterdir())
    if full and not there.is_file() and (resume or overwrite):
        raise ValueError(f"{folder} is not a run folder (no {MARK}): it is left as it is")
    if full and not (resume or overwrite):
        raise ValueError(f"{folder} exists already: give --resume to go on from it or --overwrite to replace it")
    if resume and not there.is_file():
        raise ValueError(f"there is nothing to resume in {folder}")
    return folder


def agree(folder: Path, asked: Mapping[str, Any]) -> None:
    """Raise ValueError, naming what differs, if a run is resumed with other settings or units than it began with."""
    earlier, now = read_run(folder), json.loads(json.dumps(dict(asked)))
    differing = []
    for key, value in now.items():
        old = earlier.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            differing += [f"{key}.{name}" for name in {*value, *old} if value.get(name) != old.get(name)]
        elif old != value:
            differing.append(key)
    if differing:
        raise ValueError(f"cannot resume {folder}: it was begun with other values of {', '.join(sorted(differing))}")


class RunFolder:
    """A run folder that is open for writing. Made by ``opened``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def finished(self, name: str) -> bool:
        """Whether a unit is done and all its files are as they were written."""
        path = self.path / "units" / name
        try:
            written = json.loads((path / "done.json").read_text())["sha256"].items()
            return all(hashlib.sha256((path / name).read_bytes()).hexdigest() == digest for name, digest in written)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return False

    def _stood(self, batch: Batch) -> Path:
        return self.path / "unfinished" / f"{batch.number}.bin"

    def checkpoint(self, batch: Batch) -> bytes | None:
        """Where a batch stood, if it was interrupted."""
        return self._stood(batch).read_bytes() if self._stood(batch).is_file() else None

    def write(self, ended: Ended) -> None:
        """Write what there is of the units of a batch, and where it stands if it is not finished."""
        for unit, table in zip(ended.batch.units, ended.files, strict=False):
            write_folder(self.path / "units" / unit.name, table, "done.json" if ended.finished else "partial.json")
        if ended.finished:
            self._stood(ended.batch).unlink(missing_ok=True)
        elif ended.checkpoint is not None:
            write_bytes(self._stood(ended.batch), ended.checkpoint)

    def log(self, **facts: Any) -> None:
        """Add a line to ``log.jsonl``."""
        with (self.path / "log.jsonl").open("a") as file:
            file.write(json.dumps({"time": round(time.time(), 3), **facts}) + "\n")


@contextlib.contextmanager
def opened(
    path: Path, asked: Mapping[str, Any], about: Mapping[str, Any], *, resume: bool, overwrite: bool
) -> Iterator[RunFolder]:
    """A run folder to write into: begun, or gone on with. One process at a time.

    A new one appears with its ``run.json`` in it. If what is done there is refused (ValueError, TypeError) before
    anything else is written, all is as it was before: a new folder goes, an overwritten one is back.

    Raises ValueError as ``checked_folder`` and ``agree`` do, and if another process writes there.
    """
    checked_folder(path, resume=resume, overwrite=overwrite)
    old = None
    if resume:
        agree(path, asked)
    else:
        old = _begin(path, {**asked, **about})
    try:
        with _alone(path):
            yield RunFolder(path)
    except (ValueError, TypeError):
        if not resume and {each.name for each in path.iterdir()} <= {MARK, ".lock"}:
            shutil.rmtree(path)
            if old is not None:
                os.replace(old, path)
        raise
    finally:
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def _begin(path: Path, table: Mapping[str, Any]) -> Path | None:
    """Make a run folder, and return where the one is that was there before."""
    old = None
    with _appearing(path) as fresh:
        write_json(fresh / MARK, dict(table))
        if path.exists():
            with _alone(path):
                old = fresh.with_suffix(".old")
                os.replace(path, old)
    return old


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A folder to fill, which at the end is renamed to ``path``; after an error it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=path.absolute().parent, prefix=f".{path.name[:40]}-", suffix=".new"))
    try:
        fresh.chmod(0o755)
        yield fresh
        os.replace(fresh, path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def is_leftover(path: Path) -> bool:
    """Whether a file or folder is of ours, from a write that did not end."""
    return path.name == ".lock" or (path.name.startswith(".") and path.suffix in (".tmp", ".new", ".old"))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Raise ValueError if another process writes to a run folder."""
    lock = FileLock(path / ".lock")
    try:
        with lock.acquire(timeout=0):
            yield
    except Timeout as error:
        raise ValueError(f"another process is writing to {path}") from error


def write_folder(path: Path, files: Mapping[str, bytes], mark: str) -> None:
    """Write a unit's files and, in the file ``mark``, their digests."""
    with _appearing(path) as fresh:
        for name, data in files.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(data)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
        write_json(fresh / mark, {"sha256": digests})
        if path.exists():
            shutil.rmtree(path)


def read_made(path: Path) -> Made:
    """What a unit's folder holds, finished or not. Raises ValueError if it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        files = {str(each.relative_to(path)): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}
        facts = json.loads(files.pop("facts.json"))
        arrays: dict[str, Tensor] = load(files.pop("arrays.safetensors")) if "arrays.safetensors" in files else {}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ValueError(f"{path} is damaged ({error}): --resume does it again") from error
    rest = {name: data for name, data in files.items() if name not in ("done.json", "partial.json")}
    return Made(facts=facts, arrays=arrays, files=rest)
