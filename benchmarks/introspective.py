"""Attacks beside torchattacks and foolbox, the same steps on the same inputs; and how long a shape takes to make.

    python benchmarks/introspective.py             the table, a minute on one core
    python benchmarks/introspective.py --quick     few steps: does it run?
    python benchmarks/introspective.py --record    also writes docs/results/introspective.json

Ratios are of processor time, alternating: above 1, ours is faster. With the basic iterative method all three come to
the same inputs, to 1e-5 (``tests/methods/test_attacks.py``). torchattacks pins old packages: what is not installed is
left out (``pip install --no-deps torchattacks``).
"""

import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

import torch
from detecting import Row, main, seconds
from torch import Tensor

from invert3d.jobs.options import RunOptions
from invert3d.methods.attacks import attack, attack_recipe
from invert3d.opening.networks import open_network
from invert3d.study.generation.job import generate

HEADLINE = {"attack_speed_ratio_vs_torchattacks": "at least 1", "seconds_an_object": "at most 1"}
MODEL, GENERATOR, RADIUS = "voxnet-modelnet10", "winn3d-modelnet10", 0.02


def libraries(model: torch.nn.Module, steps: int) -> dict[str, Callable[[Tensor, Tensor], object]]:
    """The basic iterative method of the libraries that are there."""
    found: dict[str, Callable[[Tensor, Tensor], object]] = {}
    if find_spec("torchattacks"):
        import torchattacks  # type: ignore[import-not-found]

        found["torchattacks"] = torchattacks.BIM(model, eps=RADIUS, alpha=RADIUS / 5, steps=steps)
    if find_spec("foolbox"):
        import foolbox

        theirs = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        method = foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=RADIUS / 5, steps=steps, random_start=False)
        found["foolbox"] = lambda x, y: method(theirs, x, y, epsilons=RADIUS)
    return found


def making(count: int) -> Row:
    """Seconds of wall time for a shape: the whole call of ``generate``, one process of one thread."""
    network = open_network(GENERATOR)
    start = time.perf_counter()
    generate(network, "all", count, options=RunOptions(progress=False))
    each = (time.perf_counter() - start) / (count * len(network.classes))
    return {"name": "seconds_an_object", "value": each, "what": f"{count} of each class, {GENERATOR}, one core"}


def measured(quick: bool) -> list[Row]:
    """A row for each library, and one of generation."""
    network, steps = open_network(MODEL), 3 if quick else 10
    torch.manual_seed(0)
    x = (torch.rand(32, *network.frozen.space.shape) < 0.07).float()
    y = torch.arange(32) % len(network.classes)
    recipe = attack_recipe("ifgsm", network.frozen.space, budget=RADIUS, steps=steps, step_size=RADIUS / 5)

    def ours(x: Tensor, y: Tensor) -> None:
        attack(network.frozen, x, y, recipe)

    rows = []
    for name, theirs in libraries(network.frozen.model.eval(), steps).items():
        shares = []
        for turn in range(2 if quick else 8):  # the first warms up
            spent = [seconds(work, x, y) for work in (theirs, ours)]
            if turn:
                shares.append(spent[0] / spent[1])
        what = f"{name} / ours, {steps} steps, 32 grids, {MODEL}"
        row = {"name": f"attack_speed_ratio_vs_{name}", "value": median(shares), "what": what}
        rows.append(row | {"low": min(shares), "high": max(shares)})
    return [*rows, making(1 if quick else 16)]


if __name__ == "__main__":
    main("introspective", "introspective", HEADLINE, measured)
