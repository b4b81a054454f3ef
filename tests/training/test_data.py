"""What classifiers are trained on: real and procedural shapes together, drawn unevenly as a scanner does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invert3d.data.modelnet_folders import MODELNET10
from invert3d.data.worlds.shapes import CATEGORIES
from invert3d.engine.draws import Draws
from invert3d.training.data import Clouds, training_data
from tests.data.test_voxels import make_file


def test_real_and_procedural_shapes_of_a_class_are_one_class(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_file(tmp_path)
    monkeypatch.setenv("INVERT3D_DATA", str(tmp_path))
    data = training_data("modelnet10-voxels+shapes", per_class=1)
    assert data.classes == (*CATEGORIES, "clutter") and data.facing == "stored"
    counts = np.bincount(data.train_labels)
    real = 19  # of the file, one of which is empty; one procedural shape a class; eight of clutter
    assert counts.sum() == real + len(CATEGORIES) + 8 and counts[-1] == 8
    assert counts[CATEGORIES.index("airplane")] == 1 and counts[CATEGORIES.index("sofa")] > 1
    assert len(data.test) == 17 and set(data.test_labels) <= {CATEGORIES.index(name) for name in MODELNET10}


def test_views_are_drawn_unevenly_along_a_direction() -> None:
    ball = np.random.default_rng(0).normal(size=(1, 2048, 3)).astype(np.float32)
    ball /= np.linalg.norm(ball, axis=-1, keepdims=True)
    label, rows = np.zeros(1, int), torch.zeros(64, dtype=torch.long)
    plain = {"train": ball, "train_labels": label, "test": ball, "test_labels": label, "classes": ("a",), "source": ""}
    even, uneven = (
        Clouds(**plain, uneven=each, augmentation=()).views(rows, Draws.seeded(0, range(64)), 256, 0.0)
        for each in (0.0, 2.0)
    )
    assert even.shape == uneven.shape == (64, 256, 3)
    assert even.mean(1).norm(dim=-1).max() < 0.2  # the middle of an even sphere is its center
    assert uneven.mean(1).norm(dim=-1).median() > 0.2  # coth(k) - 1/k, 0.31 for k = 1
    assert all(len(view.unique(dim=0)) == 256 for view in uneven)  # without replacement
