"""What is optimized where x is an image (B, 3, H, W), RGB in [0, 1]."""

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.space import Space
from invert3d.registry import plain

#: gray, red against cyan, yellow against blue, and how far natural pictures deviate along each
_AXES = ((1.0, 1.0, 1.0), (1.0, -0.5, -0.5), (0.4, 0.6, -1.0))
_DEVIATIONS = (1.0, 0.25, 0.2)


@plain("parameterization", "normalized")
class Normalized(Parameterization):
    """x = theta * std + mean, channel by channel: the pixels as a network with ImageNet's statistics sees them.

    Begins with Gaussian noise of deviation ``spread``. Nothing keeps x legal: a projection has to. *Inverting 3D Deep
    Learning Architectures*, 3.1. ``swapped`` is CenterNet's habit of applying the statistics of red to blue.
    """

    spread: float = 0.2
    swapped: bool = False
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (like.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (mean.flip(0), std.flip(0)) if self.swapped else (mean, std)

    def initialize(self, like: Tensor, space: Space, draws: Draws) -> dict[str, Tensor]:
        return {"z": self.spread * draws.normal(like, *space.shape)}

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        mean, std = self._statistics(theta["z"])
        return theta["z"] * std + mean

    def assign(self, theta: dict[str, Tensor], x: Tensor) -> None:
        mean, std = self._statistics(x)
        theta["z"].data.copy_((x - mean) / std)


@plain("parameterization", "fourier")
class Fourier(Parameterization):
    """x = sigmoid(C F^-1(theta / f^power)): a spectrum, scaled as natural pictures' are, in decorrelated colors.

    Gradient steps then act on all scales alike, and x is legal whatever theta is (Olah et al., *Feature Visualization*,
    2017; Mordvintsev et al., *Differentiable Image Parameterizations*, 2018). ``finest`` leaves out what is finer than
    that share of the finest frequency, so that a first stage draws the coarse picture and a second goes on from its
    theta. ``spread`` is the deviation of the picture it begins with, before the sigmoid.
    """

    power: float = 1.2
    spread: float = 0.02
    finest: float = 1.0

    def _scale(self, space: Space, like: Tensor) -> Tensor:
        """(H, W // 2 + 1): what each frequency is multiplied by; cycles a picture of the longer side."""
        height, width = space.shape[1:]
        longest = max(height, width)
        fy = torch.fft.fftfreq(height, 1 / longest, device=like.device)[:, None]
        fx = torch.fft.rfftfreq(width, 1 / longest, device=like.device)
        f = torch.sqrt(fy**2 + fx**2)
        scale = 1 / f.clamp_min(1.0) ** self.power
        scale = scale * (height * width / scale.square().mean()) ** 0.5  # theta of deviation 1: a picture of 1
        return torch.where(f <= self.finest * longest / 2 * 2**0.5, scale, 0).to(like.dtype)

    def initialize(self, like: Tensor, space: Space, draws: Draws) -> dict[str, Tensor]:
        height, width = space.shape[1:]
        drawn = draws.normal(like, 3, height, width // 2 + 1, 2)
        return {"spectrum": drawn * self.spread / 2**0.5}

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        height, width = space.shape[1:]
        spectrum = torch.view_as_complex(theta["spectrum"].contiguous()) * self._scale(space, theta["spectrum"])
        planes = torch.fft.irfft2(spectrum, s=(height, width))
        return torch.sigmoid(torch.einsum("kc,bkhw->bchw", color_axes(planes), planes))

    def encode(self, x: Float[Tensor, "b 3 h w"], space: Space) -> dict[str, Tensor]:
        """The theta that stands for pictures, but for values within 1/512 of black and white, which it softens."""
        logits = torch.logit(x.clamp(1 / 512, 1 - 1 / 512))
        planes = torch.einsum("ck,bchw->bkhw", torch.linalg.inv(color_axes(x)), logits)
        scale = self._scale(space, x)
        spectrum = torch.fft.rfft2(planes) / torch.where(scale > 0, scale, 1)
        return {"spectrum": torch.view_as_real(torch.where(scale > 0, spectrum, 0)).contiguous()}


def color_axes(like: Tensor) -> Tensor:
    """(3, 3): red, green and blue along each decorrelated axis, as far as natural pictures deviate."""
    axes = like.new_tensor(_AXES)
    axes = axes / axes.norm(dim=1, keepdim=True) * 3**0.5
    return axes * like.new_tensor(_DEVIATIONS)[:, None]
