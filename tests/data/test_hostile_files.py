"""Damaged, absent and hostile files: each reader gives a valid result or one sentence that names the file."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat
from tests.binvox import write_binvox

from invert3d.data.clouds import CLOUDS, normalize_unit_sphere, read_points
from invert3d.data.files import BadFile, bad_file, writing, writing_folder
from invert3d.data.frames import listed_frames
from invert3d.data.grids import GRIDS, read_binvox, read_grid
from invert3d.data.images import read_image
from invert3d.data.kitti import KittiFolder, read_calibration, read_labels, usual_projection
from invert3d.data.meshes import MESHES, read_mesh
from invert3d.data.modelnet import read_modelnet
from invert3d.data.modelnet_folders import class_list
from invert3d.data.scenes import read_scene
from invert3d.data.voxels import read_modelnet10_grids
from invert3d.engine.space import Points
from invert3d.opening.inputs import read_inputs
from invert3d.ops.layouts import Layout
from invert3d.ops.names import checked_name

CLOUD = np.random.default_rng(0).uniform(-1, 1, (20, 3)).astype(np.float32)
GRID = (np.random.default_rng(0).random((6, 6, 6)) < 0.3).astype(np.uint8)
LABEL = "Car 0.00 0 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57\n"


def is_cloud(found: Any) -> bool:
    return found.ndim == 2 and found.shape[1] == 3 and len(found) > 0 and bool(np.isfinite(found).all())


def is_grid(found: Any) -> bool:
    return found.shape == (8, 8, 8) and bool(np.isin(found, (0, 1)).all()) and bool(found.any())


def is_layout(found: Layout) -> bool:
    known = torch.cat([found.boxes.flatten(), found.projection.flatten()])
    return found.centers.shape == (len(found), 3) and bool(known.isfinite().all())


def as_grid(path: Path) -> np.ndarray:
    return read_grid(path, 8)


def as_labels(path: Path) -> Layout:
    return read_labels(path, usual_projection(375, 1242), 375, 1242)


def as_modelnet(path: Path) -> np.ndarray:
    return read_modelnet(path.parent, "test", points=8, classes=("chair",))[0][0]


def write_pcd(path: Path, way: str = "binary") -> None:
    head = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 20\nHEIGHT 1\nPOINTS 20\nDATA "
    text = "\n".join(" ".join(map(str, row)) for row in CLOUD.tolist()).encode()
    path.write_bytes(f"VERSION 0.7\n{head}{way}\n".encode() + (CLOUD.tobytes() if way == "binary" else text))


def write_hdf5(path: Path) -> None:
    (path.parent / "shape_names.txt").write_text("bed\nchair\n")
    with h5py.File(path, "w") as file:
        file["data"], file["label"] = CLOUD[None], np.ones((1, 1), np.uint8)


def write_rows(path: Path) -> None:
    for name in ("modelnet40_shape_names.txt", "modelnet40_test.txt"):
        (path.parents[1] / name).write_text("chair\n" if "names" in name else "chair_0001\n")
    np.savetxt(path, np.c_[CLOUD, CLOUD], delimiter=",")


def write_mesh(path: Path) -> None:
    trimesh.creation.box(extents=(1, 2, 3)).export(path)


def write_split_grids(path: Path) -> None:
    one, label = np.stack([GRID, GRID]), np.array([0, 9])
    np.savez_compressed(path, X_train=one, y_train=label, X_test=one, y_test=label)


def write_camera(path: Path) -> None:
    path.write_text("P2: " + " ".join(map(str, usual_projection(375, 1242).flatten().tolist())) + "\n")


SCENE = {"image": {"height": 384, "width": 1280}, "objects": [{"kind": "Car", "center": [2.5, 1.6, 15]}]}

#: name of a file, who writes a good one, who reads it, and what is true of all that is read
READERS: dict[str, tuple[str, Callable[[Path], Any], Callable[[Path], Any], Callable[[Any], bool]]] = {
    "cloud npy": ("a.npy", lambda path: np.save(path, CLOUD), read_points, is_cloud),
    "cloud npz": ("a.npz", lambda path: np.savez_compressed(path, points=CLOUD), read_points, is_cloud),
    "cloud xyz": ("a.xyz", lambda path: np.savetxt(path, CLOUD), read_points, is_cloud),
    "cloud txt": ("a.txt", lambda path: np.savetxt(path, CLOUD, delimiter=","), read_points, is_cloud),
    "cloud pcd": ("a.pcd", write_pcd, read_points, is_cloud),
    "cloud pcd text": ("b.pcd", lambda path: write_pcd(path, "ascii"), read_points, is_cloud),
    **{f"cloud {kind}": (f"a{kind}", write_mesh, read_points, is_cloud) for kind in MESHES},
    **{f"mesh {kind}": (f"a{kind}", write_mesh, read_mesh, lambda mesh: is_cloud(mesh.vertices)) for kind in MESHES},
    "mesh as grid": ("a.off", write_mesh, as_grid, is_grid),
    "grid npy": ("g.npy", lambda path: np.save(path, GRID), as_grid, is_grid),
    "grid npz": ("g.npz", lambda path: np.savez(path, grid=GRID), as_grid, is_grid),
    "grid mat": ("g.mat", lambda path: savemat(path, {"instance": GRID}), as_grid, is_grid),
    "grid mat packed": ("p.mat", lambda path: savemat(path, {"grid": GRID}, do_compression=True), as_grid, is_grid),
    "grid binvox": ("g.binvox", lambda path: write_binvox(path, GRID), as_grid, is_grid),
    "ModelNet10 grids": (
        "modelnet10_voxels30.npz",
        write_split_grids,
        lambda path: read_modelnet10_grids(path).train,
        lambda grids: grids.ndim == 4 and bool(np.isin(grids, (0, 1)).all()),
    ),
    "ModelNet hdf5": ("ply_data_test0.h5", write_hdf5, as_modelnet, is_cloud),
    "ModelNet text": ("chair/chair_0001.txt", write_rows, lambda path: as_modelnet(path.parent), is_cloud),
    "names": ("names.txt", lambda path: path.write_text("bed\nchair\n"), class_list, lambda names: len(names) > 0),
    "picture png": (
        "a.png",
        lambda path: Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(path),
        read_image,
        lambda picture: picture.ndim == 3 and picture.shape[2] == 3,
    ),
    "picture jpg": (
        "a.jpg",
        lambda path: Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(path),
        read_image,
        lambda picture: picture.ndim == 3 and picture.shape[2] == 3,
    ),
    "labels": ("000000.txt", lambda path: path.write_text(LABEL * 2), as_labels, is_layout),
    "camera": (
        "calib.txt",
        write_camera,
        read_calibration,
        lambda found: found.projection.shape == (3, 4) and bool(found.projection.isfinite().all()),
    ),
    "scene": ("scene.json", lambda path: path.write_text(json.dumps(SCENE)), read_scene, is_layout),
}
CASES = pytest.mark.parametrize("case", READERS)


def outcome(case: str, path: Path) -> str:
    """The message if the file is refused, else nothing; anything else is a failure."""
    _, _, read, good = READERS[case]
    try:
        found = read(path)
    except (ValueError, TypeError) as error:
        text = str(error)
        assert "\n" not in text and str(path) in text, text
        return text
    assert good(found), f"{case}: {found}"
    return ""


def good_file(case: str, folder: Path) -> Path:
    name, write, _, _ = READERS[case]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    return path


@CASES
def test_a_good_file_is_read_and_what_is_not_there_is_said(case: str, tmp_path: Path) -> None:
    path = good_file(case, tmp_path)
    assert not outcome(case, path)
    path.write_bytes(b"")
    if case != "labels":  # a frame without objects
        assert "empty file" in outcome(case, path)
    path.unlink()
    if not case.startswith("ModelNet hdf5"):  # its folder has no layout any more
        assert "there is no file" in outcome(case, path)
        path.mkdir()
        assert case == "ModelNet10 grids" or "found a folder" in outcome(case, path)  # the file may be in the folder


@CASES
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_by_name(case: str, tmp_path: Path, data: st.DataObject) -> None:
    path = good_file(case, tmp_path)
    content = bytearray(path.read_bytes())
    way = data.draw(st.sampled_from(("cut", "flip", "noise")))
    if way == "cut":
        content = content[: data.draw(st.integers(1, len(content) - 1))]
    elif way == "flip":
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
            content[place] = data.draw(st.integers(0, 255))
    else:
        content = bytearray(data.draw(st.binary(min_size=1, max_size=200)))
    path.write_bytes(content)
    outcome(case, path)


@pytest.mark.parametrize("suffix", sorted({*CLOUDS, *GRIDS, *MESHES, ".las", ""}))
def test_noise_of_every_suffix_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(np.random.default_rng(1).integers(0, 256, 500, dtype=np.uint8).tobytes())
    for read in (read_points, as_grid):
        with pytest.raises(ValueError, match=f"noise{suffix}"):
            read(path)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trap = np.array([Trap()] * 4, dtype=object)
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
    np.savez(tmp_path / "c.npz", points=trap)
    (tmp_path / "d.npz").write_bytes(pickle.dumps(Trap()))
    for name in ("a.npy", "b.npy", "c.npz", "d.npz"):
        with pytest.raises(ValueError, match=name):
            read_points(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def npy_of(shape: tuple[int, ...]) -> bytes:
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invert3d.data.files.MOST_BYTES", 1 << 20)
    zeros = np.zeros((1 << 18, 5), np.uint8)
    np.savez_compressed(tmp_path / "bomb.npz", points=zeros)
    savemat(tmp_path / "bomb.mat", {"grid": zeros.reshape(128, 128, 80)}, do_compression=True)
    write_hdf5(tmp_path / "ply_data_test0.h5")
    with h5py.File(tmp_path / "ply_data_test0.h5", "a") as file:
        file.create_dataset("normal", data=zeros, compression="gzip")
    (tmp_path / "bomb.npy").write_bytes(npy_of((1 << 40, 3)))
    (tmp_path / "bomb.binvox").write_bytes(b"#binvox 1\ndim 99999 99999 99999\ndata\n\x01\xff")
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = [
        struct.pack(">I", len(part)) + tag + part + struct.pack(">I", zlib.crc32(tag + part)) for tag, part in chunks
    ]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))
    for name, read, says in (
        ("bomb.npz", read_points, "unpacks to 1,310,"),
        ("bomb.mat", as_grid, "unpacks to "),
        ("ply_data_test0.h5", as_modelnet, "unpacks to 1,310,"),
        ("bomb.npy", read_points, "not readable"),
        ("bomb.binvox", read_binvox, "runs for 255 voxels"),
        ("bomb.png", read_image, "decompression bomb"),
    ):
        with pytest.raises(BadFile, match=f"{name}: .*{says}"):
            read(tmp_path / name)


def test_hdf5_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    path = good_file("ModelNet hdf5", tmp_path)
    (tmp_path / "other").mkdir()
    path.rename(tmp_path / "other" / "secret.h5")
    with h5py.File(path, "w") as file:
        for name in ("data", "label"):
            file[name] = h5py.ExternalLink(str(tmp_path / "other" / "secret.h5"), name)
    with pytest.raises(BadFile, match="ply_data_test0.h5: found datasets {}"):
        as_modelnet(path)


@pytest.mark.parametrize("values", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(values: float, tmp_path: Path) -> None:
    broken = CLOUD.copy()
    broken[3, 1] = values
    np.save(tmp_path / "a.npy", broken)
    np.savetxt(tmp_path / "a.xyz", broken)
    trimesh.PointCloud(broken).export(tmp_path / "a.ply")
    for name in ("a.npy", "a.xyz", "a.ply"):
        with pytest.raises(BadFile, match=f"{name}: .*(finite|NaN)"):
            read_points(tmp_path / name)


def test_degenerate_clouds_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    np.save(tmp_path / "one.npy", np.ones((1, 3)))
    np.save(tmp_path / "same.npy", np.full((50, 3), 5e6 + 1 / 3))
    for name, says in (
        ("none.npy", "found"),
        ("one.npy", "found 1 points"),
        ("same.npy", "50 points that all coincide"),
    ):
        with pytest.raises(BadFile, match=f"{name}: .*{says}"):
            read_points(tmp_path / name)


@pytest.mark.parametrize("suffix", ["npy", "xyz", "off", "obj"])
def test_large_coordinates_lose_nothing(suffix: str, tmp_path: Path) -> None:
    """UTM northings: in single precision half a meter is the last digit."""
    small = np.round(np.random.default_rng(2).uniform(-0.01, 0.01, (63, 3)), 4)
    path = tmp_path / f"far.{suffix}"
    far = small + (500_000, 5_400_000, 300)
    if suffix == "npy":
        np.save(path, far)
    elif suffix == "xyz":
        np.savetxt(path, far, fmt="%.6f")
    else:
        trimesh.Trimesh(far, np.arange(63).reshape(-1, 3), process=False).export(path, digits=6)
    cloud = suffix in ("npy", "xyz")
    found = read_inputs([path], Points(points=63))["far"] if cloud else normalize_unit_sphere(read_points(path))
    np.testing.assert_allclose(found, normalize_unit_sphere(small), atol=1e-5)


BAD_NAMES = (
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc/passwd",
    "a\\b",
    ".hidden",
    "a\n",
    "a\0",
    " a",
    "x" * 101,
    "é" * 51,
    "a:b",
    "~",
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_could_lead_out_of_a_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="^a thing: got the name .*accepted are at most 100"):
        checked_name(name, "a thing")


@given(st.text(max_size=120))
def test_an_accepted_name_stays_in_its_folder(name: str) -> None:
    try:
        checked_name(name, "a thing")
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        place = Path(os.path.normpath(Path("/folder") / name))
        assert place.parent == Path("/folder") and place.name == name


@pytest.mark.parametrize("name", ["chair", "night_stand", "000007", "a b-c.d+e", "Straße", "x" * 100])
def test_plain_names_are_accepted(name: str) -> None:
    assert checked_name(name, "a thing") == name


def test_names_in_lists_are_checked_where_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "training" / "image_2").mkdir(parents=True)
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "val.txt").write_text("000001\n../../x\n")
    with pytest.raises(BadFile, match=r"val.txt: .*frame 2: got the name '../../x'"):
        KittiFolder(tmp_path, "val")
    with pytest.raises(ValueError, match=r"split: got the name '../val'"):
        listed_frames(tmp_path / "training", "../val")
    (tmp_path / "ImageSets" / "val.txt").write_text("000001\n000002\n000001\n")
    with pytest.raises(BadFile, match="val.txt: found frame 000001 more than once"):
        KittiFolder(tmp_path, "val")
    (tmp_path / "shape_names.txt").write_text("bed\n/etc\n")
    with pytest.raises(BadFile, match="shape_names.txt: .*line 2: got the name '/etc'"):
        class_list(tmp_path / "shape_names.txt")
    (tmp_path / "000000.txt").write_text(LABEL.replace("Car", "../Car"))
    with pytest.raises(BadFile, match="000000.txt: .*line 1: got the name '../Car'"):
        as_labels(tmp_path / "000000.txt")


def test_inputs_have_plain_names_of_their_own(tmp_path: Path) -> None:
    for name in ("a/one.npy", "b/one.npy", ".hidden.npy", f"{'x' * 150}.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, CLOUD)
    found = read_inputs([tmp_path / "a" / "one.npy", tmp_path / "b" / "one.npy"], Points(points=20))
    assert list(found) == ["one", "one-1"]
    for name in (".hidden", "x" * 150):
        with pytest.raises(ValueError, match=rf"{name}.npy: got the name .*accepted are at most 100"):
            read_inputs([tmp_path / f"{name}.npy"], Points(points=20))


def test_what_the_system_refuses_is_one_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "file.npy", CLOUD)
    for path in (tmp_path / "file.npy" / "a.npy", tmp_path / f"{'x' * 300}.npy", tmp_path / "a\0.npy"):
        with pytest.raises(BadFile, match="not readable: "):
            read_points(path)
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(BadFile, match="pipe.npy: found no regular file"):
        read_points(tmp_path / "pipe.npy")
    for target in (tmp_path / "file.npy" / "a.txt", tmp_path / f"{'x' * 300}.txt"):
        for write in (writing, writing_folder):
            with pytest.raises(BadFile, match=r"a\.txt: not written|x\.txt: not written"), write(target):
                raise AssertionError("nothing is written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.npy", "pipe.npy"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    for text in ("first", "second"):
        with writing(target) as part:
            part.write_text(text)
            assert part.suffix == ".txt" and (not target.exists() or target.read_text() == "first")
        assert target.read_text() == text
    full, stopped = OSError(28, "No space left on device"), KeyboardInterrupt("stopped")
    for error, seen, says in ((full, BadFile, "No space left"), (stopped, KeyboardInterrupt, "stopped")):
        with pytest.raises(seen, match=says), writing(target) as part:
            part.write_text("half")
            raise error
        assert target.read_text() == "second" and [path.name for path in target.parent.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    with writing_folder(tmp_path / "set") as part:
        (part / "one").write_text("1")
    with pytest.raises(KeyboardInterrupt), writing_folder(tmp_path / "set") as part:
        (part / "two").write_text("2")
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["one"]
    with writing_folder(tmp_path / "set") as part:
        (part / "two").write_text("2")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_messages_are_one_line_and_errors_survive_a_pipe(tmp_path: Path) -> None:
    error = bad_file(tmp_path / "a\nb", "two\nlines " + "x" * 5000)
    assert "\n" not in str(error) and len(str(error)) < 1000
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
