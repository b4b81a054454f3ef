"""Voxception-ResNet (Brock et al. 2016): residual blocks of small and large kernels side by side, on 32^3 grids.

At the published width its convolutions hold 13,829,792 weights, the number that *3D Point Cloud Feature Explanations*
calls its parameters. Residuals are never left out, and each block adds to the one before it (the published code has
stochastic depth, and lets the third block of the third stage add to the entrance of the stage).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.registry import register


def normed(inputs: int, outputs: int, size: int) -> tuple[nn.Module, ...]:
    """Convolution, batch norm and ELU."""
    conv = nn.Conv3d(inputs, outputs, size, padding=size // 2, bias=False)
    return conv, nn.BatchNorm3d(outputs), nn.ELU()


class Block(nn.Module):
    """A bottleneck and a plain pair of convolutions side by side: (B, w, D, H, W) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        quarter, half = width // 4, width // 2
        self.norm = nn.BatchNorm3d(width)
        narrow = [*normed(width, quarter, 1), *normed(quarter, quarter, 3)]
        self.narrow = nn.Sequential(*narrow, nn.Conv3d(quarter, half, 1))
        self.wide = nn.Sequential(*normed(width, quarter, 3), nn.Conv3d(quarter, half, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        h = F.elu(self.norm(x))
        return x + torch.cat([self.narrow(h), self.wide(h)], 1)


class Down(nn.Module):
    """Half the size and twice the width, in four ways side by side: (B, w, D, ...) -> (B, 2w, D / 2, ...)."""

    def __init__(self, width: int, normed: bool, rectified: bool) -> None:
        super().__init__()
        half = width // 2
        self.norm, self.rectified = nn.BatchNorm3d(width), rectified
        self.strided = nn.Conv3d(width, half, 3, stride=2, padding=1, bias=not normed)
        self.pointwise = nn.Conv3d(width, half, 1, stride=2, bias=not normed)
        self.largest = nn.Conv3d(width, half, 3, padding=1, bias=not normed)
        self.mean = nn.Conv3d(width, half, 3, padding=1, bias=not normed)
        self.after = nn.BatchNorm3d(2 * width) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = F.elu(self.norm(x))
        pooled = F.max_pool3d(self.largest(h), 3, 2, 1), F.avg_pool3d(self.mean(h), 3, 2, 1)
        h = self.after(torch.cat([self.strided(h), self.pointwise(h), *pooled], 1))
        return F.elu(h) if self.rectified else h


class Last(nn.Module):
    """One residual convolution at full width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm3d(width), nn.Conv3d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.elu(self.norm(x)))


@register("model", "vrn")
class VRN(nn.Module):
    """Voxception-ResNet. Grids (B, 1, 32, 32, 32) -> logits (B, classes).

    ``width``, a multiple of 4, is that of the first stage; 32 as published.
    """

    grid_sizes = (32,)
    features_layer = "stages.3.2"  # the last that all that follows is made of, 4 voxels a side

    def __init__(self, classes: int = 40, width: int = 32) -> None:
        super().__init__()
        if width % 4 or width < 4:
            raise ValueError(f"width must be a multiple of 4, not {width}")
        self.conv = nn.Conv3d(1, width, 3, padding=1)
        self.stages = nn.ModuleList()
        for stage in range(4):
            w = width * 2**stage
            blocks = [Block(w) for _ in range(3)]
            self.stages.append(nn.ModuleList([*blocks, Down(w, normed=stage != 2, rectified=stage == 3)]))
        full = 16 * width
        self.last = Last(full)
        self.pooled = nn.BatchNorm1d(full)
        self.fc1, self.bn1, self.fc2 = nn.Linear(full, full, bias=False), nn.BatchNorm1d(full), nn.Linear(full, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.Linear)):
                nn.init.orthogonal_(module.weight.flatten(1))

    def forward(self, grids: Tensor) -> Tensor:
        x = self.conv(grids)
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                x = block(x)
        x = self.pooled(self.last(x).mean((2, 3, 4)))
        return self.fc2(self.bn1(F.elu(self.fc1(x))))
