"""What of a picture is left in its reconstruction: edges by direction, colors, the border of the sky, and how alike
another network sees the two."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

#: share of shifted places at which an edge is found by chance
FALSE_ALARMS = 0.1
#: slope of the brightness, a pixel, of an edge that a picture shows: a step of a tenth of the range
CONTRAST = 0.05
#: pixels that an edge may be beside its place
SLACK = 1.0
#: pixels that edges are moved by to see how often they are found by chance
SHIFTS = (-20.0, -16.0, -12.0, -8.0, 8.0, 12.0, 16.0, 20.0)


def slopes(picture: Float[Tensor, "3 h w"]) -> Float[Tensor, "2 h w"]:
    """The derivative of the brightness to the right and down, by Sobel's filters."""
    gray = (picture * picture.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    across = gray.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([across, across.T])[:, None]
    return F.conv2d(F.pad(gray[None, None], (1, 1, 1, 1), mode="replicate"), kernels)[0]


def strengths(
    picture: Float[Tensor, "3 h w"], places: Float[Tensor, "m 2"], angles: Float[Tensor, "m"]
) -> Float[Tensor, "m"]:
    """How strong edges at places (column, row) are that run at angles (radians from the horizontal, clockwise): the
    slope of the brightness across them, the largest within ``SLACK`` pixels."""
    found = slopes(picture)
    across = torch.stack([-angles.sin(), angles.cos()], 1)
    best = torch.zeros(len(places))
    for step in (-SLACK, 0.0, SLACK):
        here = (places + step * across).round().long()
        column, row = here[:, 0].clamp(0, picture.shape[2] - 1), here[:, 1].clamp(0, picture.shape[1] - 1)
        best = torch.maximum(best, (found[:, row, column].T * across).sum(1).abs())
    return best


def shown_edges(picture: Float[Tensor, "3 h w"]) -> tuple[Float[Tensor, "m 2"], Float[Tensor, "m"]]:
    """Places (column, row) and angles of the edges that a picture itself shows: where the slope of its brightness is at
    least ``CONTRAST``, and no less than a pixel further on either side across the edge (Canny 1986)."""
    found = slopes(picture)
    steep = found.square().sum(0).sqrt()
    row, column = (steep >= CONTRAST).nonzero().T
    across = (found / steep.clamp_min(1e-12))[:, row, column].T
    places = torch.stack([column, row], 1).float()
    beside = [(places + side * across).round().long() for side in (-1.0, 1.0)]
    height, width = steep.shape
    higher = [steep[each[:, 1].clamp(0, height - 1), each[:, 0].clamp(0, width - 1)] for each in beside]
    top = (steep[row, column] >= torch.maximum(*higher)).nonzero()[:, 0]
    return places[top], torch.atan2(-across[top, 0], across[top, 1]) % torch.pi


def edges_found(
    picture: Float[Tensor, "3 h w"], places: Float[Tensor, "m 2"], angles: Float[Tensor, "m"]
) -> Bool[Tensor, "m"]:
    """Which edges a picture shows: those that are stronger at their places than all but ``FALSE_ALARMS`` of the same
    edges are when they are moved across themselves by ``SHIFTS``, and wrap around. Of a flat picture none."""
    if not len(places):
        return torch.zeros(0, dtype=torch.bool)
    size = places.new_tensor([picture.shape[2], picture.shape[1]])
    across = torch.stack([-angles.sin(), angles.cos()], 1)
    away = torch.cat([strengths(picture, (places + shift * across) % size, angles) for shift in SHIFTS])
    return strengths(picture, places, angles) > away.quantile(1 - FALSE_ALARMS)


def opponent(pictures: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 2 n"]:
    """Color without brightness: red against green, and blue against yellow, of each pixel."""
    red, green, blue = pictures.double().unbind(-3)
    return torch.stack([red - green, blue - (red + green) / 2], -3).flatten(-2)


def correlation(one: Float[Tensor, "*b n"], other: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
    """Pearson's, along the last dimension; 0 of what is constant."""
    a, b = (each - each.mean(-1, keepdim=True) for each in (one, other))
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp_min(1e-12)


def color_correlation(one: Float[Tensor, "3 h w"], other: Float[Tensor, "3 h w"]) -> float:
    """The correlation of two pictures in color alone, over pixels: of red against green and of blue against yellow, the
    mean."""
    return float(correlation(opponent(one), opponent(other)).mean())


def tint_correlation(some: Float[Tensor, "b 3 h w"], others: Float[Tensor, "b 3 h w"]) -> float:
    """The same of the mean colors of whole pictures, over pictures."""
    return float(correlation(*(opponent(each).mean(-1).T for each in (some, others))).mean())


def sky_overlap(picture: Float[Tensor, "3 h w"], sky: Bool[Tensor, "h w"]) -> float:
    """IoU of the sky with what is brighter, or what is darker, than Otsu's threshold, whichever is more alike."""
    gray = picture.mean(0).numpy(force=True)
    counts, edges = np.histogram(gray, 64)
    middles = (edges[:-1] + edges[1:]) / 2
    low = np.cumsum(counts)
    high = low[-1] - low
    sums = np.cumsum(counts * middles)
    means = sums / np.maximum(low, 1), (sums[-1] - sums) / np.maximum(high, 1)
    bright = torch.from_numpy(gray > edges[1:][np.argmax(low * high * (means[0] - means[1]) ** 2)])
    return max(overlap(bright, sky), overlap(~bright, sky))


def overlap(one: Bool[Tensor, "h w"], other: Bool[Tensor, "h w"]) -> float:
    """Intersection over union; 0 of two empty masks."""
    return float((one & other).sum() / (one | other).sum().clamp_min(1))


def perceptual_distance(
    one: Sequence[Float[Tensor, "b c h w"]], other: Sequence[Float[Tensor, "b c h w"]]
) -> Float[Tensor, "b"]:
    """How far two pictures are from one another in the layers of a network: at each place the squared distance of the
    two vectors of features, scaled to length 1; the mean of places, then of layers (Zhang et al. 2018, *The
    Unreasonable Effectiveness of Deep Features as a Perceptual Metric*, equation 1, with all weights 1)."""
    apart = [
        (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).flatten(1).mean(1)
        for a, b in zip(one, other, strict=True)
    ]
    return torch.stack(apart).mean(0)
