"""Training a network against its own shapes and making shapes with it, from the command line and from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import invert3d
from invert3d.data.meshes import read_mesh
from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.jobs.rows import rows_of
from invert3d.opening.networks import open_network
from invert3d.study.classification import classification_job
from invert3d.study.generation.job import generate
from invert3d.training.generators import IntrospectiveTraining
from tests.cli.calls import command
from tests.study.generation.test_table import boxes

QUIET = RunOptions(progress=False)
SMALL = {"size": 16, "width": 2, "components": 2, "batch": 10, "kept": 3, "ascent": 2, "steps": 3, "bf16": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a small network that was trained for three steps on boxes."""
    folder = tmp_path_factory.mktemp("introspective")
    (train, train_labels), (test, test_labels) = boxes(3, 0), boxes(2, 1)
    file = folder / "modelnet10_voxels30.npz"
    np.savez_compressed(file, X_train=train, y_train=train_labels, X_test=test, y_test=test_labels)
    command("train", "introspective", data=str(file), **SMALL, name="small", out=folder / "run")
    small = {"data": str(file), "size": 16, "width": 2, "batch": 10, "bf16": False}
    command("train", "vae", **small, steps=2, codes=3, name="vae", out=folder / "vae")
    command(
        "train", "cascades", **small, steps=4, cascades=2, iterations=2, made=1, kept=2, ascent=1, out=folder / "old"
    )
    return folder / "run" / "small.json"


def test_training_writes_a_classifier_that_knows_where_its_shapes_begin(trained: Path) -> None:
    network = open_network(str(trained))
    assert network.frozen.space.size == 16 and len(network.classes) == 10
    assert network.card is not None and 0 <= network.card.scores["accuracy"] <= 1
    starts = network.frozen.model.starts
    assert starts.components.shape == (2, 16, 16, 16) and starts.means.max() > 0.5


def test_without_labels_there_are_features_and_shapes_and_no_accuracy(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    file = trained.parent.parent / "modelnet10_voxels30.npz"
    how = {**SMALL, "kept": 10, "labels": False}
    command("train", "introspective", data=str(file), **how, name="untold", out=tmp_path / "untold")
    card = tmp_path / "untold" / "untold.json"
    network = open_network(str(card))
    assert network.classes == ("shape",) and network.card is not None and not network.card.scores
    job = classification_job([str(card), str(trained)], data=str(file))
    untold, told = rows_of(execute(job, QUIET).whole())
    assert set(told) - set(untold) == {"accuracy", "accuracy, fresh", "calibration error"}
    assert 0 <= untold["SVM on features"] <= 1
    assert invert3d.generate(network, ["shape"], 2, steps=1, options=QUIET).classes == ("shape", "shape")


def test_shapes_do_not_depend_on_workers_and_begin_where_zero_steps_end(trained: Path, tmp_path: Path) -> None:
    classes = ["chair", "bed"]
    one = generate(str(trained), classes, 3, steps=2, out=tmp_path / "one", options=QUIET)
    network = open_network(str(trained))
    two = generate(network, classes, 3, steps=2, options=RunOptions(progress=False, workers=2, out=tmp_path / "two"))
    assert torch.equal(one.grids, two.grids) and one.classes == ("chair",) * 3 + ("bed",) * 3
    still = invert3d.generate(network, classes, 3, steps=0, options=QUIET)
    assert torch.equal(still.grids, still.start) and torch.equal(still.start, one.start)
    assert torch.allclose(still.chances, one.before, atol=1e-4) and set(one.grids.unique().tolist()) <= {0, 1}
    assert one.ways["bed"].shape == (3, 16, 16, 16), "two steps and the shape"
    assert torch.equal(one.ways["bed"][-1], one.grids[3])
    other = generate(network, classes, 3, steps=0, options=RunOptions(progress=False, seed=1))
    assert not torch.equal(other.start, still.start)


def test_the_rivals_make_shapes_that_can_be_scored(trained: Path) -> None:
    folder = trained.parent.parent
    made = generate(str(folder / "vae" / "vae.json"), ["chair"], 2, steps=0, options=QUIET)
    assert made.grids.shape == (2, 16, 16, 16) and torch.equal(made.grids, made.start)
    with np.load(folder / "old" / "voxels.npz") as file:
        assert file["voxels"].shape == (20, 16, 16, 16) and file["labels"].tolist() == sorted(2 * list(range(10)))
        assert len(file["classes"]) == 10
    with pytest.raises(ValueError, match="makes no shapes"):
        generate(str(folder / "old" / "cascades-16.json"), ["chair"], 2, options=QUIET)


def test_the_command_writes_what_the_scores_are_computed_of(trained: Path, tmp_path: Path, capsys) -> None:
    command("generate", str(trained), "chair", "sofa", each=2, steps=1, out=tmp_path / "run", progress=False)
    assert "probability of the shape" in capsys.readouterr().out
    with np.load(tmp_path / "run" / "voxels.npz") as file:
        assert file["voxels"].shape == (4, 16, 16, 16) and file["classes"].tolist() == ["chair", "sofa"]
        assert file["labels"].tolist() == [0, 0, 1, 1]
    table = json.loads((tmp_path / "run" / "table.json").read_text())
    assert [row[:2] for row in table["rows"]] == [["chair", 2], ["sofa", 2]]
    assert (tmp_path / "run" / "gallery.png").stat().st_size > 1000 and (tmp_path / "run" / "index.html").exists()
    mesh = read_mesh(tmp_path / "run" / "meshes" / "chair-0000.glb")
    made = read_shape(tmp_path / "run" / "voxels.npz")
    assert mesh.is_watertight and mesh.volume * 16**3 == pytest.approx(made.sum(), rel=1e-3)
    assert np.ptp(mesh.vertices[:, 1]) * 16 == pytest.approx(np.ptp(np.argwhere(made)[:, 2]) + 1, rel=1e-4), "y is up"


def read_shape(path: Path) -> np.ndarray:
    """The first of the shapes in a file."""
    with np.load(path) as file:
        return file["voxels"][0]


@pytest.mark.parametrize(
    ("model", "classes", "words", "says"),
    [
        ("trained", ["chiar"], {}, "unknown class 'chiar'; did you mean chair"),
        ("trained", ["chair", "chair"], {}, "named twice"),
        ("trained", ["chair"], {"each": 0}, "must be between 1"),
        ("trained", ["chair"], {"steps": -1}, "must be between 0"),
        ("trained", ["chair"], {"length": 0.0}, "must be above 0"),
        ("voxnet-shapes", ["chair"], {}, "makes no shapes: train one with invert3d train introspective"),
        ("pointnet_vanilla-shapes", ["chair"], {}, "makes no shapes"),
    ],
)
def test_what_cannot_be_made_is_refused(trained: Path, tmp_path: Path, model, classes, words, says) -> None:
    with pytest.raises(ValueError, match=says):
        command("generate", str(trained) if model == "trained" else model, *classes, **words, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    for wrong, says in (
        ({"size": 24}, "size must be 16 or 32, not 24"),
        ({"stem": "fold"}, "unknown stem 'fold'; did you mean folded"),
        ({"width": 0}, "width must be between 1"),
    ):
        with pytest.raises(ValueError, match=says):
            IntrospectiveTraining(**wrong)
    with pytest.raises(ValueError, match="nowhere"):
        command("train", "introspective", data="nowhere", out=tmp_path / "out")
    with pytest.raises(ValueError, match="there is no file"):
        command("train", "introspective", start="nothing.pth", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
