"""Error analysis: counts against scikit-like loops, the surest mistakes first, a folder with everything in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from invert3d.opening.networks import open_network
from invert3d.study.explaining.errors import confident_mistakes, confusion, findings, typical, worst_pairs
from invert3d.study.explaining.held_out import held_out, probabilities
from invert3d.study.pruning.survival import overlaps, survival
from tests.cli.calls import command

pytestmark = pytest.mark.usefixtures("coarse")

NETWORK = "pointnet_vanilla-shapes"


def test_confusions_by_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    said, target = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    slow = np.zeros((4, 4), int)
    for a, b in zip(target, said, strict=True):
        slow[a, b] += 1
    found = confusion(torch.from_numpy(said), torch.from_numpy(target), 4)
    assert found.tolist() == slow.tolist()
    names = ("a", "b", "c", "d")
    pairs = worst_pairs(found, names)
    off = sorted((slow[i, j] for i in range(4) for j in range(4) if i != j), reverse=True)
    assert [count for _, _, count in pairs] == off[:4]
    assert all(slow[names.index(a), names.index(b)] == count for a, b, count in pairs)


def test_findings_are_in_words_the_worst_class_first() -> None:
    counts = torch.tensor([[3, 1, 0, 0], [0, 4, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0]])
    assert findings(counts, ("chair", "sofa", "night_stand", "bed")) == [
        "night_stand: 0 of 3 right, 2 classified as sofa, never predicted",
        "chair: 3 of 4 right, 1 classified as sofa",
    ]


def test_the_surest_mistakes_come_first_and_a_typical_shape_is_right() -> None:
    chances = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3], [0.95, 0.05]])
    target = torch.tensor([0, 0, 0, 1, 0])
    assert confident_mistakes(chances, target, 5) == [2, 3, 1]
    assert confident_mistakes(chances, target, 1) == [2]
    assert typical(chances, target, 0) in (0, 4)
    assert typical(chances, target, 1) is None


def test_held_out_shapes_of_points_and_voxels() -> None:
    for name in (NETWORK, "voxnet-shapes"):
        network = open_network(name, points=64)
        found = held_out(network, 1)
        assert len(found) == 20 and found.x.shape[1:] == network.frozen.space.shape
        network.frozen.space.validate(found.x)
        assert found.edges is not None and all(each.shape[1:] == (2, 3) for each in found.edges)
    right = probabilities(open_network("voxnet-shapes"), found.x).argmax(-1) == found.target
    assert right.double().mean() > 0.9


def test_held_out_shapes_of_ones_own(tmp_path: Path) -> None:
    command("data", "make", "shapes", tmp_path / "a.npz", per_class=2, points=64, classes="chair,cup")
    command("data", "make", "shapes", tmp_path / "meshes", per_class=5, form="meshes", classes="chair,cup")
    network = open_network(NETWORK, points=64)
    for place, count in (("a.npz", 4), ("meshes", 2)):
        found = held_out(network, data=str(tmp_path / place))
        network.frozen.space.validate(found.x)
        assert len(found) == count and {network.classes[i] for i in found.target} == {"chair", "cup"}
    assert len(held_out(network, 1, data=str(tmp_path / "a.npz"))) == 2
    with pytest.raises(ValueError, match="has no voxels; voxnet-shapes takes voxel grids 32 a side"):
        held_out(open_network("voxnet-shapes"), data=str(tmp_path / "a.npz"))
    with pytest.raises(ValueError, match="has clouds of 64 points"):
        held_out(open_network(NETWORK, points=128), data=str(tmp_path / "a.npz"))
    with pytest.raises(ValueError, match="folders of ModelNet are read for networks of clouds"):
        held_out(open_network("voxnet-shapes"), data=str(tmp_path / "meshes"))
    other = open_network(NETWORK, points=64, classes=[f"c{i}" for i in range(21)])
    with pytest.raises(ValueError, match="knows none of the classes of .*: chair, cup"):
        held_out(other, data=str(tmp_path / "a.npz"))


def test_edges_lie_on_the_shape_they_belong_to() -> None:
    found = held_out(open_network(NETWORK, points=1024), 1)
    assert found.edges is not None
    for cloud, edges in zip(found.x, found.edges, strict=True):
        if len(edges):
            nearest = torch.cdist(edges.mean(1).float(), cloud).amin(1)
            assert nearest.median() < 0.12
    grids = held_out(open_network("voxnet-shapes"), 1)
    assert grids.edges is not None
    for grid, edges in zip(grids.x, grids.edges, strict=True):
        places = edges.mean(1).clamp(0, 31.99).long()
        assert len(edges) == 0 or grid[0][tuple(places.T)].mean() > 0.95


def test_a_folder_with_confusions_and_mistakes(tmp_path: Path) -> None:
    out = tmp_path / "errors"
    command("evaluate", "errors", NETWORK, per_class=8, points=64, method="gradient", most=2, out=out)
    table = json.loads((out / "table.json").read_text())
    assert 0.2 < table["accuracy"] < 1 and len(table["rows"]) == 2
    sure = [float(row[2]) for row in table["rows"]]
    assert sure == sorted(sure, reverse=True)
    counts = np.array(json.loads((out / "confusion.json").read_text())["counts"])
    assert counts.sum() == 160 and np.trace(counts) / 160 == pytest.approx(table["accuracy"])
    for name in ("confusion.png", "mistakes.png", "index.html"):
        assert (out / name).stat().st_size > 1000
    with pytest.raises(ValueError, match="exists already"):
        command("evaluate", "errors", NETWORK, out=out)
    with pytest.raises(ValueError, match="explains points, not voxels"):
        command("evaluate", "errors", "voxnet-shapes", method="point_saliency", out=tmp_path / "other")


def test_a_network_explains_as_itself() -> None:
    network = open_network("voxnet-shapes")
    row = survival(network, network, "gradient", per_class=1)
    assert row["same answer"] == f"{row['shapes']} of {row['shapes']}" and row["rank correlation"].startswith("1.00")
    assert abs(float(row["random weights"].split(" ")[0])) < 0.3
    with pytest.raises(ValueError, match="do not take the same inputs"):
        survival(network, open_network("voxnet-modelnet10"), "gradient")
    with pytest.raises(ValueError, match="no pruned weights"):
        command("evaluate", "pruning", "voxnet-shapes")


def test_overlap_of_the_largest() -> None:
    values = torch.arange(20.0).view(1, 20)
    there = torch.ones(1, 20, dtype=torch.bool)
    assert overlaps(values, values, there).tolist() == [1.0]
    assert overlaps(values, -values, there).tolist() == [0.0]
    assert overlaps(values, values.roll(1, 1), there).tolist() == [0.5]


def test_figures_of_the_saliency_paper(tmp_path: Path) -> None:
    command("reproduce", "saliency3d/fig3", model="voxnet-shapes", out=tmp_path / "three")
    table = json.loads((tmp_path / "three" / "table.json").read_text())
    assert {row[3] for row in table["rows"]} == {"gradient", "input x gradient", "integrated gradients", "guided"}
    with pytest.raises(ValueError, match="figure 2 shows clouds; voxnet-shapes takes voxel grids 32 a side"):
        command("reproduce", "saliency3d/fig2", model="voxnet-shapes", out=tmp_path / "two")
    with pytest.raises(ValueError, match="figure 3 shows voxel grids"):
        command("reproduce", "saliency3d/fig3", model=NETWORK, out=tmp_path / "two")
    with pytest.raises(ValueError, match="did you mean saliency3d/fig"):
        command("reproduce", "saliency3d/fig9", out=tmp_path / "two")
