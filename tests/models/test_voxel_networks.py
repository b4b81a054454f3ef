"""Voxel networks: the published counts, and what they are fed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from invert3d.data.voxels import VoxelSplits, padded, read_modelnet10_grids
from invert3d.models.voxnet import VoxelNIN, VoxNet
from invert3d.models.vrn import VRN
from invert3d.models.weights import bundled
from invert3d.models.winn3d import WINN3D, folded
from invert3d.opening.networks import open_network


def test_vrn_has_the_published_number_of_convolution_weights() -> None:
    with torch.device("meta"):
        model = VRN(40)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv3d)]
    assert sum(module.weight.numel() for module in convolutions) == 13_829_792
    assert len(convolutions) == 1 + 4 * (3 * 5 + 4) + 1


def test_voxnet_and_nin_have_theirs() -> None:
    assert sum(p.numel() for p in VoxNet(40).parameters()) == 921_736
    assert sum(p.numel() for p in VoxNet(10).parameters()) == 917_866
    for size in (30, 32):
        features = VoxelNIN(10).eval().features(torch.zeros(1, 1, size, size, size))
        assert features.shape == (1, 4096)


def test_winn3d_is_table_1() -> None:
    """The sizes of the maps and the number of parameters of the paper; FC-1 for one class."""
    network, x, seen = WINN3D(1).eval(), torch.rand(2, 1, 32, 32, 32), []
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.AvgPool3d):
            module.register_forward_hook(lambda _, given, out: seen.append(tuple(out.shape[1:3])))
    assert network.features(x).shape == (2, 2048)
    assert seen == [(16, 32), (32, 32), (32, 16), (64, 16), (64, 8), (128, 8), (128, 4), (256, 4), (256, 2)]
    assert sum(p.numel() for p in network.parameters()) == 1_179_009 and network(x).shape == (2, 1)


def test_winn3d_in_other_sizes_shares_its_body() -> None:
    fine, coarse, cheap = WINN3D(5, width=4), WINN3D(5, width=4, size=16), WINN3D(5, width=4, stem="folded")
    for other in (coarse, cheap):
        shared = {key: value for key, value in fine.state_dict().items() if not key.startswith("stem")}
        assert set(other.load_state_dict(shared, strict=False).missing_keys) == {
            key for key in other.state_dict() if key.startswith("stem")
        }
    assert coarse(torch.rand(2, 1, 16, 16, 16)).shape == cheap(torch.rand(2, 1, 32, 32, 32)).shape == (2, 5)
    x = torch.rand(2, 1, 4, 4, 4)
    for place in np.ndindex(2, 2, 2):
        assert torch.equal(folded(x)[:, :, *place], x[:, 0, *(slice(2 * p, 2 * p + 2) for p in place)].flatten(1))
    with pytest.raises(ValueError, match="32 or 16 voxels a side, not 24"):
        WINN3D(5, size=24)
    with pytest.raises(ValueError, match="unknown stem 'fold'; did you mean folded"):
        WINN3D(5, stem="fold")
    with pytest.raises(ValueError, match="takes grids of 16 voxels a side, not 32"):
        open_network(coarse, classes=list("abcde"), size=32)


def test_a_width_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        VRN(5, width=6)


def test_a_network_of_grids_is_not_asked_about_clouds() -> None:
    network = open_network(VoxNet(5, width=4), classes=["a", "b", "c", "d", "e"])
    assert network.takes == "voxel grids 32 a side"
    with pytest.raises(ValueError, match="takes voxel grids 32 a side; this asks networks of clouds"):
        network.with_points(64)
    with pytest.raises(ValueError, match="takes grids of 32 voxels a side, not 30"):
        open_network(VoxNet(5, width=4), classes=["a", "b", "c", "d", "e"], size=30)


@pytest.fixture(scope="module")
def grids(real: Path) -> VoxelSplits:
    return read_modelnet10_grids(real / "modelnet10_voxels", facing="stored")


ON_GRIDS = [name for name, card in bundled("classifier").items() if "size" in card.inputs and "ModelNet10" in card.data]


@pytest.mark.parametrize("name", ON_GRIDS)
def test_the_bundled_networks_know_real_grids(name: str, grids: VoxelSplits) -> None:
    network = open_network(name)
    assert network.card is not None
    fresh = np.setdiff1d(np.arange(len(grids.test)), grids.repeats)[::8]
    x = torch.from_numpy(padded(grids.test[fresh], network.card.inputs["size"])).float()[:, None]
    right = torch.cat([network.frozen(part).argmax(-1) for part in x.split(8)]) == torch.from_numpy(
        grids.test_labels[fresh]
    )
    assert right.double().mean() > network.card.scores["accuracy_fresh"] - 0.06
