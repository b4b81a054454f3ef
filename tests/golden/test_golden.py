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
from invert3d.engine.space import Image, Points
from invert3d.jobs.options import RunOptions
from invert3d.methods.recipes import load_recipe
from invert3d.models.weights import bundled
from invert3d.opening.decoders import open_decoder
from invert3d.opening.networks import open_network
from invert3d.ops.centers import CenterCodec
from invert3d.ops.objects import Objects
from invert3d.registry import registered
from invert3d.study.classes.job import invert
from invert3d.testing import example_layouts
from tests.layouts import corner_loss, head_losses, split

FILE = Path(__file__).with_name("golden.safetensors")
PICTURES = dict.fromkeys(("fourier", "normalized", "solid_scene"), Image(height=12, width=20))


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
    """What a parameterization begins with: a cloud, or a picture."""
    parameterization, space = registered("parameterization")[name](), PICTURES.get(name, Points(points=64))
    theta = parameterization.initialize(torch.zeros(1, *space.shape), space, Draws.seeded(0, [0]))
    theta |= parameterization.constants(example_layouts([0], *space.shape[1:]) if name in PICTURES else None)
    return parameterization(theta, space, Draws.seeded(1, [0]))[0].detach()


def maps() -> Tensor:
    """Center maps of two pictures of 32 x 64 pixels: (2, 19, 8, 16), of waves."""
    place = torch.arange(2 * 19 * 8 * 16, dtype=torch.float64).view(2, 19, 8, 16)
    raw = 1.5 * (place * 0.7391).sin() + 0.5 * (place * 0.113).cos()
    raw[:, 3] -= 2.0
    raw[:, 12:15] = raw[:, 12:15].abs() + 0.5
    return raw.float()


def decoded(center: str) -> Tensor:
    """What maps are read as: (n, 13) score, box, size, center, yaw and alpha of the first and of the second picture."""
    camera = torch.tensor([[60.0, 0, 31, 2], [0, 60, 14, 0.1], [0, 0, 1, 0.003]]).expand(2, 3, 4)
    layouts = CenterCodec(center=center).decode(split(maps()), camera, threshold=0.6)  # type: ignore[arg-type]
    return torch.cat(
        [
            torch.cat(
                [
                    each.scores[:, None],
                    each.boxes,
                    each.sizes,
                    each.centers,
                    each.yaws[:, None].sin(),
                    each.alphas[:, None].cos(),
                ],
                1,
            )
            for each in layouts
        ]
    )


def losses() -> Tensor:
    """Every loss of these maps against two layouts, both conventions and both divisors: (2, 26)."""
    objects = Objects(**example_layouts([0, 1], 32, 64))
    columns = []
    for codec in (CenterCodec(), CenterCodec(center="projected", radius="corrected")):
        for per in ("object", "slot"):
            columns += head_losses(maps(), objects, codec, per).values()
        columns.append(corner_loss(maps(), objects, codec).mean(1))
    return torch.stack(columns, 1)


def descriptor(name: str) -> Tensor:
    """What a network makes of a picture of waves, 64 of its numbers."""
    rows = torch.linspace(0, 6, 100)
    waves = torch.stack([(k * rows[:, None] + rows[None]).sin() for k in (1, 2, 3)]) / 2 + 0.5
    return open_network(name).frozen(waves[None])[:, :64]


def made(name: str) -> Tensor:
    """What a decoder makes of features of waves, every eighth pixel."""
    decoder, card = open_decoder(name)
    waves = torch.linspace(0, 60, int(card.options["numbers"])).sin()
    return decoder(waves[None])[0, :, ::8, ::8].detach()


def inverted() -> Tensor:
    """A whole inversion: candidates, starts, two stages, the judge. Its spread, as points may swap places."""
    recipe = load_recipe("ours", points=64, steps=4, starts=2)
    x = invert("pointnet-shapes", ["airplane"], recipe=recipe, options=RunOptions(progress=False)).x[0]
    return torch.cat([x.mean(0), x.std(0), x.amax(0), x.amin(0)])


def shapes() -> Tensor:
    """Mean and deviation of a cloud of every category: (categories, 6)."""
    clouds = torch.from_numpy(make_clouds(CATEGORIES, 1, 256, seed=5)[0])
    return torch.cat([clouds.mean(1), clouds.std(1)], -1)


CASES: dict[str, Callable[[], Tensor]] = {
    **{f"logits {name}": partial(logits, name) for name in bundled("classifier")},
    **{f"descriptor {name}": partial(descriptor, name) for name in bundled("descriptor")},
    **{f"decoder {name}": partial(made, name) for name in bundled("decoder")},
    **{f"surface {name}": partial(surface, name) for name in registered("parameterization")},
    **{f"decoded {center}": partial(decoded, center) for center in ("box", "projected")},
    "losses of boxes": losses,
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
