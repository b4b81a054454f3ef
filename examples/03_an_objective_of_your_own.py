"""
An objective of your own
========================

A new objective is one frozen dataclass: here, a shape between two classes. It is checked like our own.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from invert3d import Objective, State, Stepper, load_recipe, open_network, optimize, register


@register("objective", "between")
@dataclass(frozen=True, kw_only=True)
class Between(Objective):
    """Cross entropy to the target class and to one other, half and half."""

    other: int

    def __call__(self, state: State) -> torch.Tensor:
        logs = F.log_softmax(state.outputs, -1)
        wanted = logs.gather(1, state.view_target[:, None])[:, 0]
        return -(wanted + logs[:, self.other]) / 2


network = open_network("pointnet-shapes", points=512)
chair, toilet = network.index("chair"), network.index("toilet")
recipe = load_recipe("ours")
result = optimize(
    network.frozen,
    Between(other=toilet),
    recipe.parameterization,
    target=torch.tensor([chair]),
    steps=20,
    stepper=Stepper(rate=0.03),
    transforms=recipe.transforms,
)
chances = result.outputs[0].softmax(-1)
print(f"between a chair ({chances[chair]:.2f}) and a toilet ({chances[toilet]:.2f})")
