"""What the public code of *Inverting and Understanding Object Detectors* asks of a detector: the protocol.

A detector that has a ``published_rule`` can be inverted by the recipe ``layouts/published``. The rule of a family is
the training loss of its network, on the picture, with targets that are chosen again at every step (Cao & Johnson 2021,
sections 3.2 and 3.3).
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class PublishedRule(Protocol):
    """Made by ``detector.published_rule(detector, kept=..., levels=...)``; see ``objectives.published_layout``.

    Attributes:
        classifier: the head that learns classes. ``foreground`` belongs to it.
    """

    classifier: str

    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the candidates should be, given what they are. No gradient."""
        ...

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor]) -> dict[str, Tensor]:
        """One number per sample, (B,), for each head that the public code trains, by the names in ``Detector.heads``,
        and ``foreground``: minus the logits of the objects' own classes, which the public code adds to them."""
        ...


def level_weights(levels: tuple[float, ...], counts: Int[Tensor, "l"]) -> Float[Tensor, "a"]:
    """The weight of each candidate, by its level of the feature pyramid, of which ``counts`` are the candidates.

    Levels beyond the last weight have the last weight, too.
    """
    weights = (levels + levels[-1:] * len(counts))[: len(counts)]
    return torch.tensor(weights, device=counts.device).repeat_interleave(counts)
