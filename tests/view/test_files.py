"""Files: what is written comes back, what other programs write is read, what cannot be read says why."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import trimesh

from invert3d.data.clouds import read_points
from invert3d.ops.files import write_bytes
from invert3d.view.color import colorize
from invert3d.view.files import write_glb, write_ply

CLOUD = np.random.default_rng(0).uniform(-1, 1, (200, 3)).astype(np.float32)


@pytest.mark.parametrize("colors", [None, colorize(CLOUD[:, 2])])
def test_ply_round_trip(tmp_path: Path, colors: np.ndarray | None) -> None:
    path = write_ply(tmp_path / "new" / "cloud.ply", CLOUD, colors)
    assert np.array_equal(read_points(path), CLOUD)
    other = trimesh.load(path)
    assert isinstance(other, trimesh.PointCloud)
    if colors is not None:
        assert np.array_equal(other.colors[:, :3], colors)


@pytest.mark.parametrize("up", ["z", "y"])
def test_glb_round_trip(tmp_path: Path, up: str) -> None:
    path = write_glb(tmp_path / "cloud.glb", CLOUD, up=up)
    back = read_points(path)
    expected = CLOUD if up == "z" else np.stack([CLOUD[:, 0], -CLOUD[:, 2], CLOUD[:, 1]], axis=1)
    assert np.abs(back - expected).max() < 1e-6
    assert len(read_points(path, 50)) == 50


def test_glb_is_upright_and_not_metal(tmp_path: Path) -> None:
    path = write_glb(tmp_path / "cloud.glb", np.array([[0.0, 0.0, 1.0], [0, 0, 0]]))
    mesh = trimesh.load(path, force="mesh", process=False)
    assert mesh.vertices[:12].mean(axis=0) == pytest.approx([0, 1, 0], abs=1e-6)
    assert b'"metallicFactor":0' in path.read_bytes().replace(b" ", b"")


def test_numpy_and_text(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.c_[CLOUD, CLOUD])
    np.savez(tmp_path / "a.npz", label=3, points=CLOUD, normals=CLOUD)
    np.savez(tmp_path / "b.npz", label=3, anything=CLOUD)
    np.savetxt(tmp_path / "a.xyz", CLOUD)
    np.savetxt(tmp_path / "a.txt", np.c_[CLOUD, CLOUD], delimiter=",", header="x,y,z,nx,ny,nz")
    for name in ("a.npy", "a.npz", "b.npz", "a.xyz", "a.txt"):
        assert np.allclose(read_points(tmp_path / name), CLOUD), name
    assert len(read_points(tmp_path / "a.npy", 7)) == 7


@pytest.mark.parametrize("kind", ["off", "obj", "stl", "ply", "glb"])
def test_meshes_give_vertices_or_a_sample_of_the_surface(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"box.{kind}"
    trimesh.creation.box(extents=(1, 2, 3)).export(path)
    assert len(np.unique(read_points(path), axis=0)) == 8
    sample = read_points(path, 500, up="y")
    assert sample.shape == (500, 3)
    assert np.isclose(np.abs(sample) / [0.5, 1.5, 1.0], 1).any(axis=1).all()
    assert np.array_equal(sample, read_points(path, 500, up="y"))
    assert not np.array_equal(sample, read_points(path, 500, seed=1, up="y"))


@pytest.mark.parametrize("way", ["ascii", "binary"])
def test_pcd(tmp_path: Path, way: str) -> None:
    head = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
        f"WIDTH 201\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 201\nDATA {way}\n"
    ).encode()
    rows = np.zeros(201, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
    for place, axis in enumerate("xyz"):
        rows[axis] = [*CLOUD[:, place], np.nan]
    text = "\n".join(" ".join(repr(float(value)) for value in row) for row in rows.tolist()).encode()
    (tmp_path / "a.pcd").write_bytes(head + (text if way == "ascii" else rows.tobytes()))
    assert np.array_equal(read_points(tmp_path / "a.pcd"), CLOUD)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.las").write_text("")
    (tmp_path / "a.obj").write_text("nothing here")
    (tmp_path / "a.xyz").write_text("1 2 3\n4 5\n")
    (tmp_path / "b.xyz").write_text("1 2\n4 5\n")
    (tmp_path / "a.pcd").write_text("FIELDS x y z\nDATA binary_compressed\n")
    np.savez(tmp_path / "a.npz", one=CLOUD, two=CLOUD)
    np.save(tmp_path / "a.npy", CLOUD)
    cases = [
        ("a.las", None, "accepted are files ending in .*pcd"),
        ("a.obj", None, "a.obj"),
        ("a.xyz", None, "one point a line"),
        ("b.xyz", None, r"\(2, 2\)"),
        ("a.pcd", None, "binary_compressed, accepted are ascii and binary"),
        ("a.npz", None, r"one \(200, 3\) float32, two \(200, 3\)"),
        ("a.npy", 201, "a.npy: found a cloud of 200 points, count asks for 201"),
        ("a.npy", 0, "count: got 0"),
    ]
    for name, count, message in cases:
        with pytest.raises(ValueError, match=message):
            read_points(tmp_path / name, count)
    with pytest.raises(ValueError, match=r"none\.ply: there is no file"):
        read_points(tmp_path / "none.ply")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_bytes(tmp_path / "new" / "a.html", b"first")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_bad_clouds_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.ply"):
        write_ply(tmp_path / "a.glb", CLOUD)
    with pytest.raises(ValueError, match="uint8"):
        write_ply(tmp_path / "a.ply", CLOUD, CLOUD)
    with pytest.raises(ValueError, match="50000"):
        write_glb(tmp_path / "a.glb", np.zeros((50_001, 3)))
    assert not list(tmp_path.iterdir())
