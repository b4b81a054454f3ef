"""A Gaussian of each class over principal components that all classes share: the simplest generator of voxel shapes."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class ClassGaussians(nn.Module):
    """``x = mean_y + V^T F_y z``, z standard normal: V are the principal components of class-centered shapes, all
    classes weighted equally, and ``F_y F_y^T`` is the covariance of their coordinates along V in class y.

    It has no weights that are learned by a gradient. A voxel is full where x is above a half. It is a baseline for
    generators, and where the ascent of ``methods.introspection`` begins.

    Args:
        means: (K, S, S, S) of the classes.
        components: V (C, S, S, S), orthonormal.
        factors: F (K, C, C).
    """

    def __init__(
        self, means: Float[Tensor, "k s s s"], components: Float[Tensor, "c s s s"], factors: Float[Tensor, "k c c"]
    ) -> None:
        super().__init__()
        self.means: Tensor
        self.components: Tensor
        self.factors: Tensor
        self.register_buffer("means", means)
        self.register_buffer("components", components)
        self.register_buffer("factors", factors)

    @property
    def codes(self) -> int:
        """Numbers of a code, C."""
        return len(self.components)

    @classmethod
    def blank(cls, classes: int, components: int, size: int) -> "ClassGaussians":
        """All zeros, to load a state into."""
        return cls(
            torch.zeros(classes, size, size, size),
            torch.zeros(components, size, size, size),
            torch.zeros(classes, components, components),
        )

    @classmethod
    def fitted(cls, grids: Tensor, labels: Int[Tensor, "m"], classes: int, components: int = 64) -> "ClassGaussians":
        """To grids (M, S, S, S) of ``labels`` (M,), with so many components; those that the shapes do not have are 0.

        All classes count the same, however many shapes they have. Raises ValueError for a class of fewer than two
        shapes, or less than one component.
        """
        if components < 1:
            raise ValueError(f"at least one component is needed, not {components}")
        counts = labels.bincount(minlength=classes)
        if int(counts.min()) < 2:
            label = int(counts.argmin())
            raise ValueError(f"class {label} has {int(counts[label])} shapes: two are needed")
        blank = cls.blank(classes, components, grids.shape[-1])
        for label in range(classes):
            blank.means[label] = grids[labels == label].float().mean(0)
        rows = (grids.float() - blank.means[labels]).flatten(1)
        weighted = rows / counts[labels, None].sqrt()
        # with weighted = U sigma V^T, U are the eigenvectors of the few inner products
        values, vectors = torch.linalg.eigh(weighted @ weighted.T)
        there = min(components, int((values > 1e-6 * values[-1]).sum()))
        first = vectors.flip(1)[:, :there] / values.flip(0)[:there].sqrt()
        found = first.T @ weighted
        blank.components[:there] = found.view(there, *blank.means.shape[1:])
        for label in range(classes):
            own = rows[labels == label] @ found.T
            sizes, axes = torch.linalg.eigh(own.T @ own / (len(own) - 1))
            blank.factors[label, :there, :there] = axes * sizes.clamp_min(0).sqrt()
        return blank

    def forward(self, labels: Int[Tensor, "b"], z: Float[Tensor, "b c"]) -> Float[Tensor, "b s s s"]:
        """x of classes (B,) and codes (B, C). Raises ValueError for another number of components."""
        if z.shape[1] != self.codes:
            raise ValueError(f"a code has {self.codes} numbers, not {z.shape[1]}")
        places = (self.factors[labels] @ z[..., None])[..., 0]
        return self.means[labels] + (places @ self.components.flatten(1)).view(-1, *self.means.shape[1:])
