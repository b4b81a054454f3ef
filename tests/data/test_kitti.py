"""KITTI's files: written and read back, one clear error for each fault, and the geometry of three real frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from invert3d.data.kitti import (
    KINDS,
    Calibration,
    KittiFolder,
    check_visible,
    read_calibration,
    read_labels,
    usual_projection,
    write_calibration,
    write_labels,
)
from invert3d.ops.boxes import corners3d, wrapped
from invert3d.ops.layouts import Layout

CAMERA = usual_projection(375, 1242)
CAR = "Car 0.15 1 -1.57 100.00 150.00 200.00 230.50 1.50 1.60 3.90 -3.00 1.65 20.00 -1.72"
DONTCARE = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"


def read(tmp_path: Path, *lines: str) -> Layout:
    (tmp_path / "000000.txt").write_text("\n".join(lines) + "\n")
    return read_labels(tmp_path / "000000.txt", CAMERA, 375, 1242)


def make_folder(root: Path, frames: tuple[str, ...] = ("000000", "000003")) -> Path:
    for i, frame in enumerate(frames):
        base = root / "training"
        for what in ("image_2", "velodyne", "label_2"):
            (base / what).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8, 3), (255, 10, i), dtype=np.uint8)).save(base / "image_2" / f"{frame}.png")
        np.arange(8, dtype="<f4").tofile(base / "velodyne" / f"{frame}.bin")
        (base / "label_2" / f"{frame}.txt").write_text(CAR + "\n")
        one = torch.eye(3, 4)
        write_calibration(
            base / "calib" / f"{frame}.txt",
            Calibration(projection=CAMERA, projections={}, rectification=torch.eye(3), velo_to_cam=one),
        )
    return root


def test_a_label_is_read_column_by_column(tmp_path):
    layout = read(tmp_path, CAR, "", DONTCARE)
    assert layout.kinds == ("Car", "DontCare") and (layout.height, layout.width) == (375, 1242)
    close = {
        "boxes": [100, 150, 200, 230.5],
        "sizes": [1.5, 1.6, 3.9],
        "centers": [-3, 1.65, 20],
        "yaws": -1.72,
        "alphas": -1.57,
        "truncations": 0.15,
        "occlusions": 1,
    }
    for name, value in close.items():
        assert torch.allclose(getattr(layout, name)[0], torch.tensor(value, dtype=torch.float32)), name
    assert bool(layout.scores.isnan().all())
    for name in ("sizes", "centers", "yaws", "alphas", "truncations", "occlusions"):
        assert bool(getattr(layout, name)[1].isnan().all()), name
    assert layout.boxes[1].tolist() == pytest.approx([503.89, 169.71, 590.61, 190.13])


def test_results_have_scores_and_may_have_no_box_in_space(tmp_path):
    flat = "Car -1 -1 -10 100 150 200 230 -1 -1 -1 -1000 -1000 -1000 -10 0.875"
    layout = read(tmp_path, f"{CAR} 0.25", flat)
    assert layout.scores.tolist() == [0.25, 0.875]
    assert bool(layout.sizes[1].isnan().all()) and bool(layout.alphas[1].isnan())
    assert len(read(tmp_path, "")) == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (CAR[:-6], "line 2: 14 fields, expected 15, or 16 with a score: type truncated"),
        (f"{CAR} 0.5 7", "line 2: 17 fields"),
        (CAR.replace("20.00", "far"), "line 2: 'far' is not a number"),
        (CAR.replace("20.00", "nan"), "line 2: 'nan' is not a finite number"),
        (CAR.replace("1.60", "-1.60"), "line 2: height, width, length are .*, expected more than 0"),
        (CAR.replace("3.90", "0.00"), "line 2: height, width, length"),
    ],
)
def test_a_fault_in_a_label_file_is_named_with_its_line(tmp_path, line, says):
    with pytest.raises(ValueError, match="000000.txt, " + says):
        read(tmp_path, CAR, line)


def test_an_absent_label_file_says_where_to_get_it(tmp_path):
    with pytest.raises(
        ValueError, match="x.txt: there is no file, expected .*training labels, 5 MB: https://www.cvlibs.net"
    ):
        read_labels(tmp_path / "x.txt", CAMERA, 375, 1242)


cents = st.integers(-9000, 9000).map(lambda n: n / 100)
lengths = st.integers(1, 2000).map(lambda n: n / 100)
angles = st.integers(-314, 314).map(lambda n: n / 100)
row = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 100),
    st.integers(0, 3),
    angles,
    cents,
    cents,
    cents,
    cents,
    lengths,
    lengths,
    lengths,
    cents,
    cents,
    cents,
    angles,
    st.integers(0, 10_000),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(row, max_size=5), st.booleans(), st.booleans())
def test_written_is_read_back(tmp_path_factory, rows, scored, stuff):
    lines = []
    for kind, truncated, *rest, score in rows:
        words = [kind, f"{truncated / 100:.2f}", str(rest[0]), *(f"{value:.2f}" for value in rest[1:])]
        lines.append(" ".join(words + [f"{score / 10000:.4f}"] * scored))
    lines += [DONTCARE] * (stuff and not scored)
    folder = tmp_path_factory.mktemp("labels")
    layout = read(folder, *lines)
    write_labels(folder / "new" / "a.txt", layout)
    again = read_labels(folder / "new" / "a.txt", CAMERA, 375, 1242)
    assert again.kinds == layout.kinds
    for name, value in vars(layout).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(torch.nan_to_num(value, 7), torch.nan_to_num(getattr(again, name), 7)), name
    if not stuff:
        assert (folder / "new" / "a.txt").read_text().split() == "\n".join(lines).split()


def test_some_scores_are_not_accepted(tmp_path):
    layout = read(tmp_path, CAR, CAR)
    with pytest.raises(ValueError, match="scores: 1 of 2 objects have one"):
        write_labels(tmp_path / "b.txt", replace(layout, scores=torch.tensor([0.5, torch.nan])))


def test_a_calibration_is_written_and_read_back(tmp_path):
    draw = torch.Generator().manual_seed(0)
    p = {f"P{i}": torch.rand(3, 4, generator=draw) * 700 for i in range(4)}
    whole = Calibration(
        projection=p["P2"],
        projections=p,
        rectification=torch.rand(3, 3, generator=draw),
        velo_to_cam=torch.rand(3, 4, generator=draw),
        imu_to_velo=torch.rand(3, 4),
    )
    write_calibration(tmp_path / "c.txt", whole)
    again = read_calibration(tmp_path / "c.txt")
    assert list(again.projections) == ["P0", "P1", "P2", "P3"]
    for name in ("projection", "rectification", "velo_to_cam", "imu_to_velo"):
        assert torch.equal(getattr(whole, name), getattr(again, name)), name
    (tmp_path / "d.txt").write_text("P2: 700 0 600 0 0 700 180 0 0 0 1 0\n\ncalib_time: 09-Jan-2012 13:57:47\n")
    plain = read_calibration(tmp_path / "d.txt", torch.float64)
    assert plain.imu_to_velo is None and plain.projection[0].tolist() == [700, 0, 600, 0]
    assert plain.points_in_camera(np.array([[1, 2, 3, 0.5]], dtype=np.float32)).tolist() == [[1, 2, 3]]


def test_faults_in_a_calibration_are_named(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("P0: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    with pytest.raises(ValueError, match="found P0, expected P2"):
        read_calibration(path)
    path.write_text("\nP2: 1 2 3\n")
    with pytest.raises(ValueError, match="line 2: P2 has 3 numbers, expected 12"):
        read_calibration(path)
    path.write_text("P2: 1 2 three\n")
    with pytest.raises(ValueError, match="line 1: P2: 'three' is not a number"):
        read_calibration(path)
    with pytest.raises(ValueError, match="camera calibration matrices, 16 MB"):
        read_calibration(tmp_path / "none.txt")


def test_the_usual_camera_scales_with_the_image():
    """At twice the size the same point is at twice the pixel."""
    point = torch.tensor([2.0, 1.0, 10.0, 1.0])
    small, large = usual_projection(375, 1242) @ point, usual_projection(750, 2484) @ point
    assert torch.allclose(2 * small[:2] / small[2], large[:2] / large[2])


def ask(kind="Car", center=(0.0, 1.6, 15.0), size=(1.5, 1.6, 3.9)) -> Layout:
    good = torch.tensor([0.0, 1.6, 30.0])
    sizes = torch.tensor([[1.5, 1.6, 3.9], size])
    return Layout.of(("Car", kind), sizes, torch.stack([good, torch.tensor(center)]), torch.zeros(2), CAMERA, 375, 1242)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"kind": "car"}, r"unknown kind 'car'; did you mean Car"),
        ({"kind": "DontCare"}, "a region in the picture and no object"),
        ({"center": (0.0, 1.6, -15.0)}, "z is -15.00 m, expected more than 0.5 m"),
        ({"center": (0.0, 1.6, 0.5)}, "z is 0.50 m"),
        ({"center": (60.0, 1.6, 20.0)}, "outside the image of 375 x 1242 pixels"),
        ({"center": (0.0, 60.0, 20.0)}, "outside the image"),
        ({"center": (0.0, torch.nan, 20.0)}, "not all known"),
        ({"size": (1.5, 0.0, 3.9)}, "expected more than 0 meters each"),
    ],
)
def test_what_no_image_can_show_is_refused(what, says):
    check_visible(ask(), "scene.json")
    with pytest.raises(ValueError, match=rf"^scene.json, object 2 \({what.get('kind', 'Car')}\): .*{says}"):
        check_visible(ask(**what), "scene.json")
    with pytest.raises(ValueError, match="object 1 .*unknown kind 'Car'"):
        check_visible(ask(), "it", kinds=("Pedestrian",))


def test_a_folder_has_images_layouts_cameras_and_scans(tmp_path):
    frames = KittiFolder(make_folder(tmp_path))
    assert frames.ids == ["000000", "000003"] and len(frames) == 2 and "2 frames" in repr(frames)
    assert KittiFolder(tmp_path / "training").ids == frames.ids
    image = frames.image("000003")
    assert image.shape == (6, 8, 3) and image.dtype == np.uint8 and image[0, 0].tolist() == [255, 10, 1]
    layout = frames.layout("000000")
    assert layout.kinds == ("Car",) and (layout.height, layout.width) == (6, 8)
    assert torch.equal(layout.projection, CAMERA) and layout.boxes.dtype == torch.float32
    assert KittiFolder(tmp_path, dtype=torch.float64).layout("000000").boxes.dtype == torch.float64
    assert frames.scan("000000").tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_splits_are_lists_of_frames(tmp_path):
    make_folder(tmp_path)
    with pytest.raises(ValueError, match="there is no .*ImageSets/val.txt"):
        KittiFolder(tmp_path, "val")
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "val.txt").write_text("000003\n")
    (tmp_path / "ImageSets" / "train.txt").write_text("\n")
    assert KittiFolder(tmp_path, "val").ids == ["000003"]
    with pytest.raises(ValueError, match="unknown split 'vall'; did you mean val"):
        KittiFolder(tmp_path, "vall")
    with pytest.raises(ValueError, match="train.txt: found an empty list"):
        KittiFolder(tmp_path, "train")


def test_what_a_folder_lacks_is_said(tmp_path):
    with pytest.raises(ValueError, match="no such folder; expected KITTI's object data, get it: https"):
        KittiFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no training/label_2 and no training/image_2"):
        KittiFolder(tmp_path)
    frames = KittiFolder(make_folder(tmp_path))
    (frames.folder / "velodyne" / "000000.bin").write_bytes(b"12345")
    (frames.folder / "image_2" / "000003.png").write_bytes(b"12345")
    with pytest.raises(ValueError, match="5 bytes, expected 16"):
        frames.scan("000000")
    with pytest.raises(ValueError, match="000003.png: found no image"):
        frames.image("000003")
    for get, download in ((frames.image, "images, 12 GB"), (frames.layout, "calibration"), (frames.scan, "29 GB")):
        with pytest.raises(ValueError, match=f"000009.*there is no file.*{download}"):
            get("000009")


@pytest.fixture
def frames(real) -> KittiFolder:
    if not (real / "kitti").is_dir():
        pytest.skip(f"NOT CHECKED on real data: there is no {real / 'kitti'}")
    return KittiFolder(real / "kitti")


def test_real_boxes_in_space_are_where_their_labels_in_the_picture_are(frames):
    """Cars and other stiff things to 2.5 pixels. Pedestrians' boxes in the picture were drawn by hand: to 10."""
    seen = 0
    for frame in frames.ids:
        layout = frames.layout(frame).of_kinds(KINDS)
        whole = Layout.of(
            layout.kinds, layout.sizes, layout.centers, layout.yaws, layout.projection, layout.height, layout.width
        )
        for i, kind in enumerate(layout.kinds):
            if layout.truncations[i] == 0:
                seen += 1
                assert float((whole.boxes[i] - layout.boxes[i]).abs().max()) < (10 if kind == "Pedestrian" else 2.5)
        assert float(wrapped(whole.alphas - layout.alphas).abs().max()) < 0.02
        assert float(whole.truncations.max()) < 0.01
    assert seen == 6


def test_real_scans_hit_the_boxes(frames):
    """Every labeled box holds points of the LiDAR, which is how the labels were made."""
    for frame in frames.ids:
        layout = frames.layout(frame).of_kinds(KINDS)
        points = frames.calibration(frame).points_in_camera(frames.scan(frame))
        for size, center, yaw in zip(layout.sizes, layout.centers, layout.yaws, strict=True):
            away, half = points - center, size / 2
            along, across = (
                away[:, 0] * yaw.cos() - away[:, 2] * yaw.sin(),
                away[:, 0] * yaw.sin() + away[:, 2] * yaw.cos(),
            )
            inside = (along.abs() < half[2]) & (across.abs() < half[1])
            assert int((inside & (away[:, 1] < 0) & (away[:, 1] > -size[0])).sum()) > 5
            corners = corners3d(size, center, yaw)
            assert float(corners[:, 1].max()) == pytest.approx(float(center[1]))
