"""Every command of the command line, called with what nobody should give it.

The commands and their options are read from the app itself, so a new command is called too. Work is not done: where a
call would begin it, ``Accepted`` is raised. ``python -m tests.cli.hostile`` prints how many bad inputs were refused.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cyclopts import App

from invert3d import cli


class Accepted(BaseException):
    """Work would begin here. No ``Exception``: nothing in the program may handle it."""


#: where work begins
WORK = (
    "invert3d.engine.loop.optimize",
    "invert3d.methods.classes.invert",
    "invert3d.methods.stages.run_stages",
    "invert3d.engine.gradient.input_gradient",
    "invert3d.training.classifiers.fit",
    "invert3d.training.data.training_data",
    "invert3d.training.streets.street_frames",
    "invert3d.data.worlds.rooms.make_room",
    "invert3d.training.data.modelnet10_grids",
    "invert3d.data.worlds.shapes.make_clouds",
    "invert3d.data.worlds.shapes.make_mesh",
    "invert3d.data.worlds.shapes.make_grids",
    "invert3d.study.explaining.held_out.held_out",
    "invert3d.view.live.serving",
    "invert3d.jobs.execute.execute",
)

#: words that a command can be called with, so that its options are looked at; a command that is not here has to refuse
#: or to accept what it gets as well
USUAL: dict[tuple[str, ...], list[str]] = {
    ("doctor",): ["--model", "pointnet_vanilla-shapes", "--points", "64"],
    ("classify",): ["pointnet_vanilla-shapes", "cloud.xyz", "--points", "64"],
    ("reproduce",): ["inverting3d/fig4"],
    ("view",): ["folder"],
    ("explain",): ["cloud.xyz", "--model", "pointnet_vanilla-shapes"],
    ("attack",): ["cloud.xyz", "--model", "pointnet_vanilla-shapes"],
    ("prune",): ["voxnet-shapes"],
    ("invert", "class"): ["chair", "--model", "pointnet_vanilla-shapes", "--judge", "own"],
    ("invert", "boxes"): ["--streets", "1"],
    ("evaluate", "inversion"): ["folder"],
    ("evaluate", "boxes"): ["folder"],
    ("evaluate", "kitti"): ["folder", "--root", "folder"],
    ("evaluate", "errors"): ["pointnet_vanilla-shapes"],
    ("evaluate", "attribution"): ["pointnet_vanilla-shapes"],
    ("train", "shapes"): ["pointnet_vanilla", "--name", "mine"],
    ("train", "centernet3d"): ["--name", "mine"],
    ("data", "make", "shapes"): ["new.npz"],
    ("data", "check"): ["kitti"],
    ("data", "where"): ["kitti"],
}

ENDINGS = ("npy", "npz", "json", "toml", "safetensors", "pth", "t7", "png", "txt", "off", "ply", "mat", "binvox", "xyz")
EMPTY = tuple(f"empty.{ending}" for ending in ENDINGS)
DAMAGED = tuple(f"damaged.{ending}" for ending in ENDINGS)
NUMBERS = ("0", "-1", "nan", "inf", "-inf", "1e30", "0.5", "9" * 40)
PATHS = ("folder", "nowhere", "nowhere/at/all.npy", "cloud.xyz/below", "..", "/", "x" * 300, "x/" * 3000)
TEXTS = (
    "",
    " ",
    "junk",
    "chair,chair",
    ",",
    "a,,b",
    "../../up",
    "os:getcwd",
    "no.such:thing",
    "{}",
    "[1]",
    "\n",
    "ﬁ\u202e",
)
VALUES = (*NUMBERS, *PATHS, *TEXTS, *EMPTY, *DAMAGED)


@dataclass(frozen=True)
class Option:
    """An option of a command: its name (none for a positional one), how many words follow it, if one may be a file."""

    name: str
    words: int
    files: bool = False

    @property
    def values(self) -> tuple[str, ...]:
        """What it is given: damaged files only where it could be asked to read one."""
        return VALUES if self.files else VALUES[: -len(EMPTY + DAMAGED)]


@dataclass(frozen=True)
class Ending:
    """How a call ended: its exit code, or None where work began; standard error; files that are new or changed."""

    code: int | None
    error: str
    changed: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Refused as it should be: exit code 2, one sentence, nothing written."""
        return self.code == 2 and len(self.error.strip().splitlines()) == 1 and not self.changed

    @property
    def fine(self) -> bool:
        """Refused, or taken (``data check`` says with exit code 1 that something is missing)."""
        return self.refused or self.code in (None, 0) or (self.code == 1 and not self.error and not self.changed)


