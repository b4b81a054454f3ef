"""Inputs and states that the contract checks show to objectives, projections and views (``invert3d.testing``)."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.space import Points
from invert3d.engine.state import State
from invert3d.engine.tree import moved
from invert3d.ops.centers import HEADS
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import pack

#: ``(x, samples) -> State``: the state of the samples with these numbers, whose inputs are x (B, ...)
StateFactory = Callable[[Tensor, Sequence[int]], State]

CLASSES = 10


def example_clouds(batch: int = 3, points: int = 32) -> Tensor:
    """Clouds (B, N, 3) in float64, in the unit sphere, half of whose points have another one close by."""
    draws, bare = Draws.seeded(0, range(batch)), torch.empty(batch, 0, dtype=torch.float64)
    x = 0.9 * Points(points=points - points // 2).start("ball", bare, draws)
    return torch.cat([x, x[:, : points // 2] + 0.02 * draws.normal(bare, points // 2, 3)], 1)


def example_pictures(batch: int = 3, height: int = 16, width: int = 24) -> Tensor:
    """Pictures (B, 3, H, W), RGB in float64, none of whose pixels is near black or white."""
    bare = torch.empty(batch, 0, dtype=torch.float64)
    return Draws.seeded(0, range(batch)).uniform(bare, 0.1, 0.9, 3, height, width)


def example_grids(size: int = 8) -> Tensor:
    """Occupancy grids (3, 1, size, size, size) in float64, none of whose voxels is quite empty or full."""
    return example_pictures(height=size, width=size * size)[:, :1].reshape(3, 1, size, size, size)


def example_input(spaces: frozenset[str] | None) -> Tensor:
    """Inputs of the first of the spaces that something takes; clouds where it takes any."""
    makers = {"points": example_clouds, "image": example_pictures, "voxels": example_grids}
    return next((make() for name, make in makers.items() if spaces is None or name in spaces), example_clouds())


def example_layouts(samples: Sequence[int], height: int = 16, width: int = 24) -> dict[str, Tensor]:
    """Targets of pictures of that size, see ``ops.objects``: each a car, and someone beside it."""
    shift = torch.tensor([0.3 * (sample % 5) for sample in samples])
    camera = torch.tensor([[width, 0, width / 2, 0], [0, width, height / 2, 0], [0, 0, 1, 0]])
    layouts = []
    for each in shift.tolist():
        centers = torch.tensor([[-1.0 + each, 0.6, 8.0], [2.0, 0.8, 9.0]])
        sizes, yaws = torch.tensor([[1.5, 1.6, 3.9], [1.7, 0.6, 0.8]]), torch.tensor([each - 0.5, 2.0])
        layouts.append(Layout.of(("Car", "Pedestrian"), sizes, centers, yaws, camera, height, width))
    return pack(layouts, ("Pedestrian", "Car", "Cyclist")).fields()


def blank_state(x: Tensor, samples: Sequence[int]) -> State:
    """A state that knows the input, its start, which lies apart, and some gradient only."""
    start = Draws.seeded(5, samples).uniform(x, 0.1, 0.5, *x.shape[1:])
    draws = Draws.seeded(0, samples)
    state = State(step=0, steps=10, rows=torch.arange(len(x)), theta={"x": x}, draws=draws, x=x, start=start, view=x)
    state.gradient = Draws.seeded(6, samples).normal(x, *x.shape[1:])
    return state


def class_state(x: Tensor, samples: Sequence[int]) -> State:
    """A state in which a small fixed network gave scores (B, 10), and the target is a class (B,)."""
    state = blank_state(x, samples)
    state.target = state.view_target = torch.tensor([sample % CLASSES for sample in samples], device=x.device)
    state.outputs = _network(x, CLASSES, seed=1)
    return state


def feature_state(*layers: str) -> StateFactory:
    """A factory of states in which these layers gave features (B, 16), and the target is such a feature."""

    def factory(x: Tensor, samples: Sequence[int]) -> State:
        state = class_state(x, samples)
        state.features = {layer: _network(x, 16, seed=2 + i) for i, layer in enumerate(layers)}
        state.target = state.view_target = 1 + Draws.seeded(7, samples).normal(x, 16)
        return state

    return factory


def layout_state(x: Tensor, samples: Sequence[int]) -> State:
    """A state in which a small fixed network made center maps (B, C, H/4, W/4) of pictures (B, 3, H, W), and the
    target is what ``example_layouts`` gives."""
    state = blank_state(x, samples)
    height, width = x.shape[-2:]
    state.target = state.view_target = moved(example_layouts(samples, height, width), x.device)
    shape = (sum(HEADS.values()), height // 4, width // 4)
    maps = _network(x, math.prod(shape), seed=3).unflatten(1, shape) / 2
    state.outputs = dict(zip(HEADS, maps.split(list(HEADS.values()), 1), strict=True))
    return state


def _network(x: Tensor, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(x[0].numel(), width, generator=generator, dtype=torch.float64).to(x)
    return 3 * torch.tanh(x.flatten(1) @ weight / math.sqrt(len(weight)))
