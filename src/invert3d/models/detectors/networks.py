"""Center heatmap networks: a backbone to features at a quarter or half of the size, and six heads on them.

Images (B, 3, H, W), normalized, H and W multiples of 32 -> a dictionary of maps (B, C, H/s, W/s), the heads of
``ops.centers.HEADS``; s is the network's ``stride``, 4 in the public ones.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.models.detectors.dla import CHANNELS, DLA, DLAUp, Merge, conv_norm
from invert3d.ops.centers import HEADS, Maps
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


def read_heads(network: nn.Module, features: Tensor) -> Maps:
    """The maps of all heads on features (B, C, h, w)."""
    return {name: network.get_submodule(name)(features) for name in HEADS}


@register("center_network", "dla34")
class CenterNetDLA34(nn.Module):
    """DLA-34 with deformable up-sampling, 20.1 M parameters: the network of ``ddd_3dop.pth``, by its own keys."""

    stride = 4

    def __init__(self, channels: tuple[int, ...] = CHANNELS, hidden: int = 256) -> None:
        super().__init__()
        self.base, self.dla_up = DLA(channels), DLAUp(channels[2:])
        self.ida_up = Merge(channels[2], channels[2:5], (1, 2, 4))
        add_heads(self, channels[2], hidden)

    def forward(self, images: Tensor) -> Maps:
        fine = self.dla_up(self.base(images)[2:])
        return read_heads(self, self.ida_up(fine[:3])[-1])


@register("center_network", "resnet18")
class CenterNetResNet18(nn.Module):
    """ResNet-18 and transposed convolutions: three in ``res_18`` of the public code, by its own keys.

    ``width`` is that of the first stage, 64 as published; ``deconv`` and ``hidden`` are 256 and 64 there. ``skips``
    adds the maps of the encoder on the way back, and one more transposed convolution, to half the size.
    """

    def __init__(self, width: int = 64, deconv: int = 256, hidden: int = 64, skips: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        for i in range(4):
            inputs = width * 2 ** max(i - 1, 0)
            self.add_module(f"layer{i + 1}", residual_stage(inputs, width * 2**i, 2 if i else 1))
        outputs = [deconv] * 3 + [2 * deconv // 3] * skips
        layers: list[nn.Module] = []
        for inputs, channels in zip([8 * width, *outputs], outputs, strict=False):
            up = nn.ConvTranspose2d(inputs, channels, 4, 2, 1, bias=False)
            layers += [up, nn.BatchNorm2d(channels), nn.ReLU()]
        self.deconv_layers = nn.Sequential(*layers)
        encoder = (4 * width, 2 * width, width, width) if skips else ()
        self.across = nn.ModuleList(map(partial(nn.Conv2d, kernel_size=1), encoder, outputs))
        self.stride = 2 if skips else 4
        add_heads(self, outputs[-1], hidden)

    def forward(self, x: Tensor) -> Maps:
        maps = [F.relu(self.bn1(self.conv1(x)))]
        x = F.max_pool2d(maps[0], 3, 2, 1)
        for i in range(4):
            maps.append(x := self.get_submodule(f"layer{i + 1}")(x))
        for i in range(len(self.deconv_layers) // 3):
            x = self.deconv_layers[3 * i : 3 * i + 3](x)
            if len(self.across):
                x = x + self.across[i](maps[-i - 2])
        return read_heads(self, x)


def residual_stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Two residual blocks of two convolutions each, the first with a stride."""
    from torchvision.models.resnet import BasicBlock

    shortcut = None
    if stride > 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs))


@register("center_network", "small")
class CenterNetSmall(nn.Module):
    """A small one for laptops: residual stages, merged from coarse to fine by addition (a feature pyramid).

    Its maps have half the size of the picture, so that two persons side by side are two peaks; ``fine`` are their
    channels, ``features`` those of the coarser ones.
    """

    stride = 2

    def __init__(self, width: int = 32, features: int = 64, fine: int = 32, hidden: int = 24) -> None:
        super().__init__()
        w = (width // 2, width, 2 * width, 4 * width, 6 * width)
        merged = (fine, features, features, features, features)
        self.stages = nn.ModuleList(
            [
                conv_norm(3, w[0], 3, 2),
                nn.Sequential(conv_norm(w[0], w[1], 3, 2), residual_stage(w[1], w[1], 1)),
                *(residual_stage(w[i - 1], w[i], 2) for i in (2, 3, 4)),
            ]
        )
        self.across = nn.ModuleList(map(partial(nn.Conv2d, kernel_size=1), w, merged))
        self.smooth = nn.ModuleList(map(partial(conv_norm, size=3), merged[1:], merged[:-1]))
        add_heads(self, fine, hidden)

    def forward(self, x: Tensor) -> Maps:
        maps = []
        for stage, across in zip(self.stages, self.across, strict=True):
            x = stage(x)
            maps.append(across(x))
        top = maps.pop()
        for smooth in reversed(self.smooth):
            below = maps.pop()
            top = below + F.interpolate(smooth(top), size=below.shape[-2:], mode="bilinear", align_corners=False)
        return read_heads(self, top)
