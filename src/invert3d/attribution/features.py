"""Grad-CAM: what the features of a layer did for the score, and where they are."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.attribution.attribution import Attribution, Method
from invert3d.engine.gradient import input_gradient
from invert3d.engine.hooks import Taps
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.space import Image, Points, Space
from invert3d.engine.tree import Tree
from invert3d.ops.points import knn
from invert3d.registry import plain

LEAST_SIDE = 4  # voxels or pixels a side of a layer that is chosen by itself: a map of two says nothing about places
LEAST_PLACES = 8  # of points


@plain("attribution", "grad_cam")
class GradCAM(Method):
    """``max(0, sum_c a_c A_c)`` with ``a_c`` the mean of dF/dA_c over the places (Selvaraju et al. 2017).

    A are the features of a ``layer``, by default the deepest that still has places: 4 voxels a side or more, the
    features of the points before they are pooled, those of the centers of PointNet++. The map is interpolated to the
    input, between voxels linearly, between points from the three nearest centers. Of a pyramid of features the maps of
    all levels are added.
    """

    local = True
    layer: str = ""

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        self.check(model.space)
        model.space.validate(x)
        name = self.layer or deepest(model, x)
        taps = Taps(model.model)
        taps.set([name])
        module = model.model.get_submodule(name)

        def differentiate(outcome: Tensor, leaf: Tensor) -> Tensor:
            levels = levels_of(taps.taken()[name], model.space, leaf, module)
            gradients = torch.autograd.grad(outcome, [level.raw for level in levels], allow_unused=True)
            maps = [
                self._map(level.arranged(level.raw), level.arranged(gradient), level.centers, leaf, model.space)
                for level, gradient in zip(levels, gradients, strict=True)
                if gradient is not None
            ]
            if not maps:
                raise ValueError(f"the score does not depend on what {name} returns: choose another layer")
            return torch.stack(maps).sum(0)

        try:
            values, _ = input_gradient(model, -score, x, target, differentiate=differentiate)
        finally:
            taps.remove()
        return Attribution(values.detach(), {"evaluations": 1, "layer": name})

    def _map(self, value: Tensor, gradient: Tensor, centers: Tensor | None, x: Tensor, space: Space) -> Tensor:
        """Features and their gradients, channels second, to values like x."""
        weight = gradient.flatten(2).mean(2)
        cam = torch.einsum("bc,bcn->bn", weight, value.flatten(2)).relu()
        if not isinstance(space, Points):
            small = cam.view(len(cam), 1, *value.shape[2:])
            mode = "trilinear" if x.dim() == 5 else "bilinear"
            return F.interpolate(small, size=x.shape[2:], mode=mode, align_corners=False).expand_as(x) / x.shape[1]
        if centers is not None:
            cam = from_centers(cam, centers, space.turned(x)[..., :3])  # centers are in the frame of the model
        return (cam[..., None] / x.shape[-1]).expand_as(x)


def from_centers(values: Tensor, centers: Tensor, points: Tensor, k: int = 3) -> Tensor:
    """Values (B, M) at centers (B, M, 3) interpolated to points (B, N, 3) by the inverse distance of the nearest k."""
    near = knn(points, centers, min(k, centers.shape[1]))
    rows = torch.arange(len(values), device=values.device)[:, None, None]
    distance = (points[:, :, None] - centers[rows, near]).norm(dim=-1).clamp_min(1e-8)
    share = 1 / distance
    return (values[rows, near] * share).sum(-1) / share.sum(-1)


@dataclass(frozen=True)
class FeatureMap:
    """Features over places as a layer returned them, channels second or ``last``; the centers (B, M, 3) of groups.

    ``packed`` is the number of clouds whose features (B N, C) are in one list, or 0.
    """

    raw: Tensor
    last: bool = False
    centers: Tensor | None = None
    packed: int = 0

    def arranged(self, like_raw: Tensor) -> Tensor:
        """Channels second, the batch first."""
        if self.packed:
            like_raw = like_raw.unflatten(0, (self.packed, -1))
        return like_raw.transpose(1, 2) if self.last else like_raw


def levels_of(output: Any, space: Space, x: Tensor, module: nn.Module) -> list[FeatureMap]:
    """The features in what a layer returned: one map, or those of a pyramid of images, which is a dictionary or a list
    of maps. Raises ValueError if it is neither."""
    levels = list(output.values()) if isinstance(output, dict) else output
    several = isinstance(space, Image) and isinstance(levels, (list, tuple)) and len(levels) > 0
    if several and all(isinstance(level, Tensor) and level.dim() == 4 for level in levels):
        return [FeatureMap(cast("Tensor", level)) for level in levels]
    return [places_of(output, space, x, module)]


def places_of(output: Any, space: Space, x: Tensor, module: nn.Module) -> FeatureMap:
    """The features in what a layer returned. Raises ValueError if it is no map of features over places."""
    found = feature_map(output, space, x, module)
    if found is None:
        kind = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"{type(module).__name__} returns {kind}, which is no map over the {type(space).__name__.lower()}"
        )
    return found


def feature_map(output: Any, space: Space, x: Tensor, module: nn.Module) -> FeatureMap | None:
    """As ``places_of``, None if there is no map.

    Where there are as many channels as points, the module says which is which: linear layers, norms of layers and
    what is marked ``channels_last`` have channels last, all others second.
    """
    if not isinstance(space, Points):
        fits = isinstance(output, Tensor) and output.dim() == x.dim() and min(output.shape[2:]) > 1
        return FeatureMap(output) if fits else None
    if space.layout == "packed":
        fits = isinstance(output, Tensor) and output.dim() == 2 and len(output) == x.shape[0] * x.shape[1]
        return FeatureMap(output, last=True, packed=len(x)) if fits else None
    if isinstance(output, Tensor):
        if output.dim() != 3 or x.shape[1] not in output.shape[1:]:
            return None
        last = getattr(module, "channels_last", isinstance(module, (nn.Linear, nn.LayerNorm)))
        return FeatureMap(output, last=last if output.shape[1] == output.shape[2] else output.shape[2] != x.shape[1])
    pair = output if isinstance(output, (tuple, list)) and len(output) == 2 else ()
    parts = [part for part in pair if isinstance(part, Tensor) and part.dim() == 3]
    if len(parts) != 2 or 3 not in parts[0].shape[1:]:
        return None
    centers = parts[0] if parts[0].shape[2] == 3 else parts[0].transpose(1, 2)
    if centers.shape[1] not in parts[1].shape[1:]:
        return None
    return FeatureMap(parts[1], last=parts[1].shape[2] != centers.shape[1], centers=centers.detach())


def deepest(model: Frozen, x: Tensor) -> str:
    """The last module that the model calls and that returns a map with enough places, or its ``features_layer``.

    Raises ValueError if there is none.
    """
    if hasattr(model.model, "features_layer"):
        return str(model.model.features_layer)
    names: list[str] = []
    least = LEAST_PLACES if isinstance(model.space, Points) else LEAST_SIDE

    def watch(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        found = feature_map(output, model.space, x[:1], module)
        if found is not None and min(found.arranged(found.raw).shape[2:]) >= least:
            names.append(name)

    with ExitStack() as hooks, model, torch.no_grad():
        for name, module in model.model.named_modules():
            if name:
                hooks.enter_context(module.register_forward_hook(partial(watch, name)))
        model.raw(x[:1].to(model.device, model.dtype))
    if not names:
        raise ValueError("grad_cam: no module of the model returns a map of features over places; name a layer")
    return names[-1]
