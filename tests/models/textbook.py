"""Point networks as their papers describe them, written down plainly: the other side of the comparison.

Channels come first, (B, C, N) or (B, C, K, M); every layer is a 1x1 convolution; batch norm is a layer of its
own, in training and in eval; groups are found by loops. Nothing is folded, factored or reordered. Parameters
carry the names of the public implementations, so that state dicts can be exchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, log_softmax, relu


def lookup(points: Tensor, indices: Tensor) -> Tensor:
    """Columns of (B, C, N) at (B, K, M): (B, C, K, M)."""
    return torch.stack([cloud[:, chosen] for cloud, chosen in zip(points, indices, strict=True)])


def farthest(xyz: Tensor, count: int) -> Tensor:
    """(B, 3, N) -> (B, count): from point 0 on, always the point farthest from those taken."""
    batches = []
    for cloud in xyz.detach():
        taken = [0]
        nearest = torch.full_like(cloud[0], float("inf"))
        while len(taken) < count:
            to_last = ((cloud - cloud[:, taken[-1], None]) ** 2).sum(0)
            nearest = torch.minimum(nearest, to_last)
            taken.append(int(nearest.argmax()))
        batches.append(torch.tensor(taken))
    return torch.stack(batches)


def balls(xyz: Tensor, centers: Tensor, radius: float, members: int) -> Tensor:
    """(B, 3, N), (B, 3, M) -> (B, K, M): the first K points in the radius by index, padded with the first."""
    batches = []
    for cloud, middle in zip(xyz.detach(), centers.detach(), strict=True):
        squared = ((cloud[:, :, None] - middle[:, None, :]) ** 2).sum(0)
        columns = []
        for column in squared.unbind(1):
            inside = (column <= radius**2).nonzero()[:members, 0].tolist()
            columns.append(torch.tensor(inside + [inside[0]] * (members - len(inside))))
        batches.append(torch.stack(columns, 1))
    return torch.stack(batches)


def neighbors(x: Tensor, k: int) -> Tensor:
    """(B, C, N) -> (B, k, N): the k points nearest to each in channel space, itself among them."""
    batches = []
    for cloud in x.detach():
        squared = ((cloud[:, :, None] - cloud[:, None, :]) ** 2).sum(0)
        batches.append(squared.argsort(stable=True, dim=0)[:k])
    return torch.stack(batches)


class TNet(nn.Module):
    """A small PointNet that predicts a matrix, added to the identity."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        widths = [channels, 64, 128, 1024]
        for i in range(3):
            setattr(self, f"conv{i + 1}", nn.Conv1d(widths[i], widths[i + 1], 1))
            setattr(self, f"bn{i + 1}", nn.BatchNorm1d(widths[i + 1]))
        widths = [1024, 512, 256, size**2]
        for i in range(3):
            setattr(self, f"fc{i + 1}", nn.Linear(widths[i], widths[i + 1]))
        self.bn4, self.bn5 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)

    def forward(self, x: Tensor) -> Tensor:
        for conv, bn in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = relu(bn(conv(x)))
        x = x.amax(2)
        x = relu(self.bn4(self.fc1(x)))
        x = relu(self.bn5(self.fc2(x)))
        return self.fc3(x).reshape(-1, self.size, self.size) + torch.eye(self.size).to(x)


