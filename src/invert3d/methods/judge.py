"""Judges: which of several starts is the good one. The network that is inverted cannot tell.

Measured on free starts of one network, the start that its own network scores highest is hardly likelier to be
recognized by another network than any other start. So a judge may hold a second network, which is then never one of
those that score the transfer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.transform import Transform, chained


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Networks that score a theta by the log-probability of its class, averaged over random views and over networks.

    ``classes[i][c]`` is what network i calls the class c of the inverted network, -1 where it has no such class: its
    vote then does not count. With no networks, no start is better than another.
    """

    networks: tuple[Frozen, ...] = ()
    classes: tuple[Tensor, ...] = ()
    views: int = 6

    @torch.no_grad()
    def __call__(
        self,
        parameterization: Parameterization,
        theta: dict[str, Tensor],
        target: Tensor,
        transforms: Sequence[Transform],
        draws: Draws,
    ) -> Tensor:
        """Scores (B,) of thetas whose targets are the classes (B,) of the inverted network; larger is better."""
        total = torch.zeros(len(target), dtype=torch.float64)
        for network, renamed in zip(self.networks, self.classes, strict=True):
            called = renamed[target.cpu()]
            for _ in range(self.views):
                view, _ = chained(transforms, parameterization(theta, network.space, draws), None, draws)
                logs = network(view.to(network.device)).log_softmax(-1).cpu().double()
                vote = logs.gather(1, called.clamp_min(0)[:, None])[:, 0]
                total += torch.where(called >= 0, vote, 0)
        return total / max(1, self.views * len(self.networks))


def renamed_classes(ours: Sequence[str], theirs: Sequence[str]) -> Tensor:
    """For each class name of ours its index among theirs, -1 where they have none: (len(ours),)."""
    index = {name: i for i, name in enumerate(theirs)}
    return torch.tensor([index.get(name, -1) for name in ours])
