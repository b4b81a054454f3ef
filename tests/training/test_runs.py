"""``invert3d train``: a run folder that is resumed to the same bytes; what is refused, with nothing written."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.models.weights import FOLDER
from invert3d.opening.networks import open_network
from invert3d.training import runs as training
from invert3d.training.classifiers import TrainSettings
from invert3d.training.data import Clouds
from invert3d.training.runs import ClassifierTraining, DetectorTraining, TrainRun, train_classifier

SETTINGS = TrainSettings(steps=6, batch=4, points=32, bf16=False)
TINY = ClassifierTraining(architecture="pointnet_vanilla", settings=SETTINGS)


class Signaled(Clouds):
    """Data that sends this process a signal when a batch is asked for."""

    def views(self, rows: Tensor, draws: Draws, points: int, abstract: float) -> Tensor:
        if pending:
            signal.raise_signal(pending.pop())
        return super().views(rows, draws, points, abstract)


pending: list[int] = []


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    clouds, labels = rng.uniform(-1, 1, (8, 64, 3)).astype(np.float32), np.arange(8) % 2
    made = Signaled(
        train=clouds, train_labels=labels, test=clouds, test_labels=labels, classes=("a", "b"), source="noise"
    )
    monkeypatch.setattr(training, "training_data", lambda name, **_: made)


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """The weights of a training that nobody interrupted."""
    train_classifier(TINY, TrainRun(name="whole", out=tmp_path / "whole"))
    return (tmp_path / "whole" / "whole.safetensors").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_goes_on_to_the_same_bytes(
    tmp_path: Path, whole: bytes, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrainRun(name="parts", out=tmp_path / "parts")
    pending.append(number)
    with pytest.raises(KeyboardInterrupt, match="interrupted: finished work is in .*parts; .* with --resume"):
        train_classifier(TINY, run)
    assert {path.name for path in run.folder.iterdir()} == {".lock", "run.json", "log.jsonl", "checkpoint.pt"}
    assert json.loads((run.folder / "run.json").read_text())["settings"]["steps"] == 6
    with pytest.raises(ValueError, match="parts exists already: give --resume .* or --overwrite"):
        train_classifier(TINY, run)
    other = replace(TINY, per_class=7, settings=replace(SETTINGS, batch=5))
    with pytest.raises(
        ValueError, match="cannot resume .*parts: it was begun with other values of settings.batch, settings.per_class"
    ):
        train_classifier(other, replace(run, resume=True))
    card = train_classifier(TINY, replace(run, resume=True))
    assert (run.folder / "parts.safetensors").read_bytes() == whole
    assert not (run.folder / "checkpoint.pt").exists()
    lines = [json.loads(line)["step"] for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert lines == [1, 2, 3, 4, 5, 6]
    opened = open_network(str(run.folder / "parts.json"), points=32)
    assert (
        opened.card == card
        and opened.classes == ("a", "b")
        and card.scores["accuracy"] in (0, 0.5, 1) + tuple(i / 8 for i in range(9))
    )
    monkeypatch.setattr(training, "train", None)  # nothing is left to do
    assert train_classifier(TINY, replace(run, resume=True)) == card


def test_a_training_that_diverges_keeps_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, asked = Signaled.views, iter(range(1000))
    monkeypatch.setattr(Signaled, "views", lambda *given: good(*given) * (1.0 if next(asked) < 3 else float("nan")))
    long = replace(TINY, settings=replace(SETTINGS, steps=100))
    with pytest.raises(ValueError, match="the loss has not been finite for .* try a smaller rate"):
        train_classifier(long, TrainRun(name="hot", out=tmp_path / "hot"))
    assert {path.name for path in (tmp_path / "hot").iterdir()} == {".lock", "run.json", "log.jsonl"}


def test_without_out_nothing_bundled_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()}
    train_classifier(TINY, TrainRun(name="pointnet_vanilla-shapes"))
    assert (tmp_path / "runs" / "train-pointnet_vanilla-shapes" / "pointnet_vanilla-shapes.json").is_file()
    assert {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()} == before


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden"])
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the weights: got the name"):
        TrainRun(name=name)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"architecture": "pointnett"}, "did you mean pointnet"),
        ({"per_class": 0}, "per_class must be between 1 and 100000, not 0"),
        ({"width": 8}, "pointnet_vanilla has no width"),
        ({"values": (5.0, -1.0)}, "the lower one first, not 5.0 and -1.0"),
    ],
)
def test_classifiers_that_cannot_be_trained_are_refused(options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(TINY, **options)


def test_a_start_that_does_not_fit_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"")
    for name, says in (("bad.pth", "bad.pth is an empty file"), ("none.pth", "no checkpoint at .*none.pth")):
        with pytest.raises(ValueError, match=says):
            train_classifier(replace(TINY, start=tmp_path / name), TrainRun(name="x", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("field", ["frames", "held_out", "workers"])
def test_detectors_without_frames_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be between 1 and .* not 0"):
        DetectorTraining(**{field: 0})


def test_a_run_is_either_resumed_or_replaced() -> None:
    with pytest.raises(ValueError, match="choose one of them"):
        TrainRun(name="x", resume=True, overwrite=True)
    with pytest.raises(ValueError, match="no device 'tpu'"):
        TrainRun(name="x", device="tpu")
