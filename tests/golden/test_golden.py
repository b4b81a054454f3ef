"""Golden tensors: the same seed gives today what it gave when they were written.

A change here is a change that users see: another cloud out of the same seed, other logits out of the same weights.
When it is meant, write them anew with ``python -m tests.golden.test_golden`` and say so in CHANGELOG.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from invert3d.data.worlds.shapes import CATEGORIES, make_clouds, make_grids
from invert3d.engine.draws import Draws
from invert3d.engine.space import Points
from invert3d.models.weights import bundled
from invert3d.registry import registered
from invert3d.study.invert import invert
from invert3d.study.networks import open_network

FILE = Path(__file__).with_name("golden.safetensors")


def cloud() -> Tensor:
    """512 points on a torus, the same on every machine: (1, 512, 3)."""
    i = torch.arange(512, dtype=torch.float64)
    turn, around = i * 2.399963, i * 0.618034 * 6.283185
    ring = 0.7 + 0.25 * around.cos()
    return torch.stack([ring * turn.cos(), ring * turn.sin(), 0.25 * around.sin()], -1).float()[None]


def logits(name: str) -> Tensor:
    network = open_network(name, points=512)
    space = network.frozen.space
    if isinstance(space, Points):
        return network.frozen(cloud())[0].detach()
    return network.frozen(torch.from_numpy(make_grids(["chair"], 1, space.shape[-1], 5)[0])[None].float())[0].detach()


def surface(name: str) -> Tensor:
    parameterization, space = registered("parameterization")[name](), Points(points=64)
    theta = parameterization.initialize(torch.zeros(1, 64, 3), space, Draws.seeded(0, [0]))
    return parameterization(theta, space, Draws.seeded(1, [0]))[0].detach()


def inverted() -> Tensor:
    """A whole inversion: candidates, starts, two stages, the judge. Its spread, as points may swap places."""
    x = invert("pointnet-shapes", ["airplane"], points=64, steps=4, starts=2, progress=False).x[0].detach()
    return torch.cat([x.mean(0), x.std(0), x.amax(0), x.amin(0)])


def shapes() -> Tensor:
    """Mean and deviation of a cloud of every category: (categories, 6)."""
    clouds = torch.from_numpy(make_clouds(CATEGORIES, 1, 256, seed=5)[0])
    return torch.cat([clouds.mean(1), clouds.std(1)], -1)


CASES: dict[str, Callable[[], Tensor]] = {
    **{f"logits {name}": partial(logits, name) for name in bundled()},
    **{f"surface {name}": partial(surface, name) for name in registered("parameterization")},
    "inverted": inverted,
    "shapes": shapes,
}


@pytest.mark.parametrize("case", CASES)
def test_as_it_was(case: str) -> None:
    golden = load_file(FILE)
    assert case in golden, f"no golden tensor of {case!r} yet: run python -m tests.golden.test_golden"
    near = 2e-2 if case == "inverted" else 2e-3  # optimization amplifies how a processor rounds
    torch.testing.assert_close(CASES[case](), golden[case], rtol=near, atol=near)


if __name__ == "__main__":
    save_file({name: make().contiguous() for name, make in CASES.items()}, FILE)
    print(f"wrote {len(CASES)} golden tensors, {FILE.stat().st_size / 1024:.0f} kB, to {FILE}")
