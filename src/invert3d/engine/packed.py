"""Clouds as one list of points with a batch index, as PyTorch Geometric, torch-pointcloud and Pointcept take them.

``Points(layout="packed")`` makes a ``Packed`` of a batch, and ``run`` calls a model with it.
"""

import inspect
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

#: channels of a point, by name
FEATURES = ("coordinates", "normals", "height", "ones")


def features_of(x: Float[Tensor, "b n c"], names: tuple[str, ...], up: int) -> Float[Tensor, "b n f"]:
    """The named channels of clouds (B, N, 3 or 6), in the order of the names. They are differentiable in x.

    Args:
        x: coordinates, and normals where they are named.
        names: ``coordinates`` and ``normals`` (three channels each), ``height`` above the lowest point of the cloud in
            the units of x, ``ones``.
        up: the channel of x that points up.
    """
    level = x[..., up : up + 1]
    known = {
        "coordinates": x[..., :3],
        "normals": x[..., 3:],
        "height": level - level.amin(1, keepdim=True),
        "ones": torch.ones_like(level),
    }
    return torch.cat([known[name] for name in names], -1)


class Packed(dict[str, Any]):
    """A batch of B clouds as one list of M = B N points. Each entry is an attribute, too.

    * ``pos`` = ``coord`` (M, 3): coordinates
    * ``x`` = ``feat`` (M, F): channels of the points, or None
    * ``batch`` (M,) int64: which cloud a point belongs to
    * ``offset`` (B,) int64: where each cloud ends
    * ``pos_grid`` = ``grid_coord`` (M, 3) int64: the voxel that a point lies in, counted from the lowest of its cloud
    * ``grid_size``: edge of these voxels, in the units of the coordinates. No gradient passes through them.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"a packed batch has {', '.join(self)}, no {name}") from None


def pack(points: Float[Tensor, "b n 3"], features: Float[Tensor, "b n f"] | None, grid_size: float) -> Packed:
    """Pack clouds with the channels of their points, if they have any, and voxels of an edge."""
    count, each = points.shape[:2]
    cells = (points.detach() / grid_size).floor()
    pos, x = points.flatten(0, 1), None if features is None else features.flatten(0, 1)
    grid = (cells - cells.amin(1, keepdim=True)).long().flatten(0, 1)
    clouds = torch.arange(count, device=points.device)
    return Packed(
        x=x,
        pos=pos,
        batch=clouds.repeat_interleave(each),
        pos_grid=grid,
        coord=pos,
        feat=x,
        offset=(clouds + 1) * each,
        grid_coord=grid,
        grid_size=grid_size,
    )


def run(model: nn.Module, fed: Tensor | Packed) -> Any:
    """What a model returns for what a space encodes.

    A model whose ``forward`` has a parameter called ``batch`` gets the entries of a ``Packed`` that it names:
    ``forward(pos, batch)``, ``forward(x, pos, batch)``, ... Any other gets the whole as its only argument.

    Raises:
        ValueError: ``forward`` needs more than there is in a packed batch.
    """
    if not isinstance(fed, Packed):
        return model(fed)
    parameters = inspect.signature(model.forward).parameters
    by_name = "batch" in parameters
    needed = [
        name
        for name, each in parameters.items()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    missing = [name for name in needed if name not in fed] if by_name else needed[1:]
    if missing:
        raise ValueError(
            f"forward({', '.join(parameters)}) of {type(model).__name__} takes no packed batch: it needs "
            f"{', '.join(missing)}; a packed batch has {', '.join(fed)}"
        )
    return model(**{name: value for name, value in fed.items() if name in parameters}) if by_name else model(fed)
