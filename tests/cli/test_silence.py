"""No command is silent for longer than three seconds, whatever is slow: model, shapes, files. The clock is a fake."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from invert3d import cli
from invert3d.data.kitti import write_labels
from invert3d.engine import progress
from invert3d.training.data import shapes_data
from tests.evaluate.test_kitti import ROW, scene

pytestmark = pytest.mark.usefixtures("coarse")

MOST = 3.0


class Clock:
    """Goes on only while something slow is done, a quarter of a second at a time; notes the longest silence."""

    def __init__(self) -> None:
        self.now = self.heard = self.longest = 0.0
        self.beats: Callable[[], None] | None = None  # what the thread of ``alive`` does, while there is one

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.now += 0.25
            if self.beats is not None:
                self.beats()
            self.longest = max(self.longest, self.now - self.heard)


class Heard(io.StringIO):
    """Notes when something is written."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def write(self, text: str) -> int:
        self.clock.heard = self.clock.now
        return super().write(text)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that every module's forward, every shape and every file of labels takes 2 s of."""
    clock = Clock()

    class Thread:
        """Instead of the thread of ``alive``."""

        def __init__(self, **_: object) -> None: ...

        def start(self) -> None:
            clock.beats = progress._signs.beat

        def join(self) -> None:
            clock.beats = None

    def slow(work: Callable[..., Any]) -> Callable[..., Any]:
        def slowly(*given: Any, **named: Any) -> Any:
            clock.spend(2)
            return work(*given, **named)

        return slowly

    monkeypatch.setattr(shapes_data, "__defaults__", (1, 1))
    monkeypatch.setattr(progress, "clock", clock)
    monkeypatch.setattr(progress, "QUIET", 2.0)
    monkeypatch.setattr(progress.threading, "Thread", Thread)
    for where in ("data.worlds.shapes.make_mesh", "data.kitti.read_labels", "view.raster.splat", "view.figures.splat"):
        module, _, name = f"invert3d.{where}".rpartition(".")
        __import__(module)
        monkeypatch.setattr(sys.modules[module], name, slow(getattr(sys.modules[module], name)))
    hook = register_module_forward_pre_hook(lambda module, x: clock.spend(2))
    yield clock
    hook.remove()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cloud, a grid, and labels with what was found."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "cloud.npy", rng.normal(size=(64, 3)))
    np.save(tmp_path / "grid.npy", rng.random((32, 32, 32)) < 0.1)
    labels = scene(*ROW)
    write_labels(tmp_path / "kitti" / "training" / "label_2" / "000000.txt", labels)
    write_labels(tmp_path / "found" / "000000.txt", replace(labels, scores=torch.linspace(0.9, 0.5, 5)))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "train pointnet_vanilla --per-class 1 --steps 1 --batch 2 --points 16 --no-clutter",
            ("getting shapes to train on ...", "training ...", "measuring on 20 held-out shapes ..."),
        ),
        (
            "invert class chair --model pointnet_vanilla-shapes --points 32 --judge own --steps 2 --starts 1",
            ("inverting 1 shape ...", "scoring and drawing ..."),
        ),
        ("explain grid.npy --model voxnet-shapes --methods gradient", ("explaining 1 input ...", "drawing ...")),
        ("doctor --model pointnet_vanilla-shapes --points 32", ("trying pointnet_vanilla-shapes ...", "showing ")),
        ("evaluate kitti found --root kitti", ("reading and comparing 1 frames ...",)),
        ("data make shapes a.npz --per-class 1 --points 32 --classes chair,cup", ("making 2 shapes ...",)),
        ("classify pointnet_vanilla-shapes cloud.npy --points 64", ()),
    ],
)
def test_a_command_is_never_silent_for_long(clock: Clock, folder: Path, words: str, says: tuple[str, ...]) -> None:
    out, err = Heard(clock), Heard(clock)
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert cli.run(words.split()) == 0, err.getvalue()
    assert clock.now > MOST, "it was slow"
    assert clock.longest <= MOST
    assert [each for each in says if each not in out.getvalue()] == []


def test_silence_is_noticed(clock: Clock, folder: Path) -> None:
    """Without signs of life a slow command is silent, and that is seen here."""
    out = Heard(clock)
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        progress.QUIET = 100.0
        assert cli.run(["data", "make", "shapes", "a.npz", "--per-class", "1", "--classes", "chair,cup"]) == 0
    assert clock.longest > MOST
