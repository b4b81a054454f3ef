"""The network of *3D Volumetric Modeling with Introspective Neural Networks* (Huang et al. 2019, 3DWINN)."""

from torch import Tensor, nn

from invert3d.models.class_gaussians import ClassGaussians
from invert3d.registry import register, unknown

STEMS = ("full", "folded")


def layer(inputs: int, outputs: int) -> nn.Sequential:
    """A 3 x 3 x 3 convolution, layer norm over channels and places, leaky ReLU."""
    return nn.Sequential(nn.Conv3d(inputs, outputs, 3, padding=1), nn.GroupNorm(1, outputs), nn.LeakyReLU(0.2))


@register("model", "winn3d")
class WINN3D(nn.Module):
    """Table 1 of the paper. Grids (B, 1, S, S, S), S 32 or 16 -> scores (B, classes); one class is its FC-1.

    Five layers of ``width`` to 16 times as many channels, averaged over 2 x 2 x 2 voxels after each but the first, and
    a linear layer; 1.18 million parameters at the published width of 16.

    ``stem`` says how 32 voxels a side become 16: ``full`` is as published, ``folded`` moves each 2 x 2 x 2 voxels into
    8 channels first, and has one layer less. A network of ``size`` 16 begins with that layer. With ``components`` it
    also holds where its own shapes begin (``models.class_gaussians``).

    Raises ValueError for another size or stem.
    """

    grid_sizes: tuple[int, ...] = (32, 16)

    def __init__(
        self, classes: int = 40, width: int = 16, size: int = 32, stem: str = "full", components: int = 0
    ) -> None:
        super().__init__()
        if size not in self.grid_sizes:
            raise ValueError(f"the network takes grids of 32 or 16 voxels a side, not {size}")
        if stem not in STEMS:
            raise ValueError(unknown("stem", stem, STEMS))
        self.grid_sizes = (size,)
        self.folds = size == 32 and stem == "folded"
        if size == 16:
            self.stem = layer(1, 2 * width)
        elif self.folds:
            self.stem = layer(8, 2 * width)
        else:
            self.stem = nn.Sequential(layer(1, width), layer(width, 2 * width), nn.AvgPool3d(2))
        widths = [2 * width, 4 * width, 8 * width, 16 * width]
        self.body = nn.Sequential(
            *(nn.Sequential(layer(*pair), nn.AvgPool3d(2)) for pair in zip(widths, widths[1:], strict=False))
        )
        self.fc = nn.Linear(8 * 16 * width, classes)
        self.starts = ClassGaussians.blank(classes, components, size) if components else None

    def features(self, grids: Tensor) -> Tensor:
        """The last layer, (B, 1, S, S, S) -> (B, 128 * width): 2,048 at the published width."""
        x = folded(grids) if self.folds else grids
        return self.body(self.stem(x)).flatten(1)

    def forward(self, grids: Tensor) -> Tensor:
        return self.fc(self.features(grids))


def folded(grids: Tensor) -> Tensor:
    """Each 2 x 2 x 2 voxels as 8 channels: (B, 1, S, S, S) -> (B, 8, S/2, S/2, S/2)."""
    b, _, d, h, w = grids.shape
    x = grids.view(b, d // 2, 2, h // 2, 2, w // 2, 2)
    return x.permute(0, 2, 4, 6, 1, 3, 5).reshape(b, 8, d // 2, h // 2, w // 2)
