"""DLA-34 with deformable up-sampling: Yu et al., *Deep Layer Aggregation*, 2018, as CenterNet uses it.

Parameters have the names and shapes of the public checkpoint (``ddd_3dop.pth``), whose compiled DCNv2 is
``torchvision.ops.deform_conv2d`` here: the offsets are (y, x) a tap in both, the mask is the sigmoid of the last third.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (16, 32, 64, 128, 256, 512)


def conv_norm(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU."""
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (B, C, H, W) that is handed in."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if shortcut is None else shortcut))


class Root(nn.Module):
    """Aggregates maps of one size: a pointwise convolution of all of them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, *maps: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(torch.cat(maps, 1))))


class Tree(nn.Module):
    """Hierarchical aggregation of ``levels``: two subtrees, or two blocks and their root.

    ``first`` says that the input of the stage, made smaller, is aggregated too. As in the public code a tree of trees
    has a ``project`` that nothing reads: checkpoints hold it.
    """

    def __init__(
        self, levels: int, inputs: int, outputs: int, stride: int = 1, first: bool = False, gathered: int = 0
    ) -> None:
        super().__init__()
        gathered = (gathered or 2 * outputs) + (inputs if first else 0)
        if levels == 1:
            self.tree1: nn.Module = Block(inputs, outputs, stride)
            self.tree2: nn.Module = Block(outputs, outputs)
            self.root = Root(gathered, outputs)
        else:
            self.tree1 = Tree(levels - 1, inputs, outputs, stride)
            self.tree2 = Tree(levels - 1, outputs, outputs, gathered=gathered + outputs)
        self.levels, self.first = levels, first
        self.downsample = nn.MaxPool2d(stride, stride) if stride > 1 else nn.Identity()
        self.project = None
        if inputs != outputs:
            self.project = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor, children: Sequence[Tensor] = ()) -> Tensor:
        small = self.downsample(x)
        children = (*children, small) if self.first else tuple(children)
        if self.levels > 1:
            y = self.tree1(x)
            return self.tree2(y, (*children, y))
        y = self.tree1(x, small if self.project is None else self.project(small))
        return self.root(self.tree2(y), y, *children)


class DLA(nn.Module):
    """Images (B, 3, H, W) -> six maps, at 1, 1/2, 1/4, ... 1/32 of the size."""

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        c = channels
        self.base_layer = conv_norm(3, c[0], 7)
        self.level0, self.level1 = conv_norm(c[0], c[0], 3), conv_norm(c[0], c[1], 3, 2)
        self.level2 = Tree(1, c[1], c[2], 2)
        self.level3, self.level4 = Tree(2, c[2], c[3], 2, True), Tree(2, c[3], c[4], 2, True)
        self.level5 = Tree(1, c[4], c[5], 2, True)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, maps = self.base_layer(images), []
        for level in (self.level0, self.level1, self.level2, self.level3, self.level4, self.level5):
            x = level(x)
            maps.append(x)
        return maps


class ModulatedConv(nn.Module):
    """Deformable convolution 3 x 3 with modulation (DCNv2), its offsets predicted from the same input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(outputs, inputs, 3, 3)), nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        self.conv_offset_mask = nn.Conv2d(inputs, 27, 3, padding=1)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        from torchvision.ops import deform_conv2d

        y, z, mask = self.conv_offset_mask(x).to(self.weight.dtype).chunk(3, 1)
        x = x.to(self.weight.dtype)  # there is no half-precision kernel on a CPU
        return deform_conv2d(x, torch.cat([y, z], 1), self.weight, self.bias, padding=(1, 1), mask=mask.sigmoid())


def deformable(inputs: int, outputs: int) -> nn.Sequential:
    """A deformable convolution with batch norm and ReLU."""
    after = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU())
    return nn.Sequential(OrderedDict(conv=ModulatedConv(inputs, outputs), actf=after))


class Merge(nn.Module):
    """Iterative aggregation: each map is brought to the finest size and to ``outputs`` channels, and added on.

    ``scales`` are the sizes of the maps against the first. Layers are named ``proj_i``, ``up_i``, ``node_i``, i from 1.
    """

    def __init__(self, outputs: int, channels: Sequence[int], scales: Sequence[int]) -> None:
        super().__init__()
        for i in range(1, len(channels)):
            f = scales[i]
            self.add_module(f"proj_{i}", deformable(channels[i], outputs))
            up = nn.ConvTranspose2d(outputs, outputs, 2 * f, f, f // 2, groups=outputs, bias=False)
            up.weight.data.copy_(bilinear(2 * f).expand_as(up.weight))
            self.add_module(f"up_{i}", up)
            self.add_module(f"node_{i}", deformable(outputs, outputs))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps, finest first -> the same number, all at the finest size, each the sum of those before it."""
        merged = [maps[0]]
        for i in range(1, len(maps)):
            proj, up, node = (self.get_submodule(f"{name}_{i}") for name in ("proj", "up", "node"))
            merged.append(node(up(proj(maps[i])) + merged[-1]))
        return merged


def bilinear(size: int) -> Tensor:
    """The kernel (size, size) with which a transposed convolution of stride size / 2 interpolates linearly."""
    f = (size + 1) // 2
    center = (2 * f - 1 - f % 2) / (2 * f)
    line = 1 - (torch.arange(size) / f - center).abs()
    return line[:, None] * line


class DLAUp(nn.Module):
    """Maps at strides 4, 8, 16, 32 -> refined maps at the same strides, the coarser ones merged into the finer."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        for i in range(len(channels) - 1):
            own = channels[-i - 2]
            inputs = (own, channels[-i - 1], *(channels[-i - 1],) * i)
            self.add_module(f"ida_{i}", Merge(own, inputs, (1, *(2,) * (i + 1))))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        coarse, out = [maps[-1]], [maps[-1]]
        for i in range(len(maps) - 1):
            coarse = list(self.get_submodule(f"ida_{i}")([maps[-i - 2], *coarse]))
            out.insert(0, coarse[-1])
        return out
