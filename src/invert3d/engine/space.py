"""Input domains in the user's units: shape, legal range, what the model is fed, starting points.

Everything above a ``Space`` speaks the user's units: unit-sphere or metric coordinates, occupancy in [0, 1], RGB in
[0, 1]. Layouts, channel orders, means and {-1, 5} ranges live here and nowhere else.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.packed import FEATURES, Packed, features_of, pack
from invert3d.registry import unknown


class Space:
    """A domain: ``shape`` of one sample, ``bounds`` of its values, ``encode`` to what the model takes.

    ``name`` is the kind of input that objectives, projections and transforms say they take; empty is whatever they do.
    """

    name: ClassVar[str] = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch."""
        raise NotImplementedError

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest legal value."""
        return 0.0, 1.0

    def encode(self, x: Tensor) -> Tensor | Packed:
        """(B, *shape) in the user's units -> what the model takes, for ``packed.run``."""
        raise NotImplementedError

    def start(self, name: str, like: Tensor, draws: Draws) -> Tensor:
        """A starting point (B, *shape) by name, in the dtype, device and batch size of ``like`` (B, ...)."""
        raise NotImplementedError

    def saved(self, x: Tensor) -> Tensor:
        """What a file keeps of x (B, *shape): pictures in 8 bits, voxels empty or full, points as they are."""
        return x.clone()

    def validate(self, x: Tensor) -> None:
        """Raise ValueError unless x is a batch (B, *shape) of finite, legal samples."""
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"expected a batch of {self.shape}, got {tuple(x.shape)}")
        check_finite(x)
        low, high = self.bounds
        if len(x) and (x.min() < low or x.max() > high):
            raise ValueError(f"values must lie in [{low}, {high}], these lie in [{x.min():.3g}, {x.max():.3g}]")


def check_finite(x: Tensor) -> None:
    """Raise ValueError naming the first sample with a NaN or an infinity."""
    bad = ~torch.isfinite(x).flatten(1).all(1)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise ValueError(f"sample {first} has NaN or infinite values ({int(bad.sum())} of {len(x)} samples do)")


#: how clouds are handed to a model, and what it then gets
LAYOUTS = {"bn3": "(B, N, 3)", "b3n": "(B, 3, N)", "packed": "one list (B N, 3) with a batch index"}
#: starting points of a cloud: what the paper tries (section 3.2.1) and what the authors' code left unwritten
STARTS = ("uniform", "zero", "ball", "sphere")


