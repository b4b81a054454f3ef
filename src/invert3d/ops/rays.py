"""Rays through the pixels of a camera, and what they meet: boxes and ellipsoids with soft edges.

L solids, P rays. Lengths in meters. How far inside a solid a ray passes, and colors seen through each other, are
differentiable; distances and normals are constants.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def pixel_rays(projection: Float[Tensor, "3 4"], height: int, width: int) -> tuple[Tensor, Tensor]:
    """The camera's place (3,) and the unit directions (height, width, 3) of its pixels, in the projection's world."""
    inverse = torch.linalg.inv(projection[:, :3])
    like = {"dtype": projection.dtype, "device": projection.device}
    v, u = torch.meshgrid(torch.arange(height, **like), torch.arange(width, **like), indexing="ij")  # pixels' middles
    directions = torch.stack([u, v, torch.ones_like(u)], -1) @ inverse.T
    return -inverse @ projection[:, 3], directions / directions.norm(dim=-1, keepdim=True)


def meet_boxes(
    origin: Float[Tensor, "3"], rays: Float[Tensor, "p 3"], low: Float[Tensor, "l 3"], high: Float[Tensor, "l 3"]
) -> tuple[Float[Tensor, "l p"], Float[Tensor, "l p"], Float[Tensor, "l p 3"]]:
    """How rays meet boxes along the axes, from ``low`` to ``high``.

    Returns how far inside the outline each ray passes (negative: outside), the distance at which it enters, and the
    outward normal there. Where a ray passes outside, the last two are about those of its closest approach.

    Seen along a ray, a box is a hexagon; its edges run as the box's own do (Gottschalk et al. 1996, *OBBTree*).
    """
    rays, a, b, half = _scaled(origin, rays, low, high)
    axes = torch.eye(3, dtype=rays.dtype, device=rays.device)
    across = torch.linalg.cross(rays[None], axes[:, None].expand(-1, len(rays), -1))  # (3, P, 3)
    width = torch.einsum("lj,epj->lep", half[:, 0], across.abs())
    aside = torch.einsum("lj,epj->lep", origin - (low + high) / 2, across).abs()
    inside = ((width - aside) / across.norm(dim=-1)).amin(1)
    with torch.no_grad():
        enters, axis = (-(a / b) - (1 / b).abs()).max(-1)
        middle, reach = -(a * half * rays).sum(-1), half.norm(dim=-1)
        enters = torch.minimum(torch.maximum(enters, middle - reach), middle + reach)  # where it passes outside
        normal = torch.zeros_like(b).scatter(-1, axis[..., None], -b.gather(-1, axis[..., None]).sign())
    return inside, enters, normal


def meet_ellipsoids(
    origin: Float[Tensor, "3"], rays: Float[Tensor, "p 3"], low: Float[Tensor, "l 3"], high: Float[Tensor, "l 3"]
) -> tuple[Float[Tensor, "l p"], Float[Tensor, "l p"], Float[Tensor, "l p 3"]]:
    """As ``meet_boxes``, for the ellipsoids in the boxes. How far inside is right to first order near the outline."""
    _, a, b, half = _scaled(origin, rays, low, high)
    square = (b * b).sum(-1, keepdim=True)
    t = -(a * b).sum(-1, keepdim=True) / square
    nearest = a + t * b
    radius = nearest.norm(dim=-1).clamp_min(1e-6)
    slope = (nearest / half).norm(dim=-1).clamp_min(1e-6) / radius
    with torch.no_grad():
        enters = t - ((1 - radius**2).clamp_min(0)[..., None] / square).sqrt()
        normal = torch.nn.functional.normalize((a + enters * b) / half, dim=-1)
    return (1 - radius) / slope, enters[..., 0], normal


def _scaled(origin: Tensor, rays: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The rays (P, 3), moved off the axes by 1e-6 so that nothing divides by 0; and, in the axes in which each box is
    [-1, 1]^3, origins (L, 1, 3) and directions (L, P, 3); and half-sizes (L, 1, 3)."""
    half = ((high - low) / 2).clamp_min(1e-4)[:, None]
    rays = torch.where(rays.abs() < 1e-6, 1e-6, rays)
    return rays, (origin - (low + high)[:, None] / 2) / half, rays / half, half


def over(
    colors: Float[Tensor, "l p 3"], opacities: Float[Tensor, "l p"], distances: Float[Tensor, "l p"]
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p"]]:
    """Layers seen through each other, the nearest first: their light (P, 3), and how much they hide (P,).

    Porter and Duff 1984, *Compositing Digital Images*.
    """
    order: Int[Tensor, "l p"] = distances.argsort(0)
    opacities, colors = opacities.gather(0, order), colors.gather(0, order[..., None].expand_as(colors))
    through = torch.cat([torch.ones_like(opacities[:1]), (1 - opacities).cumprod(0)])
    return ((opacities * through[:-1])[..., None] * colors).sum(0), 1 - through[-1]
