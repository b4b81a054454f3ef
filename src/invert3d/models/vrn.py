"""Voxception-ResNet (Brock et al. 2016): residual blocks of small and large kernels side by side, on 32^3 grids.

At the published width its convolutions hold 13,829,792 weights, the number that *3D Point Cloud Feature Explanations*
calls its parameters. Where the published code differs from the published text, the choice has a name.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.registry import register

StochasticDepth = Literal["none", "paper", "code"]

#: ``survival_p`` of the twelve blocks and the last convolution in the published code
SURVIVAL = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.45, 0.40, 0.35, 0.30, 0.25, 0.5)


def keep_probability(depth: StochasticDepth, block: int) -> float:
    """How often the residual of a block (0 to 12) is there in training, and its weight afterwards.

    ``paper``: falls linearly from 1 to 0.25. ``code``: one minus what it calls the survival probability.
    """
    if depth == "paper":
        return 1 - 0.75 * block / (len(SURVIVAL) - 1)
    return 1 - SURVIVAL[block] if depth == "code" else 1.0


class Residual(nn.Module):
    """``skip + branch(x)``, the branch sometimes left out in training and weighted by how often it is there after."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def added(self, skip: Tensor, branch: Tensor) -> Tensor:
        if not self.training:
            return skip + self.keep * branch
        there = torch.rand(len(skip), 1, 1, 1, 1, device=skip.device) < self.keep
        return skip + there.to(branch) * branch


class Block(Residual):
    """A bottleneck and a plain pair of convolutions side by side: (B, w, D, H, W) -> the same."""

    def __init__(self, width: int, keep: float) -> None:
        super().__init__(keep)
        quarter, half = width // 4, width // 2
        self.norm = nn.BatchNorm3d(width)
        self.narrow = nn.Sequential(
            nn.Conv3d(width, quarter, 1, bias=False),
            nn.BatchNorm3d(quarter),
            nn.ELU(),
            nn.Conv3d(quarter, quarter, 3, padding=1, bias=False),
            nn.BatchNorm3d(quarter),
            nn.ELU(),
            nn.Conv3d(quarter, half, 1),
        )
        self.wide = nn.Sequential(
            nn.Conv3d(width, quarter, 3, padding=1, bias=False),
            nn.BatchNorm3d(quarter),
            nn.ELU(),
            nn.Conv3d(quarter, half, 3, padding=1),
        )

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        h = F.elu(self.norm(x))
        return self.added(x if skip is None else skip, torch.cat([self.narrow(h), self.wide(h)], 1))


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
        branches = [
            self.strided(h),
            self.pointwise(h),
            F.max_pool3d(self.largest(h), 3, 2, 1),
            F.avg_pool3d(self.mean(h), 3, 2, 1),
        ]
        h = self.after(torch.cat(branches, 1))
        return F.elu(h) if self.rectified else h


class Last(Residual):
    """One residual convolution at full width."""

    def __init__(self, width: int, keep: float) -> None:
        super().__init__(keep)
        self.norm, self.conv = nn.BatchNorm3d(width), nn.Conv3d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.added(x, self.conv(F.elu(self.norm(x))))


@register("model", "vrn")
class VRN(nn.Module):
    """Voxception-ResNet. Grids (B, 1, 32, 32, 32) -> logits (B, classes).

    Args:
        classes: how many.
        width: channels of the first stage, a multiple of 4; 32 as published.
        stochastic_depth: ``none``; as the ``paper`` says; or as the published ``code`` does it.
        skip: the third block of the third stage adds to the block before it (``corrected``), or, as in the published
            code, to the entrance of the stage (``published``).
    """

    grid_sizes = (32,)
    features_layer = "stages.3.2"  # the last that all that follows is made of, 4 voxels a side

    def __init__(
        self,
        classes: int = 40,
        width: int = 32,
        stochastic_depth: StochasticDepth = "none",
        skip: Literal["corrected", "published"] = "corrected",
    ) -> None:
        super().__init__()
        if width % 4 or width < 4:
            raise ValueError(f"width must be a multiple of 4, not {width}")
        self.skip = skip
        self.conv = nn.Conv3d(1, width, 3, padding=1)
        self.stages = nn.ModuleList()
        for stage in range(4):
            w = width * 2**stage
            blocks = [Block(w, keep_probability(stochastic_depth, 3 * stage + i)) for i in range(3)]
            self.stages.append(nn.ModuleList([*blocks, Down(w, normed=stage != 2, rectified=stage == 3)]))
        full = 16 * width
        self.last = Last(full, keep_probability(stochastic_depth, 12))
        self.pooled = nn.BatchNorm1d(full)
        self.fc1, self.bn1, self.fc2 = nn.Linear(full, full, bias=False), nn.BatchNorm1d(full), nn.Linear(full, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.Linear)):
                nn.init.orthogonal_(module.weight.flatten(1))

    def forward(self, grids: Tensor) -> Tensor:
        x = self.conv(grids)
        for number, stage in enumerate(self.stages):
            assert isinstance(stage, nn.ModuleList)
            first, second, third, down = stage
            entrance = x
            x = second(first(x))
            x = down(third(x, entrance if self.skip == "published" and number == 2 else None))
        x = self.pooled(self.last(x).mean((2, 3, 4)))
        return self.fc2(self.bn1(F.elu(self.fc1(x))))
