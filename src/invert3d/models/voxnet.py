"""VoxNet (Maturana & Scherer 2015), and the volumetric network of Qi et al. 2016 that later work scores with."""

import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.registry import register


@register("model", "voxnet")
class VoxNet(nn.Module):
    """Two convolutions and two linear layers. Grids (B, 1, 32, 32, 32) -> logits (B, classes)."""

    grid_sizes = (32,)

    def __init__(self, classes: int = 40, width: int = 32) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv3d(1, width, 5, stride=2), nn.Conv3d(width, width, 3)
        self.fc1, self.fc2 = nn.Linear(width * 6**3, 128), nn.Linear(128, classes)
        self.drops = nn.ModuleList(nn.Dropout(share) for share in (0.2, 0.3, 0.4))

    def forward(self, grids: Tensor) -> Tensor:
        x = self.drops[0](F.leaky_relu(self.conv1(grids), 0.1))
        x = self.drops[1](F.max_pool3d(F.leaky_relu(self.conv2(x), 0.1), 2))
        return self.fc2(self.drops[2](self.fc1(x.flatten(1)).relu()))


def perceptron(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """A convolution and two pointwise ones, each normed and rectified, with dropout at the end ("mlpconv")."""
    layers: list[nn.Module] = []
    for i, (size, step) in enumerate([(kernel, stride), (1, 1), (1, 1)]):
        layers += [nn.Conv3d(outputs if i else inputs, outputs, size, stride=step), nn.BatchNorm3d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(0.2))


@register("model", "voxel_nin")
class VoxelNIN(nn.Module):
    """Network in network, ``3dnin_fc`` of Qi et al. 2016. Grids (B, 1, S, S, S), S 30 or 32 -> logits (B, classes).

    ``features`` gives the (B, 4096) vector (at the published ``width`` 48) that generation scores are measured with.
    """

    grid_sizes = (30, 32)

    def __init__(self, classes: int = 40, width: int = 48) -> None:
        super().__init__()
        widths = [width, 2 * width, 512 * width // 48]
        self.layers = nn.Sequential(*map(perceptron, [1, *widths], widths, (6, 5, 3), (2, 2, 2)))
        self.fc1, self.drop, self.fc2 = nn.Linear(8 * widths[2], 512), nn.Dropout(0.5), nn.Linear(512, classes)

    def features(self, grids: Tensor) -> Tensor:
        """(B, 1, S, S, S) -> (B, 8 * channels), 4,096 at the published width."""
        return self.layers(grids).flatten(1)

    def forward(self, grids: Tensor) -> Tensor:
        return self.fc2(self.drop(self.fc1(self.features(grids)).relu()))
