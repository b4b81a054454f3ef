"""Where the evidence for a detection lies, of which it is known which pixels show the object."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor


def share_in(values: Float[Tensor, "h w"], part: Bool[Tensor, "h w"], whole: Bool[Tensor, "h w"]) -> float:
    """The share of the positive values within ``whole`` that lies in ``part``; NaN where there are none."""
    positive = values.clamp_min(0).double()
    total = float(positive[whole].sum())
    return float(positive[whole & part].sum()) / total if total > 0 else float("nan")


def outline(mask: Bool[Tensor, "h w"], width: float) -> Bool[Tensor, "h w"]:
    """The pixels of a mask within ``width`` pixels of its border, and as many around it. Empty for an empty mask."""
    inside = mask.numpy(force=True)
    if not inside.any():
        return torch.zeros_like(mask)
    away = sum(np.asarray(distance_transform_edt(part)) for part in (inside, ~inside))
    return torch.from_numpy(away <= width).to(mask.device)


def within(box: Float[Tensor, "4"], height: int, width: int) -> Bool[Tensor, "h w"]:
    """The pixels of a picture whose middles lie in a box (left, top, right, bottom)."""
    left, top, right, bottom = box.tolist()
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    return ((rows >= top) & (rows <= bottom))[:, None] & ((columns >= left) & (columns <= right))
