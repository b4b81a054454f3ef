"""Boxes in space and their pictures, in the conventions of KITTI.

Camera coordinates: x to the right, y down, z forward, meters. A box has sizes (height, width, length), the center of
its *bottom* face and ``rotation_y``, 0 when its front looks along +x, turning from x towards -z. All differentiable.
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: the sides that the eight corners lie on: along the length, up (0 the bottom face), along the width
_LENGTH = (0.5, 0.5, -0.5, -0.5, 0.5, 0.5, -0.5, -0.5)
_UP = (0.0, 0.0, 0.0, 0.0, -1.0, -1.0, -1.0, -1.0)
_WIDTH = (0.5, -0.5, -0.5, 0.5, 0.5, -0.5, -0.5, 0.5)
#: the twelve edges, as pairs of corners; the front face has the corners 0, 1, 4, 5
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))


def corners3d(
    sizes: Float[Tensor, "*n 3"], centers: Float[Tensor, "*n 3"], yaws: Float[Tensor, "*n"]
) -> Float[Tensor, "*n 8 3"]:
    """Corners in meters, in the order of KITTI's development kit: four of the bottom face, four of the top face."""
    height, width, length = (side[..., None] for side in sizes.unbind(-1))
    along, up, across = (sizes.new_tensor(signs) for signs in (_LENGTH, _UP, _WIDTH))
    x, y, z = along * length, up * height, across * width
    c, s = yaws[..., None].cos(), yaws[..., None].sin()
    return torch.stack([c * x + s * z, y, c * z - s * x], -1) + centers[..., None, :]


def project(points: Float[Tensor, "*n 3"], projection: Float[Tensor, "*m 3 4"]) -> Float[Tensor, "*n 3"]:
    """Pixels (u, v) and depth of points in meters, by a 3 x 4 projection matrix. Depth must not be 0."""
    seen = points @ projection[..., :3].transpose(-1, -2) + projection[..., None, :, 3]
    return torch.cat([seen[..., :2] / seen[..., 2:], seen[..., 2:]], -1)


def boxes_of(corners: Float[Tensor, "n 8 3"], projection: Float[Tensor, "3 4"], near: float = 0.1) -> Tensor:
    """Boxes (n, 4) left, top, right, bottom in pixels, not clipped to the image, of corners in front of the camera.

    Edges that pass the plane ``near`` meters before the camera are cut there, so that a box beside it has a picture.
    """
    a, b = (corners[:, [edge[i] for edge in EDGES]] for i in (0, 1))
    za, zb = a[..., 2:], b[..., 2:]
    share = ((near - za) / torch.where(zb == za, torch.ones_like(za), zb - za)).clamp(0, 1)
    cut = a + share * (b - a)
    ends = torch.cat([torch.where(za < near, cut, a), torch.where(zb < near, cut, b)], 1)
    seen = torch.cat([(za >= near) | (zb >= near)] * 2, 1)
    pixels = project(ends, projection)[..., :2]
    low = torch.where(seen, pixels, torch.inf).amin(1)
    high = torch.where(seen, pixels, -torch.inf).amax(1)
    return torch.cat([low, high], 1)


def wrapped(angles: Tensor) -> Tensor:
    """Angles in radians, into [-pi, pi)."""
    return torch.remainder(angles + torch.pi, 2 * torch.pi) - torch.pi


def alpha_of(yaws: Tensor, centers: Float[Tensor, "*n 3"]) -> Tensor:
    """The observation angle: rotation_y as the camera sees it, less the direction of the object. Radians."""
    return wrapped(yaws - torch.atan2(centers[..., 0], centers[..., 2]))
