"""How the command line ends: interrupted, terminated, cut off, refused; and what it never does."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from invert3d import cli
from invert3d.jobs.execute import execute
from invert3d.jobs.job import Job, Unit
from invert3d.jobs.options import RunOptions
from invert3d.training.runs import TrainRun
from tests.cli.test_start import ENVIRONMENT

NET = ("--model", "pointnet_vanilla-shapes")


def instead(monkeypatch: pytest.MonkeyPatch, action) -> None:
    """Let ``invert3d recipes`` do something else."""
    monkeypatch.setattr("invert3d.methods.recipes.recipe_names", action)


def refused(capsys: pytest.CaptureFixture, *words: object) -> str:
    """The sentence with which a call is refused."""
    assert cli.run([str(word) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("invert3d: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("place", ["loading", "job", "job of nothing kept", "training"])
def test_an_interruption_has_its_exit_code_and_one_line(monkeypatch, capsys, tmp_path, number, code, place) -> None:
    """SIGTERM reaches a run as Ctrl-C does, and is still told from it where the run keeps what it has and ends."""
    before, folder = signal.getsignal(signal.SIGTERM), tmp_path / "run"

    def interrupted(*_: object) -> list[str]:
        signal.raise_signal(number)  # in this thread: os.kill may reach another one first
        raise KeyboardInterrupt

    def train() -> None:
        with TrainRun(name="a", out=folder).opened({}, 3) as opened:
            signal.raise_signal(number)
            opened.report(1, 0.0)

    def work(out: Path | None = folder) -> None:
        job = Job(kind="none", units=(Unit(name="a"),), worker=interrupted)
        execute(job, RunOptions(out=out, progress=False)).whole()

    places = {"loading": interrupted, "job": work, "job of nothing kept": lambda: work(None), "training": train}
    instead(monkeypatch, places[place])
    assert cli.run(["recipes"]) == code
    kept = f": finished work is in {folder}; to continue, run the same command with --resume" if folder.exists() else ""
    lines = capsys.readouterr().err.splitlines()
    assert lines[place != "loading" :] == [f"invert3d: interrupted{kept}"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_has_enough_is_no_error() -> None:
    """As in ``invert3d models | head -1``."""
    command = f"{sys.executable} -m invert3d cite | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode in (0, 141) and done.stderr == ""


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied", "runs/a"), "runs/a: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (EOFError("a.npy ends too early"), "a.npy ends too early"),
        (MemoryError("unable to allocate 9 GB"), "this needs more memory than there is (unable to allocate 9 GB)"),
        (ImportError("ray is not installed"), "ray is not installed"),
        (ValueError("two\nlines\tand \x1b[31mcolor"), "two lines and [31mcolor"),
    ],
)
def test_an_error_of_the_input_is_one_sentence(monkeypatch, capsys, error: Exception, says: str) -> None:
    def fails() -> list[str]:
        raise error

    instead(monkeypatch, fails)
    assert refused(capsys, "recipes") == f"invert3d: {says}\n"
    monkeypatch.setenv("INVERT3D_DEBUG", "1")
    with pytest.raises(type(error), match=re.escape(str(error).splitlines()[0])):
        cli.run(["recipes"])


def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, lambda: [][1])
    with pytest.raises(IndexError, match="list index out of range"):
        cli.run(["recipes"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("invert", "class", "chair", *NET, "--resume", "--overwrite"), "choose one of them"),
        (("invert", "class", "chair", *NET, "--out", ""), "an empty value was given after --out"),
        (("invert", "class", "chair", *NET, "--out="), "an empty value was given after"),
        (("invert", "class", "chair", "chair", *NET), "'chair' is named twice"),
        (("invert", "class", "chair", *NET, "--seed", "-1"), "--seed: must be between 0 and"),
        (("invert", "class", "chair", *NET, "--starts", "1000000"), "--starts: must be between 1 and 1,000"),
        (("invert", "class", "chair", *NET, "--checkpoint", "nowhere.pth"), "--checkpoint: there is no file nowhere"),
        (("invert", "class", "chair", *NET, "--checkpoint", "empty"), "empty is an empty file"),
        (("invert", "class", "chair", *NET, "--class-names", "a,b,a"), "names something twice"),
        (("invert", "class", "chair", *NET, "--out", "empty/run"), "empty is a file, so nothing can be written below"),
        (("invert", "class", "chair", *NET, "--out", "x" * 300), "File name too long"),
        (("invert", "boxes", "--streets", "1", "--sweep", "depth", "10:40:0.00001"), "a sweep makes at most 1,000"),
        (("invert", "boxes", "--frames", ".", "--split", "../up"), "--split: a name has letters"),
        (("evaluate", "ablation", "--recipes", "publishd"), "unknown row 'publishd'; did you mean published"),
        (("evaluate", "transfer", "ours:shufled"), "may be followed by :shuffled"),
        (("evaluate", "transfer", "ours", "ours"), "'ours' is named twice"),
        (("evaluate", "boxes", ".", "--record"), "--record needs --name"),
        (("models", "voxnet-shapes", "--record"), "--record measures all bundled networks: give it without a name"),
        (("evaluate", "attribution", "--methods", "gradient,,guided"), "a name is missing"),
        (("evaluate", "attribution", "nowhere.toml"), "there is no file nowhere.toml"),
        (("evaluate", "heads", "--model", "resnet18", "--checkpoint", "empty"), "--checkpoint: empty is an empty file"),
        (("view", ".", "--port", "70000"), "--port: must be between 1 and 65,535"),
        (("view", ".", "--host", "a host"), "--host"),
        (("view", ".", "--host", "::1"), "--host: is no name or IPv4 address: '::1'"),
        (("train", "pointnet", "--steps", "-5"), "--steps: must be between"),
        (("train", "pointnet", "--name", "../pointnet"), "--name: a name has letters"),
        (("train", "pointnet", "--rate", "nan"), "--rate: must be above 0"),
        (("data", "make", "streets", "--out", "new", "--frames", "0"), "--frames: must be between 1 and"),
        (("prune", "voxnet-shapes", "--density", "0"), "--density: must be above 0 and at most 1, not 0.0"),
        (("nonsense",), "Unknown command"),
    ],
)
def test_nonsense_is_refused_alike_before_any_work(tmp_path, monkeypatch, capsys, words, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    assert says in refused(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def facts_of(model: str, judge: str = "none") -> dict[str, Any]:
    """What run.json says of a run of one shape."""
    source = {"model": model, "layout": "bn3", "up": "z", "classes": ["a"], "weights": "0", "recipe": {"judge": judge}}
    return {"kind": "classes", "settings": {"sources": {"": source}, "seed": 0}, "units": ["a-0"], "names": ["a"]}


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder from somebody else, which names code as its model; the code is there."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps(facts_of("trap:make")))
    (tmp_path / "trap.py").write_text("from pathlib import Path\nPath('sprung').touch()\n\ndef make():\n    return 1\n")
    monkeypatch.chdir(tmp_path)
    return run


def test_nothing_is_imported_because_a_run_folder_says_so(capsys, foreign: Path) -> None:
    assert "confirm it with --model trap:make" in refused(capsys, "evaluate", "inversion", foreign)
    assert "not other:make" in refused(capsys, "evaluate", "inversion", foreign, "--model", "other:make")
    refused(capsys, "view", foreign)
    assert not Path("sprung").exists() and "trap" not in sys.modules
    (foreign / "run.json").write_text(json.dumps(facts_of("pointnet_vanilla-shapes", "trap:make")))
    assert "names the judge trap:make" in refused(capsys, "evaluate", "inversion", foreign, "--control")
    assert not Path("sprung").exists() and "trap" not in sys.modules


def test_a_run_that_lacks_facts_is_refused(capsys, foreign: Path) -> None:
    facts = facts_of("pointnet_vanilla-shapes")
    (foreign / "run.json").write_text(json.dumps({"model": "pointnet_vanilla-shapes"}))
    assert "is not a run of classes" in refused(capsys, "evaluate", "inversion", foreign)
    facts["settings"]["sources"][""].pop("layout")
    (foreign / "run.json").write_text(json.dumps(facts))
    assert "is damaged: it has no layout" in refused(capsys, "evaluate", "inversion", foreign)
    (foreign / "run.json").write_text(json.dumps(facts_of("pointnet_vanilla-shapes") | {"units": ["../../a"]}))
    assert "is not a run of classes" in refused(capsys, "evaluate", "inversion", foreign)
