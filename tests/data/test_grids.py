"""Voxel grids from meshes and files: solid, centered, and refused by name where they are wrong."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from tests.binvox import write_binvox

from invert3d.data.grids import read_grid, voxelize
from invert3d.data.voxels import padded, read_modelnet10_grids
from invert3d.data.worlds.parts import assemble, box, ellipsoid
from invert3d.data.worlds.shapes import CATEGORIES, make_grids, make_mesh


def test_a_ball_and_a_box_are_solid() -> None:
    ball = voxelize(assemble([ellipsoid((3, 0, 0), (1, 1, 1))]), 32, 28)
    assert ball.shape == (32, 32, 32) and ball.dtype == np.uint8
    assert ball.sum() == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.12)
    assert not ball[:2].any() and not ball[-2:].any() and ball[16, 16, 16]
    bar = voxelize(assemble([box((0, 4), (0, 1), (0, 1))]), 16, 16)
    assert bar.sum() == 16 * 4 * 4
    shell = voxelize(assemble([box((0, 1), (0, 1), (0, 1))]), 12, 10, "surface")
    assert shell.sum() == 10**3 - 8**3
    with pytest.raises(ValueError, match="across"):
        voxelize(assemble([box((0, 1), (0, 1), (0, 1))]), 8, 9)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category(category: str) -> None:
    grids, labels = make_grids([category], 1, 32, seed=3)
    assert labels.tolist() == [0]
    assert 0.001 < grids.mean() < 0.45
    assert (np.ptp(np.argwhere(grids[0]), axis=0) + 1).max() == 24
    mesh = make_mesh(category, np.random.default_rng(np.random.SeedSequence([3, CATEGORIES.index(category), 0])))
    assert np.array_equal(grids[0], voxelize(mesh))


def test_the_same_grid_from_every_kind_of_file(tmp_path: Path) -> None:
    grid = voxelize(make_mesh("chair", np.random.default_rng(1)), 30, 24)
    np.save(tmp_path / "a.npy", grid[None].astype(np.float32))
    np.savez(tmp_path / "a.npz", grid=grid, other=np.zeros((30, 30, 30)))
    savemat(tmp_path / "a.mat", {"instance": grid.astype(np.int8)})
    write_binvox(tmp_path / "a.binvox", grid)
    for kind in ("npy", "npz", "mat", "binvox"):
        assert np.array_equal(read_grid(tmp_path / f"a.{kind}", 30), grid), kind
        assert np.array_equal(read_grid(tmp_path / f"a.{kind}", 32), padded(grid, 32)), kind


@pytest.mark.parametrize("size", [8, 30, 32])
def test_a_mesh_file_becomes_24_voxels_long(tmp_path: Path, size: int) -> None:
    make_mesh("table", np.random.default_rng(2)).export(tmp_path / "a.off")
    grid = read_grid(tmp_path / "a.off", size)
    assert grid.shape == (size,) * 3 and (np.ptp(np.argwhere(grid), axis=0) + 1).max() == min(24, size)


def test_wrong_files_are_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "gray.npy", np.full((8, 8, 8), 0.5))
    np.save(tmp_path / "flat.npy", np.zeros((8, 8)))
    np.save(tmp_path / "large.npy", np.ones((40, 40, 40)))
    np.save(tmp_path / "empty.npy", np.zeros((8, 8, 8)))
    np.savez(tmp_path / "two.npz", a=np.zeros((4, 4, 4)), b=np.zeros((4, 4, 4)))
    (tmp_path / "broken.mat").write_bytes(b"not a matlab file" * 20)
    for name, words in (
        ("gray.npy", "accepted are 0 and 1"),
        ("flat.npy", "accepted is one grid"),
        ("empty.npy", "empty.npy: found an empty grid"),
        ("large.npy", "40 voxels a side, the network takes 32"),
        ("two.npz", "accepted is one grid"),
        ("broken.mat", "broken.mat: not readable"),
        ("a.txt", "accepted are files ending in"),
    ):
        with pytest.raises(ValueError, match=words):
            read_grid(tmp_path / name)
    with pytest.raises(ValueError, match="absent.npy: there is no file"):
        read_grid(tmp_path / "absent.npy")


def test_real_meshes_become_the_grids_of_princeton(real: Path) -> None:
    grids = read_modelnet10_grids(real / "modelnet10_voxels", facing="stored")
    mesh = real / "modelnet/off/toilet_0001.off"
    ours = read_grid(mesh, 30).astype(bool)
    theirs = grids.train[grids.train_labels == 9][0].astype(bool)
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.97
