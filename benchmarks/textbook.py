"""PointNet++ (SSG) and DGCNN as public implementations write them: what a user would otherwise differentiate.

Channels-first tensors, groups as (B, C, K, S) images under 1x1 convolutions, live batch norms, a loop over
(B, N, 3) for the farthest points, a sort for the balls, log-softmax at the end. Parameters have the public key
names, so the weights of ``invert3d.models.pointnet2.PointNet2SSG`` load. It shares no code with the library, on
purpose: it is also an oracle.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def square_distance(source: Tensor, target: Tensor) -> Tensor:
    """Squared distances (B, M, N) between (B, M, C) and (B, N, C)."""
    distance = -2 * torch.matmul(source, target.permute(0, 2, 1))
    distance += torch.sum(source**2, -1).unsqueeze(-1)
    distance += torch.sum(target**2, -1).unsqueeze(1)
    return distance


def index_points(points: Tensor, indices: Tensor) -> Tensor:
    """Points (B, N, C) at indices (B, ...): (B, ..., C), by fancy indexing."""
    batch = torch.arange(len(points), device=points.device)
    return points[batch.view(-1, *[1] * (indices.dim() - 1)).expand_as(indices), indices, :]


def farthest_point_sample(xyz: Tensor, count: int) -> Tensor:
    """Indices (B, count), one point a turn, from point 0 on."""
    batch, total, _ = xyz.shape
    centroids = torch.zeros(batch, count, dtype=torch.long, device=xyz.device)
    distance = torch.ones(batch, total, dtype=xyz.dtype, device=xyz.device) * 1e10
    farthest = torch.zeros(batch, dtype=torch.long, device=xyz.device)
    rows = torch.arange(batch, dtype=torch.long, device=xyz.device)
    for i in range(count):
        centroids[:, i] = farthest
        centroid = xyz[rows, farthest, :].view(batch, 1, 3)
        new = torch.sum((xyz - centroid) ** 2, -1)
        closer = new < distance
        distance[closer] = new[closer]
        farthest = torch.max(distance, -1)[1]
    return centroids


def ball_query(radius: float, count: int, xyz: Tensor, centers: Tensor) -> Tensor:
    """Indices (B, M, count): outside is N, which a sort puts last; the first member fills the places left."""
    batch, total, _ = xyz.shape
    queries = centers.shape[1]
    indices = torch.arange(total, device=xyz.device).view(1, 1, total).repeat(batch, queries, 1)
    indices[square_distance(centers, xyz) > radius**2] = total
    indices = indices.sort(dim=-1)[0][:, :, :count]
    first = indices[:, :, :1].repeat(1, 1, count)
    empty = indices == total
    indices[empty] = first[empty]
    return indices


class SetAbstraction(nn.Module):
    """Sample, group, a small network on every group, a maximum. No ``centers``: all points are one group."""

    def __init__(self, centers: int | None, radius: float, members: int, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.centers, self.radius, self.members = centers, radius, members
        self.mlp_convs, self.mlp_bns = nn.ModuleList(), nn.ModuleList()
        for width in widths:
            self.mlp_convs.append(nn.Conv2d(channels, width, 1))
            self.mlp_bns.append(nn.BatchNorm2d(width))
            channels = width

    def group(self, xyz: Tensor, points: Tensor | None) -> tuple[Tensor, Tensor]:
        """Centers (B, S, 3) and grouped inputs (B, S, K, 3 + C)."""
        if self.centers is None:
            grouped = xyz.unsqueeze(1)
            grouped = grouped if points is None else torch.cat([grouped, points.unsqueeze(1)], -1)
            return torch.zeros_like(xyz[:, :1]), grouped
        centers = index_points(xyz, farthest_point_sample(xyz, self.centers))
        indices = ball_query(self.radius, self.members, xyz, centers)
        grouped = index_points(xyz, indices) - centers.unsqueeze(2)
        return centers, grouped if points is None else torch.cat([grouped, index_points(points, indices)], -1)

    def forward(self, xyz: Tensor, points: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, 3, N), (B, C, N) -> (B, 3, S), (B, C', S)."""
        xyz = xyz.permute(0, 2, 1)
        points = None if points is None else points.permute(0, 2, 1)
        centers, grouped = self.group(xyz, points)
        grouped = grouped.permute(0, 3, 2, 1)
        for conv, norm in zip(self.mlp_convs, self.mlp_bns, strict=True):
            grouped = F.relu(norm(conv(grouped)))
        return centers.permute(0, 2, 1), torch.max(grouped, 2)[0]


