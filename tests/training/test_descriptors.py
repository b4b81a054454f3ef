"""Training descriptors on a few terraces: pairs, poses, losses, a run that is resumed, and its card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from invert3d.data.worlds.two_views import make_views, relative_pose, rotated
from invert3d.jobs.options import RunOptions
from invert3d.opening.networks import open_network
from invert3d.training.descriptors import (
    DescriptorTraining,
    PairBatches,
    descriptor_loss,
    rotation_error,
    space_of,
    train_descriptor,
)
from invert3d.training.fit import FitSettings
from invert3d.training.runs import TrainRun
from invert3d.training.terraces import Terraces, make_terraces

SETTINGS = FitSettings(steps=3, batch=4, bf16=False)
SMALL = DescriptorTraining(scenes=3, held_out=2, views=2, settings=SETTINGS)


@pytest.fixture(scope="module")
def few() -> Terraces:
    """Three terraces, two views each."""
    return make_terraces(3, 2, 100, seed=5, options=RunOptions(progress=False))


def test_terraces_in_memory_are_those_of_the_world(few: Terraces) -> None:
    views = make_views(1, 2, seed=5)
    assert np.array_equal(few.images[1, 1].permute(1, 2, 0).numpy(), views[1].image)
    assert int(few.styles[1]) == views[0].style
    scene, one, other = few.pairs()
    assert len(scene) == 3 * 2 and (one != other).all()
    first, second = (views[k].camera for k in (0, 1))
    expected = relative_pose(first.rotation, first.eye, second.rotation, second.eye)
    found = few.poses(torch.tensor([1]), torch.tensor([0]), torch.tensor([1]))
    assert torch.allclose(found[0].double(), torch.from_numpy(expected), atol=1e-3)


def test_half_of_the_pairs_show_one_terrace(few: Terraces) -> None:
    batches = PairBatches.of(few, space_of(few), replace(SETTINGS, batch=16))
    shown, target = batches(0)
    assert target["match"].sum() == 8 and shown["one"].shape == (16, 3, 100, 100)
    again, _ = batches(0)
    assert torch.equal(shown["other"], again["other"]) and not torch.equal(shown["one"], batches(1)[0]["one"])
    whole = few.poses(*few.pairs())
    assert torch.allclose(batches.mean, whole.mean(0)) and torch.allclose(batches.deviation, whole.std(0))


def test_the_space_is_blue_green_red_without_its_mean(few: Terraces) -> None:
    space = space_of(few)
    fed = space.encode(few.images.flatten(0, 1).float() / 255)
    assert space.order == "bgr" and fed.mean((0, 2, 3)).abs().max() < 1e-3
    blue = few.images.float()[:, :, 2].mean() / 255
    assert space.mean[0] == pytest.approx(float(blue), abs=1e-5)


def test_poses_of_pairs_that_do_not_match_cost_nothing() -> None:
    match = torch.tensor([1, 0])
    found = {"pose": torch.tensor([[1.0] * 6, [50.0] * 6]), "match": torch.zeros(2, 2)}
    target = {"pose": torch.zeros(2, 6), "match": match}
    expected = 1 + F.cross_entropy(found["match"], match)
    assert float(descriptor_loss(found, target)) == pytest.approx(float(expected))


def test_the_angle_between_two_rotations() -> None:
    poses = torch.zeros(2, 6)
    poses[0, :3] = torch.tensor([10.0, 0, 0])
    poses[1, :3] = torch.tensor([0.0, -20, 5])
    found = rotation_error(poses, torch.zeros(2, 6))
    other = rotated(*np.radians([0.0, -20, 5]))
    assert float(found[0]) == pytest.approx(10, abs=1e-6)
    assert float(found[1]) == pytest.approx(np.degrees(np.arccos((np.trace(other) - 1) / 2)), abs=1e-6)


@pytest.mark.parametrize("task", ["pose", "style", "stacked"])
def test_a_run_leaves_a_network_and_its_card(task: str, tmp_path: Path) -> None:
    card = train_descriptor(replace(SMALL, task=task), TrainRun(name="small", out=tmp_path / task))
    assert card.kind == "descriptor" and card.held_out == 2
    names = {"style accuracy"} if task == "style" else {"rotation error", "rotation error, guess", "match error"}
    assert names <= set(card.scores)
    if task == "pose":
        network = open_network(str(tmp_path / task / "small.json"))
        assert network.frozen.space.shape == (3, 100, 100) and network.frozen(torch.rand(2, 3, 100, 100)).shape == (
            2,
            512,
        )
        resumed = TrainRun(name="small", out=tmp_path / task, resume=True)
        assert train_descriptor(replace(SMALL, task=task), resumed).sha256 == card.sha256


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown network"):
        replace(SMALL, variant="smallnet")
    with pytest.raises(ValueError, match="unknown task"):
        replace(SMALL, task="posing")
    with pytest.raises(ValueError, match="views must be between 2"):
        replace(SMALL, views=1)
