"""The transfer matrix: who may not score it, and what its tables call the networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from invert3d.data.voxels import refaced
from invert3d.data.worlds.shapes import make_clouds
from invert3d.jobs.options import RunOptions
from invert3d.methods.recipes import load_recipe
from invert3d.opening.networks import Network, open_network
from invert3d.study.classes.score import other_networks, recognition
from invert3d.study.classes.transfer import transfer
from invert3d.study.transfer import short_names
from tests.conftest import TinyNet

SILENT = RunOptions(progress=False)


def named(name: str) -> Network:
    return replace(open_network(TinyNet(), classes=["a", "b", "c", "d"]), name=name)


def test_a_judge_does_not_score_the_transfer_under_any_name() -> None:
    judge = open_network("pointnet_vanilla-shapes")
    for called, says in (("pointnet_vanilla-shapes", "shapes judges"), ("mine", r"\(called mine\) judges")):
        with pytest.raises(ValueError, match=says):
            transfer([("ours", False)], [named("other"), replace(judge, name=called)], SILENT)


def test_a_network_is_shown_shapes_as_it_learned_them() -> None:
    front = open_network("pointnet_vanilla-shapes", points=512)
    stored = replace(front, facing="stored")
    monitors = torch.from_numpy(make_clouds(["monitor"], 6, 512, 5)[0])
    asked = ["monitor"] * 6
    assert recognition(front, monitors, asked, "front").share == 1.0
    turned = torch.from_numpy(refaced(monitors.numpy(), asked, "front", "stored"))
    assert recognition(front, turned, asked, "stored").share == 1.0
    assert recognition(stored, monitors, asked, "front").probability.mean() < 0.5  # this network faces -y in truth


def test_others_learned_the_same_shapes_and_are_of_another_architecture() -> None:
    def names(model: str) -> list[str]:
        network = open_network(model, points=512)
        return [each.name for each in other_networks(network, "pointnet_vanilla-shapes", ["chair"])]

    assert names("pointnet2_ssg-shapes") == ["dgcnn-shapes", "pointnet-shapes"]
    assert names("pointnet2_ssg-modelnet10") == ["dgcnn-modelnet10", "pointnet-modelnet10"]


def test_names_that_are_columns_and_single_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be called recipe"):
        transfer([("published", False)], [named("a"), named("recipe")], SILENT)
    with pytest.raises(ValueError, match="at least two networks"):
        transfer([("published", False)], [named("a")], SILENT)


def test_short_names_tell_networks_apart() -> None:
    assert short_names(["pointnet-shapes", "dgcnn-shapes", "centernet3d-small"]) == ["pointnet", "dgcnn", "small"]
    assert short_names(["pointnet-a", "pointnet-b"]) == ["pointnet-a", "pointnet-b"]
    assert short_names(["dgcnn-a", "dgcnn-a"]) == ["dgcnn", "dgcnn"]


def test_what_was_guessed_of_a_network_is_with_its_scores() -> None:
    networks = [named("one"), open_network("pointnet_vanilla-shapes")]
    networks = [replace(networks[0], classes=networks[1].classes[:4]), networks[1]]
    recipe = load_recipe("published", points=64, steps=4)
    (found,) = transfer([(recipe, False)], networks, SILENT, classes=["airplane"], repeats=1)
    assert found.guessed == " one: Guessed: that z is up (--up)."
