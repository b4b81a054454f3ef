"""What the score loses when a part is taken away: by the derivative, and region by region.

A part of a cloud is taken away by moving it into the center, where a point says least (Zheng et al. 2019); voxels
become empty, pixels black.
"""

import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.engine.gradient import input_gradient
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.space import Points, Space
from invert3d.engine.tree import Tree
from invert3d.ops.points import farthest_point_sample, gather, square_distances
from invert3d.registry import plain


@plain("attribution", "point_saliency")
class PointSaliency(Method):
    """What moving each point into the center would cost, to first order (Zheng et al. 2019, equation 6).

    ``dF/dx . (x - c) * r^alpha`` with c the median of the cloud and r the distance from it; ``alpha`` is 1 as
    published.
    """

    local = True
    takes = (Points,)
    alpha: float = 1.0

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        self.check(model.space)
        gradient, _ = input_gradient(model, -score, x, target)
        off = (x - x.median(1, keepdim=True).values).to(gradient)
        return Attribution(gradient * off * off.norm(dim=-1, keepdim=True) ** self.alpha, {"evaluations": 1})


@plain("attribution", "occlusion")
class RegionOcclusion(Method):
    """What the score loses when a region is taken away: the loss, to each element of the region. No derivative.

    The ``regions`` of a cloud are the points nearest to each of as many farthest points. A grid or an image is cut
    into ``blocks`` along each axis; blocks without a filled voxel are passed over.
    """

    regions: int = 32
    blocks: int = 8

    def __post_init__(self) -> None:
        if self.regions < 2 or self.blocks < 2:
            raise ValueError(f"regions and blocks must be 2 or more, not {self.regions} and {self.blocks}")

    @torch.no_grad()
    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        self.check(model.space)
        model.space.validate(x)
        region = self._regions(model.space, x)
        shared = region.shape[-1] if region.dim() == 3 else region.shape[1] if region.dim() > 3 else 1
        whole, values = score_of(model, score, x, target), torch.zeros_like(x)
        numbers = region[(x != 0) | isinstance(model.space, Points)].unique().tolist()
        for number in numbers:
            inside = region == number
            without = torch.where(inside, nothing(model.space, x), x)
            lost = (whole - score_of(model, score, without, target)).view(-1, *[1] * (x.dim() - 1)).to(values)
            values += torch.where(inside, lost / shared, 0)
        return Attribution(values, {"evaluations": len(numbers) + 1})

    def _regions(self, space: Space, x: Tensor) -> Tensor:
        """The number of the region of each number of x, like x."""
        if isinstance(space, Points):
            seeds = gather(x, farthest_point_sample(x[..., :3], min(self.regions, x.shape[1])))
            return square_distances(x[..., :3], seeds[..., :3]).argmin(-1)[..., None].expand_as(x)
        total = torch.zeros(x.shape[2:], dtype=torch.long, device=x.device)
        for axis, size in enumerate(x.shape[2:]):
            block = torch.arange(size, device=x.device) * min(self.blocks, size) // size
            total = total * self.blocks + block.view(-1, *[1] * (x.dim() - 3 - axis))
        return total.expand_as(x)


def nothing(space: Space, x: Tensor) -> Tensor:
    """What is left of an input (B, *space.shape) when it is taken away: its center, empty voxels, black."""
    return x.mean(1, keepdim=True).expand_as(x) if isinstance(space, Points) else torch.zeros_like(x)


def score_of(model: Frozen, score: Objective, x: Tensor, target: Tree | None) -> Tensor:
    """Minus the objective (B,) at x, without a derivative."""
    return -input_gradient(model, score, x, target, differentiate=lambda outcome, leaf: leaf)[1].loss
