"""The gradient, the gradient times the input, and the gradient averaged over noise."""

import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.engine.draws import Draws
from invert3d.engine.gradient import input_gradient
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.tree import Tree
from invert3d.registry import plain


@plain("attribution", "gradient")
class Gradient(Method):
    """``dF/dx`` (Simonyan et al. 2014; *3D Point Cloud Feature Explanations*, section III)."""

    local = True
    reduction = "norm"

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        gradient, _ = input_gradient(model, -score, x, target)
        return Attribution(gradient, {"evaluations": 1})


@plain("attribution", "input_x_gradient")
class InputXGradient(Method):
    """``x * dF/dx``: the gradient masked by the input ("masked vanilla" of the paper, section III)."""

    local = True

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        gradient, _ = input_gradient(model, -score, x, target)
        return Attribution(x.to(gradient) * gradient, {"evaluations": 1})


@plain("attribution", "smooth_grad")
class SmoothGrad(Method):
    """The mean gradient over ``samples`` inputs with Gaussian noise (Smilkov et al. 2017).

    ``noise`` is its deviation as a share of the range of each input, largest less smallest value.
    """

    local = True
    reduction = "norm"
    samples: int = 16
    noise: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or self.noise < 0:
            raise ValueError(f"samples must be 1 or more and noise 0 or more, not {self.samples} and {self.noise}")

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        draws = Draws.seeded(self.seed, [0] * len(x))  # the same noise for each: no input depends on its batch-mates
        low, high = x.flatten(1).amin(1), x.flatten(1).amax(1)
        sigma = (self.noise * (high - low)).view(-1, *[1] * (x.dim() - 1))
        total = torch.zeros_like(x)
        for _ in range(self.samples):
            near = x + sigma * draws.normal(x, *x.shape[1:])
            gradient, _ = input_gradient(model, -score, near.clamp(*model.space.bounds), target)
            total += gradient.to(total)
        return Attribution(total / self.samples, {"evaluations": self.samples})
