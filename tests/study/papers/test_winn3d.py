"""The figures and tables of 3DWINN, on a small ModelNet10 of boxes and networks of a few weights."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invert3d.data.modelnet import MODELNET10
from invert3d.study.papers import winn3d
from tests.cli.calls import command
from tests.study.generation.test_table import boxes

reproduce = partial(command, "reproduce", progress=False)


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The table of a run by the first cell of each row."""
    found = json.loads((folder / "table.json").read_text())
    return {row[0]: dict(zip(found["columns"], row, strict=True)) for row in found["rows"]}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ModelNet10's file, of boxes, and two cards of small networks: ``ours`` and ``plain``."""
    folder = tmp_path_factory.mktemp("winn3d")
    (train, train_labels), (test, test_labels) = boxes(8, 0), boxes(8, 1)
    file = folder / "modelnet10_voxels30.npz"
    np.savez_compressed(file, X_train=train, y_train=train_labels, X_test=test, y_test=test_labels)
    how = {"data": str(file), "width": 1, "components": 2, "batch": 10, "kept": 3, "ascent": 1, "bf16": False}
    command("train", "introspective", **how, steps=8, name="ours", out=folder / "ours")
    command("train", "introspective", **how, steps=2, alpha=0, adversary=0, name="plain", out=folder / "plain")
    return folder


@pytest.fixture
def here(small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, found where real data is looked for."""
    monkeypatch.setenv("INVERT3D_REAL", str(small))
    monkeypatch.setattr(winn3d, "MODEL", str(small / "ours" / "ours.json"))
    monkeypatch.setattr(winn3d, "BASELINE", str(small / "plain" / "plain.json"))
    return small


def test_training_draws_what_it_is_trained_against(small: Path) -> None:
    assert [path.name for path in (small / "ours").glob("made-*.png")] == ["made-000008.png"]
    assert not list((small / "plain").glob("made-*.png")), "a classifier is trained against nothing"


def test_tables_of_generation_stand_beside_the_paper(here: Path, tmp_path: Path) -> None:
    pytest.importorskip("prdc")
    reproduce("winn3d/table4", pictures=7, steps=1, out=tmp_path / "run")
    assert (tmp_path / "run" / "index.html").is_file()
    rows = rows_of(tmp_path / "run")
    assert list(rows)[:3] == ["ours", "test", "gaussians:64"]
    assert rows["paper: 3DWINN"]["mean"] == pytest.approx(0.897, abs=1e-3), "as the reference says"
    assert rows["paper: 3D-GAN"]["sofa"] == 0.9276 and set(MODELNET10) < set(rows["ours"])
    assert 0 <= rows["ours"]["chair"] <= 1


def test_observed_made_and_nearest_shapes_are_drawn(here: Path, tmp_path: Path) -> None:
    reproduce("winn3d/fig3", pictures=1, steps=1, out=tmp_path / "run")
    assert (tmp_path / "run" / "figure.png").is_file()
    with np.load(tmp_path / "run" / "voxels.npz") as file:
        assert file["voxels"].shape == (10, 32, 32, 32)


def test_accuracies_and_attacks_stand_beside_the_paper(here: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    reproduce("winn3d/table5", out=tmp_path / "five")
    rows = rows_of(tmp_path / "five")
    assert rows["paper: 3DWINN"]["accuracy"] == 0.936 and 0 <= rows["ours"]["accuracy"] <= 1
    reproduce("winn3d/table7", pictures=1, out=tmp_path / "seven")
    row = rows_of(tmp_path / "seven")["ifgsm_growing@10"]
    assert row["paper: error"] == 0.4383 and 0 <= row["error"] <= 1
    reproduce("winn3d/table7", pictures=1, out=tmp_path / "seven", resume=True)
    reproduce("winn3d/table5", out=tmp_path / "five", overwrite=True)
    with pytest.raises(ValueError, match="is the baseline"):
        reproduce("winn3d/table7", model=winn3d.BASELINE, pictures=1, out=tmp_path / "eight")


def test_the_means_of_the_papers_tables_are_those_of_the_reference() -> None:
    means = {name: np.mean([x for x in row if x is not None]) for name, row in winn3d.FRECHET.items()}
    assert means["3DWINN"] == pytest.approx(286.1, abs=0.5) and means["3D-DescriptorNet"] == pytest.approx(524.3, abs=1)
    assert tuple(MODELNET10) == winn3d.CLASSES
