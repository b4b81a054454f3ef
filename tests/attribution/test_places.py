"""Grad-CAM and masks: against captum, and on networks of which it is known where they look."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from invert3d.attribution.features import GradCAM, deepest, from_centers
from invert3d.attribution.integrated import IntegratedGradients
from invert3d.attribution.masks import ExtremalPerturbation
from invert3d.attribution.removal import RegionOcclusion
from invert3d.engine.model import Frozen
from invert3d.engine.space import Image, Points, Voxels
from invert3d.models.voxnet import VoxelNIN, VoxNet
from invert3d.models.vrn import VRN
from invert3d.objectives.classes import ClassScore
from invert3d.opening.networks import open_network


def grids(count: int = 2, size: int = 32, seed: int = 0) -> Tensor:
    return (torch.rand(count, 1, size, size, size, generator=torch.Generator().manual_seed(seed)) < 0.1).float()


@pytest.mark.parametrize("layer", ["layers.0.3", "layers.1.6"])
def test_grad_cam_of_grids_is_that_of_captum(layer: str) -> None:
    torch.manual_seed(0)
    model, x, target = VoxelNIN(5, width=6).eval(), grids(), torch.tensor([1, 4])
    ours = GradCAM(layer=layer)(Frozen(model, Voxels(size=32)), ClassScore(), x, target)
    theirs = LayerGradCam(model, model.get_submodule(layer)).attribute(x, target, relu_attributions=True)
    assert isinstance(theirs, Tensor)
    theirs = nn.functional.interpolate(theirs, size=x.shape[2:], mode="trilinear", align_corners=False)
    assert torch.allclose(ours.values, theirs, atol=1e-6) and ours.values.any()
    assert ours.facts["layer"] == layer


@pytest.mark.parametrize(
    ("name", "layer"),
    [("pointnet-shapes", "feat.per_point"), ("dgcnn-shapes", "per_point"), ("pointnet2_ssg-shapes", "sa2")],
)
def test_the_deepest_layer_of_points(name: str, layer: str) -> None:
    network = open_network(name, points=512)
    x = torch.rand(1, 512, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    assert deepest(network.frozen, x) == layer
    found = GradCAM()(network.frozen, ClassScore(), x, torch.tensor([0]))
    assert found.values.shape == x.shape and (found.values >= 0).all()


def test_a_layer_must_be_there_and_have_places() -> None:
    model, x, target = Frozen(VoxNet(5, width=4), Voxels(size=32)), grids(1), torch.tensor([0])
    with pytest.raises(ValueError, match="no module 'conv3'; nearest: conv"):
        GradCAM(layer="conv3")(model, ClassScore(), x, target)
    with pytest.raises(ValueError, match="which is no map over the voxels"):
        GradCAM(layer="fc1")(model, ClassScore(), x, target)


def test_values_at_centers_stay_there() -> None:
    centers = torch.rand(2, 5, 3)
    values = torch.rand(2, 5)
    assert torch.allclose(from_centers(values, centers, centers), values, atol=1e-4)


class Corner(nn.Module):
    """Class 0 sees one corner of the input only, class 1 the rest."""

    def forward(self, x: Tensor) -> Tensor:
        inside = torch.zeros_like(x)
        inside[(slice(None), slice(None), *[slice(0, size // 2) for size in x.shape[2:]])] = 1
        seen = (x * inside).flatten(1).sum(1)
        return torch.stack([seen, (x * (1 - inside)).flatten(1).sum(1)], 1) / 10


class Upper(nn.Module):
    """Class 0 looks at the points above the middle only."""

    def forward(self, x: Tensor) -> Tensor:
        high = x[..., 2].clamp_min(0).sum(1)
        return torch.stack([high, -high], 1)


@pytest.mark.parametrize("space", [Voxels(size=16), Image(height=16, width=16)])
def test_the_best_mask_covers_what_the_network_sees(space: Voxels | Image) -> None:
    x = grids(1, 16) if isinstance(space, Voxels) else torch.rand(1, 3, 16, 16)
    found = ExtremalPerturbation(areas=(0.125,))(Frozen(Corner(), space), ClassScore(), x, torch.tensor([0]))
    values = found.per_element("sum")[0]
    inside = torch.zeros_like(values, dtype=torch.bool)
    inside[tuple(slice(0, size // 2) for size in values.shape)] = True
    assert values[inside].sum() > 0.75 * values.sum()


def test_the_best_mask_of_a_cloud_covers_what_the_network_sees() -> None:
    x = torch.rand(2, 200, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    method = ExtremalPerturbation(areas=(0.3,), neighbors=4)
    values = method(Frozen(Upper(), Points(points=200)), ClassScore(), x, torch.tensor([0, 0])).per_element("sum")
    for cloud, worth in zip(x, values, strict=True):
        assert worth[cloud[:, 2] > 0.1].mean() > 3 * worth[cloud[:, 2] < -0.1].mean()
    assert values.mean() == pytest.approx(0.3, abs=0.05)


def test_occluded_blocks_add_up_to_what_was_there() -> None:
    x = grids(2, 16)
    found = RegionOcclusion(blocks=4)(Frozen(Corner(), Voxels(size=16)), ClassScore(), x, torch.tensor([0, 1]))
    corner = Corner()(x)
    for row, target in ((0, 0), (1, 1)):
        block = found.values[row, 0].view(4, 4, 4, 4, 4, 4).permute(0, 2, 4, 1, 3, 5).amax((3, 4, 5))
        low = found.values[row, 0].view(4, 4, 4, 4, 4, 4).permute(0, 2, 4, 1, 3, 5).amin((3, 4, 5))
        assert torch.allclose(block, low), "one number a block"
        assert block.sum() == pytest.approx(float(corner[row, target]), rel=1e-4)


def test_a_baseline_must_fit() -> None:
    model = Frozen(Corner(), Voxels(size=8))
    x = grids(2, 8)
    half = IntegratedGradients(baseline=torch.full((1, 1, 8, 8, 8), 0.5))
    found = half(model, ClassScore(), x, torch.tensor([0, 0]))
    assert np.allclose(found.facts["F(baseline)"], Corner()(torch.full_like(x, 0.5))[:, 0], atol=1e-5)
    with pytest.raises(ValueError, match=r"the baseline \(1, 1, 4, 4, 4\) does not fit inputs \(2, 1, 8, 8, 8\)"):
        IntegratedGradients(baseline=torch.zeros(1, 1, 4, 4, 4))(model, ClassScore(), x, torch.tensor([0, 0]))


def test_as_many_channels_as_points_are_not_confused() -> None:
    network = open_network("pointnet-shapes", points=1024)
    x = torch.rand(1, 1024, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    kept: list[Tensor] = []
    place = network.frozen.model.get_submodule("feat.per_point")
    handle = place.register_forward_hook(lambda _, __, output: kept.append(output))
    with network.frozen:
        score = network.frozen.outputs(x.clone().requires_grad_())[0][0, 3]
        gradient = torch.autograd.grad(score, kept[0])[0]
    handle.remove()
    expected = (kept[0][0] @ gradient[0].mean(0)).relu()  # (1024 points,)
    found = GradCAM()(network.frozen, ClassScore(), x, torch.tensor([3])).per_element("sum")[0]
    assert torch.allclose(found, expected.detach(), atol=1e-6) and found.any()


def test_a_model_that_stands_another_way_up_gives_the_same_map() -> None:
    network = open_network("pointnet2_ssg-shapes", points=512)
    x = torch.rand(1, 512, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    upright = GradCAM()(network.frozen, ClassScore(), x, torch.tensor([0])).per_element("sum")
    other = Frozen(network.frozen.model, Points(points=512, up="y"))
    turned = GradCAM()(other, ClassScore(), x[..., [0, 2, 1]], torch.tensor([0])).per_element("sum")
    assert torch.allclose(upright, turned, atol=1e-6)


def test_the_trunk_of_vrn_and_a_layer_that_is_never_called() -> None:
    vrn = Frozen(VRN(5, width=4), Voxels(size=32))
    assert GradCAM()(vrn, ClassScore(), grids(1), torch.tensor([0])).facts["layer"] == "stages.3.2"
    network = open_network("pointnet-shapes", points=64)
    with pytest.raises(ValueError, match="never calls its module 'feat.conv1'"):
        GradCAM(layer="feat.conv1")(network.frozen, ClassScore(), torch.rand(1, 64, 3) - 0.5, torch.tensor([0]))
