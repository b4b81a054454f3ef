"""The contract of attributions, to run on your own (see ``invert3d.testing`` for all the others)."""

from typing import Any

import torch
from torch import Tensor, nn

from invert3d.engine.model import Frozen
from invert3d.engine.space import Image, Points, Voxels
from invert3d.objectives.classes import ClassScore
from invert3d.testing import check_plain, require


def check_attribution(method: Any, seed: int = 0) -> None:
    """Values like x, finite, the same again, sample by sample; the model is left as it was.

    On clouds, grids and images, whichever the method takes; the others it refuses.
    """
    check_plain(method)
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.rand(3, 48, 3, generator=generator, dtype=torch.float64) - 0.5
    grid = (torch.rand(3, 1, 8, 8, 8, generator=generator) < 0.3).double()
    image = torch.rand(3, 3, 12, 12, generator=generator, dtype=torch.float64)
    for space, model, x in (
        (Points(points=48), _Toy(), cloud),
        (Voxels(size=8), _Places(nn.Conv3d, 1), grid),
        (Image(height=12, width=12), _Places(nn.Conv2d, 3), image),
    ):
        for parameter in model.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 2
        if isinstance(space, method.takes):
            _check_on(method, Frozen(model.double(), space), x)
        else:
            try:
                method(Frozen(model.double(), space), ClassScore(), x, torch.tensor([0, 2, 1]))
            except ValueError:
                continue
            require(False, f"{type(method).__name__} does not refuse {type(space).__name__}")


def _check_on(method: Any, frozen: Frozen, x: Tensor) -> None:
    name = f"{type(method).__name__} on {type(frozen.space).__name__}"
    model, target = frozen.model, torch.tensor([0, 2, 1])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = method(frozen, ClassScore(), x, target)
    require(first.values.shape == x.shape, f"{name} gives {tuple(first.values.shape)} for {tuple(x.shape)}")
    require(bool(first.values.isfinite().all()), f"{name} gives values that are not finite")
    require(bool(first.values.any()), f"{name} gives only zeros")
    require(torch.equal(method(frozen, ClassScore(), x, target).values, first.values), f"{name} is not deterministic")
    alone = method(frozen, ClassScore(), x[:1], target[:1]).values
    require(torch.allclose(alone, first.values[:1], atol=1e-8), f"{name} mixes the samples of a batch")
    require("evaluations" in first.facts, f"{name} does not say how often it ran the model")
    untouched = model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    same = all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    require(untouched and same, f"{name} does not leave the model as it was")


class _Toy(nn.Module):
    """A classifier of clouds (B, N, 3): functions, modules, and a rectifier that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(3, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.rectify = nn.ReLU(inplace=True)

    def forward(self, points: Tensor) -> Tensor:
        x = self.rectify(self.first(points))
        x = nn.functional.elu(self.second(x)) + x
        return self.third(self.rectify(x).amax(1) + x.mean(1))


class _Places(nn.Module):
    """A classifier of grids or images: two convolutions, the mean over the places."""

    def __init__(self, convolution: Any, channels: int) -> None:
        super().__init__()
        self.first, self.second = convolution(channels, 6, 3, padding=1), convolution(6, 6, 3, padding=1)
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).relu()).relu()
        return self.last(x.flatten(2).mean(2))
