"""What a network remembers of the inputs it was trained on: the means and deviations in its batch norms."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.registry import plain


@plain("prior", "batch_norm_statistics")
class BatchNormStatistics(Objective):
    """Features spread as they were in training: mean over the channels of each batch norm of (mean - remembered)^2 /
    variance + (log deviation - remembered)^2, averaged over the layers (Yin et al., *Dreaming to Distill*, 2020).

    ``layers`` are names of batch norms, see ``norm_layers``; a sample's statistics are taken over its places, so a
    picture is never compared with more than itself. ``slack`` is a deviation from the remembered that costs nothing:
    one picture is not the data set.

    Raises ValueError if a layer is no batch norm with statistics of its own.
    """

    layers: tuple[str, ...] = ()
    slack: float = 0.3

    @property
    def taps(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.layers

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        total = state.x.flatten(1).sum(1) * 0
        for name in self.layers:
            total = total + self._distance(state.features[name], state.layers[name], name)
        return total / max(1, len(self.layers))

    def _distance(self, after: Tensor, norm: nn.Module, name: str) -> Float[Tensor, "b"]:
        weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
        if getattr(norm, "running_var", None) is None or weight is None or bias is None:
            raise ValueError(f"{name} is {type(norm).__name__}, not a batch norm that remembers statistics")
        scale = weight.abs()
        alive = scale > 1e-3  # a channel that is switched off says nothing
        places = after.flatten(2).to(torch.promote_types(after.dtype, torch.float32))
        middle = places.mean(2)
        variance = (places - middle[..., None]).square().mean(2)  # several times faster here than var
        mean = (middle - bias)[:, alive] / scale[alive]
        spread = (variance[:, alive] / scale[alive] ** 2 + 1e-4).log() / 2
        beyond = torch.relu(mean.abs() - self.slack) ** 2 + torch.relu(spread.abs() - self.slack) ** 2
        return beyond.mean(1)


def norm_layers(model: nn.Module) -> tuple[str, ...]:
    """The names of the batch norms of a model that remember statistics, first to last."""
    norms = ((name, m) for name, m in model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return tuple(name for name, norm in norms if norm.track_running_stats and norm.affine)