def commands(app: App = cli.app, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Option]]]:
    """All commands and their options."""
    for name in app:
        if name.startswith("-"):
            continue
        sub = app[name]
        if any(not each.startswith("-") for each in sub):
            yield from commands(sub, (*path, name))
            continue
        found = [argument for argument in sub.assemble_argument_collection() if not argument.children]
        options = [
            Option("" if a.index is not None else a.name, a.token_count()[0], "Path" in str(a.hint) or a.hint is str)
            for a in found
        ]
        yield (*path, name), list(dict.fromkeys(options))


def call_of(path: Sequence[str], given: Sequence[tuple[Option, str]]) -> list[str]:
    """The words of a call: the usual ones, and these options with these values."""
    words = [*path, *USUAL.get(tuple(path), ())]
    for option, value in given:
        words += [option.name] * bool(option.name) + [value] * option.words
    return words


def write_files(folder: Path) -> None:
    """The files that values name."""
    for name in EMPTY:
        (folder / name).touch()
    for name in DAMAGED:
        (folder / name).write_bytes(b"\x93NUMPY\x01\x00PK\x03\x04\x89PNG\x00{[\xff\xfe 1 2 x\n")
    (folder / "cloud.xyz").write_text("".join(f"{i % 5} {i % 7} {i % 3}\n" for i in range(40)))
    (folder / "folder").mkdir()
    (folder / "folder" / "notes.txt").write_text("mine")


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """All files and folders below a folder, with what would show a change."""
    found = [(path, path.lstat()) for path in folder.rglob("*")]
    return {str(path.relative_to(folder)): (status.st_mtime_ns, status.st_size) for path, status in found}


def ending(words: Sequence[str], folder: Path) -> Ending:
    """Call the command line in this process, in a folder, and say how it ended. Any other error is raised."""
    before, output, error = contents(folder), io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        try:
            code = cli.run(words)
        except Accepted:
            return Ending(None, error.getvalue())
    after = contents(folder)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return Ending(code, error.getvalue(), tuple(changed))


@contextlib.contextmanager
def no_work() -> Iterator[None]:
    """Raise ``Accepted`` wherever work would begin, also in modules that are loaded meanwhile."""

    def begin_instead() -> Any:
        def begin(*_: Any, **__: Any) -> Any:
            raise Accepted

        return begin

    places = [where.rpartition(".") for where in WORK]
    work = [getattr(importlib.import_module(module), name) for module, _, name in places if find_spec(module)]
    instead = [begin_instead() for _ in work]
    exchange(work, instead)
    try:
        yield
    finally:
        exchange(instead, work)


def exchange(old: Sequence[Any], new: Sequence[Any]) -> None:
    """Put things in the place of others, by whatever name modules of ours have them."""
    replaced = {id(a): b for a, b in zip(old, new, strict=True)}
    for module in [each for key, each in sys.modules.items() if key.startswith(("invert3d", "tests"))]:
        for key, value in list(vars(module).items()):
            if id(value) in replaced:
                setattr(module, key, replaced[id(value)])


def count_bad_inputs(only: Sequence[str] = ()) -> dict[str, int]:
    """Each value for each option of each command: how many calls were no good, and how many of them were refused."""
    tried = refused = 0
    with no_work(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        for path, options in commands():
            if only and path[-1] not in only:
                continue
            for option in options:
                for value in option.values if option.words else ():
                    words = call_of(path, [(option, value)])
                    try:
                        end = ending(words, folder)
                    except Exception as error:  # a traceback on the command line
                        end = Ending(1, f"{type(error).__name__}: {error}\n" * 2)
                    tried += end.refused or not end.fine
                    refused += end.refused
                    if not end.fine:
                        print(words, end.code, end.error[-300:], end.changed, file=sys.stderr)
    return {"bad_inputs_tried": tried, "bad_inputs_refused": refused}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(json.dumps(count_bad_inputs(sys.argv[1:])))
