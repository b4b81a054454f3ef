"""``invert3d doctor`` shows shapes: it finds up axis, turn, size and class order of a network that was changed so."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.space import Points, Voxels
from invert3d.opening.networks import Network, open_network
from invert3d.study.explaining.held_out import held_out
from invert3d.study.recognition import Way, consistent, order, p_value, wanted


class Shown(nn.Module):
    """A bundled network as somebody would have trained it on shapes that are shown in another way."""

    def __init__(self, network: Network, way: Way, outputs: list[int]) -> None:
        super().__init__()
        self.inner, self.way, self.outputs = network.frozen.model, way, outputs

    def forward(self, x: Tensor) -> Tensor:
        """Undo the way: mirrored axes back, turned back, sized back."""
        x = x[..., [0, 2, 1]] if self.way.up == "y" else x
        for _ in range(self.way.turn // 90):
            x = torch.stack([x[..., 1], -x[..., 0], x[..., 2]], -1)
        return self.inner(x / self.way.radius)[:, self.outputs]


@pytest.mark.parametrize(
    "way", [Way(), Way(up="y", turn=90), Way(turn=270, radius=0.5)], ids=["as made", "y up, turned", "turned, small"]
)
def test_the_way_that_a_network_was_trained_on_is_found(way: Way) -> None:
    bundled = open_network("pointnet_vanilla-shapes", points=256)
    order = list(range(20))
    network = open_network(Shown(bundled, way, order), classes=bundled.classes[:20], points=256)
    text = " ".join(wanted(network))
    assert f"up: {way.up}, at most" in text and ("opened with z up" in text) == (way.up == "y")
    assert (f"turned by {way.turn} degrees" in text) == bool(way.turn)
    assert f"radius: {way.radius:g}, " in text and "class names: in the right order" in text


def test_class_names_in_another_order_are_put_right() -> None:
    bundled = open_network("pointnet_vanilla-shapes", points=256)
    names, moved = bundled.classes[:20], [*range(3, 20), 0, 1, 2]
    network = open_network(Shown(bundled, Way(), moved), classes=names, points=256)
    said = wanted(network)[-1]
    assert "in another order, 0 shapes are right by name" in said
    for i, j in ((3, 0), (19, 16), (0, 17)):
        assert f"{names[i]} is output {j}" in said


class Always(nn.Module):
    """Says the same of everything."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.arange(outputs).float())

    def forward(self, x: Tensor) -> Tensor:
        return self.answer + 0 * x.mean((1, 2), keepdim=True)[:, :, 0]


def test_networks_that_know_nothing_are_not_judged() -> None:
    unknown = open_network(Always(2), classes=["p", "q"], points=32)
    assert wanted(unknown) == [
        "None of its classes has procedural shapes: up axis, facing and class order were not tested."
    ]
    for names in (["chair", "airplane"], ["chair", "airplane", "cup"]):
        (only,) = wanted(open_network(Always(len(names)), classes=names, points=32))
        assert (
            only
            == f"It recognizes at most 6 of {6 * len(names)} procedural shapes: too few to tell its expected input."
        )
    normals = replace(unknown, frozen=unknown.frozen.on(replace(unknown.space, normals=True)))
    assert "takes normals" in wanted(normals)[0]


def test_grids_and_clouds_are_turned_alike() -> None:
    cloud = torch.tensor([[[0.8, 0.1, 0.4], [-0.3, 0.6, 0.9]]])
    grid = torch.zeros(1, 1, 10, 10, 10)
    places = ((cloud[0] + 1) * 5).long()
    grid[0, 0, places[:, 0], places[:, 1], places[:, 2]] = 1
    for way in (Way(turn=90), Way(turn=180), Way(turn=270)):
        turned = way.shown(cloud, Points(points=2))[0]
        there = way.shown(grid, Voxels(size=10))[0][0, 0].nonzero()
        assert sorted(((turned[0] + 1) * 5).floor().long().tolist()) == sorted(there.tolist())


def test_values_of_voxels_are_fed() -> None:
    x, space = Way(values=(-1.0, 5.0)).shown(torch.ones(1, 1, 4, 4, 4), Voxels(size=4))
    assert space.encode(x).unique().tolist() == [5.0]


def test_the_best_order_and_who_keeps_to_it() -> None:
    target = torch.arange(3).repeat_interleave(4)
    said = torch.tensor([2, 2, 2, 2, 0, 0, 0, 1, 1, 1, 1, 1])
    assert order(said, target, 4).tolist() == [2, 0, 1, -1]
    assert consistent(said, target, 4).tolist() == [True] * 7 + [False] + [True] * 4
    assert p_value(torch.ones(8, dtype=torch.bool), torch.zeros(8, dtype=torch.bool)) == 0.5**8
    assert p_value(said == 1, said == 1) == 1


def test_procedural_grids_face_as_a_network_learned_them() -> None:
    real = open_network("voxnet-modelnet10")
    front = replace(real, facing="front")
    ours, theirs = (held_out(each, 1, data="shapes") for each in (front, real))
    for i, label in enumerate(theirs.target.tolist()):
        turned = real.classes[label] in ("desk", "dresser", "monitor", "night_stand", "sofa", "table")
        assert torch.equal(ours.x[i, 0].rot90(-1, (0, 1)) if turned else ours.x[i, 0], theirs.x[i, 0])
        x, y, z = ours.edges[i].unbind(-1)
        moved = torch.stack([y, 32 - x, z], -1) if turned else ours.edges[i]
        assert torch.equal(theirs.edges[i], moved)
