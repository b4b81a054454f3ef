"""A variational autoencoder of voxel shapes of classes, with a classifier: the rival of introspective networks."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from invert3d.models.winn3d import folded, layer
from invert3d.registry import register


class Decoder(nn.Module):
    """x = p(y, m_y + F_y z): classes (B,) and codes (B, C), standard normal, to occupancies (B, S, S, S) in (0, 1).

    m and F are the Gaussian of what the encoder makes of each class (``settled``), at first that of the prior: a short
    training leaves the codes of a class far from the prior, and shapes from it would be of any class.

    A linear layer to 4 voxels a side, then twice as many at each layer, by the nearest; the last one gives eight
    channels that are unfolded to 2 x 2 x 2 voxels each.
    """

    def __init__(self, classes: int, width: int, size: int, codes: int) -> None:
        super().__init__()
        self.codes, self.width = codes, width
        self.means: Tensor
        self.factors: Tensor
        self.register_buffer("means", torch.zeros(classes, codes))
        self.register_buffer("factors", torch.eye(codes).expand(classes, -1, -1).clone())
        self.first = nn.Linear(codes + classes, 16 * width * 4**3)
        widths = [16 * width, 4 * width, 2 * width][: (size // 8).bit_length()]  # from 4 voxels a side to size / 2
        self.body = nn.Sequential(
            *(
                nn.Sequential(nn.Upsample(scale_factor=2.0), layer(*pair))
                for pair in zip(widths, widths[1:], strict=False)
            )
        )
        self.last = nn.Conv3d(widths[-1], 8, 3, padding=1)
        nn.init.constant_(self.last.bias, -3.0)  # type: ignore[arg-type]  # one voxel in twenty is full

    def logits(self, labels: Int[Tensor, "b"], z: Float[Tensor, "b c"]) -> Float[Tensor, "b s s s"]:
        """Of the occupancies."""
        classes = F.one_hot(labels, self.first.in_features - self.codes).to(z)
        x = F.leaky_relu(self.first(torch.cat([z, classes], 1)), 0.2).view(len(z), 16 * self.width, 4, 4, 4)
        return unfolded(self.last(self.body(x)))

    def settled(self, mean: Float[Tensor, "m c"], variance: Float[Tensor, "m c"], labels: Int[Tensor, "m"]) -> None:
        """Fit m and F to the posteriors of shapes of ``labels`` (M,): the moments of their mixture, class by class."""
        for label in range(len(self.means)):
            own, spread = mean[labels == label], variance[labels == label].mean(0)
            sizes, axes = torch.linalg.eigh(torch.cov(own.T, correction=0) + spread.diag())
            self.means[label], self.factors[label] = own.mean(0), axes * sizes.clamp_min(0).sqrt()

    def forward(self, labels: Int[Tensor, "b"], z: Float[Tensor, "b c"]) -> Float[Tensor, "b s s s"]:
        moved = self.means[labels] + (self.factors[labels] @ z[..., None])[..., 0]
        return self.logits(labels, moved).sigmoid()


@register("model", "voxel_vae")
class VoxelVAE(nn.Module):
    """Grids (B, 1, S, S, S) -> scores (B, classes) by q(y | x); ``posterior`` is q(z | x, y), ``starts`` p(x | y, z).

    The generative semi-supervised model M2 of Kingma et al. 2014, all labels known. Its encoder is the network of
    3DWINN with the folded stem (``models.winn3d``) and one layer less, so it classifies, too. ``invert3d generate``
    makes shapes with it from normal codes, with 0 steps of ascent.

    Args:
        classes: K.
        width: w; layers of the encoder have 2 w to 16 w channels, those of the decoder 16 w to 2 w.
        size: S, 16 or 32.
        codes: numbers of z.

    Raises ValueError for another size.
    """

    grid_sizes: tuple[int, ...] = (32, 16)

    def __init__(self, classes: int = 40, width: int = 16, size: int = 32, codes: int = 64) -> None:
        super().__init__()
        if size not in self.grid_sizes:
            raise ValueError(f"the network takes grids of 32 or 16 voxels a side, not {size}")
        self.grid_sizes = (size,)
        widths = [8, 2 * width, 4 * width, 8 * width, 16 * width]
        layers = [layer(*pair) for pair in zip(widths, widths[1:], strict=False)]
        pools = [nn.AvgPool3d(2) if size >> k > 2 else nn.Identity() for k in range(1, 5)]
        self.encoder = nn.Sequential(*(each for pair in zip(layers, pools, strict=True) for each in pair))
        self.fc = nn.Linear(16 * width * 2**3, classes)
        self.moments = nn.Linear(16 * width * 2**3 + classes, 2 * codes)
        self.starts = Decoder(classes, width, size, codes)

    def features(self, grids: Tensor) -> Tensor:
        """The last layer of the encoder."""
        return self.encoder(folded(grids)).flatten(1)

    def forward(self, grids: Tensor) -> Tensor:
        return self.fc(self.features(grids))

    def posterior(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance (B, codes) of q(z | x, y)."""
        classes = F.one_hot(labels, self.fc.out_features).to(features)
        mean, variance = self.moments(torch.cat([features, classes], 1)).chunk(2, 1)
        return mean, variance


def unfolded(x: Tensor) -> Tensor:
    """The inverse of ``folded``: (B, 8, S/2, S/2, S/2) -> (B, S, S, S)."""
    b, _, d, h, w = x.shape
    return x.view(b, 2, 2, 2, d, h, w).permute(0, 4, 1, 5, 2, 6, 3).reshape(b, 2 * d, 2 * h, 2 * w)
