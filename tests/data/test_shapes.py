"""The procedural shapes: valid, oriented, varied, and the same again from the same seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from invert3d.data.clouds import normalize_unit_sphere, sample_cloud
from invert3d.data.modelnet import read_modelnet
from invert3d.data.worlds.clutter import make_clutter, make_clutter_clouds
from invert3d.data.worlds.parts import (
    Part,
    assemble,
    box,
    cylinder,
    ellipsoid,
    lathe,
    loft,
    prism,
    sweep,
    torus,
    vessel,
)
from invert3d.data.worlds.shape_files import MARK, write_shapes
from invert3d.data.worlds.shapes import CATEGORIES, make_clouds, make_mesh

SYMMETRIC = ("airplane", "bathtub", "bed", "bench", "car", "chair", "dresser", "monitor", "night_stand", "toilet")


def members(category: str, count: int = 8) -> list:
    return [make_mesh(category, np.random.default_rng([5, i])) for i in range(count)]


def test_the_twenty_categories_are_in_order() -> None:
    assert len(CATEGORIES) == 20
    assert tuple(sorted(CATEGORIES)) == CATEGORIES


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_member_is_closed_upright_and_fits_the_unit_sphere(category: str) -> None:
    for index, mesh in enumerate(members(category)):
        corners = np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert np.isfinite(corners).all()
        assert np.abs(cross.sum(axis=0)).max() < 1e-9 * np.abs(cross).sum(), "a closed surface has no net area"
        assert np.einsum("ij,ij->", corners[:, 0], cross) > 0, "normals point outward"
        cloud = sample_cloud(mesh, 500, np.random.default_rng(index))
        assert cloud.shape == (500, 3) and cloud.dtype == np.float32
        assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1.0, abs=1e-5)
        assert np.abs(cloud.mean(axis=0)).max() < 1e-5


@pytest.mark.parametrize("category", CATEGORIES)
def test_members_of_a_class_differ(category: str) -> None:
    sizes = np.array([mesh.extents / mesh.extents.max() for mesh in members(category, 12)])
    apart = np.linalg.norm(sizes[:, None] - sizes, axis=-1)
    assert apart.sum() / (12 * 11) > 0.03
    assert len({len(mesh.faces) for mesh in members(category, 12)}) >= 3


@pytest.mark.parametrize("category", SYMMETRIC)
def test_left_and_right_balance(category: str) -> None:
    for mesh in members(category):
        low, high = mesh.bounds
        assert abs(low[0] + high[0]) < 0.15 * (high[0] - low[0])


def test_an_airplane_is_symmetric_but_for_its_propeller() -> None:
    for mesh in members("airplane", 20):
        wing = mesh.vertices[np.abs(mesh.vertices[:, 0]) > 0.5 * mesh.bounds[1, 0]]
        mirrored = wing * [-1, 1, 1]
        gap = np.linalg.norm(wing[:, None] - mirrored, axis=-1).min(axis=1)
        assert gap.max() < 1e-6 * mesh.extents.max()


@pytest.mark.parametrize("category", ["chair", "bed", "sofa", "toilet", "stairs"])
def test_the_high_end_is_at_the_back(category: str) -> None:
    backs = []
    for mesh in members(category, 24):
        cloud = sample_cloud(mesh, 2000, np.random.default_rng(0))
        high = cloud[:, 2] >= np.quantile(cloud[:, 2], 0.9)
        backs.append(cloud[high, 1].mean() > cloud[~high, 1].mean())
    assert np.mean(backs) >= (1.0 if category == "chair" else 0.75)  # four-posters, bunks and spirals are level


def test_what_stands_is_tall_and_what_travels_is_long() -> None:
    for category in ("person", "guitar", "bottle"):
        assert all(mesh.extents.argmax() == 2 for mesh in members(category))
    assert all(mesh.extents.argmin() == 2 for mesh in members("airplane"))
    assert all(mesh.extents.argmax() == 1 for mesh in members("car"))


@pytest.mark.parametrize("category", ["cup", "bathtub"])
def test_the_mouth_is_open(category: str) -> None:
    for mesh in members(category):
        cloud = sample_cloud(mesh, 20_000, np.random.default_rng(0))
        low, high = cloud.min(axis=0), cloud.max(axis=0)
        top = cloud[cloud[:, 2] > high[2] - 0.03 * (high - low)[2]] if category == "cup" else cloud
        middle, half = (top.min(axis=0) + top.max(axis=0))[:2] / 2, np.ptp(top, axis=0)[:2].min() / 2
        inside = cloud[np.abs(cloud[:, :2] - middle).max(axis=1) < 0.3 * half]
        assert len(inside)
        assert inside[:, 2].max() < low[2] + 0.75 * (high - low)[2]


def test_a_seed_reproduces_bit_for_bit_whatever_the_count() -> None:
    few, labels = make_clouds(("chair", "lamp"), 2, 128, seed=3)
    many, _ = make_clouds(("lamp", "chair"), 3, 128, seed=3)
    assert few.shape == (4, 128, 3) and few.dtype == np.float32
    assert labels.tolist() == [0, 0, 1, 1] and labels.dtype == np.int64
    assert np.array_equal(few[:2], many[3:5]) and np.array_equal(few[2:], many[:2])
    other, _ = make_clouds(("chair", "lamp"), 2, 128, seed=4)
    assert not np.array_equal(few, other)


def test_normals_are_unit_and_point_outward() -> None:
    ball = assemble([ellipsoid((1.0, 2.0, 3.0), (1.0, 1.0, 1.0))])
    cloud = sample_cloud(ball, 400, np.random.default_rng(0), normals=True)
    assert cloud.shape == (400, 6)
    assert np.allclose(np.linalg.norm(cloud[:, 3:], axis=1), 1, atol=1e-5)
    assert np.einsum("ij,ij->i", cloud[:, :3], cloud[:, 3:]).min() > 0.8


def test_sampling_is_even_over_area() -> None:
    slab = assemble([box((0, 4), (0, 1), (0, 1e-6))])
    cloud = sample_cloud(slab, 20_000, np.random.default_rng(1))
    share = np.histogram(cloud[:, 0], bins=8)[0] / 20_000
    assert np.abs(share - 1 / 8).max() < 0.01


def test_normalization_takes_batches_and_refuses_nonsense() -> None:
    batch = np.random.default_rng(0).normal(5, 3, (2, 4, 50, 3))
    done = normalize_unit_sphere(batch)
    assert done.shape == batch.shape
    assert np.allclose(np.linalg.norm(done, axis=-1).max(axis=-1), 1, atol=1e-6)
    assert np.array_equal(done[1, 2], normalize_unit_sphere(batch[1, 2]))
    assert not normalize_unit_sphere(np.ones((1, 3))).any()
    with pytest.raises(ValueError, match="all coincide"):
        normalize_unit_sphere(np.full((7, 3), 5e6))
    with pytest.raises(ValueError, match="shape"):
        normalize_unit_sphere(np.zeros((5, 2)))
    with pytest.raises(ValueError, match="finite"):
        normalize_unit_sphere(np.full((5, 3), np.nan))


def test_primitives_have_the_volume_of_the_solid() -> None:
    solids: list[tuple[Part, float]] = [
        (box((0, 1), (0, 2), (0, 3)), 6.0),
        (cylinder(1.0, (0, 2), segments=64), 2 * np.pi),
        (torus(2.0, 0.5, segments=64), 2 * np.pi**2 * 2 * 0.25 * np.sin(np.pi / 5) * 5 / np.pi),
        (prism([(0, 0), (1, 0), (1, 1), (0, 1)], "y", (0, 3)), 3.0),
        (sweep([(0, 0, 0), (0, 0, 2)], 1.0, 64), 2 * np.pi),
        (lathe([(1, 0), (2, 0), (2, 1), (1, 1)], segments=64, ring=True), 3 * np.pi),
        (vessel([(1, 0), (1, 1)], 0.1), np.pi * (1 - 0.81 * 0.9)),
    ]
    for part, expected in solids:
        for piece in (part, part.mirrored(), part.turned("x", 40).moved(1, 2, 3)):
            assert assemble([piece]).volume == pytest.approx(expected, rel=0.03)


def test_errors_teach() -> None:
    with pytest.raises(ValueError, match="chair"):
        make_mesh("chiar", np.random.default_rng(0))
    with pytest.raises(ValueError, match="night_stand"):
        make_clouds(("nightstand",), 1, 8, 0)
    with pytest.raises(ValueError, match="per_class"):
        make_clouds(("cup",), 0, 8, 0)
    with pytest.raises(ValueError, match="points"):
        sample_cloud(make_mesh("cup", np.random.default_rng(0)), 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="axis"):
        box((0, 1), (0, 1), (0, 1)).turned("w", 3)
    with pytest.raises(ValueError, match="across"):
        prism([(0, 0), (1, 0), (1, 1)], "w", (0, 1))
    with pytest.raises(ValueError, match="rings"):
        loft(np.zeros((1, 4, 3)))
    with pytest.raises(ValueError, match="parts"):
        assemble([])
    with pytest.raises(ValueError, match="count"):
        make_clutter_clouds(0, 8, 0)


def test_clutter_is_normalized_and_reproducible() -> None:
    clouds = make_clutter_clouds(60, 96, seed=2)
    assert clouds.shape == (60, 96, 3) and clouds.dtype == np.float32
    assert np.isfinite(clouds).all()
    assert np.allclose(np.linalg.norm(clouds, axis=-1).max(axis=-1), 1, atol=1e-5)
    assert np.array_equal(clouds[:7], make_clutter_clouds(7, 96, seed=2))
    assert len(np.unique(clouds[:, 0], axis=0)) == 60
    assert make_clutter(1, np.random.default_rng(0)).shape == (1, 3)


@pytest.mark.parametrize("form", ["points", "voxels", "meshes"])
def test_shapes_are_written_whole_or_not_at_all(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, names = tmp_path / ("set" if form == "meshes" else "set.npz"), ("bed", "chair")

    def write(seed: int, overwrite: bool = False) -> None:
        write_shapes(out, names, 5, seed, form=form, size=8, overwrite=overwrite)  # type: ignore[arg-type]

    def content() -> np.ndarray:
        if form == "meshes":
            return read_modelnet(out, "test", points=8, classes=names)[0]
        with np.load(out) as arrays:
            assert list(arrays["classes"]) == list(names) and np.array_equal(arrays["labels"], np.repeat([0, 1], 5))
            return arrays["clouds" if form == "points" else "voxels"]

    write(1)
    before = content()
    with pytest.raises(ValueError, match="exists already: give --overwrite"):
        write(2)
    with monkeypatch.context() as patch:
        patch.setattr("numpy.savez_compressed" if form != "meshes" else "trimesh.Trimesh.export", out_of_space)
        with pytest.raises(ValueError, match="set.*: not written: No space left on device"):
            write(2, overwrite=True)
    assert np.array_equal(content(), before) and [path.name for path in tmp_path.iterdir()] == [out.name]
    write(2, overwrite=True)
    assert not np.array_equal(content(), before) and [path.name for path in tmp_path.iterdir()] == [out.name]


def out_of_space(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep")
    for out, form in ((tmp_path, "meshes"), (tmp_path / "set.npz", "points")):
        if form == "points":
            out.mkdir()
        with pytest.raises(ValueError, match="did not make"):
            write_shapes(out, ("bed",), 1, 0, form=form, overwrite=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ends in .npz"):
        write_shapes(tmp_path / "set", ("bed",), 1, 0)
    assert (tmp_path / "notes.txt").read_text() == "keep" and not (tmp_path / MARK).exists()


def test_no_torch_is_imported() -> None:
    code = "import sys, invert3d.data.worlds.clutter; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
