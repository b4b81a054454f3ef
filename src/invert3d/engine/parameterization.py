"""What is optimized: theta, and the x that it stands for."""

from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.space import Space
from invert3d.engine.tree import Tree


class Parameterization:
    """theta -> x. Theta is a dictionary of tensors with the batch first, so that samples can leave the batch.

    Entries that are not floating point are constants: drawn at the start and not optimized.

    Subclasses are frozen keyword-only dataclasses of plain values.
    """

    def initialize(self, like: Tensor, space: Space, draws: Draws) -> dict[str, Tensor]:
        """A random theta for as many samples as ``like`` (B, ...) has, in its dtype and on its device."""
        raise NotImplementedError

    def constants(self, target: Tree | None) -> dict[str, Tensor]:
        """The part of the target (B, ...) that x is drawn around, as entries of theta that are not floating point.

        Most parameterizations need none. Raises ValueError for a target that x cannot be drawn around.
        """
        return {}

    def __call__(self, theta: dict[str, Tensor], space: Space, draws: Draws) -> Tensor:
        """x (B, *space.shape), differentiable in theta; points of a surface are drawn anew at every call."""
        raise NotImplementedError

    def assign(self, theta: dict[str, Tensor], x: Tensor) -> None:
        """Write a projected x back into theta, in place. Only where x itself is optimized."""
        raise TypeError(
            f"{type(self).__name__} has no x of its own to project: projections need the parameterization 'direct'"
        )
