"""What the stages of torchvision's R-CNNs share: maps, boxes, and rows of different numbers in one batch."""

from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

FEATURES = "features_"  #: before the name of each map of the backbone


def features(raw: dict[str, Tensor]) -> dict[str, Tensor]:
    """The maps of the backbone by its own names."""
    return {name.removeprefix(FEATURES): value for name, value in raw.items() if name.startswith(FEATURES)}


def resized(raw: dict[str, Tensor]) -> list[tuple[int, int]]:
    """Height and width of each picture as resized."""
    return [(height, width) for height, width, *_ in raw["sizes"].tolist()]


def decoded(coder: Any, regression: Float[Tensor, "b r k4"], boxes: Float[Tensor, "b r 4"]) -> Tensor:
    """The boxes (B, R, K, 4) that regressions away from boxes stand for."""
    found = coder.decode_single(regression.flatten(0, 1), boxes.flatten(0, 1))
    return found.view(*regression.shape[:2], regression.shape[2] // 4, 4)


def put(values: Float[Tensor, "r *c"], there: Bool[Tensor, "b p"]) -> Float[Tensor, "b p *c"]:
    """Rows, one after the other, where there is one; zeros elsewhere."""
    whole = values.new_zeros(*there.shape, *values.shape[1:])
    whole[there] = values
    return whole


def rows_at(values: Float[Tensor, "b r c"], rows: Int[Tensor, "b n"]) -> Float[Tensor, "b n c"]:
    """Some rows of each sample."""
    return values.gather(1, rows[..., None].expand(-1, -1, values.shape[2]))
