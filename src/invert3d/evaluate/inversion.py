"""Does an inverted shape mean anything? What the inverted network says of it counts least; what others say, most.

Everything is measured on the saved clouds, through the networks' untouched forward.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invert3d.engine.model import Frozen
from invert3d.engine.packed import Packed, run
from invert3d.methods.judge import renamed_classes


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """What one network says of each of A clouds: its class by name, and the probability of the class asked for."""

    network: str
    says: tuple[str, ...]
    right: Tensor  # (A,) booleans
    probability: Tensor  # (A,)

    @property
    def share(self) -> float:
        """Share of the clouds whose class it recognizes."""
        return self.right.float().mean().item()


@torch.no_grad()
def recognize(
    network: Frozen, name: str, classes: Sequence[str], x: Float[Tensor, "a n 3"], asked: Sequence[str], chunk: int = 32
) -> Recognition:
    """What a network with these classes says of clouds, against the class names asked for.

    A class that the network does not have counts as not recognized.
    """
    logits = torch.cat([network(part.to(network.device, network.dtype)).cpu() for part in x.split(chunk)])
    wanted = renamed_classes(asked, classes)
    said = logits.argmax(-1)
    probability = logits.softmax(-1).gather(1, wanted.clamp_min(0)[:, None])[:, 0]
    return Recognition(
        network=name,
        says=tuple(classes[int(i)] for i in said),
        right=said == wanted,
        probability=torch.where(wanted >= 0, probability, 0.0),
    )


@torch.no_grad()
def randomize(model: nn.Module, fed: Tensor | Packed, seed: int = 0) -> nn.Module:
    """Shuffle the entries of every weight of a model in place: the control that must not give recognizable shapes.

    The statistics of its batch norms are measured again on ``fed``, inputs as a space encodes them, so that signals
    keep their scale and the network is a working one that happens to know nothing (Adebayo et al. 2018).
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].view(parameter.shape))
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    modes, momenta = [(module, module.training) for module in model.modules()], [norm.momentum for norm in norms]
    model.eval()  # dropout would draw what no seed fixes
    for norm in norms:
        norm.momentum = 1.0  # the statistics of this batch, and nothing of those before
        norm.train()
    run(model, fed)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes:
        module.training = mode
    return model
