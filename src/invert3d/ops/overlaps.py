"""How much boxes overlap: on the ground (bird's eye view, BEV) and in space. All differentiable.

In the picture ``torchvision.ops.box_iou`` says it, and of masks ``mask_iou``.

Boxes in space are a triple (sizes, centers, yaws) as in a ``Layout``: KITTI's conventions, see ``ops.boxes``. A box
without a size, or with NaN in it (not known), overlaps nothing.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invert3d.ops.layouts import area

#: sizes (n, 3) height, width, length; centers (n, 3) of the bottom faces; yaws (n,)
Boxes = tuple[Float[Tensor, "*n 3"], Float[Tensor, "*n 3"], Float[Tensor, "*n"]]
#: the same, of another count
Others = tuple[Float[Tensor, "*m 3"], Float[Tensor, "*m 3"], Float[Tensor, "*m"]]


def intersection_over_first(a: Float[Tensor, "*k n 4"], b: Float[Tensor, "*k m 4"]) -> Float[Tensor, "*k n m"]:
    """The share of each box of ``a`` that lies in each of ``b``: how KITTI asks if one is in a DontCare region."""
    one, other = a[..., :, None, :], b[..., None, :, :]
    corners = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    return _share(area(torch.cat(corners, -1)), area(one))


def mask_iou(a: Bool[Tensor, "n h w"], b: Bool[Tensor, "m h w"]) -> Float[Tensor, "n m"]:
    """Intersection over union of all masks of ``a`` with all of ``b``; 0 of two empty ones."""
    one, other = a.flatten(1).float(), b.flatten(1).float()
    shared = one @ other.T
    return shared / (one.sum(1)[:, None] + other.sum(1) - shared).clamp_min(1)


def overlaps(a: Boxes, b: Others) -> tuple[Float[Tensor, "*k n m"], Float[Tensor, "*k n m"]]:
    """Intersection over union on the ground (heights do not matter) and in space, all of ``a`` with all of ``b``.

    A box is from its center's y up to y - h. It is worked out only where boxes are near each other.
    """
    near = may_touch(
        (a[0].unsqueeze(-2), a[1].unsqueeze(-2), a[2].unsqueeze(-1)),
        (b[0].unsqueeze(-3), b[1].unsqueeze(-3), b[2].unsqueeze(-2)),
    )
    *k, i, j = near.nonzero(as_tuple=True)
    one, other = (*k, i), (*k, j)
    found = paired_overlaps((a[0][one], a[1][one], a[2][one]), (b[0][other], b[1][other], b[2][other]))
    ground, space = (torch.zeros_like(near, dtype=each.dtype).masked_scatter(near, each) for each in found)
    return ground, space


def iou3d(a: Boxes, b: Others) -> Float[Tensor, "n m"]:
    """Intersection over union of volumes, all of ``a`` with all of ``b``."""
    return overlaps(a, b)[1]


def paired_overlaps(a: Boxes, b: Boxes) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Intersection over union on the ground and in space of the first of ``a`` with the first of ``b``, and so on.

    Where the boxes may be far apart most of this is for nothing: ``may_touch`` says which pairs are worth it.
    """
    (sizes_a, centers_a, _), (sizes_b, centers_b, _) = a, b
    shared = shared_ground(a, b)
    grounds = (sizes_a[:, 1] * sizes_a[:, 2], sizes_b[:, 1] * sizes_b[:, 2])
    bottom = torch.minimum(centers_a[:, 1], centers_b[:, 1])
    top = torch.maximum(centers_a[:, 1] - sizes_a[:, 0], centers_b[:, 1] - sizes_b[:, 0])
    volume = shared * (bottom - top).clamp_min(0)
    whole = grounds[0] * sizes_a[:, 0] + grounds[1] * sizes_b[:, 0] - volume
    return _share(shared, grounds[0] + grounds[1] - shared), _share(volume, whole)


