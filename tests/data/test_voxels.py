"""Voxel grids: points on their surface, binvox files, the ModelNet10 file: its gaps, twins and headings."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh
from tests.binvox import write_binvox

from invert3d.data.grids import read_binvox
from invert3d.data.meshes import voxel_mesh
from invert3d.data.modelnet import MODELNET10
from invert3d.data.voxels import (
    VOXELS_FILE,
    VoxelSplits,
    as_stored,
    read_modelnet10_grids,
    read_modelnet10_voxels,
    refaced,
    surface_points,
)

REAL = Path(os.environ.get("INVERT3D_REAL") or Path(__file__).parents[2].parent / "shared" / "real")
SIDE = 6


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def block(*size: int) -> np.ndarray:
    grid = np.zeros(tuple(side + 3 for side in size), dtype=np.uint8)
    grid[tuple(slice(1, 1 + side) for side in size)] = 1
    return grid


def test_points_lie_on_the_outer_faces_in_proportion_to_their_area():
    cloud = surface_points(block(4, 2, 1), 20_000, rng())
    assert cloud.shape == (20_000, 3) and cloud.dtype == np.float32
    assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1)
    np.testing.assert_allclose(cloud.mean(axis=0), 0, atol=1e-3)
    low, high = cloud.min(axis=0), cloud.max(axis=0)
    np.testing.assert_allclose((high - low) / (high - low)[2], (4, 2, 1), rtol=1e-2)
    on = np.isclose(cloud, low, atol=1e-5) | np.isclose(cloud, high, atol=1e-5)
    assert on.any(axis=1).all(), "no point between two filled voxels"
    np.testing.assert_allclose(on.mean(axis=0), np.array([4, 8, 16]) / 28, atol=0.02)


def test_a_grid_filled_to_its_border_and_a_cavity_have_faces():
    cloud = surface_points(np.ones((3, 3, 3)), 2_000, rng())
    side = np.abs(cloud).max()
    assert (np.abs(np.abs(cloud).max(axis=1) - side) < 0.05).all()
    shell = np.ones((5, 5, 5))
    shell[2, 2, 2] = 0
    hollow = surface_points(shell, 5_000, rng())
    assert np.mean(np.abs(hollow).max(axis=1) < 0.3) == pytest.approx(6 / 156, abs=0.01)


def test_smoothing_rounds_a_ball_and_thins_a_bar():
    where = np.stack(np.meshgrid(*[np.arange(24) - 11.5] * 3, indexing="ij"))
    ball = np.linalg.norm(where, axis=0) < 10
    spread = [np.linalg.norm(surface_points(ball, 4_000, rng(), smooth=s), axis=1).std() for s in (0, 0.5, 1)]
    assert spread[0] > 1.3 * spread[1] > 1.3 * spread[2]
    widths = []
    for smooth in (0.0, 0.5, 1.0):
        bar = surface_points(block(1, 1, 20), 4_000, rng(), smooth=smooth)
        middle = bar[np.abs(bar[:, 2]) < 0.5]
        widths.append(np.ptp(middle[:, 0]))
    np.testing.assert_allclose(np.array(widths) / widths[0], (1, 0.75, 0.5), atol=0.05)


def test_the_generator_fixes_the_points():
    grid = block(3, 3, 3)
    np.testing.assert_array_equal(surface_points(grid, 64, rng(1)), surface_points(grid, 64, rng(1)))
    assert not np.array_equal(surface_points(grid, 64, rng(1)), surface_points(grid, 64, rng(2)))


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        (np.zeros((3, 3, 3)), {}, r"shape \(3, 3, 3\) with 0 filled"),
        (np.ones((3, 3)), {}, r"shape \(3, 3\)"),
        (np.ones((3, 3, 3)), {"points": 0}, "points: got 0"),
        (np.ones((3, 3, 3)), {"smooth": 1.5}, "smooth: got 1.5"),
    ],
)
def test_surface_points_refuse_bad_input(grid, options, message):
    with pytest.raises(ValueError, match=message):
        surface_points(grid, **{"points": 8, "rng": rng(), **options})


@pytest.mark.parametrize("size", [(3, 4, 5), (1, 1, 1), (20, 9, 17), (8, 8, 8)])
@pytest.mark.parametrize("fill", [0.0, 0.02, 0.5, 1.0])
def test_binvox_files_of_another_writer_are_read(tmp_path, size, fill):
    grid = (rng().random(size) < fill).astype(np.uint8)
    write_binvox(tmp_path / "a.binvox", grid)
    back = read_binvox(tmp_path / "a.binvox")
    np.testing.assert_array_equal(back, grid)
    assert back.dtype == np.uint8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"OFF\n", "a.binvox: .*expected a binvox file: '#binvox 1'"),
        (b"#binvox 1\ndim 2 2 2\n", "a.binvox: .*expected a binvox file"),
        (b"#binvox 1\ndim 2 2\ndata\n", "a.binvox: .*dim"),
        (b"#binvox 1\ntranslate 0 0 0\ndata\n", "a.binvox: .*dim"),
        (b"#binvox 1\ndim 2 2 2\ndata\n\x01\x07", "runs for 7 voxels, expected 2 x 2 x 2"),
        (b"#binvox 1\ndim 2 2 2\ndata\n\x05\x08", "of 0 or 1"),
    ],
)
def test_broken_binvox_files_are_refused(tmp_path, content, message):
    (tmp_path / "a.binvox").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_binvox(tmp_path / "a.binvox")


def make_file(folder: Path) -> dict[str, np.ndarray]:
    """Two shapes a class with a bump at +x (+y for a chair), an empty grid a split, twins in test."""
    arrays = {}
    for split, seed in (("train", 0), ("test", 1)):
        labels = np.repeat(np.arange(10), 2)
        grids = np.zeros((20, SIDE, SIDE, SIDE), dtype=np.int32)
        grids[:, 1:5, 1:5, 1:3] = rng(seed).random((20, 4, 4, 2)) < 0.9
        bump = labels == MODELNET10.index("chair")
        grids[~bump, 4, 1:5, 4] = 1
        grids[bump, 1:5, 4, 4] = 1
        grids[3] = 0
        arrays |= {f"X_{split}": grids, f"y_{split}": labels}
    arrays["X_test"][5] = arrays["X_train"][4]
    arrays["X_test"][9] = arrays["X_train"][0]
    np.savez(folder / VOXELS_FILE, **arrays)
    return arrays


def test_empty_grids_are_dropped_and_twins_reported(tmp_path):
    arrays = make_file(tmp_path)
    for path in (tmp_path, tmp_path / VOXELS_FILE):
        grids = read_modelnet10_grids(path, facing="stored")
        assert grids.names == MODELNET10
        assert grids.train.dtype == np.uint8 and grids.train_labels.dtype == np.int64
        np.testing.assert_array_equal(grids.test, np.delete(arrays["X_test"], 3, axis=0))
        np.testing.assert_array_equal(grids.train_labels, np.delete(arrays["y_train"], 3))
        assert (
            grids.repeats.tolist() == [4, 8] and not {4, 8} & {*grids.fresh} and len(grids.fresh) == len(grids.test) - 2
        )


def test_front_turns_the_backs_to_plus_y(tmp_path):
    make_file(tmp_path)
    grids, stored = read_modelnet10_grids(tmp_path), read_modelnet10_grids(tmp_path, facing="stored")
    for name in ("chair", "sofa", "desk", "monitor"):
        rows = grids.train_labels == MODELNET10.index(name)
        assert grids.train[rows][:, 1:5, 4, 4].all() and not grids.train[rows][:, 1:5, 1:4, 4].any()
    rows = grids.train_labels == MODELNET10.index("sofa")
    turned = np.rot90(stored.train[rows], axes=(1, 2))
    np.testing.assert_array_equal(grids.train[rows], turned)
    assert grids.repeats.tolist() == stored.repeats.tolist()


def test_clouds_turn_as_their_grids_do():
    chair_back = np.zeros((1, 1, 3), np.float32) + (0.25, 1, 0.5)  # at +y where shapes face -y
    clouds = np.repeat(chair_back, 2, axis=0)
    stored = refaced(clouds, ["chair", "sofa"], "front", "stored")
    np.testing.assert_array_equal(stored, [[[0.25, 1, 0.5]], [[1, -0.25, 0.5]]])
    np.testing.assert_array_equal(refaced(stored, ["chair", "sofa"], "stored", "front"), clouds)
    np.testing.assert_array_equal(refaced(stored, ["chair", "sofa"], "stored", "stored"), stored)
    grid = np.zeros((8, 8, 8), np.uint8)
    grid[5, 6, 2] = 1  # a voxel's center, turned about the middle of the grid
    there = np.argwhere(as_stored(grid, "sofa"))[0] + 0.5 - 4
    np.testing.assert_array_equal(refaced(np.float32([[[1.5, 2.5, -1.5]]]), ["sofa"], "front", "stored")[0, 0], there)


def test_clouds_follow_the_grids(tmp_path):
    make_file(tmp_path)
    clouds = read_modelnet10_voxels(tmp_path, points=32, seed=3)
    assert clouds.train.shape == clouds.test.shape == (19, 32, 3) and clouds.train.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(clouds.train, axis=-1).max(axis=1), 1, atol=1e-5)
    assert clouds.repeats.tolist() == [4, 8]
    other = read_modelnet10_voxels(tmp_path, points=32, seed=4)
    assert not np.array_equal(other.train, clouds.train)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X_test": None}, "X_test"),
        ({"y_train": np.zeros(3, dtype=int)}, r"X_train \(20, 6, 6, 6\), y_train \(3,\)"),
        ({"X_train": np.zeros((20, 6, 6))}, r"X_train \(20, 6, 6\)"),
        ({"X_train": np.full((20, 6, 6, 6), -1)}, "values -1 to -1"),
        ({"y_test": np.arange(20)}, "labels"),
    ],
)
def test_broken_voxel_files_are_refused(tmp_path, change, message):
    arrays = {**make_file(tmp_path), **change}
    np.savez(tmp_path / VOXELS_FILE, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match=rf"found .*{message}.*expected X_train.*VoxNet"):
        read_modelnet10_grids(tmp_path)


def test_absent_files_and_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no file, expected .*VoxNet"):
        read_modelnet10_grids(tmp_path)
    (tmp_path / VOXELS_FILE).write_bytes(b"PK\x03\x04 not a zip file")
    with pytest.raises(ValueError, match="expected X_train"):
        read_modelnet10_grids(tmp_path)
    make_file(tmp_path)
    with pytest.raises(ValueError, match="facing: got 'back'"):
        read_modelnet10_grids(tmp_path, facing="back")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="points: got 0"):
        read_modelnet10_voxels(tmp_path, points=0)


def real(path: str) -> Path:
    if not (REAL / path).exists():
        pytest.skip(f"no real data: {REAL / path} is absent (set INVERT3D_REAL)")
    return REAL / path


@pytest.fixture(scope="module")
def grids() -> VoxelSplits:
    """All of the real ModelNet10, read once."""
    return read_modelnet10_grids(real("modelnet10_voxels"))


def test_real_modelnet10_is_whole_and_faces_the_front(grids):
    assert (len(grids.train), len(grids.test), len(grids.repeats)) == (3984, 907, 71)
    for name in ("bed", "chair", "sofa", "toilet"):
        mean = grids.train[grids.train_labels == MODELNET10.index(name)].mean(axis=0, dtype=np.float32)
        back = mean[:, 15:, 16:].sum() / mean[:, :, 16:].sum()
        assert back > 0.6, f"what rises above the seat of a {name} is at +y"
    for name in ("desk", "dresser", "monitor", "sofa", "table"):
        mean = grids.train[grids.train_labels == MODELNET10.index(name)].mean(axis=(0, 3), dtype=np.float32)
        spread = [np.average((np.arange(30) - 14.5) ** 2, weights=mean.sum(axis=1 - axis)) for axis in (0, 1)]
        assert spread[0] > spread[1], f"a {name} is wide along x"


def test_real_binvox_files_agree_with_another_reader():
    files = sorted(real("modelnet10_voxels").glob("*.binvox"))
    assert files
    for path in files:
        voxels = read_binvox(path)
        other = trimesh.exchange.binvox.load_binvox(io.BytesIO(path.read_bytes()))
        np.testing.assert_array_equal(voxels.astype(bool), other.encoding.dense)


def test_the_surface_of_a_grid_is_closed_and_encloses_it() -> None:
    grid = np.zeros((6, 7, 8), bool)
    grid[1:4, 2:5, 3:6], grid[2, 3, 4], grid[0, 0, 0] = True, False, True
    mesh = voxel_mesh(grid)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(27) and mesh.area == pytest.approx(54 + 6 + 6), "the hole has six faces, too"
    assert mesh.bounds.tolist() == [[0, 0, 0], [4, 5, 6]]
    with pytest.raises(ValueError, match="an empty grid"):
        voxel_mesh(np.zeros((3, 3, 3)))
