"""Calibration against a slow loop, the linear machine, and what is refused."""

from __future__ import annotations

import pytest
import torch

from invert3d.study.classification import calibration_error, classification_job, linear_machine


def test_the_calibration_error_is_the_one_of_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    chances = (3 * torch.randn(200, 4, generator=generator)).softmax(1)
    labels = torch.randint(4, (200,), generator=generator)
    expected = 0.0
    for k in range(15):
        inside = [i for i in range(200) if k / 15 < float(chances[i].max()) <= (k + 1) / 15]
        if inside:
            right = sum(int(chances[i].argmax()) == int(labels[i]) for i in inside) / len(inside)
            sure = sum(float(chances[i].max()) for i in inside) / len(inside)
            expected += len(inside) / 200 * abs(right - sure)
    assert calibration_error(chances, labels) == pytest.approx(expected, abs=1e-6)


def test_who_is_sure_and_right_is_calibrated() -> None:
    chances = torch.eye(3)[torch.tensor([0, 1, 2, 2])]
    assert calibration_error(chances, torch.tensor([0, 1, 2, 2])) == 0
    assert calibration_error(chances, torch.tensor([1, 2, 0, 0])) == 1
    half = torch.tensor([[0.5, 0.5, 0.0]] * 4)
    assert calibration_error(half, torch.tensor([0, 0, 1, 1])) == pytest.approx(0)


def test_a_linear_machine_finds_what_is_linear_at_any_scale() -> None:
    pytest.importorskip("sklearn")
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    x = torch.nn.functional.one_hot(labels) * 100 + 5 * torch.randn(60, 3, generator=generator)
    x = x * torch.tensor([1.0, 1e-3, 1e3])
    assert (torch.from_numpy(linear_machine(x[:30], labels[:30], x[30:])) == labels[30:]).all()


def test_networks_of_other_inputs_and_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="grids are for networks of voxels"):
        classification_job(["pointnet-shapes"])
    with pytest.raises(ValueError, match="unknown"):
        classification_job(["voxnett"])
