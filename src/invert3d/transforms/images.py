"""Random views of images (B, 3, H, W), RGB in [0, 1], whose target is that of a detector: fields of ``ops.objects``.

A picture that a detector understands from one exact set of pixels only is an adversarial example. Flipping, scaling and
moving it asks for more, but only if boxes and the camera go along: that is what these do.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.transform import Transform
from invert3d.ops.boxes import alpha_of
from invert3d.ops.layouts import flip_fields, warp_fields
from invert3d.registry import plain


@plain("transform", "flip_scene")
class FlipScene(Transform):
    """Mirror a ``share`` of the pictures: x and rotation_y change sign, and the camera's horizontal terms."""

    spaces = frozenset({"image"})

    share: float = 0.5

    def __call__(self, x: Float[Tensor, "b 3 h w"], target: Any, draws: Draws) -> tuple[Tensor, Any]:
        flip = draws.uniform(x, 0, 1, 1)[:, 0] < self.share
        view = torch.where(flip[:, None, None, None], x.flip(-1), x)
        if target is None:
            return view, None
        flipped = flip_fields(target, x.shape[-1])
        rows = {name: flip.view(-1, *(1,) * (value.dim() - 1)) for name, value in flipped.items()}
        return view, target | {name: torch.where(rows[name], flipped[name], target[name]) for name in flipped}


@plain("transform", "move_scene")
class MoveScene(Transform):
    """Scale pictures by a factor in 1 +- ``scale`` about the principal point (their middle, where the target has no
    camera), and move them sideways by up to a share ``shift`` of their width.

    What the picture shows has then changed in one of two ways, and ``takes`` says which: the ``camera`` has another
    focal length and principal point, exactly; or, for a network that has learned one camera and reads depth from it,
    the ``objects`` are nearer or farther (depth / factor), exactly but for their own extent in depth. A shift sideways
    is the camera's in either case.
    """

    spaces = frozenset({"image"})

    scale: float = 0.1
    shift: float = 0.03
    takes: Literal["camera", "objects"] = "objects"

    def __call__(self, x: Float[Tensor, "b 3 h w"], target: Any, draws: Draws) -> tuple[Tensor, Any]:
        height, width = x.shape[-2:]
        factor = 1 + draws.uniform(x, -self.scale, self.scale, 1)
        right = width * draws.uniform(x, -self.shift, self.shift, 1)
        size = x.new_tensor([width, height])
        camera = None if target is None else target.get("projection")
        middle = (size - 1) / 2 if camera is None else camera[:, :2, 2]
        move = (1 - factor) * middle + torch.cat([right, torch.zeros_like(right)], 1)
        view = _warped(x, factor, move)
        if target is None:
            return view, None
        moved = target | warp_fields(target, factor.expand(-1, 2), move, height, width)
        return view, moved if camera is None or self.takes == "camera" else moved | _nearer(target, factor, right)


def _warped(x: Tensor, factor: Float[Tensor, "b 1"], move: Float[Tensor, "b 2"]) -> Tensor:
    """Pictures scaled and then moved by pixels; what was outside repeats the border."""
    size = x.new_tensor([x.shape[-1], x.shape[-2]])
    y, across = torch.meshgrid(*(torch.arange(n, dtype=x.dtype, device=x.device) for n in x.shape[-2:]), indexing="ij")
    pixels = torch.stack([across, y], -1)
    source = (pixels - move[:, None, None]) / factor[:, None, None]
    grid = (2 * source + 1) / size - 1
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _nearer(target: dict[str, Tensor], factor: Float[Tensor, "b 1"], right: Tensor) -> dict[str, Tensor]:
    """The boxes in space with their middles at depth / factor, and the camera moved sideways only."""
    centers, projection = target["centers"].clone(), target["projection"].clone()
    centers[..., 2] /= factor
    projection[:, 0, 2] += right[:, 0]
    return {"centers": centers, "alphas": alpha_of(target["yaws"], centers), "projection": projection}


@plain("transform", "light")
class Light(Transform):
    """Another exposure, contrast and tint: x -> gain * tint * x ** power, each within 1 +- ``strength`` (tint a third),
    and Gaussian noise of up to ``noise``; cut to [0, 1]."""

    spaces = frozenset({"image"})

    strength: float = 0.15
    noise: float = 0.1

    def __call__(self, x: Float[Tensor, "b 3 h w"], target: Any, draws: Draws) -> tuple[Tensor, Any]:
        s = self.strength
        gain, power = (draws.uniform(x, 1 - s, 1 + s, 1, 1, 1) for _ in range(2))
        tint = draws.uniform(x, 1 - s / 3, 1 + s / 3, 3, 1, 1)
        noise = draws.uniform(x, 0, self.noise, 1, 1, 1) * draws.normal(x, *x.shape[1:])
        return (gain * tint * x.clamp_min(1e-4) ** power + noise).clamp(0, 1), target