class TextbookPointNet2(nn.Module):
    """Clouds (B, 3, N) -> log-probabilities (B, classes) and the global feature, as public models return."""

    def __init__(self, classes: int = 40) -> None:
        super().__init__()
        self.sa1 = SetAbstraction(512, 0.2, 32, 3, [64, 64, 128])
        self.sa2 = SetAbstraction(128, 0.4, 64, 128 + 3, [128, 128, 256])
        self.sa3 = SetAbstraction(None, 0, 0, 256 + 3, [256, 512, 1024])
        self.fc1, self.bn1, self.drop1 = nn.Linear(1024, 512), nn.BatchNorm1d(512), nn.Dropout(0.4)
        self.fc2, self.bn2, self.drop2 = nn.Linear(512, 256), nn.BatchNorm1d(256), nn.Dropout(0.4)
        self.fc3 = nn.Linear(256, classes)

    def forward(self, xyz: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, N) -> (B, classes), (B, 1024, 1)."""
        centers, points = self.sa1(xyz, None)
        centers, points = self.sa2(centers, points)
        _, points = self.sa3(centers, points)
        x = points.view(len(xyz), 1024)
        x = self.drop1(F.relu(self.bn1(self.fc1(x))))
        x = self.drop2(F.relu(self.bn2(self.fc2(x))))
        return F.log_softmax(self.fc3(x), -1), points


class TextbookDGCNN(nn.Module):
    """DGCNN with every edge ``[x_j - x_i, x_i]`` written out: clouds (B, 3, N) -> logits (B, classes)."""

    def __init__(self, classes: int = 40, k: int = 20) -> None:
        super().__init__()
        self.k = k
        for i, (inputs, outputs) in enumerate([(6, 64), (128, 64), (128, 128), (256, 256)], 1):
            norm = nn.BatchNorm2d(outputs)
            setattr(self, f"bn{i}", norm)
            conv = nn.Conv2d(inputs, outputs, 1, bias=False)
            setattr(self, f"conv{i}", nn.Sequential(conv, norm, nn.LeakyReLU(0.2)))
        self.bn5, self.bn6, self.bn7 = nn.BatchNorm1d(1024), nn.BatchNorm1d(512), nn.BatchNorm1d(256)
        self.conv5 = nn.Sequential(nn.Conv1d(512, 1024, 1, bias=False), self.bn5, nn.LeakyReLU(0.2))
        self.linear1, self.linear2 = nn.Linear(2048, 512, bias=False), nn.Linear(512, 256)
        self.linear3 = nn.Linear(256, classes)

    def edges(self, x: Tensor) -> Tensor:
        """(B, C, N) -> (B, 2C, N, k)."""
        rows = x.transpose(1, 2)
        indices = square_distance(rows, rows).topk(self.k, largest=False)[1]
        neighbors = index_points(rows, indices)
        centers = rows.unsqueeze(2).expand_as(neighbors)
        return torch.cat([neighbors - centers, centers], -1).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, N) -> (B, classes)."""
        levels = []
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = conv(self.edges(x)).max(-1)[0]
            levels.append(x)
        x = self.conv5(torch.cat(levels, 1))
        x = torch.cat([x.max(-1)[0], x.mean(-1)], 1)
        x = F.leaky_relu(self.bn6(self.linear1(x)), 0.2)
        return self.linear3(F.leaky_relu(self.bn7(self.linear2(x)), 0.2))
