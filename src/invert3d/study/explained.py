"""One row of the table that says whether explanations are true: a network, a method, and what was measured."""

from typing import Any, Literal

import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution
from invert3d.data.worlds.shapes import make_clouds
from invert3d.engine.draws import Draws
from invert3d.engine.transform import Jitter
from invert3d.evaluate.attribution import (
    deletion,
    insertion,
    interval,
    max_sensitivity,
    rank_correlation,
    surface_variation,
)
from invert3d.registry import lookup
from invert3d.study.explain import explain
from invert3d.study.networks import Network

COLUMNS = ("network", "method", "shapes", "runs", "incomplete", "deletion", "insertion", "sensitivity", "edges")
HELD_OUT = 7_000  # the seed of the shapes, which no network was trained on


def importance(network: Network, method: str, x: Tensor, seed: int = 0) -> tuple[Tensor, Attribution | None]:
    """How much each point matters, (B, N) of 0 or more, and the attribution it comes from; none for ``random``."""
    if method == "random":
        return Draws.seeded(seed, range(len(x))).uniform(x, 0, 1, x.shape[1]), None
    found = explain(network, x, method)
    values = found.per_element(lookup("attribution", method).reduction)
    return values.to(x), found


def measure(
    network: Network, method: str, *, per_class: int = 1, how: Literal["center", "resample"] = "center", seed: int = 0
) -> dict[str, Any]:
    """Measure a method on held-out procedural shapes that the network classifies right.

    Means over the shapes, with 95 % bootstrap intervals. Deletion and insertion take signed values as they are;
    edges take their size: a point that speaks against the class is used, too.

    Raises:
        ValueError: for an unknown method, or a network without the procedural classes, or that gets all shapes wrong.
    """
    names = [name for name in network.categories]
    clouds, labels = make_clouds(names, per_class, network.space.points, HELD_OUT + seed)
    x = torch.from_numpy(clouds)
    target = torch.tensor([network.index(names[label]) for label in labels])
    with torch.no_grad():
        right = torch.cat([network.frozen(part).argmax(-1) for part in x.split(20)]) == target
    if not right.any():
        raise ValueError(f"{network.name} classifies none of the {len(x)} procedural shapes right")
    x, target = x[right], target[right]
    values, found = importance(network, method, x, seed)
    facts = found.facts if found is not None else {}
    few, errors, used = x[:8], facts.get("completeness_error"), facts.get("evaluations_each")
    sensitive = max_sensitivity(
        lambda near: importance(network, method, near, seed)[0], few, Jitter(sigma=0.005), tries=2, seed=seed
    )
    return {
        "network": network.name.split("-")[0], "method": method, "shapes": len(x),
        "runs": round(sum(used) / len(used), 1) if used else facts.get("evaluations", 0),
        "incomplete": f"{max(errors):.2%}" if errors else "–",
        "deletion": told(deletion(network.frozen, x, target, values, how)),
        "insertion": told(insertion(network.frozen, x, target, values, how)),
        "sensitivity": round(float(sensitive.mean()), 2),
        "edges": told(rank_correlation(values.abs(), surface_variation(x))),
    }  # fmt: skip


def told(numbers: Tensor) -> str:
    """A mean with its 95 % bootstrap interval."""
    mean, low, high = interval(numbers)
    return f"{mean:.2f} ({low:.2f}, {high:.2f})"