class PointNetEncoder(nn.Module):
    """Both transforms and three convolutions; the last has no rectifier."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stn = TNet(channels, 3)
        self.conv1, self.bn1 = nn.Conv1d(channels, 64, 1), nn.BatchNorm1d(64)
        self.conv2, self.bn2 = nn.Conv1d(64, 128, 1), nn.BatchNorm1d(128)
        self.conv3, self.bn3 = nn.Conv1d(128, 1024, 1), nn.BatchNorm1d(1024)
        self.fstn = TNet(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        turn = self.stn(x)
        x = torch.cat([torch.einsum("bin,bij->bjn", x[:, :3], turn), x[:, 3:]], 1)
        x = relu(self.bn1(self.conv1(x)))
        x = torch.einsum("bin,bij->bjn", x, self.fstn(x))
        x = relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x)).amax(2)


class PointNet(nn.Module):
    """Qi et al. 2017a, as yanx27 names it: (B, 3 or 6, N) -> (log-probabilities, the global feature)."""

    def __init__(self, classes: int, normals: bool = False) -> None:
        super().__init__()
        self.feat = PointNetEncoder(6 if normals else 3)
        self.fc1, self.bn1 = nn.Linear(1024, 512), nn.BatchNorm1d(512)
        self.fc2, self.bn2 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.fc3 = nn.Linear(256, classes)
        self.drop = 0.4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        feature = self.feat(x)
        x = relu(self.bn1(self.fc1(feature)))
        x = relu(self.bn2(dropout(self.fc2(x), self.drop, self.training)))
        return log_softmax(self.fc3(x), 1), feature


class Abstraction(nn.Module):
    """Single-scale set abstraction: [offset, features] of each member, three convolutions, the largest."""

    def __init__(self, count: int | None, radius: float, members: int, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.count, self.radius, self.members = count, radius, members
        self.mlp_convs, self.mlp_bns = nn.ModuleList(), nn.ModuleList()
        for width in widths:
            self.mlp_convs.append(nn.Conv2d(channels, width, 1))
            self.mlp_bns.append(nn.BatchNorm2d(width))
            channels = width

    def forward(self, xyz: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.count is None:  # all points are one group, not centered
            centers = torch.zeros_like(xyz[:, :, :1])
            group = (xyz if features is None else torch.cat([xyz, features], 1)).unsqueeze(3)
        else:
            centers = lookup(xyz, farthest(xyz, self.count)[:, None])[:, :, 0]
            chosen = balls(xyz, centers, self.radius, self.members)
            group = lookup(xyz, chosen) - centers[:, :, None]
            if features is not None:
                group = torch.cat([group, lookup(features, chosen)], 1)
        for conv, bn in zip(self.mlp_convs, self.mlp_bns, strict=True):
            group = relu(bn(conv(group)))
        return centers, group.amax(2)


class MultiScale(nn.Module):
    """Multi-scale set abstraction: [features, offset] of each member, one network a radius, side by side."""

    def __init__(
        self, count: int, radii: list[float], members: list[int], channels: int, widths: list[list[int]]
    ) -> None:
        super().__init__()
        self.count, self.radii, self.members = count, radii, members
        self.conv_blocks, self.bn_blocks = nn.ModuleList(), nn.ModuleList()
        for scale in widths:
            sizes = [channels + 3, *scale]
            self.conv_blocks.append(nn.ModuleList(nn.Conv2d(sizes[i], sizes[i + 1], 1) for i in range(3)))
            self.bn_blocks.append(nn.ModuleList(nn.BatchNorm2d(width) for width in scale))

    def forward(self, xyz: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        centers = lookup(xyz, farthest(xyz, self.count)[:, None])[:, :, 0]
        scales = []
        for i, (radius, members) in enumerate(zip(self.radii, self.members, strict=True)):
            chosen = balls(xyz, centers, radius, members)
            group = lookup(xyz, chosen) - centers[:, :, None]
            if features is not None:
                group = torch.cat([lookup(features, chosen), group], 1)
            for conv, bn in zip(self.conv_blocks[i], self.bn_blocks[i], strict=True):
                group = relu(bn(conv(group)))
            scales.append(group.amax(2))
        return centers, torch.cat(scales, 1)


class PointNet2(nn.Module):
    """Qi et al. 2017b, as yanx27 names it: (B, 3 or 6, N) -> (log-probabilities, the global feature)."""

    def __init__(self, classes: int, normals: bool = False, *, multi_scale: bool) -> None:
        super().__init__()
        extra = 3 if normals else 0
        if multi_scale:
            self.sa1 = MultiScale(
                512, [0.1, 0.2, 0.4], [16, 32, 128], extra, [[32, 32, 64], [64, 64, 128], [64, 96, 128]]
            )
            self.sa2 = MultiScale(
                128, [0.2, 0.4, 0.8], [32, 64, 128], 320, [[64, 64, 128], [128, 128, 256], [128, 128, 256]]
            )
            self.sa3 = Abstraction(None, 0, 0, 643, [256, 512, 1024])
        else:
            self.sa1 = Abstraction(512, 0.2, 32, 3 + extra, [64, 64, 128])
            self.sa2 = Abstraction(128, 0.4, 64, 131, [128, 128, 256])
            self.sa3 = Abstraction(None, 0, 0, 259, [256, 512, 1024])
        self.fc1, self.bn1 = nn.Linear(1024, 512), nn.BatchNorm1d(512)
        self.fc2, self.bn2 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.fc3 = nn.Linear(256, classes)
        self.drops = (0.4, 0.5 if multi_scale else 0.4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = x[:, 3:] if x.shape[1] > 3 else None
        xyz, features = self.sa1(x[:, :3], features)
        xyz, features = self.sa2(xyz, features)
        feature = self.sa3(xyz, features)[1].flatten(1)
        x = dropout(relu(self.bn1(self.fc1(feature))), self.drops[0], self.training)
        x = dropout(relu(self.bn2(self.fc2(x))), self.drops[1], self.training)
        return log_softmax(self.fc3(x), 1), feature


class DGCNN(nn.Module):
    """Wang et al. 2019, as antao97 names it: (B, 3, N) -> logits."""

    def __init__(self, classes: int, k: int, features: int = 1024) -> None:
        super().__init__()
        self.k = k
        sizes = [3, 64, 64, 128, 256]
        for i in range(1, 5):
            norm = nn.BatchNorm2d(sizes[i])
            conv = nn.Conv2d(2 * sizes[i - 1], sizes[i], 1, bias=False)
            setattr(self, f"bn{i}", norm)
            setattr(self, f"conv{i}", nn.Sequential(conv, norm, nn.LeakyReLU(0.2)))
        self.bn5 = nn.BatchNorm1d(features)
        self.conv5 = nn.Sequential(nn.Conv1d(512, features, 1, bias=False), self.bn5, nn.LeakyReLU(0.2))
        self.linear1, self.bn6 = nn.Linear(2 * features, 512, bias=False), nn.BatchNorm1d(512)
        self.linear2, self.bn7 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.linear3 = nn.Linear(256, classes)
        self.drop = 0.5

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            there = lookup(x, neighbors(x, self.k))
            here = x[:, :, None].expand_as(there)
            x = conv(torch.cat([there - here, here], 1)).amax(2)
            levels.append(x)
        x = self.conv5(torch.cat(levels, 1))
        x = torch.cat([x.amax(2), x.mean(2)], 1)
        x = dropout(leaky_relu(self.bn6(self.linear1(x)), 0.2), self.drop, self.training)
        x = dropout(leaky_relu(self.bn7(self.linear2(x)), 0.2), self.drop, self.training)
        return self.linear3(x)


class Shared(nn.Module):
    """Five convolutions with norm and rectifier: the features of learning3d's PointNet."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [3, 64, 64, 64, 128, 1024]
        for i in range(1, 6):
            setattr(self, f"conv{i}", nn.Conv1d(sizes[i - 1], sizes[i], 1))
            setattr(self, f"bn{i}", nn.BatchNorm1d(sizes[i]))

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, 6):
            x = relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        return x


class PointNetVanilla(nn.Module):
    """PointNet without transforms, as learning3d names it: (B, 3, N) -> logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.feature_model = Shared()
        self.linear1, self.bn1 = nn.Linear(1024, 512), nn.BatchNorm1d(512)
        self.linear2, self.bn2 = nn.Linear(512, 256), nn.BatchNorm1d(256)
        self.linear3 = nn.Linear(256, classes)
        self.drop = 0.3

    def forward(self, x: Tensor) -> Tensor:
        x = self.feature_model(x).amax(2)
        x = dropout(relu(self.bn1(self.linear1(x))), self.drop, self.training)
        x = dropout(relu(self.bn2(self.linear2(x))), self.drop, self.training)
        return self.linear3(x)
