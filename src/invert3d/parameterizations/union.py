"""Several parameterizations side by side, each drawing a share of the points."""

from dataclasses import replace

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.space import Points, Space
from invert3d.ops.points import unit_sphere
from invert3d.parameterizations.primitives import Primitives
from invert3d.parameterizations.sheets import Sheets
from invert3d.registry import plain


@plain("parameterization", "solids_and_sheet")
class SolidsAndSheet(Parameterization):
    """A few solids and one smooth sheet; the sheet draws a ``share`` of the points."""

    count: int = 4
    mirror: str = "x"
    kind: str = "superquadric"
    width: int = 32
    share: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must lie in [0, 1], not {self.share}")

    def _parts(self, space: Space) -> tuple[tuple[str, Parameterization, Points], ...]:
        if not isinstance(space, Points):
            raise TypeError(f"solids and sheets are clouds, not {type(space).__name__}")
        on_sheet = round(self.share * space.points)
        solids = Primitives(count=self.count, mirror=self.mirror, kind=self.kind)  # type: ignore[arg-type]
        parts = (
            ("solids", solids, replace(space, points=space.points - on_sheet)),
            ("sheet", Sheets(width=self.width), replace(space, points=on_sheet)),
        )
        return tuple(part for part in parts if part[2].points)

    def initialize(self, like: Tensor, space: Space, draws: Draws) -> dict[str, Tensor]:
        parts = self._parts(space)
        return {f"{name}.{k}": v for name, part, share in parts for k, v in part.initialize(like, share, draws).items()}

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        clouds = []
        for name, part, share in self._parts(space):
            own = {k.removeprefix(f"{name}."): v for k, v in theta.items() if k.startswith(f"{name}.")}
            clouds.append(part(own, share, draws))
        return unit_sphere(torch.cat(clouds, 1))
