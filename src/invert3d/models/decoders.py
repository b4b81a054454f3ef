"""Decoders: from what a layer makes of an input back to an input (Dosovitskiy & Brox 2016; *The Essence of Pose*, 3.2).

There is one for each kind of input, registered by the name of its space, and a critic of pictures for adversarial
training. All take features (B, ...) and flatten them.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from invert3d.registry import register


@register("decoder", "image")
class PictureDecoder(nn.Module):
    """Features of so many ``numbers`` -> pictures (B, 3, side, side) in [0, 1].

    A linear layer, four up-convolutions of 5 x 5 that double the side, each with ReLU and then batch norm, as the paper
    has them (figure 3), and a convolution. What is more than ``side`` is cut off evenly.
    """

    def __init__(self, numbers: int, side: int, width: int = 32) -> None:
        super().__init__()
        self.side, self.first = side, -(-side // 16)
        widths = [8 * width, 4 * width, 2 * width, width, width]
        self.begin = nn.Sequential(nn.Linear(numbers, widths[0] * self.first**2), nn.ReLU())
        self.grow = nn.Sequential(*(up(a, b) for a, b in zip(widths, widths[1:], strict=False)))
        self.last = nn.Conv2d(width, 3, 5, padding=2)

    def forward(self, features: Tensor) -> Tensor:
        x = self.begin(features.flatten(1)).view(len(features), -1, self.first, self.first)
        edge = (16 * self.first - self.side) // 2
        x = self.last(self.grow(x))[..., edge : edge + self.side, edge : edge + self.side]
        return torch.sigmoid(x)


def up(inputs: int, outputs: int) -> nn.Sequential:
    """An up-convolution to twice the side, ReLU, batch norm."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 5, 2, padding=2, output_padding=1), nn.ReLU(), nn.BatchNorm2d(outputs)
    )


@register("decoder", "points")
class CloudDecoder(nn.Module):
    """Features of so many ``numbers`` -> clouds (B, ``side``, 3) in the cube from -1 to 1, by three linear layers."""

    def __init__(self, numbers: int, side: int, width: int = 32) -> None:
        super().__init__()
        self.side = side
        self.begin = nn.Sequential(
            nn.Linear(numbers, 16 * width), nn.ReLU(), nn.Linear(16 * width, 16 * width), nn.ReLU()
        )
        self.last = nn.Linear(16 * width, 3 * side)

    def forward(self, features: Tensor) -> Tensor:
        return torch.tanh(self.last(self.begin(features.flatten(1)))).view(len(features), self.side, 3)


@register("decoder", "voxels")
class GridDecoder(nn.Module):
    """Features of so many ``numbers`` -> grids (B, 1, side, side, side) of occupancy, side a multiple of 8.

    A linear layer, three up-convolutions of 4 x 4 x 4 with ReLU and batch norm, and a convolution.

    Raises ValueError for another side.
    """

    def __init__(self, numbers: int, side: int, width: int = 32) -> None:
        super().__init__()
        if side % 8:
            raise ValueError(f"the decoder makes grids whose side is a multiple of 8, not {side}")
        self.first = side // 8
        widths = [4 * width, 2 * width, width, width]
        self.begin = nn.Sequential(nn.Linear(numbers, widths[0] * self.first**3), nn.ReLU())
        self.grow = nn.Sequential(
            *(
                nn.Sequential(nn.ConvTranspose3d(a, b, 4, 2, padding=1), nn.ReLU(), nn.BatchNorm3d(b))
                for a, b in zip(widths, widths[1:], strict=False)
            )
        )
        self.last = nn.Conv3d(width, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        x = self.begin(features.flatten(1)).view(len(features), -1, self.first, self.first, self.first)
        return torch.sigmoid(self.last(self.grow(x)))


class PatchCritic(nn.Module):
    """Pictures (B, 3, S, S) and the features (B, ...) that they were made from -> scores (B, S', S') of patches.

    Three convolutions of 4 x 4 that halve the side (PatchGAN, Isola et al. 2017), spectral norms (Miyato et al. 2018)
    and no others. A patch scores for itself, and for how well it goes with the features (projection, Miyato & Koyama
    2018).
    """

    def __init__(self, numbers: int, width: int = 32) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width]
        self.body = nn.Sequential(
            *(
                nn.Sequential(spectral_norm(nn.Conv2d(a, b, 4, 2, padding=1)), nn.LeakyReLU(0.2))
                for a, b in zip(widths, widths[1:], strict=False)
            )
        )
        self.own = spectral_norm(nn.Conv2d(widths[-1], 1, 1))
        self.match = spectral_norm(nn.Linear(numbers, widths[-1]))

    def forward(self, pictures: Tensor, features: Tensor) -> Tensor:
        x = self.body(2 * pictures - 1)
        with_features = torch.einsum("bchw,bc->bhw", x, self.match(features.flatten(1)))
        return self.own(x)[:, 0] + with_features / x.shape[1] ** 0.5
