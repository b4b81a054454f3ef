"""PointNet (Qi et al. 2017): one small network a point, a maximum over the points, a classifier.

``PointNet`` has both spatial transformers and the parameter names of the public ``yanx27`` code; ``PointNetVanilla``
has none and the names of ``learning3d``. Outputs are logits; the public ``yanx27`` code returns their log-softmax.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.models.layers import PerPoint, dense, max_over_points
from invert3d.registry import register


class TransformNet(nn.Module):
    """T-net: predicts a (size, size) matrix from a cloud (B, N, channels); starts at the identity."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.conv1, self.conv2, self.conv3 = nn.Conv1d(channels, 64, 1), nn.Conv1d(64, 128, 1), nn.Conv1d(128, 1024, 1)
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, size * size)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm1d(64), nn.BatchNorm1d(128), nn.BatchNorm1d(1024)
        self.bn4, self.bn5 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, channels) -> (B, size, size)."""
        x = dense(x, self.conv1, self.bn1).relu()
        x = dense(x, self.conv2, self.bn2).relu()
        x = max_over_points(dense(x, self.conv3, self.bn3)).relu()
        x = dense(x, self.fc1, self.bn4).relu()
        x = dense(x, self.fc2, self.bn5).relu()
        return self.fc3(x).view(-1, self.size, self.size) + torch.eye(self.size, dtype=x.dtype, device=x.device)


class PointFeatures(nn.Module):
    """The per-point half with both T-nets (``feat.*`` in the public key names)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stn, self.fstn = TransformNet(channels, 3), TransformNet(64, 64)
        self.conv1, self.conv2, self.conv3 = nn.Conv1d(channels, 64, 1), nn.Conv1d(64, 128, 1), nn.Conv1d(128, 1024, 1)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm1d(64), nn.BatchNorm1d(128), nn.BatchNorm1d(1024)
        self.per_point = PerPoint()

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, channels) -> (B, 1024)."""
        x = torch.cat([points[..., :3] @ self.stn(points), points[..., 3:]], -1)
        x = dense(x, self.conv1, self.bn1).relu()
        x = x @ self.fstn(x)
        x = dense(x, self.conv2, self.bn2).relu()
        return max_over_points(self.per_point(dense(x, self.conv3, self.bn3)))


@register("model", "pointnet")
class PointNet(nn.Module):
    """PointNet with input and feature transform. Clouds (B, N, 3), or (B, N, 6) with normals -> logits (B, classes)."""

    def __init__(self, classes: int = 40, normals: bool = False) -> None:
        super().__init__()
        self.feat = PointFeatures(6 if normals else 3)
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, classes)
        self.bn1, self.bn2 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)
        self.dropout = nn.Dropout(0.4)

    def forward(self, points: Tensor) -> Tensor:
        x = dense(self.feat(points), self.fc1, self.bn1).relu()
        x = dense(x, self.fc2, None if self.training else self.bn2)
        if self.training:
            x = self.bn2(self.dropout(x))
        return self.fc3(x.relu())


class VanillaFeatures(nn.Module):
    """The per-point half without T-nets (``feature_model.*`` in the public key names)."""

    def __init__(self, widths: tuple[int, ...] = (3, 64, 64, 64, 128, 1024)) -> None:
        super().__init__()
        for i, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1):
            setattr(self, f"conv{i}", nn.Conv1d(inputs, outputs, 1))
            setattr(self, f"bn{i}", nn.BatchNorm1d(outputs))
        self.depth = len(widths) - 1
        self.per_point = PerPoint()

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, 1024)."""
        for i in range(1, self.depth + 1):
            points = dense(points, getattr(self, f"conv{i}"), getattr(self, f"bn{i}")).relu()
        return max_over_points(self.per_point(points))


@register("model", "pointnet_vanilla")
class PointNetVanilla(nn.Module):
    """PointNet without transforms, as ``learning3d`` trains it. Clouds (B, N, 3) -> logits (B, classes)."""

    def __init__(self, classes: int = 40) -> None:
        super().__init__()
        self.feature_model = VanillaFeatures()
        self.linear1, self.linear2, self.linear3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, classes)
        self.bn1, self.bn2 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)

    def forward(self, points: Tensor) -> Tensor:
        x = dense(self.feature_model(points), self.linear1, self.bn1).relu()
        x = F.dropout(x, 0.3, self.training)
        x = dense(x, self.linear2, self.bn2).relu()
        return self.linear3(F.dropout(x, 0.3, self.training))
