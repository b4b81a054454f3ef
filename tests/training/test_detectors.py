"""Training of detectors, on tiny ones: the loss falls, batches are mirrored with their targets, folders are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image as Picture

from invert3d.data.kitti import Calibration, KittiFolder, write_calibration, write_labels
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.training.detectors import criterion, detections, train_detector
from invert3d.training.fit import FitSettings
from invert3d.training.frames import batches, folder_frames, nominal
from tests.models.test_detectors import tiny
from tests.ops.test_centers import PROJECTED
from tests.ops.test_layouts import assert_same
from tests.study.layouts.test_job import frames, layout_of


@pytest.fixture(scope="module")
def detector() -> CenterNet3D:
    return tiny(codec=PROJECTED, order="rgb")


def test_training_lowers_the_loss_that_checkpoints_are_trained_with() -> None:
    detector, some, losses = tiny(codec=PROJECTED, order="rgb"), frames(4), []
    settings = FitSettings(steps=25, batch=4, rate=3e-3, bf16=False)
    train_detector(detector, some, settings, report=lambda done, loss: losses.append(loss))
    assert len(losses) == 25 and losses[-1] < 0.8 * losses[0] and not detector.training
    target = detector.targets(some.layouts)
    value = criterion(detector.codec)(detector.raw(some.pictures), target)
    assert value.shape == () and value.isfinite()
    assert len(detections(detector, some, batch=3)) == 4


def test_batches_are_mirrored_with_their_targets_and_repeat_with_a_seed(detector: CenterNet3D) -> None:
    some = frames(3)
    batch = batches(some, detector, 16, 1)
    (x, target), (again, _), (other, _) = batch(7), batch(7), batch(8)
    assert torch.equal(x, again) and not torch.equal(x, other)
    assert x.min() >= 0 and x.max() <= 1
    both = [some.layouts, [one.flipped() for one in some.layouts]]
    known = torch.stack([torch.cat([v.flatten(1) for v in detector.targets(each).values()], 1) for each in both])
    flips, likeness = 0, []
    for picture, row in zip(x, torch.cat([v.flatten(1) for v in target.values()], 1), strict=True):
        gaps = [(known[k, i] - row).abs().max() for k in range(2) for i in range(3)]
        k, i = divmod(int(torch.stack(gaps).argmin()), 3)
        assert min(gaps) < 1e-3
        views = [view.flatten() for one in some.pictures for view in (one, one.flip(-1))]
        each = torch.corrcoef(torch.stack([picture.flatten(), *views]))[0, 1:]
        assert int(each.argmax()) == 2 * i + k, "the picture that its target says, turned as that says"
        likeness.append(each.max())
        flips += k
    # under the strongest noise (0.15) the least contrast (0.85 of a deviation of 0.29) still correlates by 0.85
    assert min(likeness) > 0.85 and torch.stack(likeness).mean() > 0.9
    assert 3 < flips < 13


def test_frames_of_a_folder_are_prepared_for_the_detector(detector: CenterNet3D, tmp_path: Path) -> None:
    layout = layout_of(2, 7, 48, 128)
    for name in ("000003", "000007"):
        write_labels(tmp_path / "training" / "label_2" / f"{name}.txt", layout)
        write_calibration(tmp_path / "training" / "calib" / f"{name}.txt", Calibration.of(layout.projection))
        (tmp_path / "training" / "image_2").mkdir(exist_ok=True)
        Picture.new("RGB", (128, 48), (255, 128, 0)).save(tmp_path / "training" / "image_2" / f"{name}.png")
    found = folder_frames(detector, tmp_path)
    assert found.names == ("000003", "000007") and found.images.shape == (2, 3, 32, 64)
    assert found.images[0, :, 16, 32].tolist() == [255, 128, 0]
    assert_same(found.layouts[0], detector.prepare_layout(KittiFolder(tmp_path).layout("000003")))
    assert len(folder_frames(detector, tmp_path, most=1)) == 1


def test_difficulties_are_those_of_a_picture_of_kittis_height() -> None:
    layout = layout_of(2, 8, 96, 320)
    found = nominal(layout)
    assert (found.height, found.width) == (384, 1280)
    tall, before = (box[:, 3] - box[:, 1] for box in (found.boxes, layout.boxes))
    assert torch.allclose(tall, 4 * before, atol=0.5)
