"""PointNet++ (Qi et al. 2017): PointNet applied to balls around farthest points, twice, then to what is left.

Parameter names are those of the public ``yanx27`` code, single-scale (SSG) and multi-scale (MSG) grouping, with and
without normals. Outputs are logits; the public code returns their log-softmax.

The first layer of a group acts on ``[x_j - c, f_j]``: it is linear, so it is ``A_j - W c`` with ``A_j = W x_j + V f_j``
computed once a point instead of once a member of a group. In eval mode the rest is ``group_maximum``, which follows the
winners of the maximum alone. The results are the same, the work a fraction.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.models.grouping import group_maximum
from invert3d.models.layers import batch_normalized, dense, folded, max_over_points
from invert3d.ops.points import ball_query, farthest_point_sample, gather
from invert3d.registry import register


def group_features(
    xyz: Tensor, features: Tensor, centers: Tensor, indices: Tensor, convs: Any, norms: Any, xyz_first: bool
) -> Tensor:
    """The network of one set abstraction: groups (B, M, K) of points (B, N, 3) about centers (B, M, 3) -> (B, M, C)."""
    weight, bias = folded(convs[0], norms[0])
    width = features.shape[-1]
    on_xyz, on_features = (weight[:, :3], weight[:, 3:]) if xyz_first else (weight[:, width:], weight[:, :width])
    per_point = F.linear(xyz, on_xyz, bias) + F.linear(features, on_features)
    per_center = F.linear(centers, on_xyz)
    if any(norm.training for norm in norms):  # their statistics are over all members
        x = batch_normalized(gather(per_point, indices) - per_center.unsqueeze(2), norms[0]).relu()
        for conv, norm in zip(list(convs)[1:], list(norms)[1:], strict=True):
            x = dense(x, conv, norm).relu()
        return x.max(2).values
    layers = [folded(conv, norm) for conv, norm in zip(convs, norms, strict=True)][1:]
    first = torch.arange(len(xyz), device=xyz.device)[:, None, None] * xyz.shape[1]  # of the points of each cloud
    members = (indices + first).flatten(0, 1)
    pooled = group_maximum(per_point.flatten(0, 1), per_center.flatten(0, 1), members, layers)
    return pooled.view(*indices.shape[:2], -1)


def mlp(widths: list[int]) -> tuple[nn.ModuleList, nn.ModuleList]:
    """1x1 convolutions and the batch norms after them, for the widths (input first)."""
    pairs = list(zip(widths[:-1], widths[1:], strict=True))
    return (nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in pairs), nn.ModuleList(nn.BatchNorm2d(o) for _, o in pairs))


class SetAbstraction(nn.Module):
    """Sample ``centers`` farthest points, group the ``members`` points in a ball, one network a group (SSG)."""

    def __init__(self, centers: int, radius: float, members: int, inputs: int, widths: list[int]) -> None:
        super().__init__()
        self.centers, self.radius, self.members = centers, radius, members
        self.mlp_convs, self.mlp_bns = mlp([inputs + 3, *widths])

    def forward(self, xyz: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, 3), (B, N, C) -> (B, centers, 3), (B, centers, widths[-1])."""
        centers = gather(xyz, farthest_point_sample(xyz, self.centers))
        indices = ball_query(centers, xyz, self.radius, self.members)
        return centers, group_features(xyz, features, centers, indices, self.mlp_convs, self.mlp_bns, xyz_first=True)


class SetAbstractionMsg(nn.Module):
    """A set abstraction with one ball a radius around each center, their features side by side (MSG)."""

    def __init__(
        self, centers: int, radii: list[float], members: list[int], inputs: int, widths: list[list[int]]
    ) -> None:
        super().__init__()
        self.centers, self.radii, self.members = centers, radii, members
        scales = [mlp([inputs + 3, *w]) for w in widths]
        self.conv_blocks = nn.ModuleList(convs for convs, _ in scales)
        self.bn_blocks = nn.ModuleList(norms for _, norms in scales)

    def forward(self, xyz: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, 3), (B, N, C) -> (B, centers, 3), (B, centers, sum of the last widths)."""
        centers = gather(xyz, farthest_point_sample(xyz, self.centers))
        scales = zip(self.radii, self.members, self.conv_blocks, self.bn_blocks, strict=True)
        found = [
            group_features(xyz, features, centers, ball_query(centers, xyz, radius, members), convs, norms, False)
            for radius, members, convs, norms in scales
        ]
        return centers, torch.cat(found, -1)


class GlobalAbstraction(nn.Module):
    """The last set abstraction: all that is left is one group, not centered."""

    def __init__(self, inputs: int, widths: list[int]) -> None:
        super().__init__()
        self.mlp_convs, self.mlp_bns = mlp([inputs + 3, *widths])

    def forward(self, xyz: Tensor, features: Tensor) -> Tensor:
        """(B, N, 3), (B, N, C) -> (B, widths[-1])."""
        x = torch.cat([xyz, features], -1)
        for conv, norm in zip(self.mlp_convs, self.mlp_bns, strict=True):
            x = dense(x, conv, norm).relu()
        return max_over_points(x)


class Classifier(nn.Module):
    """What both variants share: three set abstractions, and three linear layers from what is left to the logits."""

    least_points = 512  # the centers of the first set abstraction
    sa1: nn.Module
    sa2: nn.Module
    sa3: nn.Module

    def __init__(self, classes: int, drop: tuple[float, float]) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, classes)
        self.bn1, self.bn2 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)
        self.drop1, self.drop2 = nn.Dropout(drop[0]), nn.Dropout(drop[1])

    def forward(self, points: Tensor) -> Tensor:
        xyz, features = self.sa1(points[..., :3], points[..., 3:])
        x = self.sa3(*self.sa2(xyz, features))
        x = self.drop1(dense(x, self.fc1, self.bn1).relu())
        return self.fc3(self.drop2(dense(x, self.fc2, self.bn2).relu()))


@register("model", "pointnet2_ssg")
class PointNet2SSG(Classifier):
    """PointNet++ with single-scale grouping. Clouds (B, N, 3), or (B, N, 6) with normals -> logits (B, classes)."""

    def __init__(self, classes: int = 40, normals: bool = False) -> None:
        super().__init__(classes, (0.4, 0.4))
        self.sa1 = SetAbstraction(512, 0.2, 32, 3 if normals else 0, [64, 64, 128])
        self.sa2 = SetAbstraction(128, 0.4, 64, 128, [128, 128, 256])
        self.sa3 = GlobalAbstraction(256, [256, 512, 1024])


@register("model", "pointnet2_msg")
class PointNet2MSG(Classifier):
    """PointNet++ with multi-scale grouping. Clouds (B, N, 3), or (B, N, 6) with normals -> logits (B, classes)."""

    def __init__(self, classes: int = 40, normals: bool = False) -> None:
        super().__init__(classes, (0.4, 0.5))
        self.sa1 = SetAbstractionMsg(
            512, [0.1, 0.2, 0.4], [16, 32, 128], 3 if normals else 0, [[32, 32, 64], [64, 64, 128], [64, 96, 128]]
        )
        self.sa2 = SetAbstractionMsg(
            128, [0.2, 0.4, 0.8], [32, 64, 128], 320, [[64, 64, 128], [128, 128, 256], [128, 128, 256]]
        )
        self.sa3 = GlobalAbstraction(640, [256, 512, 1024])
