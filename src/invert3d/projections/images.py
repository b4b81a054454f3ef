"""Projections of images (B, 3, H, W), RGB."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.projection import Projection
from invert3d.engine.state import State
from invert3d.registry import plain


@plain("projection", "clip_image")
class ClipImage(Projection):
    """Every pixel into the ``legal`` range [0, 1], or into the ``authors``'.

    The code of *Inverting 3D Deep Learning Architectures* clips with a formula for means of 0 to 255 and means of 0 to
    1, so that a pixel is at least 254/255 of the mean and at most that above white: nothing in its pictures can be
    darker than ImageNet's average. ``swapped`` exchanges the means of red and blue, as CenterNet does.
    """

    spaces = frozenset({"image"})

    range: Literal["legal", "authors"] = "legal"
    swapped: bool = False
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)

    def __call__(self, state: State) -> Tensor:
        if self.range == "legal":
            return state.x.clamp(0, 1)
        mean = state.x.new_tensor(self.mean)[:, None, None] * 254 / 255
        mean = mean.flip(0) if self.swapped else mean
        return torch.minimum(torch.maximum(state.x, mean), 1 + mean)


@plain("projection", "clip_contributions")
class ClipContributions(Projection):
    """Pixels of little influence become the ``mean``: those whose contribution ``|sum over channels of
    dL/dx (x - mean)|`` is among the lowest ``percentile`` of the picture (*The Essence of Pose*, 3.1, after Yosinski et
    al. 2015).

    It reads the gradient at the x that was scored.
    """

    spaces = frozenset({"image"})
    needs_gradient = True

    percentile: float = 21.4
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)

    def __post_init__(self) -> None:
        if not 0 <= self.percentile <= 100:
            raise ValueError(f"a percentile is between 0 and 100, not {self.percentile}")

    def __call__(self, state: State) -> Tensor:
        mean = state.x.new_tensor(self.mean)[:, None, None]
        share = (state.gradient * (state.x - mean)).sum(1, keepdim=True).abs()
        least = torch.quantile(share.flatten(1), self.percentile / 100, dim=1)
        return torch.where(share < least[:, None, None, None], mean, state.x)


@plain("projection", "blur")
class Blur(Projection):
    """Gaussian blur after every ``period``-th step, its sigma falling by ``decay`` each time, to ``floor`` pixels.

    The published schedule: 5 pixels, 0.985, 0.5, every 5 steps. Borders are reflected, as SciPy does.
    """

    spaces = frozenset({"image"})

    sigma: float = 5.0
    decay: float = 0.985
    floor: float = 0.5
    period: int = 5

    def __post_init__(self) -> None:
        if self.period < 1 or min(self.sigma, self.floor) <= 0:
            raise ValueError(f"blur needs a period of at least 1 and sigmas above 0, not {self}")

    def __call__(self, state: State) -> Tensor:
        done, rest = divmod(state.step + 1, self.period)
        if rest:
            return state.x
        return blurred(state.x, max(self.sigma * self.decay ** (done - 1), self.floor))


def blurred(x: Float[Tensor, "b c h w"], sigma: float) -> Float[Tensor, "b c h w"]:
    """A Gaussian blur of ``sigma`` pixels, cut at four sigma, the picture mirrored at its edges (d c b a | a b c d)."""
    radius = int(4 * sigma + 0.5)
    reach = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (reach / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for axis in (2, 3):
        size = x.shape[axis]
        places = torch.arange(-radius, size + radius, device=x.device) % (2 * size)
        places = torch.where(places < size, places, 2 * size - 1 - places)
        shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
        wide = x.index_select(axis, places).flatten(0, 1)[:, None]
        x = F.conv2d(wide, kernel.view(shape)).unflatten(0, x.shape[:2])[:, :, 0]
    return x
