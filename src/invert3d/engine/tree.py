"""Tensors with the batch first, alone or in dictionaries: what targets, outputs and features are.

A classifier returns one tensor, a detector a dictionary of them, and what is asked of it is one too. Whatever the loop
does to a batch (choose rows, move, detach, join) it does to such a tree.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

#: a tensor (B, ...), or a dictionary of trees
Tree = Tensor | dict[str, Any]


def mapped(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The tree of ``function`` of every tensor; None stays None."""
    if isinstance(tree, dict):
        return {name: mapped(function, value) for name, value in tree.items()}
    return None if tree is None else function(tree)


def leaves(tree: Any) -> list[Tensor]:
    """All tensors in nested dictionaries, tuples and lists."""
    if isinstance(tree, Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (tuple, list)) else ()
    return [leaf for part in parts for leaf in leaves(part)]


def size_of(tree: Tree | None, what: str) -> int:
    """How many samples a tree has. Raises ValueError, naming it, unless all its tensors have as many."""
    sizes = {len(leaf) if leaf.dim() else 0 for leaf in leaves(tree)}
    if len(sizes) != 1:
        raise ValueError(f"{what} must be tensors (B, ...) of one batch size B, these have {sorted(sizes) or 'none'}")
    return sizes.pop()


def rows_of(tree: Any, rows: Tensor | Sequence[int]) -> Any:
    """The given rows (numbers or booleans) of every tensor."""
    places = rows if isinstance(rows, Tensor) else torch.tensor(list(rows), dtype=torch.long)
    return mapped(lambda leaf: leaf[places.to(leaf.device)], tree)


def copied(tree: Any) -> Any:
    """The same tensors in dictionaries of their own."""
    return mapped(lambda leaf: leaf, tree)


def detached(tree: Any) -> Any:
    """The same values without a graph."""
    return mapped(Tensor.detach, tree)


def moved(tree: Any, device: torch.device | str) -> Any:
    """The same values on a device."""
    return mapped(lambda leaf: leaf.to(device), tree)


def joined(parts: Sequence[Any]) -> Any:
    """Trees of the same names, their batches one after the other."""
    if isinstance(parts[0], dict):
        return {name: joined([part[name] for part in parts]) for name in parts[0]}
    return torch.cat(list(parts))


def flattened(name: str, tree: Any) -> dict[str, Tensor]:
    """Every tensor of a tree by a name: ``target``, or ``target/boxes`` for one in a dictionary."""
    if isinstance(tree, dict):
        return {key: leaf for part, value in tree.items() for key, leaf in flattened(f"{name}/{part}", value).items()}
    return {} if tree is None else {name: tree}
