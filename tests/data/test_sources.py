"""Data sources: what is listed, where it is looked for, and what a check finds present, missing or wrong."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from invert3d.data import sources
from invert3d.data.modelnet import MODELNET10, MODELNET40
from invert3d.data.sources import check, find_source, list_sources, locate, places
from invert3d.data.voxels import VOXELS_FILE

NAMES = (
    *("modelnet10-off", "modelnet40-off", "modelnet40-hdf5", "modelnet40-text"),
    *("modelnet10-voxels", "kitti", "shapes"),
)


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch) -> None:
    """No variable, no checkout, and a home of its own."""
    for variable in ("INVERT3D_DATA", "INVERT3D_REAL", "INVERT3D_MODELNET10", "INVERT3D_MODELNET40", "INVERT3D_KITTI"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sources, "_checkouts", list)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")


def make_off(root: Path, names: tuple[str, ...], train: int = 1, test: int = 1) -> Path:
    for name in names:
        for split, count in (("train", train), ("test", test)):
            folder = root / name / split
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{name}_{index:04d}.off").write_text("OFF\n")
    return root


def make_hdf5(root: Path, labels: list[int]) -> Path:
    root.mkdir(parents=True)
    (root / "shape_names.txt").write_text("\n".join(MODELNET40))
    for split in ("train", "test"):
        with h5py.File(root / f"ply_data_{split}0.h5", "w") as file:
            file["label"] = np.array(labels)[:, None]
    return root


def make_text(root: Path, absent: str) -> Path:
    root.mkdir(parents=True)
    (root / "modelnet40_shape_names.txt").write_text("\n".join(MODELNET40))
    for split, index in (("train", 1), ("test", 2)):
        shapes = [f"{name}_{index:04d}" for name in MODELNET40]
        (root / f"modelnet40_{split}.txt").write_text("\n".join(shapes))
        for name, shape in zip(MODELNET40, shapes, strict=True):
            (root / name).mkdir(exist_ok=True)
            if shape != absent:
                (root / name / f"{shape}.txt").touch()
    return root


def make_voxels(root: Path) -> Path:
    root.mkdir(parents=True)
    np.savez(root / VOXELS_FILE, y_train=np.repeat(np.arange(10), 3), y_test=np.arange(9))
    return root


def make_kitti(root: Path, frames: tuple[str, ...] = ("000000", "000007")) -> Path:
    for folder, suffix in (("image_2", ".png"), ("label_2", ".txt"), ("calib", ".txt"), ("velodyne", ".bin")):
        (root / "training" / folder).mkdir(parents=True)
        for frame in frames:
            (root / "training" / folder / f"{frame}{suffix}").touch()
    return root


def test_every_source_is_described_and_found_by_name():
    assert tuple(source.name for source in list_sources()) == NAMES
    for source in list_sources():
        assert find_source(source.name) is source
        for text in (source.what, source.where, source.license, source.size, source.layout):
            assert text.strip()
        assert "pypi" not in source.where.lower()
        assert source.name == "shapes" or source.variable.startswith("INVERT3D_")
    with pytest.raises(ValueError, match="'modelnet10-of', nearest are modelnet10-off"):
        find_source("modelnet10-of")
    for function in (places, locate, check):
        with pytest.raises(ValueError, match="source: got 'kitty'"):
            function("kitty")


def test_shapes_are_always_there():
    folder = locate("shapes")
    assert folder is not None and folder.is_dir()
    assert [finding.status for finding in check("shapes")] == ["present"]


@pytest.mark.parametrize("name", NAMES[:-1])
def test_an_absent_source_says_where_to_get_it(tmp_path, name):
    assert locate(name) is None and locate(name, tmp_path / "nowhere") is None
    (finding,) = check(name, tmp_path)
    assert finding.status == "missing"
    for part in (str(tmp_path), find_source(name).where, find_source(name).variable, "expected"):
        assert part in finding.text


def test_layouts_are_told_apart(tmp_path):
    made = {
        "modelnet10-off": make_off(tmp_path / "a", MODELNET10),
        "modelnet40-off": make_off(tmp_path / "b", ("airplane", "chair")),
        "modelnet40-hdf5": make_hdf5(tmp_path / "c", [0, 1]),
        "modelnet40-text": make_text(tmp_path / "d", "cup_0001"),
        "modelnet10-voxels": make_voxels(tmp_path / "e"),
        "kitti": make_kitti(tmp_path / "f"),
    }
    for name in made:
        for other, root in made.items():
            expected = root / VOXELS_FILE if name == "modelnet10-voxels" else root
            assert locate(name, root) == (expected if name == other else None)


def test_places_are_tried_in_order(tmp_path, monkeypatch):
    at = {key: tmp_path / key for key in ("own", "data", "real", "checkout/shared/real", "home/.cache/invert3d")}
    found = []
    monkeypatch.setattr(sources, "_checkouts", lambda: [tmp_path / "checkout" / "main"])
    for key, variable in (
        ("home/.cache/invert3d", None),
        ("checkout/shared/real", None),
        ("real", "INVERT3D_REAL"),
        ("data", "INVERT3D_DATA"),
        ("own", "INVERT3D_MODELNET10"),
    ):
        make_off(at[key] / "ModelNet10", ("chair",))
        if variable:
            monkeypatch.setenv(variable, str(at[key]))
        assert locate("modelnet10-off") == at[key] / "ModelNet10"
        found.insert(0, at[key])
    assert [place for _, place in places("modelnet10-off")] == found
    assert locate("modelnet10-off", tmp_path / "elsewhere") is None, "a given folder is the only place"


def test_the_checkout_is_the_nearest_folder_with_a_pyproject(tmp_path, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "main" / "deep").mkdir(parents=True)
    (tmp_path / "main" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "main" / "deep")
    assert tmp_path / "shared" / "real" in [place for _, place in places("modelnet10-voxels")]


def test_check_counts_each_class_and_names_the_absent_ones(tmp_path):
    partial = make_off(tmp_path / "ModelNet10", MODELNET10[:8], train=3)
    present, train, test = check("modelnet10-off", partial)
    assert present.status == "present" and str(partial) in present.text
    assert train.status == test.status == "missing"
    assert train.text == "train: 24 of 3,991 shapes, 8 of 10 classes; none of table, toilet"
    assert dict(train.counts) == {**dict.fromkeys(MODELNET10[:8], 3), "table": 0, "toilet": 0}


def test_check_counts_the_other_layouts(tmp_path):
    _, train, _ = check("modelnet40-hdf5", make_hdf5(tmp_path / "h", [0, 1, 1, 39]))
    assert (train.counts["airplane"], train.counts["bathtub"], train.counts["xbox"]) == (1, 2, 1)
    _, train, test = check("modelnet40-text", make_text(tmp_path / "t", absent="cup_0001"))
    assert train.counts["cup"] == 0 and test.counts["cup"] == 1 and sum(train.counts.values()) == 39
    _, train, test = check("modelnet10-voxels", make_voxels(tmp_path / "v"))
    assert set(train.counts.values()) == {3} and test.counts["toilet"] == 0 and test.status == "missing"


def test_check_counts_frames_of_kitti(tmp_path):
    root = make_kitti(tmp_path / "k")
    assert [finding.status for finding in check("kitti", root)] == ["present"] * 5
    (root / "training" / "velodyne" / "000007.bin").unlink()
    *rest, last = check("kitti", tmp_path / "k" / "training")
    assert {finding.status for finding in rest} == {"present"} and last.status == "missing"
    assert last.text.startswith("velodyne: 1 of 2 frames; not 000007 (Velodyne point clouds")
    (tmp_path / "bare" / "label_2").mkdir(parents=True)
    assert "neither labels" in check("kitti", tmp_path / "bare")[1].text


def test_whole_is_present_and_too_many_is_wrong(tmp_path):
    root = make_hdf5(tmp_path / "h", list(range(40)) * 246)
    _, train, test = check("modelnet40-hdf5", root)
    assert train.status == "present" and test.status == "wrong"


def test_damaged_files_are_wrong_not_fatal(tmp_path):
    root = make_hdf5(tmp_path / "h", [0])
    (root / "ply_data_train0.h5").write_bytes(b"nothing")
    with h5py.File(root / "ply_data_test0.h5", "w") as file:
        file["data"] = np.zeros(3)
    assert [finding.status for finding in check("modelnet40-hdf5", root)] == ["present", "wrong", "wrong"]
    (root / "shape_names.txt").unlink()
    assert "shape_names.txt: there is no file" in check("modelnet40-hdf5", root)[1].text
    file = make_voxels(tmp_path / "v") / VOXELS_FILE
    file.write_bytes(b"PK\x03\x04 broken")
    assert [finding.status for finding in check("modelnet10-voxels", file)] == ["present", "wrong", "wrong"]
