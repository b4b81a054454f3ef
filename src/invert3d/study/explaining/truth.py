"""One row of the table that says whether explanations are true: a network, a method, and what was measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution
from invert3d.engine.draws import Draws
from invert3d.engine.space import Points
from invert3d.engine.transform import Jitter, Rotate
from invert3d.evaluate.attribution import (
    Removal,
    boundary_voxels,
    closeness_to_edges,
    deletion,
    infidelity,
    insertion,
    interval,
    max_sensitivity,
    occupied,
    randomized_layers,
    rank_correlation,
    shift_sensitivity,
    surface_variation,
)
from invert3d.jobs.job import Job
from invert3d.jobs.provenance import fingerprint
from invert3d.jobs.rows import rows_job
from invert3d.opening.networks import Network
from invert3d.registry import lookup
from invert3d.study.explaining.held_out import HeldOut, held_out, probabilities
from invert3d.study.explaining.job import default_methods, explain
from invert3d.study.explaining.pictures import reduction_of

CASCADE = (0.25, 0.5, 0.75, 1.0)
FEW = 4  # shapes for what asks for many explanations


def examples(network: Network, per_class: int = 1, seed: int = 0) -> HeldOut:
    """Held-out shapes of each class that a network classifies right.

    Raises ValueError for a network there are no shapes for, or that gets all of them wrong.
    """
    found = held_out(network, per_class, seed)
    right = probabilities(network, found.x).argmax(-1) == found.target
    if not right.any():
        raise ValueError(f"{network.name} classifies none of the {len(found)} shapes right")
    return found.rows(right)


def importance(network: Network, method: str, x: Tensor, target: Tensor, seed: int = 0) -> tuple[Tensor, Attribution]:
    """How much each point or voxel matters for the classes ``target`` (B,), and the attribution it comes from.

    ``random`` is chance.
    """
    if method == "random":
        values = Draws.seeded(seed, range(len(x))).uniform(x, 0, 1, *x.shape[1:])
        found = Attribution(values * (x != 0), {"evaluations": 0})
        return found.per_element("sum"), found
    found = explain(network, x, method, target=[network.classes[i] for i in target.tolist()])
    return found.per_element(reduction_of(method, network.frozen.space)).to(x), found


def attribution_job(
    networks: Sequence[Network],
    methods: Sequence[str] | None,
    *,
    per_class: int = 1,
    how: Removal | None = None,
    device: str = "cpu",
) -> Job:
    """The job of measuring methods (by default those that fit, and chance) on networks, which are on one device.

    There is a row for each pair. Raises ValueError for unknown names, or a removal that does not fit.
    """
    pairs = []
    for network in networks:
        for method in methods or (*default_methods(network.frozen.space), "random"):
            check_question(network, method, how)
            pairs.append({"network": network.name, "method": method})
    function = partial(measure_row, networks={network.name: network for network in networks})
    job = rows_job("attribution", function, pairs, per_class=per_class, how=how, device=device)
    about = {
        network.name: {
            "weights": fingerprint(network.frozen.model),
            "args": network.options,
            "classes": list(network.classes),
            "space": repr(network.frozen.space),
        }
        for network in networks
    }
    return replace(job, settings={**job.settings, "networks": about})


def measure_row(
    network: str,
    method: str,
    *,
    networks: Mapping[str, Network],
    per_class: int,
    how: Removal | None,
    device: str,
    seed: int,
) -> dict[str, Any]:
    """A row of the table: ``measure`` for a network by name. They are on ``device`` already."""
    return measure(networks[network], method, per_class=per_class, how=how, seed=seed)


def measure(
    network: Network, method: str, *, per_class: int = 1, how: Removal | None = None, seed: int = 0
) -> dict[str, Any]:
    """Measure a method on held-out shapes that the network classifies right.

    Means over the shapes, with 95 % bootstrap intervals. Deletion and insertion take signed values as they are; the
    correlations take their size: a point that speaks against the class is used, too.

    Raises:
        ValueError: for an unknown method, or a network there are no shapes for, or that gets all shapes wrong.
    """
    check_question(network, method, how)
    known = examples(network, per_class, seed)
    x, target, space = known.x, known.target, network.frozen.space
    clouds = isinstance(space, Points)
    how = how or ("center" if clouds else "empty")
    values, found = importance(network, method, x, target, seed)
    facts, errors, used = found.facts, found.facts.get("completeness_error"), found.facts.get("evaluations_each")
    contributions = method == "random" or lookup("attribution", method).reduction == "sum"
    again: Callable[[Tensor], Tensor] = lambda near: importance(network, method, near, target[:FEW], seed)[0]  # noqa: E731
    subset, still = x[:FEW], values[:FEW]
    if clouds:
        jitter = max_sensitivity(again, subset, Jitter(sigma=0.005), tries=2, seed=seed)
        turned = as_text(max_sensitivity(again, subset, Rotate(degrees=5), tries=2, seed=seed))
    else:
        jitter, turned = shift_sensitivity(again, subset), "–"
    curvature, edges = edge_correlations(known, values, clouds)
    return {
        "network": network.name,
        "method": method,
        "shapes": len(x),
        "runs": round(sum(used) / len(used), 1) if used else facts.get("evaluations", 0),
        "incomplete": f"{max(errors):.2%}" if errors else "–",
        "deletion": with_interval(deletion(network.frozen, x, target, values, how)),
        "insertion": with_interval(insertion(network.frozen, x, target, values, how)),
        "infidelity": with_interval(
            infidelity(network.frozen, x, target, found.values.to(x), contributions=contributions, how=how, seed=seed)
        ),
        "jitter": as_text(jitter),
        "rotation": turned,
        "randomized": "–" if method == "random" else cascade(network, method, subset, target[:FEW], still, seed),
        "curvature": with_interval(curvature),
        "edges": with_interval(edges) if edges is not None else "–",
    }


def check_question(network: Network, method: str, how: Removal | None) -> None:
    """Raise ValueError for an unknown method, one that does not explain the input, or a removal that does not fit."""
    space = network.frozen.space
    if method != "random":
        lookup("attribution", method)().check(space)
    accepted = ("center", "resample") if isinstance(space, Points) else ("empty", "blur")
    if how is not None and how not in accepted:
        raise ValueError(f"{network.name} takes {network.takes}: remove by {' or '.join(accepted)}, not by {how}")


def cascade(network: Network, method: str, x: Tensor, target: Tensor, values: Tensor, seed: int) -> str:
    """Rank correlation of the sizes with those of networks of which a quarter to all layers have random weights."""
    there, shares = occupied(x), []
    for share in CASCADE:
        model = randomized_layers(network.frozen.model, share, seed)
        other = replace(network, frozen=network.frozen.on(network.frozen.space, model))
        try:
            shuffled = importance(other, method, x, target, seed)[0]
        except ValueError:
            shares.append("–")
            continue
        shares.append(f"{correlations(values.abs(), shuffled.abs(), there).mean():.2f}")
    return " ".join(shares)


def correlations(a: Tensor, b: Tensor, there: Tensor) -> Tensor:
    """Rank correlation (B,) over the elements that are there."""
    rows = zip(a, b, there, strict=True)
    return torch.cat([rank_correlation(u[mask][None], v[mask][None]) for u, v, mask in rows])


def edge_correlations(known: HeldOut, values: Tensor, clouds: bool) -> tuple[Tensor, Tensor | None]:
    """Rank correlations (B,) of the sizes with surface variation, and with the closeness to sharp edges if known.

    Of a grid the voxels of its boundary are looked at.
    """
    curved, sharp = [], []
    for i in range(len(known)):
        if clouds:
            points, size = known.x[i, :, :3].double(), values[i].abs()
        else:
            shown = boundary_voxels(known.x[i, 0])
            points, size = shown.nonzero().double() + 0.5, values[i][shown].abs()
        curved.append(rank_correlation(size[None], surface_variation(points[None], min(16, len(points) - 2))))
        if known.edges is not None and len(known.edges[i]):
            close = closeness_to_edges(points, known.edges[i], 0.05 if clouds else 1.0)
            sharp.append(rank_correlation(size[None], close[None]))
    return torch.cat(curved), torch.cat(sharp) if sharp else None


def with_interval(numbers: Tensor) -> str:
    """A mean with its 95 % bootstrap interval."""
    mean, low, high = interval(numbers)
    return f"{mean:.2f} ({low:.2f}, {high:.2f})"


def as_text(numbers: Tensor) -> str:
    """A mean."""
    return f"{float(numbers.mean()):.2f}"


def headline(rows: list[dict[str, Any]]) -> dict[str, float]:
    """What is recorded: the largest mean correlation of a method with known edges."""
    known = [row for row in rows if row["edges"] != "–" and row["method"] != "random"]
    return {"edge_correlation_best": max(float(row["edges"].split(" ")[0]) for row in known)} if known else {}
