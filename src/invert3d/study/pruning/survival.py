"""Does an explanation survive pruning? The same shapes, explained by the whole network and by what is left of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invert3d.evaluate.attribution import occupied, randomized_layers
from invert3d.jobs.job import Job
from invert3d.jobs.rows import rows_job
from invert3d.opening.networks import Network, cached_network
from invert3d.ops.shares import share
from invert3d.registry import lookup
from invert3d.study.explaining.held_out import probabilities
from invert3d.study.explaining.truth import correlations, examples, importance, with_interval


def survival_job(
    whole: str, left: Sequence[str], methods: Sequence[str], *, per_class: int = 4, device: str = "cpu"
) -> Job:
    """The job of comparing explanations by a whole network and by what is left of it: a row for each pair.

    Raises ValueError for unknown names, or networks that do not take the same inputs to the same classes.
    """
    network = cached_network(whole, 1024, device)
    for name in left:
        check_pair(network, cached_network(name, 1024, device))
    for method in methods:
        lookup("attribution", method)().check(network.frozen.space)
    pairs = [{"left": name, "method": method} for name in left for method in methods]
    return rows_job("survival", survival_bundled, pairs, whole=whole, per_class=per_class, device=device)


def survival_bundled(left: str, method: str, *, whole: str, per_class: int, device: str, seed: int) -> dict[str, Any]:
    """A row of the table: ``survival`` for bundled weights by name."""
    pair = cached_network(whole, 1024, device), cached_network(left, 1024, device)
    return survival(*pair, method, per_class=per_class, seed=seed)


def check_pair(whole: Network, left: Network) -> None:
    """Raise ValueError if two networks take other inputs or know other classes."""
    if whole.classes != left.classes or whole.frozen.space != left.frozen.space:
        raise ValueError(f"{whole.name} and {left.name} do not take the same inputs to the same classes")


def survival(whole: Network, left: Network, method: str, *, per_class: int = 4, seed: int = 0) -> dict[str, Any]:
    """Compare attributions of the right class, on held-out shapes that the whole network classifies right.

    Rank correlation of the values and the share of the top tenth that both have, with 95 % intervals; *random weights*
    is the correlation with a network of the same architecture with random weights: what is left when nothing is.

    Raises ValueError if the two take other inputs or know other classes.
    """
    lookup("attribution", method)().check(whole.frozen.space)
    check_pair(whole, left)
    known = examples(whole, per_class, seed)
    x, there = known.x, occupied(known.x)
    anew = replace(whole, frozen=whole.frozen.on(whole.frozen.space, randomized_layers(whole.frozen.model, 1.0, seed)))
    values, pruned, random = (importance(network, method, x, known.target, seed)[0] for network in (whole, left, anew))
    same = probabilities(left, x).argmax(-1) == probabilities(whole, x).argmax(-1)
    return {
        "whole": whole.name,
        "left": left.name,
        "method": method,
        "shapes": len(x),
        "same answer": share(int(same.sum()), len(same)),
        "rank correlation": with_interval(correlations(values, pruned, there)),
        "top tenth shared": with_interval(overlaps(values, pruned, there)),
        "random weights": with_interval(correlations(values, random, there)),
    }


def overlaps(a: Tensor, b: Tensor, there: Tensor, share: float = 0.1) -> Tensor:
    """The share (B,) of the elements with the largest a that are among those with the largest b."""
    found = []
    for u, v, mask in zip(a, b, there, strict=True):
        count = max(1, round(share * int(mask.sum())))
        top = [set(each[mask].topk(count).indices.tolist()) for each in (u, v)]
        found.append(len(top[0] & top[1]) / count)
    return torch.tensor(found)