def may_touch(a: Boxes, b: Others) -> Tensor:
    """Which footprints have circles around them that meet; False with NaN. The triples are broadcast: (n, 1) with
    (1, m) leading dimensions give (n, m)."""
    reach = [(sizes[..., 1] ** 2 + sizes[..., 2] ** 2).sqrt() / 2 for sizes, _, _ in (a, b)]
    apart = a[1][..., [0, 2]] - b[1][..., [0, 2]]
    return apart.square().sum(-1) <= (reach[0] + reach[1]) ** 2


def shared_ground(a: Boxes, b: Boxes) -> Float[Tensor, "n"]:
    """The area in square meters that two footprints share, pair by pair.

    The cut through a convex figure at x is an interval, and its length a piecewise linear function of x that bends only
    at the x of corners and of crossings of edges. So the midpoint rule between those is exact, and touching, contained
    and identical footprints are nothing special.
    """
    dtype = a[0].dtype
    (sizes_a, centers_a, yaws_a), (sizes_b, centers_b, yaws_b) = ([each.double() for each in box] for box in (a, b))
    away = (centers_b - centers_a)[:, [0, 2]]  # seen from the center of a: far from the origin nothing is lost
    rectangles = (_rectangle(sizes_a, torch.zeros_like(away), yaws_a), _rectangle(sizes_b, away, yaws_b))
    (normals_a, offsets_a, corners_a), (normals_b, offsets_b, corners_b) = rectangles
    low = torch.maximum(corners_a.amin(1), corners_b.amin(1))[:, None]
    high = torch.minimum(corners_a.amax(1), corners_b.amax(1))[:, None]
    crossings = _crossings(normals_a, offsets_a, normals_b, offsets_b)
    bends = torch.cat([corners_a, corners_b, crossings], 1).clamp(low, high).sort(1).values
    middles = (bends[:, 1:] + bends[:, :-1]) / 2
    (start_a, end_a), (start_b, end_b) = (_cut(middles, *each[:2]) for each in rectangles)
    lengths = (torch.minimum(end_a, end_b) - torch.maximum(start_a, start_b)).clamp_min(0)
    return (lengths * bends.diff(dim=1)).sum(1).to(dtype)


def _rectangle(sizes: Tensor, centers: Tensor, yaws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The normals (n, 4, 2) and offsets (n, 4) of a footprint's edges in (x, z), and the x (n, 4) of its corners."""
    c, s = yaws.cos(), yaws.sin()
    normals = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], 1)
    half = sizes[:, [2, 1]] / 2
    middle = (normals * centers[:, None]).sum(-1)
    along, across = half[:, 0] * c, half[:, 1] * s
    x = torch.stack([along + across, along - across, across - along, -along - across], 1) + centers[:, :1]
    return normals.repeat(1, 2, 1), torch.cat([middle - half, middle + half], 1), x


def _crossings(normals_a: Tensor, offsets_a: Tensor, normals_b: Tensor, offsets_b: Tensor) -> Tensor:
    """The x (n, 16) where the lines of two rectangles' edges cross; 0 for parallels."""
    (ax, az), (bx, bz) = normals_a[:, :, None].unbind(-1), normals_b[:, None].unbind(-1)
    turn = ax * bz - bx * az
    parallel = turn.abs() < 1e-12
    x = (offsets_a[:, :, None] * bz - offsets_b[:, None] * az) / torch.where(parallel, torch.ones_like(turn), turn)
    return torch.where(parallel, torch.zeros_like(x), x).flatten(1)


def _cut(x: Tensor, normals: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """From where to where (n, k) the lines at x (n, k) are inside a rectangle; the start is above the end if never."""
    slopes = normals[..., 1]
    slopes = torch.where(slopes.abs() < 1e-12, torch.full_like(slopes, 1e-12), slopes)
    z = (offsets[:, None] - normals[:, None, :, 0] * x[..., None]) / slopes[:, None]
    first, second = z[..., :2], z[..., 2:]  # both sides of the length, both sides of the width
    return torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Part of a whole, from 0 to 1; 0 if there is no whole, or it is not known."""
    there = (whole > 0) & (part > 0)
    return torch.where(there, part / torch.where(there, whole, 1), 0).clamp(max=1)
