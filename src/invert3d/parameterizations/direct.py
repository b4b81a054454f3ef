"""x itself is optimized."""

from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.space import Space
from invert3d.registry import plain


@plain("parameterization", "direct")
class Direct(Parameterization):
    """theta is x, from one of the space's starting points by name."""

    start: str = "uniform"

    def initialize(self, like: Tensor, space: Space, draws: Draws) -> dict[str, Tensor]:
        return {"x": space.start(self.start, like, draws)}

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        return theta["x"]

    def encode(self, x: Tensor, space: Space) -> dict[str, Tensor]:
        """The theta that stands for x: x."""
        return {"x": x}

    def assign(self, theta: dict[str, Tensor], x: Tensor) -> None:
        theta["x"].data.copy_(x)
