"""Whatever any command is given, it ends in one of two ways: it does its work, or it refuses it in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invert3d import cli
from invert3d.cli.app import SHARED
from tests.cli import hostile
from tests.cli.hostile import VALUES, call_of, commands, ending, no_work, write_files

COMMANDS = dict(commands())
#: what a shell can hand over: no zero bytes, no halves of characters
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUE = st.sampled_from(VALUES) | TEXT | st.integers().map(str) | st.floats().map(str)


@st.composite
def calls(draw: st.DrawFn) -> list[str]:
    """A command with up to three of its options, each with a value that it may not like."""
    path = draw(st.sampled_from(sorted(COMMANDS)))
    options = draw(st.lists(st.sampled_from(COMMANDS[path]), min_size=1, max_size=3)) if COMMANDS[path] else []
    return call_of(path, [(option, draw(VALUE)) for option in options])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile")
    write_files(path)
    return path


@settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=calls())
def test_a_command_works_or_refuses_in_one_sentence(folder: Path, words: list[str]) -> None:
    with no_work():
        end = ending(words, folder)
    assert end.fine, end
    assert end.code != 2 or end.error.startswith("invert3d: "), end


def test_every_command_is_among_them() -> None:
    assert {("invert", "class"), ("evaluate", "kitti"), ("data", "make", "streets"), ("cite",)} <= set(COMMANDS)
    files = [path for path in Path(cli.__file__).parent.rglob("*.py") if path.stem not in ("__init__", *SHARED)]
    assert len(COMMANDS) == len(files) > 25
    names = {option.name for option in COMMANDS["invert", "class"]}
    assert {"", "--seed", "--out", "--resume", "--checkpoint"} <= names, "also those of the shared dataclasses"
    assert set(hostile.USUAL) <= set(COMMANDS)


def test_what_breaks_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that writes before it refuses, and one with a mistake in it."""

    def writes(words: list[str]) -> int:
        Path("left.txt").write_text("half")
        print("invert3d: no", file=sys.stderr)
        return 2

    monkeypatch.setattr(cli, "run", writes)
    end = ending(["models"], folder)
    assert end.changed == ("left.txt",) and not end.fine
    (folder / "left.txt").unlink()
    monkeypatch.undo()
    monkeypatch.setattr("invert3d.models.weights.bundled", lambda kind=None: {}["mistake"])
    with pytest.raises(KeyError, match="mistake"):
        ending(["models"], folder)
