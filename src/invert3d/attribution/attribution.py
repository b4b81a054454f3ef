"""What all attributions share: the question, the answer, and how a point or a voxel gets one number.

What is explained is a *score* (B,), larger for more of what is asked: minus an ``Objective``, so that
``ClassScore()`` asks for the logit of the target class.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.engine.tree import Tree

Reduction = Literal["sum", "norm", "abs"]


@dataclass(frozen=True)
class Attribution:
    """How much each number of the input x (B, *space.shape) did for the score: values like x, signed.

    ``facts`` holds what was counted and measured on the way: model evaluations, completeness, rectifiers changed.
    """

    values: Tensor
    facts: dict[str, Any] = field(default_factory=dict)

    def per_element(self, reduction: Reduction = "sum") -> Tensor:
        """One number a point or voxel: ``sum`` of the channels (signed), their ``norm``, or the sum of ``abs``.

        A cloud (B, N, C) gives (B, N), a grid (B, 1, D, H, W) and an image (B, 3, H, W) lose their second axis.
        """
        axis = -1 if self.values.dim() == 3 else 1
        if reduction == "norm":
            return self.values.norm(dim=axis)
        return self.values.abs().sum(axis) if reduction == "abs" else self.values.sum(axis)


class Method:
    """A way to explain a score. Subclasses are frozen keyword-only dataclasses of plain values.

    ``reduction`` makes one number a point of its values: their sum where they add up to something, else the norm.
    ``takes`` are the kinds of input it explains. ``local`` says that it asks for the derivative at the input itself,
    which says nothing of a score that is largest there.
    """

    reduction: ClassVar[Reduction] = "sum"
    local: ClassVar[bool] = False
    takes: ClassVar[tuple[type[Space], ...]] = (Points, Voxels, Image)

    def check(self, space: Space) -> None:
        """Raise ValueError where a method is asked about an input it does not explain."""
        if not isinstance(space, self.takes):
            known = " and ".join(kind.__name__.lower() for kind in self.takes)
            raise ValueError(f"{type(self).__name__} explains {known}, not {type(space).__name__.lower()}")

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        """Explain minus ``score`` at x (B, *space.shape), for the ``target``: classes (B,), or that of a detector.

        Raises ValueError if x is not a legal batch of the model's space.
        """
        raise NotImplementedError