@dataclass(frozen=True, kw_only=True)
class Points(Space):
    """Clouds (B, N, 3) or, with normals, (B, N, 6); usually in the unit sphere about their mean.

    ``layout`` is what the model takes: ``bn3`` (B, N, 3), ``b3n`` (B, 3, N), or ``packed``: one list of points
    (B N, 3) with a batch index, and with what ``packed.Packed`` lists. ``up`` names the model's up axis; the
    user's clouds are always z up. ``extent`` bounds the coordinates.

    ``features`` names the channels of a point that the model takes, in their order (``packed.FEATURES``): by default
    coordinates and normals, if there are any. A packed model gets its coordinates apart from them, and by default no
    features but normals. ``grid_size`` is the edge of the voxels of a packed batch, in the units of the coordinates.
    """

    name = "points"

    points: int = 1024
    layout: Literal["bn3", "b3n", "packed"] = "bn3"
    up: Literal["z", "y"] = "z"
    normals: bool = False
    extent: float = 4.0
    features: tuple[str, ...] = ()
    grid_size: float = 0.01

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(unknown("points layout", self.layout, LAYOUTS))
        if self.up not in ("z", "y"):
            raise ValueError(unknown("up axis", self.up, ("z", "y")))
        for feature in self.features:
            if feature not in FEATURES:
                raise ValueError(unknown("feature", feature, FEATURES))
        if "normals" in self.features and not self.normals:
            raise ValueError("normals are among the features, but the clouds have none (normals=True)")
        if not 0 < self.grid_size < float("inf"):
            raise ValueError(f"grid_size must be a finite number above 0, not {self.grid_size}")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.points, 6 if self.normals else 3)

    @property
    def bounds(self) -> tuple[float, float]:
        return -self.extent, self.extent

    def turned(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Clouds (B, N, 3 or 6) in the axes of the model."""
        if self.up == "z":
            return x
        # as in public ModelNet40 clouds, which swap two axes: (x, y, z) is stored as (x, z, y)
        return torch.cat([part[..., [0, 2, 1]] for part in x.split(3, -1)], -1)

    def encode(self, x: Float[Tensor, "b n c"]) -> Tensor | Packed:
        x, up = self.turned(x), 1 if self.up == "y" else 2
        if self.layout == "packed":
            names = self.features or ("normals",) * self.normals
            return pack(x[..., :3], features_of(x, names, up) if names else None, self.grid_size)
        fed = features_of(x, self.features, up) if self.features else x
        return fed.transpose(1, 2).contiguous() if self.layout == "b3n" else fed

    def start(self, name: str, like: Tensor, draws: Draws) -> Tensor:
        """``uniform`` in [-0.2, 0.2], (near) ``zero`` within 1e-4, uniform in the unit ``ball``, on the ``sphere``.

        Normals, if there are any, point anywhere.
        """
        if name not in STARTS:
            raise ValueError(unknown("start", name, STARTS))
        if self.normals:
            bare = replace(self, normals=False, features=())
            return torch.cat([bare.start(name, like, draws), bare.start("sphere", like, draws)], -1)
        if name in ("uniform", "zero"):
            reach = 0.2 if name == "uniform" else 1e-4
            return draws.uniform(like, -reach, reach, self.points, 3)
        direction = torch.nn.functional.normalize(draws.normal(like, self.points, 3), dim=-1)
        if name == "sphere":
            return direction
        return direction * draws.uniform(like, 0, 1, self.points, 1) ** (1 / 3)

    def validate(self, x: Tensor) -> None:
        """Raise ValueError, in one sentence, for a transposed, empty, tiny, infinite or oversized batch."""
        channels, given = self.shape[1], tuple(x.shape)
        if x.dim() == 3 and x.shape[1] == channels != x.shape[2]:
            raise ValueError(f"clouds must be (B, N, {channels}), these are (B, {channels}, N) = {given}: transpose")
        if x.dim() != 3 or x.shape[2] != channels:
            raise ValueError(f"clouds must be (B, N, {channels}), got shape {given}")
        if x.shape[1] < 16:
            raise ValueError(f"a cloud needs at least 16 points, got {x.shape[1]}")
        check_finite(x)
        if len(x) and (largest := x[..., :3].abs().max()) > self.extent:
            far = f"coordinates reach {largest:.3g}, more than {self.extent}"
            raise ValueError(f"{far}: center and scale the clouds to the unit sphere first")


@dataclass(frozen=True, kw_only=True)
class Voxels(Space):
    """Occupancy grids (B, 1, size, size, size) in [0, 1]; the model is fed ``low`` for empty and ``high`` for full."""

    name = "voxels"

    size: int = 32
    low: float = 0.0
    high: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, self.size, self.size, self.size)

    def encode(self, x: Float[Tensor, "b 1 d h w"]) -> Tensor:
        return self.low + (self.high - self.low) * x

    def saved(self, x: Tensor) -> Tensor:
        return (x > 0.5).to(x.dtype)

    def start(self, name: str, like: Tensor, draws: Draws) -> Tensor:
        """``uniform`` in [0, 1], or ``zero``: empty."""
        if name not in ("uniform", "zero"):
            raise ValueError(unknown("start", name, ("uniform", "zero")))
        return draws.uniform(like, 0, 1 if name == "uniform" else 1e-4, *self.shape)


@dataclass(frozen=True, kw_only=True)
class Image(Space):
    """RGB images (B, 3, height, width) in [0, 1]; the model is fed (x - mean) / std in its own channel order.

    ``mean`` and ``std`` are in the order of the channels as the model takes them.
    """

    name = "image"

    height: int = 224
    width: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    order: Literal["rgb", "bgr"] = "rgb"

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, self.height, self.width)

    def encode(self, x: Float[Tensor, "b 3 h w"]) -> Tensor:
        x = x.flip(1) if self.order == "bgr" else x
        mean, std = (x.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (x - mean) / std

    def saved(self, x: Tensor) -> Tensor:
        return (255 * x.clamp(0, 1)).round() / 255

    def start(self, name: str, like: Tensor, draws: Draws) -> Tensor:
        """``uniform`` in [0, 1], ``zero``: mid gray, ``normal``: gray with a deviation of 0.2, clipped."""
        if name not in ("uniform", "zero", "normal"):
            raise ValueError(unknown("start", name, ("uniform", "zero", "normal")))
        if name == "uniform":
            return draws.uniform(like, 0, 1, *self.shape)
        return (0.5 + (0.2 if name == "normal" else 1e-4) * draws.normal(like, *self.shape)).clamp(0, 1)
