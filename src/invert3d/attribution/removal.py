"""What the score loses when points are taken away: by the derivative, and region by region."""

from dataclasses import dataclass

import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.engine.gradient import input_gradient
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.space import Points
from invert3d.ops.points import farthest_point_sample, gather, square_distances
from invert3d.registry import register


@register("attribution", "point_saliency")
@dataclass(frozen=True, kw_only=True)
class PointSaliency(Method):
    """What moving each point into the center would cost, to first order (Zheng et al. 2019, equation 6).

    ``dF/dx . (x - c) * r^alpha`` with c the median of the cloud and r the distance from it; ``alpha`` is 1 as
    published.
    """

    alpha: float = 1.0

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tensor | None = None) -> Attribution:
        only_clouds(self, model)
        gradient, _ = input_gradient(model, -score, x, target)
        off = (x - x.median(1, keepdim=True).values).to(gradient)
        return Attribution(gradient * off * off.norm(dim=-1, keepdim=True) ** self.alpha, {"evaluations": 1})


@register("attribution", "occlusion")
@dataclass(frozen=True, kw_only=True)
class RegionOcclusion(Method):
    """What the score loses when a region is moved into the center of the cloud: the loss, to each point of the region.

    There are ``regions`` of them: the points nearest to each of as many farthest points. No derivative is taken.
    """

    regions: int = 32

    def __post_init__(self) -> None:
        if self.regions < 2:
            raise ValueError(f"regions must be 2 or more, not {self.regions}")

    @torch.no_grad()
    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tensor | None = None) -> Attribution:
        only_clouds(self, model)
        seeds = gather(x, farthest_point_sample(x[..., :3], self.regions))
        region = square_distances(x[..., :3], seeds[..., :3]).argmin(-1)
        whole, values = self._score(model, score, x, target), torch.zeros_like(x)
        for number in range(self.regions):
            inside = (region == number)[..., None]
            without = torch.where(inside, x.mean(1, keepdim=True), x)
            lost = (whole - self._score(model, score, without, target)).view(-1, 1, 1).to(values)
            values += torch.where(inside, lost / x.shape[-1], 0)
        return Attribution(values, {"evaluations": self.regions + 1})

    def _score(self, model: Frozen, score: Objective, x: Tensor, target: Tensor | None) -> Tensor:
        with torch.enable_grad():
            return -input_gradient(model, score, x, target, differentiate=lambda outcome, leaf: leaf)[1].loss


def only_clouds(method: Method, model: Frozen) -> None:
    """Raise ValueError where a method of clouds is asked about something else."""
    if not isinstance(model.space, Points):
        raise ValueError(f"{type(method).__name__} explains clouds, not {type(model.space).__name__}")
