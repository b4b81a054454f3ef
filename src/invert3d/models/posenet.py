"""Networks that describe a picture by a vector, as *The Essence of Pose* (Thatte, Sitzmann & Ruban) inverts one.

Its PoseNet is not public. The variants here have the layers of the public experiments of Agrawal, Carreira & Malik
2015 (egomotion), on which Zamir et al. 2016 (*Generic 3D Representation via Pose Estimation and Matching*) built. They
are trained through heads on their descriptors (``PairHeads`` of two pictures), which are not part of them.
"""

import torch
from torch import Tensor, nn

from invert3d.registry import register

#: numbers of a relative pose: yaw, pitch, roll, and the place of the second camera
POSE = 6


class PairHeads(nn.Module):
    """The siamese top: descriptors (B, D) of two pictures -> ``pose`` (B, 6), in deviations of the training set, and
    ``match`` (B, 2), logits of no and yes."""

    def __init__(self, size: int = 512) -> None:
        super().__init__()
        self.common = nn.Sequential(nn.Linear(2 * size, 512), nn.PReLU())
        self.pose = nn.Sequential(nn.Linear(512, 256), nn.PReLU(), nn.Linear(256, POSE))
        self.match = nn.Sequential(nn.Linear(512, 256), nn.PReLU(), nn.Linear(256, 2))

    def forward(self, one: Tensor, other: Tensor) -> dict[str, Tensor]:
        both = self.common(torch.cat([one, other], 1))
        return {"pose": self.pose(both), "match": self.match(both)}


class PoseNet(nn.Module):
    """Pictures (B, C, 100, 100) -> descriptors (B, ``size``), by ``conv1`` to ``conv4``, poolings included, and
    ``fc5``, which takes the ``flat`` numbers that conv4 leaves; ``act`` follows it."""

    picture_size = 100

    def __init__(self, blocks: list[nn.Sequential], flat: int, size: int, act: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = blocks
        self.fc5 = nn.Sequential(nn.Linear(flat, size), act)
        self.size = size

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.conv4(self.conv3(self.conv2(self.conv1(pictures))))
        return self.fc5(x.flatten(1))


def pool() -> nn.MaxPool2d:
    """Caffe's: it takes part of a window in at the border."""
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def early(channels: int) -> list[nn.Sequential]:
    """conv1 to conv3 of the two street networks: (B, C, 100, 100) -> (B, 256, 8, 8)."""
    return [
        nn.Sequential(nn.Conv2d(channels, 96, 7, 3), nn.ReLU(), pool(), nn.LocalResponseNorm(5)),
        nn.Sequential(nn.Conv2d(96, 128, 5, padding=2, groups=2), nn.ReLU(), pool(), nn.LocalResponseNorm(5)),
        nn.Sequential(nn.Conv2d(128, 256, 3, padding=1), nn.ReLU()),
    ]


@register("descriptor", "smallnet_v5")
class SmallNetV5(PoseNet):
    """``smallnet-v5``: a bottleneck of 64 channels in conv4, and a descriptor of 512; 1.3 million parameters."""

    def __init__(self, channels: int = 3) -> None:
        last = nn.Sequential(nn.Conv2d(256, 64, 1, padding=1), pool())
        super().__init__([*early(channels), last], 64 * 5 * 5, 512, nn.PReLU())


@register("descriptor", "streetnet")
class StreetNet(PoseNet):
    """``streetnet``: conv4 is 3 x 3 with 256 channels; 3.2 million parameters."""

    def __init__(self, channels: int = 3) -> None:
        last = nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), pool())
        super().__init__([*early(channels), last], 256 * 4 * 4, 512, nn.PReLU())


@register("descriptor", "posenet_torch7")
class PoseNetTorch7(PoseNet):
    """``pose-l1-torch7``: four convolutions without norms, and a descriptor of 500, 1.1 million parameters."""

    def __init__(self, channels: int = 3) -> None:
        def block(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU(), nn.MaxPool2d(2, 2, ceil_mode=True)
            )

        blocks = [block(channels, 20, 7), block(20, 40, 5, padding=2), block(40, 80, 4), block(80, 160, 4, 2)]
        super().__init__(blocks, 160 * 2 * 2, 500, nn.ReLU())
        self.fc6 = nn.Sequential(nn.Linear(500, 500), nn.ReLU())

    def forward(self, pictures: Tensor) -> Tensor:
        return self.fc6(super().forward(pictures))
