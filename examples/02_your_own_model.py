"""
Your own network
================

Another layout, log-softmax in a tuple; your own objective and loop arguments.
"""

import torch
from torch import nn

from invert3d import CrossEntropy, Direct, Every, Frozen, KnnSmooth, Points, Repulsion, Stepper, Trace, optimize


class Mine(nn.Module):
    """Takes (B, 3, N), returns (log-probabilities, features), like much public code."""

    def __init__(self) -> None:
        super().__init__()
        self.points, self.head = nn.Conv1d(3, 64, 1), nn.Linear(64, 5)

    def forward(self, cloud: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.points(cloud).tanh().mean(2)
        return self.head(features).log_softmax(-1), features


torch.manual_seed(0)
model = Frozen(Mine(), Points(points=256, layout="b3n"))
result = optimize(
    model,
    CrossEntropy() + 0.1 * Repulsion(h=0.1),
    Direct(start="ball"),
    target=torch.arange(5),
    steps=60,
    stepper=Stepper(kind="adam", rate=0.05),
    projections=[Every(period=10, projection=KnnSmooth(k=4, strength=0.2))],
    recorders=[Trace()],
)
before, after = result.trace["loss"][[0, -1]].mean(1)
print(f"mean loss {before:.3f} -> {after:.3f}; {int(result.success.sum())} of 5 as asked")
