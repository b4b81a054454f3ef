"""A Gaussian of each class over its principal components: the simplest generator of voxel shapes there is."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class ClassGaussians(nn.Module):
    """``x = mean_y + sum_c z_c sigma_c v_c``, z standard normal: v the principal components of the shapes of class y.

    It has no weights that are learned by a gradient. A shape is full where x is above a half. It is a rival that every
    generator has to beat, and a place to start from.

    Args:
        means: (K, S, S, S) of the classes.
        components: (K, C, S, S, S) orthonormal, times their standard deviations.
    """

    def __init__(self, means: Float[Tensor, "k s s s"], components: Float[Tensor, "k c s s s"]) -> None:
        super().__init__()
        self.means: Tensor
        self.components: Tensor
        self.register_buffer("means", means)
        self.register_buffer("components", components)

    @classmethod
    def blank(cls, classes: int, components: int, size: int) -> "ClassGaussians":
        """All zeros, to load a state into."""
        return cls(torch.zeros(classes, size, size, size), torch.zeros(classes, components, size, size, size))

    @classmethod
    def fitted(cls, grids: Tensor, labels: Int[Tensor, "m"], classes: int, components: int = 16) -> "ClassGaussians":
        """To grids (M, S, S, S) of ``labels`` (M,), with so many components, or as many as a class has shapes less one.

        Raises ValueError for a class of fewer than two shapes, or less than one component.
        """
        if components < 1:
            raise ValueError(f"at least one component is needed, not {components}")
        means, spreads = [], []
        for label in range(classes):
            x = grids[labels == label].float()
            if len(x) < 2:
                raise ValueError(f"class {label} has {len(x)} shapes: two are needed")
            mean, count = x.mean(0), min(components, len(x) - 1)
            rows = (x - mean).flatten(1) / (len(x) - 1) ** 0.5
            # with rows = U sigma V^T, sigma V^T is U^T rows, and U are the eigenvectors of the few inner products
            first = torch.linalg.eigh(rows @ rows.T).eigenvectors.flip(1)[:, :count]
            spread = torch.zeros(components, mean.numel())
            spread[:count] = first.T @ rows
            means.append(mean)
            spreads.append(spread.view(components, *mean.shape))
        return cls(torch.stack(means), torch.stack(spreads))

    def forward(self, labels: Int[Tensor, "b"], z: Float[Tensor, "b c"]) -> Float[Tensor, "b s s s"]:
        """x of classes (B,) and codes (B, C). Raises ValueError for another number of components."""
        if z.shape[1] != self.components.shape[1]:
            raise ValueError(f"a code has {self.components.shape[1]} numbers, not {z.shape[1]}")
        return self.means[labels] + (z[..., None, None, None] * self.components[labels]).sum(1)
