"""Scores of generated shapes from the command line, on a small ModelNet10 of boxes; and what is refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from invert3d.data.modelnet import MODELNET10
from invert3d.study.generation.sources import SIZE, parsed, real_shapes, resized, shapes_of
from invert3d.study.generation.table import MEAN
from tests.cli import calls

command = partial(calls.command, "evaluate", "generation")


def boxes(each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of a size that depends on the class, at random places."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(10), each)
    grids = np.zeros((len(labels), SIZE, SIZE, SIZE), np.int32)
    for grid, label in zip(grids, labels, strict=True):
        x, y, z = generator.integers(0, 8, 3)
        grid[x : x + 6 + label, y : y + 16 - label, z : z + 8] = 1
    return grids, labels


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "modelnet10_voxels30.npz"
    (train, train_labels), (test, test_labels) = boxes(9, 0), boxes(11, 1)
    np.savez_compressed(path, X_train=train, y_train=train_labels, X_test=test, y_test=test_labels)
    return path


def test_each_source_gives_shapes_of_each_class(file: Path, tmp_path: Path) -> None:
    real = real_shapes(str(file))
    for source in ("train", "mean", "gaussians:3"):
        grids, labels = shapes_of(source, real, 6)
        assert grids.shape == (60, SIZE, SIZE, SIZE) and grids.dtype is torch.bool
        assert labels.bincount().tolist() == [6] * 10
        assert torch.equal(grids, shapes_of(source, real, 6)[0]), "a seed fixes them"
        assert not torch.equal(grids, shapes_of(source, real, 6, seed=1)[0])
    known = {grid.numpy().tobytes() for grid in real.train}
    assert all(grid.numpy().tobytes() in known for grid in shapes_of("train", real, 6)[0])
    grids, labels = shapes_of("test", real, 5)
    assert {grid.numpy().tobytes() for grid in grids} <= {grid.numpy().tobytes() for grid in real.test}
    names = np.array(["chair", "bed"])
    np.savez(tmp_path / "mine.npz", voxels=np.ones((4, 16, 16, 16)), labels=np.array([0, 1, 1, 1]), classes=names)
    grids, labels = shapes_of(str(tmp_path / "mine.npz"), real, 2)
    assert [MODELNET10[label] for label in labels] == ["bed", "bed", "chair"] and grids.all()


def test_grids_of_other_sizes_are_brought_to_thirty() -> None:
    small = torch.rand(2, 16, 16, 16) > 0.5
    large = torch.zeros(2, 32, 32, 32, dtype=torch.bool)
    for corner in np.ndindex(2, 2, 2):
        large[:, *(slice(c, None, 2) for c in corner)] = small
    assert torch.equal(resized(small), resized(large)) and resized(large).shape == (2, 30, 30, 30)
    assert torch.equal(resized(resized(large)), resized(large))
    for wrong in (torch.zeros(2, 8, 8, 8), torch.zeros(2, 30, 30), torch.zeros(2, 30, 30, 32)):
        with pytest.raises(ValueError, match=r"grids must be \(M, S, S, S\) with S 16, 30 or 32"):
            resized(wrong)


def test_the_command_scores_yardsticks(file: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    recorded: list = []
    monkeypatch.setattr("invert3d.cli.evaluate.generation.print_recorded", lambda *given: recorded.extend(given[2]))
    words = {"data": str(file), "each": 7, "progress": False}
    command("test", "train", "gaussians:3", **words, out=tmp_path / "run", record=True)
    assert "How good are these shapes?" in capsys.readouterr().out
    table = json.loads((tmp_path / "run" / "table.json").read_text())
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert list(rows) == ["test", "train", "gaussians:3"]
    assert rows["train"]["nearest training IoU"] == 1 > rows["gaussians:3"]["nearest training IoU"]
    assert rows["test"]["pairwise IoU"] == pytest.approx(rows["train"]["pairwise IoU"], abs=0.15)
    assert {row["table"] for row in recorded} == {"generation", *(f"generated {each}" for each in rows)}
    mine = [row for row in recorded if row["table"] == "generated train"]
    whole = next(row for row in recorded if row["class"] == MEAN and row["source"] == "train")
    assert [row["class"] for row in mine] == list(MODELNET10)
    assert whole["KID"] == pytest.approx(np.mean([row["KID"] for row in mine]), abs=2e-4)


def test_what_is_wrong_is_said_before_work_starts(file: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"x")
    for name, labels, kind in (("few", [0] * 3, "chair"), ("off", [-1] * 9, "chair"), ("strange", [0] * 9, "chiar")):
        voxels = np.ones((len(labels), 16, 16, 16))
        np.savez(tmp_path / f"{name}.npz", voxels=voxels, labels=np.array(labels), classes=np.array([kind]))
    for sources, words, says in (
        (("gausians:3",), {}, "unknown source of shapes 'gausians:3'; did you mean gaussians:C"),
        (("gaussians:0",), {}, "unknown source of shapes"),
        ((str(tmp_path / "no.npz"),), {}, "no.npz"),
        ((str(tmp_path / "bad.npz"),), {}, "bad.npz"),
        (("test",), {"each": 6}, "need at least 7 shapes of a class"),
        ((str(tmp_path / "few.npz"),), {}, "fewer than 7 shapes of class chair"),
        ((str(tmp_path / "off.npz"),), {}, "labels must be places among its 1 classes"),
        ((str(tmp_path / "strange.npz"),), {}, "unknown class 'chiar'; did you mean chair"),
        (("test",), {"reference": "voxnet-modelnet10"}, "cannot be the reference"),
        (("test",), {"reference": "voxnet-shapes"}, "cannot be the reference|other classes"),
        (("test",), {"data": str(tmp_path / "nowhere.npz")}, "grids are not here"),
    ):
        with pytest.raises(ValueError, match=says):
            command(*sources, **{"data": str(file), "each": 7, **words}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists() and parsed("gaussians:12") == ("gaussians", 12)
