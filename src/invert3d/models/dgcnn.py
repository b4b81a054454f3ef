"""DGCNN (Wang et al. 2019): edges to the nearest neighbors in feature space, a maximum over them, four times.

Parameter names are those of the public ``antao97`` code. An edge ``[x_j - x_i, x_i]`` enters a linear layer, which is
``A x_j + B x_i``; the norm (folded) and the leaky rectifier are monotone, so the maximum over j is taken of ``A x_j``
alone: one matrix a point instead of one an edge, the same output.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.models.layers import PerPoint, batch_normalized, dense, folded, max_over_points
from invert3d.ops.points import gather, knn
from invert3d.registry import register


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def neighbor_max(values: Tensor, indices: Tensor) -> Tensor:
    """Largest of ``values`` (B, N, C) over the neighbors ``indices`` (B, N, k), channel by channel: (B, N, C).

    Only the winners are remembered for the derivative, not the k candidates.
    """
    batch, count, channels = values.shape
    # As many clouds at once as the second-level cache of a processor core holds; an accelerator takes them all.
    size = max(1, 2**16 // (count * channels)) if values.device.type == "cpu" else batch
    with torch.no_grad():
        winner = torch.cat([_winners(*some) for some in zip(values.split(size), indices.split(size), strict=True)])
    return values.gather(1, winner)


def _winners(values: Tensor, indices: Tensor) -> Tensor:
    batch, count, channels = values.shape
    offsets = torch.arange(batch, device=values.device).mul_(count)[:, None, None]
    members = (indices + offsets).flatten(0, 1).t().contiguous()
    flat = values.reshape(-1, channels)
    best = flat.index_select(0, members[0])
    slot, candidate, better = torch.zeros_like(best), torch.empty_like(best), torch.empty_like(best)
    for j in range(1, len(members)):
        torch.index_select(flat, 0, members[j], out=candidate)
        torch.gt(candidate, best, out=better)
        torch.maximum(slot, better.mul_(j), out=slot)  # 10x faster than where, on a CPU
        torch.maximum(best, candidate, out=best)
    return indices.gather(2, slot.long().view(values.shape))


class EdgeConv(nn.Sequential):
    """One edge convolution: kNN graph of x (B, N, C) in its own space -> (B, N, widths)."""

    def __init__(self, inputs: int, outputs: int, norm: nn.BatchNorm2d) -> None:
        super().__init__(nn.Conv2d(2 * inputs, outputs, 1, bias=False), norm, nn.LeakyReLU(0.2))

    def forward(self, x: Tensor, k: int) -> Tensor:
        indices = knn(x.detach(), x.detach(), k)
        weight, bias = folded(self[0], self[1])
        on_neighbor, on_self = weight.chunk(2, 1)
        neighbor = F.linear(x, on_neighbor)
        center = F.linear(x, on_self - on_neighbor, bias)
        if self[1].training:
            edges = gather(neighbor, indices) + center.unsqueeze(2)
            return _leaky(batch_normalized(edges, self[1])).max(2).values
        return _leaky(neighbor_max(neighbor, indices) + center)


@register("model", "dgcnn")
class DGCNN(nn.Module):
    """DGCNN classifier. Clouds (B, N, 3) -> logits (B, classes). ``k`` neighbors: 20 at 1,024 points, 40 at 2,048."""

    def __init__(self, classes: int = 40, k: int = 20, features: int = 1024) -> None:
        super().__init__()
        self.k = self.least_points = k
        widths = [3, 64, 64, 128, 256]
        for i, outputs in enumerate(widths[1:], 1):
            setattr(self, f"bn{i}", nn.BatchNorm2d(outputs))
        self.bn5, self.bn6, self.bn7 = nn.BatchNorm1d(features), nn.BatchNorm1d(512), nn.BatchNorm1d(256)
        for i, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1):
            setattr(self, f"conv{i}", EdgeConv(inputs, outputs, getattr(self, f"bn{i}")))
        self.conv5 = nn.Sequential(nn.Conv1d(sum(widths[1:]), features, 1, bias=False), self.bn5, nn.LeakyReLU(0.2))
        self.linear1, self.linear2 = nn.Linear(2 * features, 512, bias=False), nn.Linear(512, 256)
        self.linear3 = nn.Linear(256, classes)
        self.dp1, self.dp2 = nn.Dropout(0.5), nn.Dropout(0.5)
        self.per_point = PerPoint()

    def forward(self, points: Tensor) -> Tensor:
        x, levels = points, []
        for i in range(1, 5):
            x = getattr(self, f"conv{i}")(x, self.k)
            levels.append(x)
        x = self.per_point(_leaky(dense(torch.cat(levels, -1), self.conv5[0], self.bn5)))
        x = torch.cat([max_over_points(x), x.mean(1)], -1)
        x = self.dp1(_leaky(dense(x, self.linear1, self.bn6)))
        return self.linear3(self.dp2(_leaky(dense(x, self.linear2, self.bn7))))
