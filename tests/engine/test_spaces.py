"""Spaces: what is legal, what the model is fed, where a run may start."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.space import STARTS, Image, Points, Space, Voxels

CLOUD, GRID, PICTURE = Points(points=32), Voxels(size=4), Image(height=4, width=6)


def spoiled(x: Tensor, value: float) -> Tensor:
    x = x.clone()
    x[1].view(-1)[5] = value
    return x


@pytest.mark.parametrize(
    ("space", "x", "says"),
    [
        (CLOUD, torch.zeros(2, 3, 32), r"must be \(B, N, 3\), these are \(B, 3, N\) = \(2, 3, 32\): transpose"),
        (CLOUD, torch.zeros(32, 3), r"must be \(B, N, 3\), got shape \(32, 3\)"),
        (CLOUD, torch.zeros(2, 32, 6), "got shape"),
        (CLOUD, torch.zeros(2, 3, 3), "at least 16 points, got 3"),
        (CLOUD, torch.zeros(2, 15, 3), "at least 16 points, got 15"),
        (CLOUD, spoiled(torch.zeros(3, 32, 3), torch.nan), r"sample 1 has NaN or infinite values \(1 of 3"),
        (CLOUD, spoiled(torch.zeros(2, 32, 3), -torch.inf), "sample 1 has NaN or infinite"),
        (CLOUD, spoiled(torch.zeros(2, 32, 3), 250.0), "reach 250, more than 4.0: center and scale"),
        (Points(points=32, normals=True), torch.zeros(2, 32, 3), r"must be \(B, N, 6\)"),
        (Points(points=32, normals=True), torch.zeros(2, 6, 32), "transpose"),
        (GRID, torch.zeros(2, 4, 4, 4), r"expected a batch of \(1, 4, 4, 4\), got \(2, 4, 4, 4\)"),
        (GRID, spoiled(torch.zeros(2, 1, 4, 4, 4), 1.5), r"must lie in \[0.0, 1.0\], these lie in \[0, 1.5\]"),
        (GRID, spoiled(torch.zeros(2, 1, 4, 4, 4), torch.nan), "sample 1 has NaN"),
        (PICTURE, torch.zeros(2, 4, 6, 3), "expected a batch of"),
        (PICTURE, spoiled(torch.zeros(2, 3, 4, 6), -0.01), "must lie in"),
        (PICTURE, 255 * torch.ones(2, 3, 4, 6), "must lie in"),
    ],
)
def test_bad_batches_are_refused_in_one_sentence(space: Space, x: Tensor, says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        space.validate(x)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("space", [CLOUD, GRID, PICTURE, Points(points=32, normals=True)])
def test_starts_are_legal_and_belong_to_their_samples(space: Space) -> None:
    names = STARTS if isinstance(space, Points) else ("uniform", "zero")
    for name in names:
        like = torch.empty(3, 0, dtype=torch.float64)
        x = space.start(name, like, Draws.seeded(0, range(3)))
        assert x.shape == (3, *space.shape) and x.dtype is torch.float64
        space.validate(x)
        alone = space.start(name, like[:1], Draws.seeded(0, [2]))
        assert torch.equal(alone[0], x[2])
    with pytest.raises(ValueError, match="unknown start 'unifrom'; did you mean uniform"):
        space.start("unifrom", torch.empty(1, 0), Draws.seeded(0, [0]))


def test_named_starts_are_what_their_names_say() -> None:
    like = torch.empty(2, 0)

    def start(name: str) -> Tensor:
        return Points(points=500).start(name, like, Draws.seeded(0, range(2)))

    assert start("uniform").abs().max() <= 0.2
    assert start("zero").abs().max() <= 1e-4
    assert torch.allclose(start("sphere").norm(dim=-1), torch.ones(2, 500))
    radii = start("ball").norm(dim=-1)
    assert radii.max() <= 1 + 1e-6
    assert abs(float((radii < 0.5).float().mean()) - 0.125) < 0.05, "an eighth of the volume"
    normals = Points(points=50, normals=True).start("ball", like, Draws.seeded(0, range(2)))[..., 3:]
    assert torch.allclose(normals.norm(dim=-1), torch.ones(2, 50))


def test_clouds_are_fed_in_the_models_layout_and_up_axis(clouds) -> None:
    x = clouds(2, 32)
    assert torch.equal(CLOUD.encode(x), x)
    assert torch.equal(Points(points=32, layout="b3n").encode(x), x.transpose(1, 2))
    y_up = Points(points=32, up="y").encode(x)
    assert torch.equal(y_up, x[..., [0, 2, 1]]), "as the public ModelNet40 clouds are stored"
    with_normals = torch.cat([x, -x], -1)
    turned = Points(points=32, up="y", normals=True).encode(with_normals)
    assert torch.equal(turned, torch.cat([y_up, -y_up], -1))


@pytest.mark.parametrize(("name", "value"), [("layout", "nb3"), ("up", "x")])
def test_unknown_conventions_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"unknown .*{value}"):
        Points(**{name: value})


def test_images_are_fed_in_the_models_channel_order_and_scale() -> None:
    x = torch.rand(2, 3, 4, 6)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    rgb = Image(height=4, width=6, mean=mean, std=std).encode(x)
    bgr = Image(height=4, width=6, mean=mean, std=std, order="bgr").encode(x)
    for i in range(3):
        assert torch.allclose(rgb[:, i], (x[:, i] - mean[i]) / std[i])
        assert torch.allclose(bgr[:, i], (x[:, 2 - i] - mean[i]) / std[i])
    caffe = Image(height=4, width=6, mean=(104 / 255, 117 / 255, 123 / 255), std=(1 / 255,) * 3, order="bgr")
    assert torch.allclose(caffe.encode(x)[:, 0], 255 * x[:, 2] - 104, atol=1e-4)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 5.0), (-1.0, 1.0)])
def test_voxels_are_fed_in_the_models_range(low: float, high: float) -> None:
    fed = Voxels(size=4, low=low, high=high).encode(torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1, 1))
    assert fed.flatten().tolist() == pytest.approx([low, (low + high) / 2, high])
