"""Inversion of descriptors: the loop beside the bare network, a whole call, pictures of terraces a second.

    python benchmarks/describing.py             the table, a minute on one core
    python benchmarks/describing.py --quick     few steps: does it run?
    python benchmarks/describing.py --record    also writes docs/results/descriptor.json

Ratios are of processor time, alternating.
"""

import time
from statistics import median

import torch
from detecting import Row, main, pictures_per_second, seconds
from torch import Tensor

from invert3d.data.worlds.two_views import make_views
from invert3d.engine.loop import optimize
from invert3d.engine.stepper import Stepper
from invert3d.jobs.options import RunOptions
from invert3d.methods.descriptors import describe
from invert3d.objectives.features import FeatureDistance
from invert3d.opening.networks import Network, open_network
from invert3d.parameterizations.direct import Direct
from invert3d.study.descriptors.job import invert_descriptor

NETWORK, LAYER = "posenet-facades", "fc5"
LOOP, WORLD = "loop_overhead_posenet", "terraces_pictures_per_second"
SECONDS = "seconds_a_picture"
HEADLINE = {LOOP: "at most 1.05", SECONDS: "at most 10", WORLD: "at least 60"}


def bare(network: Network, wanted: Tensor, steps: int) -> None:
    """Forward, the distance of the descriptors, backward to the input, a step of gradient descent: nothing else."""
    frozen = network.frozen
    x = torch.rand(len(wanted), *frozen.space.shape, requires_grad=True)
    with frozen:
        frozen.tap([LAYER])
        for _ in range(steps):
            loss = (frozen.outputs(x)[1][LAYER] - wanted).flatten(1).norm(dim=1).sum()
            (gradient,) = torch.autograd.grad(loss, x)
            with torch.no_grad():
                x -= 0.01 * gradient


def looped(network: Network, wanted: Tensor, steps: int) -> None:
    """The same through the loop."""
    stepper = Stepper(kind="sgd", rate=0.01, momentum=0.0)
    optimize(network.frozen, FeatureDistance(layer=LAYER), Direct(), target=wanted, steps=steps, stepper=stepper)


def measured(quick: bool) -> list[Row]:
    """All that is measured here."""
    network, count = open_network(NETWORK), 4 if quick else 16
    x = torch.rand(count, 3, 100, 100)
    wanted, shares = describe(network.frozen, x, LAYER), []
    for turn in range((1 if quick else 9) + 1):  # the first warms up
        without, within = (seconds(work, network, wanted, 3 if quick else 20) for work in (bare, looped))
        if turn:
            shares.append(within / without)
    what = f"over the bare network, {count} pictures of 100 x 100"
    start = time.perf_counter()
    invert_descriptor(network, x, LAYER, steps=3 if quick else None, options=RunOptions(progress=False))
    spent = (time.perf_counter() - start) / count
    return [
        {"name": LOOP, "value": median(shares), "low": min(shares), "high": max(shares), "what": what},
        {"name": SECONDS, "value": spent, "what": f"the whole call, {count} pictures of noise, {LAYER}"},
        pictures_per_second(WORLD, make_views, 5 if quick else 300),
    ]


if __name__ == "__main__":
    main("describing", "descriptor", HEADLINE, measured)
