"""Priors on images (B, 3, H, W), RGB in [0, 1]."""

from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.registry import plain


@plain("prior", "total_variation")
class TotalVariation(Objective):
    """Mean over the pixels of ``|difference to the right|^power + |difference below|^power``, summed over the channels.

    A mean, so a weight carries over between sizes. ``power`` 1 keeps edges, 2 is smooth everywhere.
    """

    spaces = frozenset({"image"})

    power: float = 1.0

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return _differences(state.x, self.power) / (state.x.shape[-1] * state.x.shape[-2])


@plain("prior", "isotropic_variation")
class IsotropicVariation(Objective):
    """Sum over pixels and channels of the length of the difference to the right and below (*The Essence of Pose*,
    equation 1). Grows with the size of the picture. ``floor``, in units of x, is added in squares under the root, whose
    derivative would be infinite where a picture is flat."""

    spaces = frozenset({"image"})

    floor: float = 1e-3

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        x = state.x
        right, below = x[..., :-1, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, :-1]
        return (right.square() + below.square() + self.floor**2).sqrt().flatten(1).sum(1)


@plain("prior", "published_variation")
class PublishedVariation(Objective):
    """Sum of squared differences of neighboring pixels, in units of ImageNet's deviations: as the code of *Inverting
    3D Deep Learning Architectures* has it, with a weight of 3e-5. Grows with the size of the picture."""

    spaces = frozenset({"image"})

    deviation: float = 0.226

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return _differences(state.x, 2.0) / self.deviation**2


@plain("prior", "p_norm")
class PNorm(Objective):
    """Sum over pixels and channels of ``|x - mean|^power``: keeps single pixels from becoming extreme.

    As the code of *Inverting and Understanding Object Detectors* has it, with a power of 6 and a weight of 1e-7. Grows
    with the size of the picture.
    """

    spaces = frozenset({"image"})

    power: float = 6.0
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        mean = state.x.new_tensor(self.mean)[:, None, None]
        return (state.x - mean).abs().pow(self.power).flatten(1).sum(1)


def _differences(x: Tensor, power: float) -> Tensor:
    right, below = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return right.abs().pow(power).flatten(1).sum(1) + below.abs().pow(power).flatten(1).sum(1)


@plain("prior", "nearness")
class Nearness(Objective):
    """Mean absolute change of the pixels since the start: the smallest change that does what is asked."""

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        return (state.x - state.start).abs().flatten(1).mean(1)
