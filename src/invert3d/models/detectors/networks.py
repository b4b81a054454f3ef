"""Center heatmap networks: a backbone to features at a quarter of the size, and six heads on them.

Images (B, 3, H, W), normalized, H and W multiples of 32 -> maps (B, 19, H/4, W/4), the heads of ``ops.centers.HEADS``
one after the other.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.models.detectors.dla import CHANNELS, DLA, DLAUp, Merge, conv_norm
from invert3d.ops.centers import HEADS
from invert3d.registry import register


def add_heads(network: nn.Module, channels: int, hidden: int) -> None:
    """Give a network its heads, each a 3 x 3 convolution, a ReLU and a pointwise one, under CenterNet's names.

    The heatmap starts at a probability of 0.1 everywhere (RetinaNet's prior), the depth at 20 m.
    """
    for name, outputs in HEADS.items():
        head = nn.Sequential(nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, outputs, 1))
        if name == "hm":
            nn.init.constant_(head[-1].bias, -2.19)  # type: ignore[arg-type]
        if name == "dep":
            nn.init.constant_(head[-1].bias, -3.0)  # type: ignore[arg-type]
        network.add_module(name, head)


def read_heads(network: nn.Module, features: Tensor) -> Tensor:
    """The maps (B, 19, h, w) of all heads on features (B, C, h, w)."""
    return torch.cat([network.get_submodule(name)(features) for name in HEADS], 1)


@register("center_network", "dla34")
class CenterNetDLA34(nn.Module):
    """DLA-34 with deformable up-sampling, 20.1 M parameters: the network of ``ddd_3dop.pth``, by its own keys."""

    def __init__(self, channels: tuple[int, ...] = CHANNELS, hidden: int = 256) -> None:
        super().__init__()
        self.base, self.dla_up = DLA(channels), DLAUp(channels[2:])
        self.ida_up = Merge(channels[2], channels[2:5], (1, 2, 4))
        add_heads(self, channels[2], hidden)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.dla_up(self.base(images)[2:])
        return read_heads(self, self.ida_up(fine[:3])[-1])


@register("center_network", "resnet18")
class CenterNetResNet18(nn.Module):
    """ResNet-18 and three transposed convolutions (``res_18`` of the public code, by its own keys).

    ``width`` is that of the first stage, 64 as published; ``deconv`` and ``hidden`` are 256 and 64 there.
    """

    def __init__(self, width: int = 64, deconv: int = 256, hidden: int = 64) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        for i in range(4):
            inputs = width * 2 ** max(i - 1, 0)
            self.add_module(f"layer{i + 1}", residual_stage(inputs, width * 2**i, 2 if i else 1))
        layers: list[nn.Module] = []
        for i in range(3):
            up = nn.ConvTranspose2d(deconv if i else 8 * width, deconv, 4, 2, 1, bias=False)
            layers += [up, nn.BatchNorm2d(deconv), nn.ReLU()]
        self.deconv_layers = nn.Sequential(*layers)
        add_heads(self, deconv, hidden)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, 1)
        for i in range(4):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return read_heads(self, self.deconv_layers(x))


def residual_stage(inputs: int, outputs: int, stride: int, blocks: int = 2) -> nn.Sequential:
    """Residual blocks of two convolutions, the first with a stride."""
    from torchvision.models.resnet import BasicBlock

    shortcut = None
    if stride > 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = BasicBlock(inputs, outputs, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))


@register("center_network", "small")
class CenterNetSmall(nn.Module):
    """A small one for laptops: residual stages, merged from coarse to fine by addition (a feature pyramid)."""

    def __init__(self, width: int = 32, features: int = 64, hidden: int = 48) -> None:
        super().__init__()
        w = (width, 2 * width, 4 * width, 6 * width)
        self.stem = nn.Sequential(conv_norm(3, width // 2, 3, 2), conv_norm(width // 2, width, 3, 2))
        self.stages = nn.ModuleList(residual_stage(w[max(i - 1, 0)], w[i], 2 if i else 1) for i in range(4))
        self.across = nn.ModuleList(nn.Conv2d(outputs, features, 1) for outputs in w)
        self.smooth = nn.ModuleList(conv_norm(features, features, 3) for _ in w[:-1])
        add_heads(self, features, hidden)

    def forward(self, images: Tensor) -> Tensor:
        x, maps = self.stem(images), []
        for stage, across in zip(self.stages, self.across, strict=True):
            x = stage(x)
            maps.append(across(x))
        top = maps.pop()
        for smooth in reversed(self.smooth):
            below = maps.pop()
            top = smooth(below + F.interpolate(top, size=below.shape[-2:], mode="bilinear", align_corners=False))
        return read_heads(self, top)
