"""Clouds drawn from one or a few smooth sheets: untrained networks from the square to space."""

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.space import Space
from invert3d.ops.points import unit_sphere
from invert3d.registry import plain


@plain("parameterization", "sheets")
class Sheets(Parameterization):
    """``count`` patches (u, v) -> (x, y, z), each a two-layer tanh network of ``width`` units (cf. AtlasNet, 2018).

    Points are shared out evenly over the patches and drawn anew at every call. Clouds are (B, N, 3) in the unit sphere.
    """

    count: int = 1
    width: int = 48
    waves: float = 1.5  # how strongly a patch may bend at the start

    def initialize(self, like: Tensor, space: Space, draws: Draws) -> dict[str, Tensor]:
        k, w = self.count, self.width
        return {
            "into": draws.normal(like, k, 3, w) * self.waves,
            "between": draws.normal(like, k, w + 1, w) / w**0.5,
            "out": draws.normal(like, k, w + 1, 3) / w**0.5,
        }

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        each = -(-space.shape[0] // self.count)
        uv = draws.uniform(theta["into"], -1, 1, self.count, each, 2)
        one = torch.ones_like(uv[..., :1])
        h = torch.tanh(torch.cat([uv, one], -1) @ theta["into"])
        h = torch.tanh(torch.cat([h, one], -1) @ theta["between"])
        x = torch.cat([h, one], -1) @ theta["out"]
        return unit_sphere(x.flatten(1, 2)[:, : space.shape[0]])
