"""Pruning from the command line: a folder with weights that open again, for every way; errors before work starts."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from invert3d.engine.space import Voxels
from invert3d.models.voxnet import VoxNet
from invert3d.models.weights import encoded
from invert3d.opening.networks import open_network
from invert3d.study.pruning import job as pruned
from invert3d.training.classifiers import TrainSettings
from invert3d.training.data import Grids
from invert3d.training.pruning import prune, scheduled
from tests.cli import calls

pytestmark = pytest.mark.usefixtures("coarse")

command = partial(calls.command, "prune")


def blocks(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes: a block low or high in the grid."""
    rng = np.random.default_rng(seed)
    grids, labels = np.zeros((count, 32, 32, 32), np.uint8), rng.integers(0, 2, count)
    for grid, label in zip(grids, labels, strict=True):
        x, y = rng.integers(8, 14, 2)
        z = 6 if label == 0 else 18
        grid[x : x + 8, y : y + 8, z : z + 8] = 1
    return grids, labels


@pytest.fixture(scope="module")
def data() -> Grids:
    (train, labels), (test, test_labels) = blocks(64, 0), blocks(32, 1)
    return Grids(
        train=train,
        train_labels=labels,
        test=test,
        test_labels=test_labels,
        classes=("low", "high"),
        source="blocks",
        voxels=Voxels(size=32),
        repeats=(0, 1),
    )


@pytest.mark.parametrize("way", ["gradual", "surgery", "magnitude"])
def test_the_share_that_was_asked_for_is_left(data: Grids, way: str) -> None:
    torch.manual_seed(0)
    model = VoxNet(2, width=4).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    settings = TrainSettings(batch=8, rate=2e-3, bf16=False)
    found = prune(model, data, 0.1, way, epochs=2, settings=settings, begun=lambda words: None)  # type: ignore[arg-type]
    assert found.density_pruned == pytest.approx(0.1, abs=0.005)
    assert found.density_after == pytest.approx(0.1, abs=0.06 if way == "surgery" else 0.005)
    weights = [m.weight for m in found.model.modules() if hasattr(m, "weight") and m.weight.dim() > 1]
    left = sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)
    assert left == pytest.approx(found.density_after, abs=0.01)
    if way != "surgery":  # which needs longer: 16 steps are too short for it
        assert found.accuracy_after >= 0.9
    assert set(found.filters) == {"whole", "pruned", "trained"}
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_schedule_falls_to_the_share_and_stays() -> None:
    path = [scheduled(0.02, i / 20) for i in range(21)]
    assert path[0] == pytest.approx(0.3) and path == sorted(path, reverse=True)
    assert path[12:] == pytest.approx([0.02] * 9)
    assert scheduled(0.5, 0.0) == 0.5


def test_a_folder_that_opens_again(tmp_path: Path, data: Grids, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruned, "training_data", lambda name, **_: data)
    torch.manual_seed(0)
    (tmp_path / "mine.safetensors").write_bytes(encoded(VoxNet(2, width=4)))
    given = {"checkpoint": tmp_path / "mine.safetensors", "class_names": "low,high", "bf16": False, "batch": 8}
    command("voxnet", density=0.1, epochs=1, out=tmp_path / "out", name="small", **given)
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert table["columns"][2] == "weights left" and table["rows"][0][2].startswith("10")
    assert (tmp_path / "out" / "filters.png").stat().st_size > 1000
    again = open_network("voxnet", checkpoint=tmp_path / "out" / "small.safetensors", classes=["low", "high"])
    assert again.frozen.model.fc2.out_features == 2  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="exists already"):
        command("voxnet", density=0.1, out=tmp_path / "out", **given)
    with pytest.raises(ValueError, match="--density: must be above 0 and at most 1, not 2"):
        command("voxnet", density=2, out=tmp_path / "other", **given)
    with pytest.raises(ValueError, match="has the classes low, high; .* has other ones"):
        command("voxnet", out=tmp_path / "other", **{**given, "class_names": "a,b"})
