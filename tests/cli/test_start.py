"""Start-up: nothing heavy is loaded for ``--help``, and whoever waits for torch is told so."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from invert3d import cli
from tests.cli.hostile import commands

HEAVY = ("torch", "torchvision", "scipy", "matplotlib", "trimesh", "ray", "PIL")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}


def test_the_help_of_a_command_loads_nothing_heavy() -> None:
    """One interpreter for all commands: what one of them loads is held against it alone."""
    program = f"""
import contextlib, io, json, sys
from invert3d import cli
loaded, printed = {{}}, {{}}
for words in {[list(path) for path, _ in commands()]!r}:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = cli.run([*words, "--help"])
    key = " ".join(words)
    loaded[key] = [name for name in {HEAVY!r} if name in sys.modules]
    printed[key] = [code, text.getvalue()]
print(json.dumps([loaded, printed]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    loaded, printed = json.loads(done.stdout)
    assert len(loaded) == len(list(commands()))
    assert not {command: names for command, names in loaded.items() if names}
    for command, (code, text) in printed.items():
        assert code == 0 and text.startswith(f"Usage: invert3d {command}"), command
        assert "--empty-" not in text, command
    assert "--no-progress" in printed["invert class"][1] and "--no-resume" not in printed["invert class"][1]


def test_the_first_line_comes_before_torch() -> None:
    """On a terminal, where torch would be loaded: here it may not be."""
    program = (
        "import sys; sys.modules['torch._C'] = None; from invert3d import cli; cli.run(['doctor', '--model', 'x'])"
    )
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stderr=theirs, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    os.close(theirs)
    first = os.read(ours, 4096).decode().splitlines()[0]
    os.close(ours)
    assert first == "invert3d doctor --model x: loading torch"


def test_elsewhere_a_refusal_is_the_only_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "invert3d", "doctor", "--model", "pointnett"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 2 and done.stdout == ""
    said = [line for line in done.stderr.splitlines() if not line.startswith("working, ")]  # where torch loads slowly
    assert len(said) == 1 and said[0].startswith("invert3d: unknown model 'pointnett'; did you mean")


@pytest.mark.parametrize(("words", "most"), [(["models"], 80), (["data", "where", "kitti"], 0), (["recipes"], 0)])
def test_tables_are_plain_where_they_are_piped(capsys: pytest.CaptureFixture, words: list[str], most: int) -> None:
    assert cli.run(words) == 0
    text = capsys.readouterr().out
    assert text.isascii() and "\x1b" not in text and "…" not in text
    if most:
        lines = [line for line in text.splitlines() if not line.startswith("Architectures")]
        assert max(map(len, lines)) <= most
        assert sum(line.startswith("pointnet2_ssg-shapes ") for line in lines) == 1, "a row a line"


def test_a_card_is_printed_by_name(capsys: pytest.CaptureFixture) -> None:
    assert cli.run(["models", "voxnet-shapes"]) == 0
    assert "classes: airplane, bathtub" in capsys.readouterr().out
    assert cli.run(["models", "voxnet-shape"]) == 2
    assert "did you mean voxnet-shapes" in capsys.readouterr().err
